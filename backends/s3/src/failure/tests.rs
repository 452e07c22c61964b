//! The table of kinds, and what gets into a message.

use vpool_object::ErrorKind::{
    self, Conflict, Damaged, Denied, Invalid, NoLocation, NoSpace, NotFound, Throttled, Unavailable,
};

use super::Failure;
use super::verdict::for_answer;

#[test]
fn kinds() {
    let check = |status: u16, code: &str, expect: ErrorKind| {
        assert_eq!(for_answer(status, code, "").0, expect, "{status} {code}");
    };
    check(404, "NoSuchKey", NotFound);
    check(404, "NoSuchBucket", NoLocation);
    check(404, "", Unavailable);
    check(404, "NotFound", Unavailable);
    check(403, "AccessDenied", Denied);
    check(403, "InvalidAccessKeyId", Denied);
    check(403, "SignatureDoesNotMatch", Denied);
    check(403, "RequestTimeTooSkewed", Denied);
    check(400, "ExpiredToken", Denied);
    check(403, "", Denied);
    check(401, "", Denied);
    check(301, "PermanentRedirect", NoLocation);
    check(307, "", NoLocation);
    check(400, "AuthorizationHeaderMalformed", NoLocation);
    check(409, "ConditionalRequestConflict", Unavailable);
    check(409, "", Unavailable);
    check(412, "PreconditionFailed", Conflict);
    check(412, "", Conflict);
    check(503, "SlowDown", Throttled);
    check(429, "", Throttled);
    check(429, "TooManyRequests", Throttled);
    check(503, "ServiceUnavailable", Unavailable);
    check(503, "", Unavailable);
    check(500, "InternalError", Unavailable);
    check(502, "", Unavailable);
    check(504, "", Unavailable);
    check(200, "InternalError", Unavailable);
    check(200, "SlowDown", Throttled);
    check(200, "Whatever", Unavailable);
    check(400, "RequestTimeout", Unavailable);
    check(408, "", Unavailable);
    check(403, "QuotaExceeded", NoSpace);
    check(507, "", NoSpace);
    check(507, "XMinioStorageFull", NoSpace);
    check(413, "", Invalid);
    check(413, "EntityTooLarge", Invalid);
    check(400, "BadDigest", Damaged);
    check(400, "XAmzContentSHA256Mismatch", Damaged);
    check(416, "InvalidRange", Invalid);
    check(501, "NotImplemented", Invalid);
    check(400, "InvalidRequest", Invalid);
    assert_eq!(
        for_answer(413, "EntityTooLarge", "Upload exceeds Quota.").0,
        NoSpace
    );
}

#[test]
fn a_message_names_place_cause_and_remedy() {
    let failure = Failure {
        remedy: "look into {keys}",
        ..Failure::new(Denied, "403 AccessDenied")
    };
    let error = failure.into_error("put", "http://store/bucket/key", "/etc/keys");
    assert_eq!(error.kind(), Denied);
    assert_eq!(
        error.to_string(),
        "put http://store/bucket/key: 403 AccessDenied; look into /etc/keys"
    );
}
