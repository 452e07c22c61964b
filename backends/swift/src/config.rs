//! All that can be set about a Swift store.
//!
//! Owns: settings, their defaults and the check of them.
//! Does not own: how they are put to use (`client`, `session`, [`store`](crate::store)).

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use vpool_object::{Error, ErrorKind, Result};

use crate::credentials::{CredentialSource, Credentials};
use crate::location::{AuthVersion, Location};

/// Which of a catalog's URLs of the store is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Interface {
    /// The one for everybody.
    #[default]
    Public,
    /// The one within the provider's network.
    Internal,
    /// The one for administrators.
    Admin,
}

impl Interface {
    /// As it stands in a catalog.
    pub fn name(self) -> &'static str {
        match self {
            Interface::Public => "public",
            Interface::Internal => "internal",
            Interface::Admin => "admin",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The settings of a [`SwiftStore`](crate::SwiftStore).
#[derive(Debug, Clone)]
pub struct SwiftConfig {
    /// Auth service, container and prefix.
    pub location: Location,
    /// Who we are.
    pub credentials: CredentialSource,
    /// The region of the catalog's entry; `None`: the first that fits. Keystone only.
    pub region: Option<String>,
    /// Which of its URLs. Keystone only.
    pub interface: Interface,
    /// PEM certificates to trust in place of the system's, for auth service and store.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the store may be silent: from the request's end to the answer's header,
    /// and between two pieces of a body.
    pub answer_timeout: Duration,
    /// Bytes per second below which a transfer counts as stuck: a body of `n` bytes gets
    /// `n / bytes_per_second_min` on top of `answer_timeout`.
    pub bytes_per_second_min: NonZeroU32,
    /// Whether puts carry `If-None-Match: *`, so that a store that heeds it notices other
    /// bytes under the name. Swift does so but not atomically, Ceph not at all.
    pub guard_puts: bool,
}

impl SwiftConfig {
    /// Settings for `location` with defaults for the rest.
    pub fn new(location: Location, credentials: CredentialSource) -> SwiftConfig {
        SwiftConfig {
            location,
            credentials,
            region: None,
            interface: Interface::default(),
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            bytes_per_second_min: NonZeroU32::new(256 << 10).expect("not zero"),
            guard_puts: true,
        }
    }

    /// Settings from `AUTHURL/CONTAINER/PREFIX` and a credentials file.
    pub fn from_url(url: &str, credentials_file: impl Into<PathBuf>) -> Result<SwiftConfig> {
        let credentials = CredentialSource::File(credentials_file.into());
        Ok(SwiftConfig::new(url.parse()?, credentials))
    }

    /// Refuses settings that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let named = self.region.is_some() || self.interface != Interface::Public;
        if named && self.location.auth() == AuthVersion::V1 {
            return Err(invalid(
                "a region or an interface is set, and auth v1 knows none",
            ));
        }
        if self.region.as_ref().is_some_and(String::is_empty) {
            return Err(invalid("the region is empty"));
        }
        if self.connect_timeout.is_zero() || self.answer_timeout.is_zero() {
            return Err(invalid("a timeout of zero leaves no time for anything"));
        }
        let fits = match (&self.credentials, self.location.auth()) {
            (CredentialSource::File(_), _)
            | (CredentialSource::Given(Credentials::V1 { .. }), AuthVersion::V1)
            | (CredentialSource::Given(Credentials::V3 { .. }), AuthVersion::V3) => true,
            (CredentialSource::Given(_), _) => false,
        };
        if !fits {
            return Err(invalid("the credentials are for the other auth version"));
        }
        Ok(())
    }

    /// How long a request with a body of `bytes`, up or down, may take in all.
    pub(crate) fn time_max(&self, bytes: u64) -> Duration {
        let seconds = bytes / u64::from(self.bytes_per_second_min.get());
        self.answer_timeout
            .saturating_add(Duration::from_secs(seconds))
    }
}

fn invalid(context: &str) -> Error {
    Error::new(ErrorKind::Invalid, context)
}

#[cfg(test)]
mod tests {
    //! Defaults, and settings that cannot work.

    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::{Interface, SwiftConfig};
    use crate::credentials::{CredentialSource, Credentials};

    fn config(url: &str) -> SwiftConfig {
        let keys = CredentialSource::Given(Credentials::V1 {
            user: "a:b".to_owned(),
            key: Zeroizing::new("canary".to_owned()),
        });
        SwiftConfig::new(url.parse().unwrap(), keys)
    }

    #[test]
    fn defaults_work_and_show_no_secret() {
        let config = config("http://h/auth/v1.0/c/p");
        config.check().unwrap();
        assert!(!format!("{config:?}").contains("canary"));
        assert_eq!(config.time_max(0), config.answer_timeout);
        assert_eq!(
            config.time_max(64 << 20),
            config.answer_timeout + Duration::from_secs(256)
        );
    }

    #[test]
    fn refused_settings() {
        let check = |url: &str, expect: &str, change: fn(&mut SwiftConfig)| {
            let mut config = config(url);
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        let v1 = "http://h/auth/v1.0/c";
        check(v1, "region", |c| c.region = Some("eu".to_owned()));
        check(v1, "interface", |c| c.interface = Interface::Internal);
        check(v1, "timeout", |c| c.connect_timeout = Duration::ZERO);
        check(v1, "timeout", |c| c.answer_timeout = Duration::ZERO);
        check("http://h/v3/c", "other auth version", |_| {});
    }
}
