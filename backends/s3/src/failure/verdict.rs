//! The table: S3's codes and HTTP's statuses, what kind of error each is, what to do.
//!
//! Owns: the table, pure. `{keys}` in a remedy stands for where the credentials are from.

use vpool_object::ErrorKind::{
    self, Conflict, Damaged, Denied, Invalid, NoLocation, NoSpace, NotFound, Throttled, Unavailable,
};

const WRONG_REGION: &str = "the bucket lies elsewhere: set the endpoint and region that serve it";

/// The kind of an answer's error, and its remedy. The code decides where it is known,
/// since some stores send it with another status, even 200; else the status does.
pub(super) fn for_answer(status: u16, code: &str, message: &str) -> (ErrorKind, &'static str) {
    match code {
        "" => for_status(status),
        "NoSuchKey" => (NotFound, ""),
        "NoSuchBucket" => (NoLocation, "make the bucket, or correct its name"),
        "InvalidBucketName" => (NoLocation, "correct the bucket's name"),
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "Redirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => (NoLocation, WRONG_REGION),
        "InvalidAccessKeyId" => (Denied, "the store does not know the access key in {keys}"),
        "SignatureDoesNotMatch" => (
            Denied,
            "the secret key in {keys} is wrong, or a proxy on the way changes requests",
        ),
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            (Denied, "the session in {keys} has ended: renew it")
        }
        "RequestTimeTooSkewed" | "RequestExpired" => (
            Denied,
            "this host's clock and the store's differ by more than 15 minutes: set the clock",
        ),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" | "InvalidSecurity"
        | "NotSignedUp" | "UserSuspended" => (
            Denied,
            "the user in {keys} needs the right to list the bucket and to get, put and delete objects",
        ),
        "PreconditionFailed" => (Conflict, ""),
        "ConditionalRequestConflict" | "OperationAborted" => (Unavailable, ""),
        "SlowDown"
        | "TooManyRequests"
        | "TooManyRequestsException"
        | "Throttling"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "BandwidthLimitExceeded" => (Throttled, ""),
        "QuotaExceeded"
        | "InsufficientStorage"
        | "StorageFull"
        | "XMinioStorageFull"
        | "ServiceQuotaExceededException" => (NoSpace, "the store or the quota is full"),
        // Swift's S3 door says so of a full quota too; ours are never beyond S3's 5 GiB.
        "EntityTooLarge" if message.to_ascii_lowercase().contains("quota") => {
            (NoSpace, "the store or the quota is full")
        }
        "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
            (Damaged, "the body was changed on its way")
        }
        "IncompleteBody" | "RequestTimeout" | "InternalError" | "ServiceUnavailable" => {
            (Unavailable, "")
        }
        "InvalidRange" => (Invalid, ""),
        _ => for_status(status),
    }
}

/// What a status says without a code that is known.
fn for_status(status: u16) -> (ErrorKind, &'static str) {
    match status {
        300..=399 => (NoLocation, WRONG_REGION),
        401 | 403 => (Denied, "check the keys in {keys} and the user's rights"),
        // Not NotFound: without S3's own word for it a missing object is not certain, and
        // an end of a log would be read from it.
        404 => (Unavailable, "does the endpoint serve S3?"),
        408 | 409 | 425 => (Unavailable, ""),
        412 => (Conflict, ""),
        413 => (
            Invalid,
            "a proxy before the store may limit the size of bodies",
        ),
        429 => (Throttled, ""),
        501 => (Invalid, "the store does not know such a request"),
        507 => (NoSpace, "the store is full"),
        400..=499 => (Invalid, ""),
        // 5xx, and an error document under a status of success.
        _ => (Unavailable, ""),
    }
}
