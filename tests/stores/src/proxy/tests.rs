//! What a client sees in each mode, before a server that always says the same.

use std::io;

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
