//! What a client sees in each mode, before a server that always says the same.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Mode, Proxy};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";

/// A server that answers each connection's first bytes with [`ANSWER`], and ends it.
async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                stream.write_all(ANSWER).await.unwrap();
            }
        }
    });
    port
}

/// One request; what came back until the end, or the error.
async fn ask(proxy: &Proxy) -> io::Result<Vec<u8>> {
    let address = proxy.endpoint().replace("http://", "");
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map(|_| answer)
}

#[tokio::test]
async fn modes_as_a_client_sees_them() {
    let proxy = Proxy::start(server().await).await.unwrap();
    assert_eq!(ask(&proxy).await.unwrap(), ANSWER);
    assert_eq!(proxy.connections_accepted(), 1);

    let set = async |mode| proxy.set_mode(mode).await.unwrap();
    set(Mode::Refuse).await;
    assert_eq!(
        ask(&proxy).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    set(Mode::ShortAnswer { after_bytes: 4 }).await;
    assert!(ask(&proxy).await.unwrap().ends_with(b"\r\n\r\n0123"));
    for mode in [Mode::ResetAnswer { after_bytes: 4 }, Mode::LoseAnswer] {
        set(mode).await;
        assert_eq!(
            ask(&proxy).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    }
    set(Mode::Rate {
        bytes_per_second: 100_000,
    })
    .await;
    assert_eq!(ask(&proxy).await.unwrap(), ANSWER);
    set(Mode::Pass).await;
    assert_eq!(ask(&proxy).await.unwrap(), ANSWER);
}

#[tokio::test]
async fn a_change_of_mode_ends_what_hangs() {
    let proxy = Proxy::start(server().await).await.unwrap();
    proxy.set_mode(Mode::Hang).await.unwrap();
    let (answer, changed) = tokio::join!(ask(&proxy), async {
        // Only once the request is there.
        while proxy.connections_accepted() == 0 {
            tokio::task::yield_now().await;
        }
        proxy.set_mode(Mode::Pass).await
    });
    changed.unwrap();
    assert!(answer.map_or(true, |answer| answer.is_empty()));
}

/// A server that counts requests, names an ETag and ends each connection.
async fn counting_server() -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 1024];
            let length = stream.read(&mut request).await.unwrap();
            request.truncate(length);
            let text = String::from_utf8(request).unwrap();
            assert!(text.contains("Connection: close\r\n"), "{text}");
            assert!(text.ends_with("hello"), "{text}");
            counter.fetch_add(1, Ordering::Relaxed);
            let answer = b"HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
    });
    (port, count)
}

async fn put(proxy: &Proxy) -> String {
    let address = proxy.endpoint().replace("http://", "");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"PUT /x HTTP/1.1\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn single_exchanges() {
    let (port, count) = counting_server().await;
    let proxy = Proxy::start(port).await.unwrap();
    let heard = || count.swap(0, Ordering::Relaxed);
    let set = async |mode| proxy.set_mode(mode).await.unwrap();

    set(Mode::failing(50)).await;
    let mut failed = 0;
    for _ in 0..100 {
        failed += u64::from(put(&proxy).await.starts_with("HTTP/1.1 500 "));
    }
    assert!((30..=70).contains(&failed), "{failed} of 100 at 50 %");
    assert_eq!(heard(), 100 - failed);
    assert_eq!(proxy.requests_answered(), failed);

    set(Mode::done_but_failing()).await;
    assert!(put(&proxy).await.contains("InternalError"));
    assert_eq!(heard(), 1);
    set(Mode::Twice).await;
    assert!(put(&proxy).await.ends_with("\r\n\r\nok"));
    assert_eq!(heard(), 2);
    set(Mode::OtherEtag).await;
    let answer = put(&proxy).await;
    assert!(answer.contains("ETag: \"0123"), "{answer}");
    assert!(
        !answer.contains("one") && answer.ends_with("ok"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_was_just_put_is_not_there_yet() {
    let proxy = Proxy::start(server().await).await.unwrap();
    let lag = Duration::from_secs(3600);
    proxy.set_mode(Mode::NotYet(lag)).await.unwrap();
    let ask = async |request: &str| {
        let address = proxy.endpoint().replace("http://", "");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let there = |answer: &str| answer.starts_with("HTTP/1.1 200");
    assert!(there(
        &ask("GET /b/k?x-id=GetObject HTTP/1.1\r\n\r\n").await
    ));
    let put = "PUT /b/k?x-id=PutObject HTTP/1.1\r\nContent-Length: 2\r\n\r\nab";
    assert!(there(&ask(put).await));
    let answer = ask("GET /b/k?x-id=GetObject HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(there(&ask("GET /b/other HTTP/1.1\r\n\r\n").await));
    proxy.set_mode(Mode::NotYet(Duration::ZERO)).await.unwrap();
    assert!(there(&ask("GET /b/k HTTP/1.1\r\n\r\n").await));
}
