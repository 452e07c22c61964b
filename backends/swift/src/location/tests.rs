//! What is, and what is not, a location.

use super::{AuthVersion, Location};

#[test]
fn written_forms() {
    let check = |text: &str, auth: AuthVersion, expect: (&str, &str, &str)| {
        let location: Location = text.parse().unwrap();
        let parts = (location.auth_url(), location.container(), location.prefix());
        assert_eq!((location.auth(), parts), (auth, expect), "{text}");
        let again: Location = location.to_string().parse().unwrap();
        assert_eq!(again, location, "{text}: its own form reads back");
    };
    let (v1, v3) = (AuthVersion::V1, AuthVersion::V3);
    check(
        "http://127.0.0.1:8080/auth/v1.0/disks/some/prefix",
        v1,
        ("http://127.0.0.1:8080/auth/v1.0", "disks", "some/prefix"),
    );
    check(
        "http://rgw/auth/1.0/d",
        v1,
        ("http://rgw/auth/1.0", "d", ""),
    );
    check("http://rgw/auth/v1/d/", v1, ("http://rgw/auth/v1", "d", ""));
    check(
        "https://Keystone.Example:5000/v3/My-Disks/p/",
        v3,
        ("https://keystone.example:5000/v3", "My-Disks", "p"),
    );
    check(
        "https://cloud/identity/v3/d/a/b",
        v3,
        ("https://cloud/identity/v3", "d", "a/b"),
    );
    // The first version counts; the container may look like one.
    check("http://h/v3/v1/v3", v3, ("http://h/v3", "v1", "v3"));
    check("http://[::1]:80/v3/d", v3, ("http://[::1]:80/v3", "d", ""));
}

#[test]
fn refused_forms() {
    let long_container = format!("http://h/v3/{}", "c".repeat(257));
    let long_prefix = format!("http://h/v3/c/{}", "p".repeat(201));
    for text in [
        "",
        "h/v3/c",
        "swift://h/v3/c",
        "http:///v3/c",
        "http://h",
        "http://h/",
        "http://h/c/p",
        "http://h/v2.0/c",
        "http://h/v3",
        "http://h/v3/",
        "http://h/v3//p",
        "http://h:0/v3/c",
        "http://h/a//v3/c",
        "http://h/a/../v3/c",
        "http://h/a?b/v3/c",
        "http://h/v3/c d",
        "http://h/v3/c?x",
        "http://h/v3/..",
        "http://h/v3/c/P",
        "http://h/v3/c//p",
        "http://h/v3/c/p//",
        &long_container,
        &long_prefix,
    ] {
        let error = text.parse::<Location>().unwrap_err();
        assert_eq!(error.kind(), vpool_object::ErrorKind::Invalid, "{text:?}");
    }
}

#[test]
fn a_password_in_a_url_is_refused_and_not_shown() {
    let error = "http://user:hunter2@h/v3/c"
        .parse::<Location>()
        .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert!(error.to_string().contains("credentials file"));
}
