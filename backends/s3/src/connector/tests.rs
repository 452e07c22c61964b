//! CA files that are none are refused when the store is set up; where requests go.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

use super::{client, read_ca};
use crate::config::{Addressing, S3Config};
use crate::credentials::{CredentialSource, Credentials, Keyring};

#[test]
fn ca_files_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let check = |text: &str, expect: &str| {
        std::fs::write(&path, text).unwrap();
        let error = read_ca(&path).unwrap_err().to_string();
        assert!(
            error.contains(expect) && error.contains("ca.pem"),
            "{error}"
        );
    };
    let pem =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    check("", "holds no certificate");
    check("hello", "holds no certificate");
    check(&pem("!!!"), "no valid PEM");
    check(&pem("aGVsbG8="), "cannot be used");
    check(&"x".repeat(5 << 20), "too long");
    std::fs::remove_file(&path).unwrap();
    assert!(read_ca(&path).is_err());
}

/// Notes where a request would go, and stops it.
#[derive(Debug, Clone, Default)]
struct Stop(Arc<Mutex<String>>);

#[dyn_dispatch_hint]
impl Intercept for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        *self.0.lock().unwrap() = context.request().uri().to_owned();
        Err("stopped".into())
    }
}

#[tokio::test]
async fn where_requests_go() {
    for (url, addressing, expect) in [
        (
            "http://store:80/bkt",
            Addressing::Path,
            "http://store:80/bkt/k",
        ),
        (
            "https://store/bkt",
            Addressing::VirtualHost,
            "https://bkt.store/k",
        ),
        (
            "http://store:8080/bkt",
            Addressing::VirtualHost,
            "http://bkt.store:8080/k",
        ),
        (
            "http://[::1]:8080/bkt",
            Addressing::Path,
            "http://[::1]:8080/bkt/k",
        ),
        // No virtual host of an address: the SDK falls back by itself.
        (
            "http://10.0.0.1/bkt",
            Addressing::VirtualHost,
            "http://10.0.0.1/bkt/k",
        ),
    ] {
        let keys = CredentialSource::Given(Credentials::new("AK", "secret"));
        let mut config = S3Config::new(url.parse().unwrap(), keys.clone());
        config.addressing = addressing;
        let client = client(&config, Arc::new(Keyring::open(keys).unwrap())).unwrap();
        let stop = Stop::default();
        let get = client.get_object().bucket("bkt").key("k");
        let sent = get.customize().interceptor(stop.clone()).send().await;
        assert!(sent.is_err());
        let uri = stop.0.lock().unwrap().clone();
        assert_eq!(
            uri.split('?').next().unwrap(),
            expect,
            "{url} {addressing:?}"
        );
    }
}
