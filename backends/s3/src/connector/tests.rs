//! Where requests go.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

use super::client;
use crate::config::{Addressing, S3Config};
use crate::credentials::{CredentialSource, Credentials, Keyring};

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
