//! The table of kinds, and what gets into a message.

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use vpool_object::ErrorKind::{
    self, Conflict, Damaged, Denied, Invalid, NoLocation, NoSpace, NotFound, Throttled, Unavailable,
};

use super::verdict::{Asked, for_status};
use super::{Failure, TRANSACTION};

#[test]
fn kinds() {
    let check = |asked: Asked, status: u16, body: &str, expect: ErrorKind| {
        assert_eq!(
            for_status(asked, status, body).0,
            expect,
            "{asked:?} {status} {body}"
        );
    };
    for asked in [Asked::Swift, Asked::Unknown, Asked::Auth] {
        check(asked, 301, "", NoLocation);
        check(asked, 401, "", Denied);
        check(asked, 403, "", Denied);
        check(asked, 408, "", Unavailable);
        check(asked, 409, "", Unavailable);
        check(asked, 429, "", Throttled);
        check(asked, 498, "", Throttled);
        check(asked, 500, "", Unavailable);
        check(asked, 502, "", Unavailable);
        check(asked, 503, "", Unavailable);
        check(asked, 504, "", Unavailable);
        check(asked, 507, "", NoSpace);
        check(asked, 501, "", Invalid);
        check(asked, 400, "", Invalid);
        check(asked, 416, "", Invalid);
        check(asked, 203, "", Damaged);
    }
    check(Asked::Swift, 404, "", NotFound);
    check(Asked::Unknown, 404, "", Unavailable);
    check(Asked::Auth, 404, "", Unavailable);
    check(Asked::Swift, 412, "", Conflict);
    check(Asked::Swift, 422, "", Damaged);
    check(Asked::Swift, 413, "", Invalid);
    check(Asked::Swift, 413, "Upload exceeds quota.", NoSpace);
    check(Asked::Swift, 413, "QuotaExceeded", NoSpace);
    check(Asked::Swift, 503, "{\"Code\":\"SlowDown\"}", Throttled);
}

#[test]
fn a_404_is_swifts_own_or_none() {
    let mut header = HeaderMap::new();
    let bare = Failure::from_answer(StatusCode::NOT_FOUND, &header, "<html>nginx</html>");
    assert_eq!(bare.kind, Unavailable);
    header.insert(TRANSACTION, HeaderValue::from_static("tx17"));
    let own = Failure::from_answer(StatusCode::NOT_FOUND, &header, "");
    assert_eq!(own.kind, NotFound);
    assert_eq!(own.to_string(), "404 Not Found (request tx17)");
}

#[test]
fn statuses_within_an_answer() {
    let check = |words: &str, kind: ErrorKind, status: Option<u16>| {
        let failure = Failure::from_words(words);
        assert_eq!((failure.kind, failure.status), (kind, status), "{words}");
    };
    check("409 Conflict", Unavailable, Some(409));
    check("401 Unauthorized", Denied, Some(401));
    check("404 Not Found", NotFound, Some(404));
    check("nothing", Damaged, None);
    check("99999 x", Damaged, None);
    check("", Damaged, None);
}

#[test]
fn a_message_names_place_cause_and_remedy() {
    let failure = Failure::new(Denied, "403 Forbidden").with_remedy("look into {keys}");
    let error = failure
        .during("the container")
        .into_error("put", "http://h/v3/c/key", "/etc/keys");
    assert_eq!(error.kind(), Denied);
    assert_eq!(
        error.to_string(),
        "put http://h/v3/c/key: the container: 403 Forbidden; look into /etc/keys"
    );
}
