//! What is, and what is not, a location.

use super::Location;

#[test]
fn written_forms() {
    let check = |text: &str, expect: (&str, &str, &str)| {
        let location: Location = text.parse().unwrap();
        let parts = (location.endpoint(), location.bucket(), location.prefix());
        assert_eq!(parts, expect, "{text}");
        let again: Location = location.to_string().parse().unwrap();
        assert_eq!(again, location, "{text}: its own form reads back");
    };
    check(
        "http://127.0.0.1:18500/bkt/some/prefix",
        ("http://127.0.0.1:18500", "bkt", "some/prefix"),
    );
    check(
        "https://s3.example.org/bkt",
        ("https://s3.example.org", "bkt", ""),
    );
    check(
        "https://s3.example.org/bkt/",
        ("https://s3.example.org", "bkt", ""),
    );
    check(
        "https://s3.example.org/bkt/p/",
        ("https://s3.example.org", "bkt", "p"),
    );
    check(
        "HTTPS://S3.Example.ORG:443/My_Bucket.1",
        ("https://s3.example.org:443", "My_Bucket.1", ""),
    );
    check("http://[::1]:80/bkt/p", ("http://[::1]:80", "bkt", "p"));
    check("http://[fe80::1]/bkt", ("http://[fe80::1]", "bkt", ""));
    check(
        "http://store/bkt/a/b.c/d_e-f",
        ("http://store", "bkt", "a/b.c/d_e-f"),
    );
}

#[test]
fn refused_forms() {
    let long = format!("http://store/bkt/{}", "p".repeat(201));
    for text in [
        "",
        "store/bkt",
        "s3://bkt/p",
        "ftp://store/bkt",
        "http://",
        "http:///bkt",
        "http://store",
        "http://store/",
        "http://store:0/bkt",
        "http://store:x/bkt",
        "http://store:70000/bkt",
        "http://[::1/bkt",
        "http://[store]/bkt",
        "http://st ore/bkt",
        "http://store/b",
        "http://store/b?t/p",
        "http://store/b%20t/p",
        "http://store/.../p",
        "http://store/bkt//p",
        "http://store/bkt/p//q",
        "http://store/bkt/../p",
        "http://store/bkt/P",
        "http://store/bkt/p?x=1",
        "http://store/bkt/p#x",
        "http://store/bkt/p//",
        &long,
    ] {
        let error = text.parse::<Location>().unwrap_err();
        assert_eq!(error.kind(), vpool_object::ErrorKind::Invalid, "{text:?}");
    }
}

#[test]
fn a_password_in_a_url_is_refused_and_not_shown() {
    let error = "http://user:hunter2@store/bkt"
        .parse::<Location>()
        .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert!(error.to_string().contains("credentials file"));
}
