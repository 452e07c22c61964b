//! What a put is sent with besides its body: the signature's view of the body, and a
//! condition.
//!
//! Owns: [`Signing`], [`Precondition`], the interceptor that hands the former to the SDK.
//! Does not own: the signature (the SDK).

use aws_lc_rs::digest::{SHA256, digest};
use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use bytes::Bytes;
use vpool_object::ErrorKind;

use crate::failure::Failure;
use crate::limits::HASH_IN_PLACE_BYTES_MAX;
use crate::store::S3Store;

/// What must hold for a put to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Precondition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match`, with the tag as it is to stand there.
    Match(String),
}

/// How the signature covers a body; hands itself to the SDK as an interceptor.
#[derive(Debug, Clone)]
pub(crate) struct Signing(PayloadSigningOverride);

impl Signing {
    fn of(body: &[u8]) -> Signing {
        let hash = digest(&SHA256, body);
        let hex = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Signing(PayloadSigningOverride::Precomputed(hex))
    }
}

#[dyn_dispatch_hint]
impl Intercept for Signing {
    fn name(&self) -> &'static str {
        "vPool payload signing"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(self.0.clone());
        Ok(())
    }
}

impl S3Store {
    /// Hashes a body where it is to be signed. The SDK would do so on the thread that also
    /// serves the guests' I/O, 10 ms for a segment; long bodies go to another one.
    pub(crate) async fn signing(&self, body: &Bytes) -> Result<Signing, Failure> {
        if !self.config.signs_payload() {
            return Ok(Signing(PayloadSigningOverride::UnsignedPayload));
        }
        if body.len() <= HASH_IN_PLACE_BYTES_MAX {
            return Ok(Signing::of(body));
        }
        let body = body.clone();
        let hashed = tokio::task::spawn_blocking(move || Signing::of(&body)).await;
        // Only when the runtime is being shut down.
        hashed.map_err(|_| Failure::new(ErrorKind::Unavailable, "the process is ending"))
    }
}

#[cfg(test)]
mod tests {
    //! The hash that is signed.

    use super::{PayloadSigningOverride, Signing};

    #[test]
    fn the_hash_is_lower_case_hex() {
        let PayloadSigningOverride::Precomputed(hex) = Signing::of(b"").0 else {
            panic!("a body was hashed");
        };
        assert_eq!(
            hex,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
