//! All that can be set about an S3 store.
//!
//! Owns: settings, their defaults and the check of them.
//! Does not own: how they are put to use (`connector`, [`store`](crate::store)).

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use vpool_object::{Error, ErrorKind, Result};

use crate::credentials::CredentialSource;
use crate::location::Location;

/// How the bucket stands in a request's URL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Addressing {
    /// `http://HOST/BUCKET/KEY`: works with every store but new buckets of AWS regions
    /// that insist on the other.
    #[default]
    Path,
    /// `http://BUCKET.HOST/KEY`: needs DNS, and for TLS a certificate, for that name.
    VirtualHost,
}

/// Whether the store can check the body of a put against its signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PayloadSigning {
    /// The SHA-256 of every body is signed. A body damaged on its way is refused by the
    /// store, also where TLS ends at a balancer before it. Costs about 0.6 CPU-seconds
    /// per GiB here.
    #[default]
    Always,
    /// Bodies go unsigned over https, where TLS guards them as far as it reaches; over
    /// http they are signed.
    HttpOnly,
    /// Bodies are never signed. Over http nothing but TCP's checksum guards them then.
    Never,
}

/// The settings of an [`S3Store`](crate::S3Store).
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Endpoint, bucket and prefix.
    pub location: Location,
    /// Who we are.
    pub credentials: CredentialSource,
    /// The region that is signed for. Stores other than AWS mostly take any.
    pub region: String,
    /// Path style or virtual host.
    pub addressing: Addressing,
    /// PEM certificates to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the store may be silent: from the request's end to the answer's header,
    /// and between two pieces of a body.
    pub answer_timeout: Duration,
    /// Bytes per second below which a transfer counts as stuck: a body of `n` bytes gets
    /// `n / bytes_per_second_min` on top of `answer_timeout`.
    pub bytes_per_second_min: NonZeroU32,
    /// Whether bodies are signed.
    pub payload_signing: PayloadSigning,
    /// Whether puts carry `If-None-Match: *`, so that a store that heeds it notices other
    /// bytes under the name. Left off by itself where the store refuses the header.
    pub guard_puts: bool,
}

impl S3Config {
    /// Settings for `location` with defaults for the rest.
    pub fn new(location: Location, credentials: CredentialSource) -> S3Config {
        S3Config {
            location,
            credentials,
            region: "us-east-1".to_owned(),
            addressing: Addressing::default(),
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            bytes_per_second_min: NonZeroU32::new(256 << 10).expect("not zero"),
            payload_signing: PayloadSigning::default(),
            guard_puts: true,
        }
    }

    /// Settings from `URL/BUCKET/PREFIX` and a credentials file.
    pub fn from_url(url: &str, credentials_file: impl Into<PathBuf>) -> Result<S3Config> {
        let credentials = CredentialSource::File(credentials_file.into());
        Ok(S3Config::new(url.parse()?, credentials))
    }

    /// Refuses settings that cannot work.
    pub(crate) fn check(&self) -> Result<()> {
        let region_ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if self.region.is_empty() || !self.region.bytes().all(region_ok) {
            return Err(invalid(
                "the region holds other than letters, digits, '-' and '_'",
            ));
        }
        if self.connect_timeout.is_zero() || self.answer_timeout.is_zero() {
            return Err(invalid("a timeout of zero leaves no time for anything"));
        }
        if self.ca_file.is_some() && !self.location.is_https() {
            return Err(invalid("a CA file is set, but the endpoint is http://"));
        }
        Ok(())
    }

    /// Whether the bodies of puts are signed.
    pub(crate) fn signs_payload(&self) -> bool {
        match self.payload_signing {
            PayloadSigning::Always => true,
            PayloadSigning::HttpOnly => !self.location.is_https(),
            PayloadSigning::Never => false,
        }
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

    use super::{PayloadSigning, S3Config};
    use crate::credentials::{CredentialSource, Credentials};
    use std::time::Duration;

    fn config(url: &str) -> S3Config {
        let keys = CredentialSource::Given(Credentials::new("AK", "canary"));
        S3Config::new(url.parse().unwrap(), keys)
    }

    #[test]
    fn defaults_work_and_show_no_secret() {
        let config = config("http://store/bucket/p");
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
        let check = |expect: &str, change: fn(&mut S3Config)| {
            let mut config = config("http://store/bucket");
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("region", |c| c.region = String::new());
        check("region", |c| c.region = "eu west".to_owned());
        check("timeout", |c| c.connect_timeout = Duration::ZERO);
        check("timeout", |c| c.answer_timeout = Duration::ZERO);
        check("http://", |c| c.ca_file = Some("/ca.pem".into()));
    }

    #[test]
    fn when_bodies_are_signed() {
        let check = |url: &str, signing: PayloadSigning, expect: bool| {
            let config = S3Config {
                payload_signing: signing,
                ..config(url)
            };
            assert_eq!(config.signs_payload(), expect, "{url} {signing:?}");
        };
        check("http://store/bucket", PayloadSigning::Always, true);
        check("https://store/bucket", PayloadSigning::Always, true);
        check("http://store/bucket", PayloadSigning::HttpOnly, true);
        check("https://store/bucket", PayloadSigning::HttpOnly, false);
        check("http://store/bucket", PayloadSigning::Never, false);
    }
}
