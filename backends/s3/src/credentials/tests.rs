//! The file formats, and that no secret gets into a text.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use aws_credential_types::provider::ProvideCredentials;

use super::file::parse;
use super::{CredentialSource, Credentials, Keyring};

const SECRET: &str = "canary-secret-7f3a=";
const TOKEN: &str = "canary-token-91bc";

#[test]
fn both_formats() {
    let plain = Credentials::new("AK", SECRET);
    let with_token = plain.clone().with_session_token(TOKEN);
    let check = |text: &str, expect: &Credentials| {
        assert!(parse(text).unwrap() == *expect, "{text}");
    };
    check(&format!("access_key=AK\nsecret_key={SECRET}\n"), &plain);
    check(
        &format!("# ours\n\n access_key = AK \r\nsecret_key= {SECRET}"),
        &plain,
    );
    check(
        &format!("access_key=AK\nsecret_key={SECRET}\nsession_token={TOKEN}"),
        &with_token,
    );
    check(
        &format!(
            "[other]\naws_access_key_id=no\naws_secret_access_key=no\n; x\n[default]\nregion = eu\n\
             aws_access_key_id = AK\naws_secret_access_key = {SECRET}\naws_session_token={TOKEN}\n\
             [third]\naws_access_key_id=no"
        ),
        &with_token,
    );
    check(
        &format!("[default]\naccess_key = AK\nsecret_key = {SECRET}\n"),
        &plain,
    );
}

#[test]
fn refused_texts() {
    let check = |text: &str, expect: &str| {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expect), "{text:?}: {error}");
        assert!(!error.contains("canary"), "{text:?}: {error}");
    };
    check("", "access_key is missing");
    check("access_key=AK", "secret_key is missing");
    check("secret_key=canary", "access_key is missing");
    check("canary-secret", "line 1 is none of");
    check("access_key=AK\ncanary-secret=\n", "line 2 is none of");
    check("access_key=AK\nsecret_key=\n", "line 2 has no value");
    check(
        "access_key=AK\nsecret_key=canary canary\n",
        "line 2 has no value",
    );
    check(
        "access_key=AK\nsecret_key=canary1\nsecret_key=canary2",
        "line 3 gives a second",
    );
    check(
        "[other]\naccess_key=AK\nsecret_key=canary",
        "aws_access_key_id is missing in [default]",
    );
    check(
        "access_key=AK\nsecret_key=canary\n[default]\n",
        "missing in [default]",
    );
}

fn file_with(text: &str, mode: u32) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))
        .unwrap();
    file
}

#[test]
fn debug_shows_no_secret() {
    let credentials = Credentials::new("AK", SECRET).with_session_token(TOKEN);
    let source = CredentialSource::Given(credentials.clone());
    let keyring = Keyring::open(source.clone()).unwrap();
    let text = format!(
        "{credentials:?} {source:?} {keyring:?} {:?}",
        credentials.to_sdk()
    );
    assert!(!text.contains("canary"), "{text}");
    assert!(text.contains("AK"));
}

#[tokio::test]
async fn a_changed_file_is_taken_and_a_broken_one_is_not() {
    let file = file_with(&format!("access_key=AK\nsecret_key={SECRET}\n"), 0o600);
    let keyring = Keyring::open(CredentialSource::File(file.path().to_owned())).unwrap();
    let old = keyring.generation();
    assert!(
        !keyring.renew(old).await,
        "the same file holds the same keys"
    );

    std::fs::write(file.path(), "access_key=AK2\nsecret").unwrap();
    assert!(!keyring.renew(old).await);
    assert_eq!(
        keyring.provide_credentials().await.unwrap().access_key_id(),
        "AK"
    );

    std::fs::write(file.path(), "access_key=AK2\nsecret_key=s2\n").unwrap();
    assert!(keyring.renew(old).await);
    assert_eq!(
        keyring.provide_credentials().await.unwrap().access_key_id(),
        "AK2"
    );
    // One who was refused with the old keys while another renewed them repeats too.
    assert!(keyring.renew(old).await);
}
