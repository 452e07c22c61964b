//! The server's side of TLS: who may speak at all.
//!
//! Owns: [`Tls`] and [`Identity`]: versions, whose certificates are taken, that each connection
//! proves anew who it is. Does not own: doors, when TLS begins there, files.
//!
//! TLS 1.3 alone: QEMU and libnbd speak it by GnuTLS 3.6 (2018) and later. A client shows a
//! certificate that the client CA has signed, for the purpose of a client; the names in it give no
//! rights. Sessions are not resumed: whose certificate is not taken any more is refused at once.

use std::io;
use std::sync::{Arc, RwLock};

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Sealed bytes that a connection may hold because its client does not take them.
pub const BUFFER_BYTES_MAX: usize = 32 << 10;

/// What an identity cannot be made of.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The server's certificate, with those between it and its CA.
    #[error("no certificate of a server, in PEM: {0}")]
    Certificate(String),
    /// The key to it.
    #[error("no private key, in PEM: {0}")]
    Key(String),
    /// The certificates of those who sign clients' certificates.
    #[error("no certificates of a CA, in PEM: {0}")]
    ClientCa(String),
    /// Each for itself is good.
    #[error("the certificate and the key do not go together: {0}")]
    Pair(String),
}

/// Who this server is, and whom it takes.
#[derive(Debug, Clone)]
pub struct Identity(Arc<ServerConfig>);

impl Identity {
    /// From texts in PEM: the certificate with those between it and its CA, its key, and the
    /// certificates that sign clients' ones.
    pub fn from_pem(certificate: &[u8], key: &[u8], client_ca: &[u8]) -> Result<Self, TlsError> {
        let chain = certificates(certificate).map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|error| TlsError::Key(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for root in certificates(client_ca).map_err(TlsError::ClientCa)? {
            let added = roots.add(root);
            added.map_err(|error| TlsError::ClientCa(error.to_string()))?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .map_err(|error| TlsError::ClientCa(error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider knows TLS 1.3")
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(|error| TlsError::Pair(error.to_string()))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Identity(Arc::new(config)))
    }
}

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

    /// The server's side of the handshake; the caller bounds its time.
    pub async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.0.read().expect("no panic holds it").0.clone();
        let bounded = |connection: &mut rustls::ServerConnection| {
            connection.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        };
        TlsAcceptor::from(config).accept_with(stream, bounded).await
    }
}
