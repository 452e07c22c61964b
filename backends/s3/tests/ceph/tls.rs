//! TLS: an issuer that is trusted, one that is not, a certificate that has expired, and a server
//! that speaks none.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vpool_object::ErrorKind;
use vpool_object::conformance::{self, ConformanceOptions};
use vpool_s3::{S3Config, S3Store};
use vpool_test_stores::CephRgw;

use crate::{connect, key};

fn config(ceph: &CephRgw, endpoint: &str) -> S3Config {
    ceph.create_bucket("tls").unwrap();
    S3Config::from_url(&format!("{endpoint}/tls/p"), ceph.credentials_file()).unwrap()
}

#[tokio::test]
async fn conformance_over_tls_with_our_own_issuer() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let mut config = config(ceph, &ceph.tls_endpoint);
    config.ca_file = Some(ceph.ca_file());
    let options = ConformanceOptions {
        parallel: 16,
        ..ConformanceOptions::default()
    };
    conformance::check(&connect(config), &options)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_not_trusted() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    // The system's issuers do not know ours.
    let store = S3Store::connect(config(ceph, &ceph.tls_endpoint)).unwrap();
    let error = store.reach().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("set the CA file"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let endpoint = ceph.endpoint.replace("http://", "https://");
    let mut config = config(ceph, &endpoint);
    config.ca_file = Some(ceph.ca_file());
    let store = connect(config);
    let error = store.head(&key("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

/// A server with a certificate that was good once, until this is dropped.
struct Expired {
    server: Child,
    directory: TempDir,
    port: u16,
}

impl Expired {
    fn start() -> Expired {
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("sh")
            .args(["-c", include_str!("expired.sh")])
            .current_dir(&directory)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        // Free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let server = Command::new("openssl")
            .args(["s_server", "-quiet", "-cert", "cert.pem", "-key", "key.pem"])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let expired = Expired {
            server,
            directory,
            port,
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        expired
    }
}

impl Drop for Expired {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired() {
    let Some(ceph) = CephRgw::shared() else {
        return;
    };
    let expired = Expired::start();
    let mut config = config(ceph, &format!("https://127.0.0.1:{}", expired.port));
    config.ca_file = Some(expired.directory.path().join("cert.pem"));
    let store = S3Store::connect(config).unwrap();
    let error = store.reach().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains("its dates and this host's clock"), "{text}");
}
