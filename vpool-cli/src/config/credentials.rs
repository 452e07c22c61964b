//! What opens a daemon's door: a token, or a certificate.
//!
//! Owns: reading their files, of which others may not read what is secret. Does not own: which files
//! (`config.rs`), what is in a certificate (`vpool-tls`).

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vpool_tls::{Connector, TlsError};

use super::Opens;
use crate::failure::{Exit, Failure};

/// No token is longer, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// No file of certificates is longer, in bytes.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// The token for a daemon at `api`.
pub(super) fn token(api: &str, opens: &Opens) -> Result<String, Failure> {
    match &opens.token_file {
        Some(path) => read_token(path),
        None => Err(Failure::usage(format!("{api} needs a token")).with_hint(
            "--token-file FILE names it (the daemon's is api.token in its data directory)",
        )),
    }
}

/// Whom to believe and what to show at `api`.
pub(super) fn tls(api: &str, opens: &Opens) -> Result<Connector, Failure> {
    let [ca, certificate, key] = [
        ("--tls-ca", &opens.tls_ca),
        ("--tls-certificate", &opens.tls_certificate),
        ("--tls-key", &opens.tls_key),
    ]
    .map(|(flag, path)| {
        path.as_ref().ok_or_else(|| {
            Failure::usage(format!("{api} needs {flag} FILE")).with_hint(
                "or tls_ca, tls_certificate and tls_key in its profile: who signs the daemon's \
                 certificate, this client's certificate, and the key to it",
            )
        })
    });
    let (ca, certificate, key) = (ca?, certificate?, key?);
    check_private("the key", key)?;
    let read = Connector::from_pem(&pem(ca)?, &pem(certificate)?, &pem(key)?);
    read.map_err(|error| {
        let path = match &error {
            TlsError::Ca(_) => ca,
            TlsError::Certificate(_) | TlsError::Pair(_) => certificate,
            TlsError::Key(_) => key,
        };
        Failure::usage(format!("cannot use {} for TLS: {error}", path.display()))
    })
}

fn pem(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    let failed = |error| unreadable("", path, &error);
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > PEM_BYTES_MAX {
        let message = format!("{} has more than {PEM_BYTES_MAX} bytes", path.display());
        return Err(Failure::usage(message).with_hint("it holds no certificates"));
    }
    std::fs::read(path).map_err(failed)
}

fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::PermissionDenied => Exit::Permission,
        _ => Exit::Usage,
    };
    Failure::new(
        exit,
        format!("cannot read {what}{}: {error}", path.display()),
    )
}

/// Refuses a secret that others may read.
fn check_private(what: &str, path: &Path) -> Result<(), Failure> {
    let metadata = std::fs::metadata(path);
    let metadata = metadata.map_err(|error| unreadable(&format!("{what} in "), path, &error))?;
    let shown = path.display();
    match metadata.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(Failure::usage(format!("others may read {what} in {shown}"))
            .with_hint(format!("chmod 600 {shown}"))),
    }
}

/// The token in a file that nobody else may read.
fn read_token(path: &Path) -> Result<String, Failure> {
    check_private("the token", path)?;
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| unreadable("the token in ", path, &error))?;
    let token = text.trim();
    let good = (1..=TOKEN_BYTES_MAX).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_graphic());
    match good {
        true => Ok(token.to_owned()),
        false => Err(Failure::usage(format!("{} holds no token", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    //! Files good and bad.

    use super::{Opens, read_token, tls};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use vpool_test_certificates::Authority;

    #[test]
    fn certificates() {
        let directory = tempfile::tempdir().expect("a directory");
        let ca = Authority::new("here").expect("an authority");
        let own = ca.client().expect("signed");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("write");
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, mode).expect("chmod");
            Some(path)
        };
        let good = Opens {
            tls_ca: write("ca", ca.pem()),
            tls_certificate: write("certificate", &own.certificate),
            tls_key: write("key", &own.key),
            ..Opens::default()
        };
        let said = |opens: &Opens| format!("{:?}", tls("https://a:1", opens).expect_err("bad"));
        assert!(tls("https://a:1", &good).is_ok());
        assert!(said(&Opens::default()).contains("https://a:1 needs --tls-ca FILE"));
        let other = ca.client().expect("signed").key;
        for (opens, what) in [
            (
                Opens {
                    tls_key: None,
                    ..good.clone()
                },
                "needs --tls-key",
            ),
            (
                Opens {
                    tls_ca: write("empty", ""),
                    ..good.clone()
                },
                "empty for TLS: no certificates",
            ),
            (
                Opens {
                    tls_key: good.tls_ca.clone(),
                    ..good.clone()
                },
                "ca for TLS: no private key",
            ),
            (
                Opens {
                    tls_key: write("other", &other),
                    ..good.clone()
                },
                "do not go together",
            ),
            (
                Opens {
                    tls_ca: Some("/nowhere".into()),
                    ..good.clone()
                },
                "cannot read /nowhere",
            ),
        ] {
            assert!(said(&opens).contains(what), "{what}: {}", said(&opens));
        }
        let open = std::fs::Permissions::from_mode(0o644);
        let key = good.tls_key.clone().expect("a path");
        std::fs::set_permissions(key, open).expect("chmod");
        assert!(said(&good).contains("chmod 600"));
    }

    #[test]
    fn tokens() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("write");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("chmod");
        };
        write("abc123\n", 0o600);
        assert_eq!(read_token(&path).ok(), Some("abc123".to_owned()));
        write("abc123\n", 0o640);
        assert!(format!("{:?}", read_token(&path)).contains("chmod 600"));
        for bad in ["", "\n", "a b", "a\nb", "ü"] {
            write(bad, 0o600);
            assert!(read_token(&path).is_err(), "{bad:?}");
        }
        assert!(read_token(Path::new("/nowhere")).is_err());
    }
}
