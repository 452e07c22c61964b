//! Parts of paths; what is repeated, and under which key.

use super::{Client, part};
use crate::config::{Address, Target};
use crate::failure::Exit;
use hyper::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

#[test]
fn parts_of_paths() {
    for (name, encoded) in [
        ("demo", "demo"),
        ("default:vm/a b", "default%3Avm%2Fa%20b"),
        ("100%", "100%25"),
        ("...", "%2E%2E%2E"),
        ("ö", "%C3%B6"),
        ("a?b#c", "a%3Fb%23c"),
        ("it's \"x\"", "it%27s%20%22x%22"),
    ] {
        assert_eq!(part(name), encoded);
    }
}

/// Answers each connection with one of `answers`; nothing ends a connection without one. The
/// result is the heads of the requests.
fn serve(
    listener: UnixListener,
    answers: &'static [&'static str],
) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 4096];
            let length = stream.read(&mut request).expect("a request");
            heads.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).expect("answer");
        }
        heads
    })
}

fn ask_twice(answers: &'static [&'static str], change: bool) -> (Result<Value, Exit>, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("api");
    let server = serve(UnixListener::bind(&path).expect("bind"), answers);
    let client = Client::new(Target {
        address: Address::Unix(path),
        token: None,
        tls: None,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let answer = runtime.expect("a runtime").block_on(async {
        match change {
            true => client.make(Method::POST, "/x", &json!({"a": 1})).await,
            false => client.get("/x").await,
        }
    });
    let heads = server.join().expect("the server saw all");
    (answer.map_err(|failure| failure.exit()), heads)
}

#[test]
fn a_change_without_an_answer_is_sent_again_under_its_key() {
    const ANSWERS: &[&str] = &["", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue"];
    let (answer, heads) = ask_twice(ANSWERS, true);
    assert_eq!(answer, Ok(json!(true)));
    let keys: Vec<_> = heads
        .iter()
        .filter_map(|head| {
            head.lines()
                .find(|line| line.starts_with("idempotency-key: "))
        })
        .collect();
    assert!(
        keys.len() == 2 && keys[0] == keys[1] && keys[0].len() > 30,
        "{heads:?}"
    );
}

#[test]
fn problems_are_answers() {
    const ANSWERS: &[&str] = &["HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}"];
    let (answer, heads) = ask_twice(ANSWERS, false);
    assert_eq!(answer, Err(Exit::NotFound));
    assert!(!heads[0].contains("idempotency-key"), "{heads:?}");
}
