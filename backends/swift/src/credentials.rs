//! Who we are to the auth service.
//!
//! Owns: the file's format, reading it anew for each session, keeping secrets out of texts.
//! Does not own: sessions (`session`), reading files of secrets (`vpool-http`).

mod file;

use std::fmt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use vpool_http::secret_file;
use vpool_object::Result;
use zeroize::Zeroizing;

use crate::location::AuthVersion;

/// The domain where none is named: Keystone's first one.
pub(crate) const DOMAIN: &str = "Default";

/// A user and its secret, as one of the two auth services wants them.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// For auth v1.
    V1 {
        /// The user, mostly `ACCOUNT:USER`.
        user: String,
        /// Its key.
        key: Zeroizing<String>,
    },
    /// For Keystone v3.
    V3 {
        /// The user's name.
        user: String,
        /// The name of the user's domain.
        user_domain: String,
        /// The password.
        password: Zeroizing<String>,
        /// The name of the project whose account it is.
        project: String,
        /// The name of the project's domain.
        project_domain: String,
    },
}

impl Credentials {
    /// Reads a file of `name=value` lines; `#` and `;` begin comments:
    ///
    /// ```text
    /// auth v1             Keystone v3
    /// user=test:tester    user=vpool
    /// key=...             password=...
    ///                     user_domain=Default       (may be left out)
    ///                     project=storage
    ///                     project_domain=Default    (may be left out)
    /// ```
    ///
    /// [`ErrorKind::Invalid`](vpool_object::ErrorKind::Invalid) when the file cannot be
    /// read, when others than its owner may read or change it, or when a line is missing.
    pub fn read(path: &Path, auth: AuthVersion) -> Result<Credentials> {
        secret_file::read(path, |text| file::parse(text, auth))
    }

    fn user(&self) -> &str {
        match self {
            Credentials::V1 { user, .. } | Credentials::V3 { user, .. } => user,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, secret not shown)", self.user())
    }
}

/// Where the credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// A file, see [`Credentials::read`]. It is read again for every new token, so that a
    /// new password needs no restart.
    File(PathBuf),
    /// The credentials themselves.
    Given(Credentials),
}

/// The credentials in force.
#[derive(Debug)]
pub(crate) struct Keyring {
    source: CredentialSource,
    auth: AuthVersion,
    current: Mutex<Credentials>,
}

impl Keyring {
    pub(crate) fn open(source: CredentialSource, auth: AuthVersion) -> Result<Keyring> {
        let current = match &source {
            CredentialSource::File(path) => Credentials::read(path, auth)?,
            CredentialSource::Given(credentials) => credentials.clone(),
        };
        Ok(Keyring {
            source,
            auth,
            current: Mutex::new(current),
        })
    }

    /// What the file holds now; what it held, where it cannot be read.
    pub(crate) async fn newest(&self) -> Credentials {
        if let CredentialSource::File(path) = &self.source {
            let (file, auth) = (path.clone(), self.auth);
            match tokio::task::spawn_blocking(move || Credentials::read(&file, auth)).await {
                Ok(Ok(credentials)) => *self.current.lock() = credentials,
                // Half-written or gone for a moment.
                Ok(Err(error)) => tracing::warn!(%error, "the credentials stay as they were"),
                Err(error) => tracing::warn!(%error, "reading the credentials did not end"),
            }
        }
        self.current.lock().clone()
    }

    /// Where an operator has to look when we are refused.
    pub(crate) fn place(&self) -> String {
        match &self.source {
            CredentialSource::File(path) => path.display().to_string(),
            CredentialSource::Given(_) => "the given credentials".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
