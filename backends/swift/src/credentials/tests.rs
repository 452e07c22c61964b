//! The file's format, reading it again, and that no secret gets into a text.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use zeroize::Zeroizing;

use super::file::parse;
use super::{CredentialSource, Credentials, Keyring};
use crate::location::AuthVersion;

fn v1(user: &str, key: &str) -> Credentials {
    Credentials::V1 {
        user: user.to_owned(),
        key: Zeroizing::new(key.to_owned()),
    }
}

fn v3(user_domain: &str, project_domain: &str) -> Credentials {
    Credentials::V3 {
        user: "vpool".to_owned(),
        user_domain: user_domain.to_owned(),
        password: Zeroizing::new("canary =x; y#".to_owned()),
        project: "storage".to_owned(),
        project_domain: project_domain.to_owned(),
    }
}

#[test]
fn both_forms() {
    let check = |text: &str, auth: AuthVersion, expect: &Credentials| {
        assert!(parse(text, auth).unwrap() == *expect, "{text}");
    };
    let keys = v1("test:tester", "canary=");
    check("user=test:tester\nkey=canary=\n", AuthVersion::V1, &keys);
    check(
        "# ours\r\n\n ; x\n key = canary= \nuser= test:tester",
        AuthVersion::V1,
        &keys,
    );
    check(
        "user=vpool\npassword=canary =x; y#\nproject=storage",
        AuthVersion::V3,
        &v3("Default", "Default"),
    );
    check(
        "user=vpool\npassword=canary =x; y#\nproject=storage\nuser_domain=Größe\n\
         project_domain=two words",
        AuthVersion::V3,
        &v3("Größe", "two words"),
    );
}

#[test]
fn refused_texts() {
    let check = |text: &str, auth: AuthVersion, expect: &str| {
        let error = parse(text, auth).unwrap_err();
        assert!(error.contains(expect), "{text:?}: {error}");
        assert!(!error.contains("canary"), "{text:?}: {error}");
    };
    let (one, three) = (AuthVersion::V1, AuthVersion::V3);
    check("", one, "user is missing");
    check("user=a", one, "key is missing");
    check("key=canary", one, "user is missing");
    check("canary", one, "line 1 is none of user=..., key=...");
    check("user=a\ncanary=\n", one, "line 2 is none of");
    check("user=a\nkey=\n", one, "line 2 has no value");
    check(
        "user=a\nkey=canary\nkey=canary2",
        one,
        "line 3 gives a second",
    );
    check("user=a\nkey=canaryü", one, "other than ASCII");
    check("user=a\npassword=canary", one, "line 2 is none of");
    check("user=a\nkey=canary", three, "line 2 is none of");
    check("user=a\npassword=canary", three, "project is missing");
    check("user=a\nproject=b", three, "password is missing");
}

#[test]
fn debug_shows_no_secret() {
    let source = CredentialSource::Given(v3("a", "b"));
    let keyring = Keyring::open(source.clone(), AuthVersion::V3).unwrap();
    let text = format!("{source:?} {keyring:?} {:?}", v1("me", "canary"));
    assert!(!text.contains("canary"), "{text}");
    assert!(text.contains("vpool") && text.contains("me"), "{text}");
}

#[tokio::test]
async fn a_changed_file_is_taken_and_a_broken_one_is_not() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"user=a\nkey=k1\n").unwrap();
    file.as_file()
        .set_permissions(Permissions::from_mode(0o600))
        .unwrap();
    let source = CredentialSource::File(file.path().to_owned());
    let keyring = Keyring::open(source, AuthVersion::V1).unwrap();
    assert!(keyring.newest().await == v1("a", "k1"));

    std::fs::write(file.path(), "user=b\nke").unwrap();
    assert!(keyring.newest().await == v1("a", "k1"));

    std::fs::write(file.path(), "user=b\nkey=k2\n").unwrap();
    assert!(keyring.newest().await == v1("b", "k2"));
    assert!(keyring.place().contains(&file.path().display().to_string()));
}
