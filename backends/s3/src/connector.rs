//! The SDK's client as we want it: no retries, no checksums of its own, no roots but ours.
//!
//! Owns: the HTTP client, trust, the SDK's settings.
//! Does not own: timeouts of whole requests (`call`), credentials.
//!
//! Left out on purpose: the SDK's retries (the retry decorator does that once for all
//! stores), its stalled-stream protection and read timeout (they know neither how long a
//! body is nor what the operator set), redirects (the SDK follows none), proxies of the
//! environment.

use std::sync::Arc;

use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, IdentityCache, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use vpool_http::ca;
use vpool_object::{Error, ErrorKind, Result};

use crate::config::{Addressing, S3Config};
use crate::credentials::Keyring;
use crate::limits::{IDLE_CONNECTIONS_MAX, IDLE_TIME_MAX};

/// Builds the client; no connection is made yet.
pub(crate) fn client(config: &S3Config, keyring: Arc<Keyring>) -> Result<Client> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(config.connect_timeout)
        .disable_read_timeout()
        .disable_operation_timeout()
        .disable_operation_attempt_timeout()
        .build();
    let sdk = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client(config)?)
        .endpoint_url(config.location.endpoint())
        .region(Region::new(config.region.clone()))
        .force_path_style(config.addressing == Addressing::Path)
        .credentials_provider(SharedCredentialsProvider::new(
            keyring as Arc<dyn ProvideCredentials>,
        ))
        // The keyring is the cache: new keys must count from the next request on.
        .identity_cache(IdentityCache::no_cache())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Checksums that Ceph 16 and Swift refuse (trailers) or ignore (headers); bodies
        // are guarded by the signature on the way up and by the caller's tags for ever.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .build();
    Ok(Client::from_conf(sdk))
}

/// Connections are kept and reused, at most [`IDLE_CONNECTIONS_MAX`] of them idle, and
/// have TCP_NODELAY set (the builder's default): without it small requests take 40 ms.
fn http_client(config: &S3Config) -> Result<SharedHttpClient> {
    let builder = aws_smithy_http_client::Builder::new()
        .pool_idle_timeout(IDLE_TIME_MAX)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX);
    if !config.location.is_https() {
        // Spares reading the system's certificates.
        return Ok(builder.build_http());
    }
    let trust = match &config.ca_file {
        Some(path) => TrustStore::empty().with_pem_certificate(ca::read(path)?),
        None => TrustStore::default(),
    };
    let context = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Invalid, "the settings of TLS").with_source(error)
        })?;
    Ok(builder
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https())
}

#[cfg(test)]
mod tests;
