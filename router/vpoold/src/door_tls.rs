//! TLS at the doors on TCP, from the files that the configuration names.
//!
//! Owns: reading them, errors that name them. Does not own: what is in them (`vpool-tls`), when TLS
//! begins (`vpool-nbd`, `api/server.rs`).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use futures::future::{BoxFuture, FutureExt};
use vpool_nbd::{Secure, Stream};
use vpool_tls::{Identity, Tls, TlsError};

use crate::config::{Settings, TlsFiles};

/// More than any file of certificates; what is larger is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Of the doors that have it.
#[derive(Debug, Clone, Default)]
pub(crate) struct DoorTls {
    pub(crate) nbd: Option<Arc<Tls>>,
    pub(crate) api: Option<Arc<Tls>>,
}

impl DoorTls {
    /// As the settings say.
    pub(crate) fn read(settings: &Settings) -> anyhow::Result<DoorTls> {
        let tls = |files: &Option<TlsFiles>| {
            let identity = files.as_ref().map(read).transpose();
            identity.map(|identity| identity.map(Tls::new))
        };
        Ok(DoorTls {
            nbd: tls(&settings.nbd_tls)?,
            api: tls(&settings.api_tls)?,
        })
    }
}

/// TLS, as the NBD door takes it.
#[derive(Debug)]
pub(crate) struct NbdTls(pub(crate) Arc<Tls>);

impl Secure for NbdTls {
    fn accept(&self, stream: Box<dyn Stream>) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        async {
            let secured = self.0.accept(stream).await?;
            Ok(Box::new(secured) as Box<dyn Stream>)
        }
        .boxed()
    }
}

/// Reads the three files; an error names the one that is wrong.
pub(crate) fn read(files: &TlsFiles) -> anyhow::Result<Identity> {
    let certificate = bytes(&files.certificate)?;
    let key = bytes(&files.key)?;
    let client_ca = bytes(&files.client_ca)?;
    warn_of_readers(&files.key);
    Identity::from_pem(&certificate, &key, &client_ca).map_err(|error| {
        let file = match &error {
            TlsError::Certificate(_) | TlsError::Pair(_) => &files.certificate,
            TlsError::Key(_) => &files.key,
            TlsError::Ca(_) => &files.client_ca,
        };
        anyhow!("cannot use {} for TLS: {error}", file.display())
    })
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {shown} for TLS"))?;
    ensure!(
        bytes.len() as u64 <= FILE_BYTES_MAX,
        "cannot use {shown} for TLS: it has more than {FILE_BYTES_MAX} bytes"
    );
    Ok(bytes)
}

fn warn_of_readers(key: &Path) {
    // That it can be read was seen just now.
    if key
        .metadata()
        .is_ok_and(|metadata| metadata.mode() & 0o007 != 0)
    {
        tracing::warn!(path = %key.display(), "everybody may read this key: chmod 640 it");
    }
}
