//! What we send, as a server sees it: no surprises of the SDK's defaults.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vpool_object::ObjectStore;
use vpool_s3::{CredentialSource, Credentials, PayloadSigning, S3Config, S3Store};

use crate::{body, key};

/// Starts `operation` on a store whose server takes one request and hangs up; answers the
/// request's header, in lower case.
async fn header_of<F: Future>(
    change: impl FnOnce(&mut S3Config),
    operation: impl FnOnce(S3Store) -> F,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/bucket/p", listener.local_addr().unwrap());
    let keys = CredentialSource::Given(Credentials::new("AK", "secret"));
    let mut config = S3Config::new(url.parse().unwrap(), keys);
    change(&mut config);
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
            assert_ne!(
                stream.read_buf(&mut seen).await.unwrap(),
                0,
                "no whole header"
            );
        }
        stream.shutdown().await.unwrap();
        String::from_utf8_lossy(&seen)
            .split("\r\n\r\n")
            .next()
            .unwrap()
            .to_lowercase()
    };
    let (header, _) = tokio::join!(server, operation(S3Store::connect(config).unwrap()));
    header
}

fn check(header: &str, has: &[&str], has_not: &[&str]) {
    for part in has {
        assert!(header.contains(part), "no {part:?} in:\n{header}");
    }
    for part in has_not {
        assert!(!header.contains(part), "{part:?} in:\n{header}");
    }
}

const CHUNKED: [&str; 4] = [
    "trailer",
    "transfer-encoding",
    "aws-chunked",
    "x-amz-checksum",
];

#[tokio::test]
async fn a_put_is_plain_guarded_and_signed() {
    let put = |store: S3Store| async move { store.put(&key("k"), body(3)).await };
    let header = header_of(|_| {}, put).await;
    let has = [
        "put /bucket/p/k",
        "content-length: 3",
        "if-none-match: *",
        "aws4-hmac-sha256",
    ];
    check(&header, &has, &CHUNKED);
    // SHA-256 of 00 01 02.
    let hash = "ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc";
    check(&header, &[hash], &["unsigned-payload"]);

    let header = header_of(|config| config.payload_signing = PayloadSigning::Never, put).await;
    check(
        &header,
        &["x-amz-content-sha256: unsigned-payload"],
        &CHUNKED,
    );

    let header = header_of(|config| config.guard_puts = false, put).await;
    check(&header, &["content-length: 3"], &["if-none-match"]);
}

#[tokio::test]
async fn a_put_with_trailer_has_one() {
    let put = |store: S3Store| async move {
        store
            .conditional()
            .unwrap()
            .put_with_trailer(&key("k"), body(3))
            .await
    };
    let header = header_of(|_| {}, put).await;
    check(
        &header,
        &["x-amz-trailer: x-amz-checksum-crc32", "aws-chunked"],
        &[],
    );
}

#[tokio::test]
async fn the_tag_of_a_condition_is_in_the_form_asked_for() {
    use vpool_object::conditional::{Etag, EtagForm};
    for (form, expect) in [
        (EtagForm::Quoted, "if-match: \"abc\""),
        (EtagForm::Unquoted, "if-match: abc"),
    ] {
        let put = |store: S3Store| async move {
            let tag = Etag::new("\"abc\"");
            store
                .conditional()
                .unwrap()
                .put_if_match(&key("k"), body(3), &tag, form)
                .await
        };
        let header = header_of(|_| {}, put).await;
        check(&header, &[expect], &["if-none-match"]);
    }
}

#[tokio::test]
async fn reads_ask_for_no_checksum() {
    let get = |store: S3Store| async move { store.get_range(&key("k"), 5..9).await };
    let header = header_of(|_| {}, get).await;
    check(
        &header,
        &["get /bucket/p/k", "range: bytes=5-8"],
        &["checksum"],
    );
}

#[tokio::test]
async fn a_bulk_deletion_has_its_md5() {
    let delete = |store: S3Store| async move { store.delete_many(&[key("a"), key("b")]).await };
    let header = header_of(|_| {}, delete).await;
    check(
        &header,
        &["post /bucket", "content-md5: "],
        &["trailer", "transfer-encoding"],
    );
}
