//! Files of CA certificates.
//!
//! Owns: reading them, and the refusal of what a TLS library would stumble over later.
//! Does not own: what is trusted where no file is given (the clients).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use vpool_object::{Error, ErrorKind, Result};

use crate::limits::CA_BYTES_MAX;

/// Reads a file of PEM certificates, and makes sure that the TLS library will take each:
/// some clients panic over one that it does not. The answer is the file's text.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let refuse = |why: &str| {
        Error::new(
            ErrorKind::Invalid,
            format!("CA file {}: {why}", path.display()),
        )
    };
    let failed = |error: std::io::Error| refuse(&error.to_string()).with_source(error);

    let mut pem = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(CA_BYTES_MAX + 1)
        .read_to_end(&mut pem)
        .map_err(failed)?;
    if pem.len() as u64 > CA_BYTES_MAX {
        return Err(refuse("it is too long for what it should hold"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| refuse("it is no valid PEM"))?;
        roots
            .add(certificate)
            .map_err(|error| refuse("a certificate in it cannot be used").with_source(error))?;
    }
    if roots.is_empty() {
        return Err(refuse("it holds no certificate"));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    //! Files that are none are refused by name.

    use super::read;

    #[test]
    fn ca_files_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let check = |text: &str, expect: &str| {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains(expect) && error.contains("ca.pem"),
                "{error}"
            );
        };
        let pem = |body: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        };
        check("", "holds no certificate");
        check("hello", "holds no certificate");
        check(&pem("!!!"), "no valid PEM");
        check(&pem("aGVsbG8="), "cannot be used");
        check(&"x".repeat(5 << 20), "too long");
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).is_err());
    }
}
