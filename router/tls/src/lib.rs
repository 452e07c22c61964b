//! TLS at the doors: who may speak at all.
//!
//! Owns: [`Tls`] and [`Identity`]: versions, whose certificates are taken, that each connection
//! proves anew who it is; [`Connector`], the other side. Does not own: doors, when TLS begins there,
//! files.
//!
//! TLS 1.3 alone: QEMU and libnbd speak it by GnuTLS 3.6 (2018) and later. A client shows a
//! certificate that the client CA has signed, for the purpose of a client; the names in it give no
//! rights. Sessions are not resumed: whose certificate is not taken any more is refused at once.

mod client;

use std::error::Error;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use client::Connector;

/// Sealed bytes that a connection may hold because its client does not take them.
pub const BUFFER_BYTES_MAX: usize = 32 << 10;

/// How long a client that was refused may go on talking, unheard.
const LAST_WORD_TIME_MAX: Duration = Duration::from_secs(1);

/// How much it may say.
const UNREAD_BYTES_MAX: u64 = 64 << 10;

/// What an identity cannot be made of.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The own certificate, with those between it and its CA.
    #[error("no certificate, in PEM: {0}")]
    Certificate(String),
    /// The key to it.
    #[error("no private key, in PEM: {0}")]
    Key(String),
    /// The certificates of those who sign the other side's.
    #[error("no certificates of a CA, in PEM: {0}")]
    Ca(String),
    /// Each for itself is good.
    #[error("the certificate and the key do not go together: {0}")]
    Pair(String),
}

/// Who this server is, and whom it takes.
#[derive(Debug, Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// From texts in PEM: the certificate with those between it and its CA, its key, and the
    /// certificates that sign clients' ones.
    pub fn from_pem(certificate: &[u8], key: &[u8], client_ca: &[u8]) -> Result<Self, TlsError> {
        let (chain, key) = own(certificate, key)?;
        let certificate = chain[0].clone();
        let roots = roots(client_ca)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .map_err(|error| TlsError::Ca(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider knows TLS 1.3")
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::Pair(error.to_string()))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Identity {
            config: Arc::new(config),
            certificate,
        })
    }

    /// Whether the certificate is for a host of this name, or for this address.
    pub fn is_named(&self, host: &str) -> bool {
        let certificate = ParsedCertificate::try_from(&self.certificate);
        match (certificate, server_name(host)) {
            (Ok(certificate), Ok(name)) => verify_server_name(&certificate, &name).is_ok(),
            _ => false,
        }
    }
}

/// A name, or an address, which in IPv6 may stand in brackets.
fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    ServerName::try_from(bare.unwrap_or(host).to_owned()).map_err(|error| error.to_string())
}

/// An own certificate, with those between it and its CA, and its key.
fn own(
    certificate: &[u8],
    key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(certificate).map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key);
    let key = key.map_err(|error| TlsError::Key(error.to_string()))?;
    Ok((chain, key))
}

/// Who signs the other side's certificates.
fn roots(ca: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(ca).map_err(TlsError::Ca)? {
        let added = roots.add(root);
        added.map_err(|error| TlsError::Ca(error.to_string()))?;
    }
    Ok(roots)
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Err(error) => Err(error.to_string()),
        Ok(found) if found.is_empty() => Err("there is none".to_owned()),
        Ok(found) => Ok(found),
    }
}

/// An identity that can be replaced.
#[derive(Debug)]
pub struct Tls(RwLock<Identity>);

impl Tls {
    /// With its first identity.
    pub fn new(identity: Identity) -> Arc<Tls> {
        Arc::new(Tls(RwLock::new(identity)))
    }

    /// For new connections; those that there are stay.
    pub fn replace(&self, identity: Identity) {
        *self.0.write().expect("no panic holds it") = identity;
    }

    /// Whether the certificate is for a host of this name, or for this address.
    pub fn is_named(&self, host: &str) -> bool {
        self.0.read().expect("no panic holds it").is_named(host)
    }

    /// The server's side of the handshake; the caller bounds its time.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.0.read().expect("no panic holds it").config.clone();
        let bounded = |connection: &mut rustls::ServerConnection| {
            connection.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        };
        let accept = TlsAcceptor::from(config).accept_with(stream, bounded);
        match accept.into_fallible().await {
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                let _unheard = timeout(LAST_WORD_TIME_MAX, last_word(stream)).await;
                Err(error)
            }
        }
    }
}

/// Leaves the client to say what it was about to: a connection that is closed over it is reset, and
/// then the client may never read why.
async fn last_word(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unread = stream.take(UNREAD_BYTES_MAX);
    tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
    Ok(())
}

/// Who did not take whom in a handshake, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The other side did not take this one.
    ByPeer(String),
    /// This side did not take the other.
    OfPeer(String),
}

impl Refusal {
    /// What TLS has to do with a connection's failing.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Refusal> {
        let mut next = Some(error);
        while let Some(error) = next {
            // An I/O error's source is that of what it wraps.
            let inner = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            let inner = inner.map(|inner| inner as &(dyn Error + 'static));
            match inner.unwrap_or(error).downcast_ref() {
                Some(rustls::Error::AlertReceived(alert)) => {
                    return Some(Refusal::ByPeer(format!("{alert:?}")));
                }
                Some(error) => return Some(Refusal::OfPeer(error.to_string())),
                None => next = inner.or_else(|| error.source()),
            }
        }
        None
    }
}
