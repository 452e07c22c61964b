//! Who we are to the store: keys from a file, read again when the store refuses them.
//!
//! Owns: the two file formats, keeping secrets out of texts.
//! Does not own: signing (the SDK), when to read again (the store).

mod file;

use std::fmt;
use std::path::{Path, PathBuf};

use aws_credential_types::provider::{ProvideCredentials, future};
use parking_lot::RwLock;
use vpool_http::secret_file;
use vpool_object::Result;
use zeroize::Zeroizing;

/// An access key, its secret, and the token of a session where there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key: String,
    secret_key: Zeroizing<String>,
    session_token: Option<Zeroizing<String>>,
}

impl Credentials {
    /// Keys that are at hand already.
    pub fn new(access_key: impl Into<String>, secret_key: impl Into<String>) -> Credentials {
        Credentials {
            access_key: access_key.into(),
            secret_key: Zeroizing::new(secret_key.into()),
            session_token: None,
        }
    }

    /// The same with a session's token.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<String>) -> Credentials {
        self.session_token = Some(Zeroizing::new(token.into()));
        self
    }

    /// Reads a file in one of two formats, told apart by the presence of a `[section]`:
    ///
    /// ```text
    /// access_key=AKIA...            [default]
    /// secret_key=...                aws_access_key_id = AKIA...
    /// session_token=...             aws_secret_access_key = ...
    ///                               aws_session_token = ...
    /// ```
    ///
    /// The token may be absent; `#` and `;` begin comments. Of the second format (that of
    /// the AWS tools) only `[default]` counts, and keys of other names are passed over.
    /// [`ErrorKind::Invalid`](vpool_object::ErrorKind::Invalid) when the file cannot be
    /// read, when others than its owner may read or change it, or when a key is missing.
    pub fn read(path: &Path) -> Result<Credentials> {
        secret_file::read(path, file::parse)
    }

    fn to_sdk(&self) -> aws_credential_types::Credentials {
        aws_credential_types::Credentials::new(
            self.access_key.clone(),
            self.secret_key.as_str(),
            self.session_token.as_ref().map(|token| token.to_string()),
            None,
            "vpool",
        )
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, secret not shown)", self.access_key)
    }
}

/// Where the keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// A file, see [`Credentials::read`]. When the store refuses the keys it is read
    /// again, so that new keys or a renewed session need no restart.
    File(PathBuf),
    /// The keys themselves.
    Given(Credentials),
}

/// The keys in force.
#[derive(Debug)]
pub(crate) struct Keyring {
    source: CredentialSource,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    credentials: Credentials,
    /// The same as the SDK takes them, cheap to clone.
    for_sdk: aws_credential_types::Credentials,
    generation: Generation,
}

/// Which keys a request was made with; grows by one with every exchange of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Keyring {
    pub(crate) fn open(source: CredentialSource) -> Result<Keyring> {
        let credentials = match &source {
            CredentialSource::File(path) => Credentials::read(path)?,
            CredentialSource::Given(credentials) => credentials.clone(),
        };
        let current = RwLock::new(Current {
            for_sdk: credentials.to_sdk(),
            credentials,
            generation: Generation(0),
        });
        Ok(Keyring { source, current })
    }

    pub(crate) fn generation(&self) -> Generation {
        self.current.read().generation
    }

    /// Reads the file again. Answers whether the keys in force are others than `used` now,
    /// so that a request that was refused with those is worth repeating.
    pub(crate) async fn renew(&self, used: Generation) -> bool {
        let CredentialSource::File(path) = &self.source else {
            return false;
        };
        let file = path.clone();
        match tokio::task::spawn_blocking(move || Credentials::read(&file)).await {
            Ok(Ok(credentials)) => self.exchange(credentials),
            // Half-written or gone for a moment: the old keys stay.
            Ok(Err(error)) => tracing::warn!(%error, "the credentials stay as they were"),
            Err(error) => tracing::warn!(%error, "reading the credentials did not end"),
        }
        self.generation() != used
    }

    fn exchange(&self, credentials: Credentials) {
        let mut current = self.current.write();
        if current.credentials == credentials {
            return;
        }
        current.for_sdk = credentials.to_sdk();
        current.credentials = credentials;
        current.generation.0 += 1;
        tracing::info!(credentials = ?current.credentials, "new credentials are in force");
    }

    /// Where an operator has to look when the store refuses us.
    pub(crate) fn place(&self) -> String {
        match &self.source {
            CredentialSource::File(path) => path.display().to_string(),
            CredentialSource::Given(_) => "the given credentials".to_owned(),
        }
    }
}

impl ProvideCredentials for Keyring {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Ok(self.current.read().for_sdk.clone()))
    }
}

#[cfg(test)]
mod tests;
