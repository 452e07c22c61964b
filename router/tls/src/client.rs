//! The client's side: which server is believed, and who this client is.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{TlsError, own, roots, server_name};

/// Whom a client believes, and what it shows of itself.
#[derive(Debug, Clone)]
pub struct Connector(Arc<ClientConfig>);

impl Connector {
    /// From texts in PEM: the certificates that sign servers' ones, the own certificate with those
    /// between it and its CA, and its key.
    pub fn from_pem(server_ca: &[u8], certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let (chain, key) = own(certificate, key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("the provider knows TLS 1.3")
            .with_root_certificates(roots(server_ca)?)
            .with_client_auth_cert(chain, key)
            .map_err(|error| TlsError::Pair(error.to_string()))?;
        config.resumption = Resumption::disabled();
        Ok(Connector(Arc::new(config)))
    }

    /// The client's side of the handshake with a server that must be called `host`; the caller
    /// bounds its time. Whether the server takes this client shows only when it answers.
    pub async fn connect<S>(&self, host: &str, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name =
            server_name(host).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        TlsConnector::from(self.0.clone())
            .connect(name, stream)
            .await
    }
}
