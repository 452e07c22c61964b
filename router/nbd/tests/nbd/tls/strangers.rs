//! Clients that have no business here: refused, unheard, and cheap.

use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use vpool_nbd::Limits;
use vpool_nbd_wire::{ClientOption, Mode};
use vpool_test_certificates::{Authority, Purpose, Validity};

use super::{Door, PATIENCE, config, go, rest, start_tls};
use crate::client::{Answer, Client, Content};

/// More than may be strangers at a time.
const CROWD: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let door = Door::new(true).await;
    let other = Authority::new("another grid").unwrap();
    let sign = |purpose, validity| door.ca.sign(purpose, &["x.example"], validity).unwrap();
    let table = [
        ("no certificate", None),
        ("of another CA", Some(other.client().unwrap())),
        ("expired", Some(sign(Purpose::Client, Validity::Past))),
        (
            "not good yet",
            Some(sign(Purpose::Client, Validity::Future)),
        ),
        ("a server's", Some(sign(Purpose::Server, Validity::Now))),
    ];
    for (what, own) in table {
        let config = config(&door.ca, own.as_ref());
        let started = start_tls(door.plain().await, config, "localhost").await;
        // In TLS 1.3 the client is done before the server has looked at its certificate.
        let Ok(mut client) = started else { continue };
        let mut bytes = Vec::new();
        ClientOption::List.encode(&mut bytes);
        // The server may have gone already.
        let _sent = client.stream.write_all(&bytes).await;
        let (heard, ended) = rest(&mut client.stream).await;
        assert!(heard.is_empty(), "{what}: {heard:?}");
        assert!(ended.is_err(), "{what}: it ends with an alert");
    }
    assert!(door.nothing_leaked());
    // And the same, with a good one, is not.
    let listed = door.client().await.option(&ClientOption::List).await;
    assert_eq!(listed.len(), 3);
}

#[tokio::test]
async fn old_versions_are_refused() {
    let door = Door::new(true).await;
    // TLS 1.0, 1.1 and 1.2, as clients of their time begin.
    for minor in [1, 2, 3] {
        let mut client = door.plain().await;
        assert_eq!(client.option(&ClientOption::StartTls).await, [Answer::Ack]);
        let mut hello = vec![3, minor];
        hello.extend_from_slice(&[7; 32]);
        hello.push(0);
        let suites: [u8; 8] = [0, 6, 0xc0, 0x2f, 0x00, 0x9c, 0x00, 0x2f];
        hello.extend_from_slice(&suites);
        hello.extend_from_slice(&[1, 0, 0, 24]);
        // Signatures, groups, points: all but the versions that a client of today lists.
        hello.extend_from_slice(&[0, 13, 0, 6, 0, 4, 4, 3, 4, 1]);
        hello.extend_from_slice(&[0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0]);
        let length = u8::try_from(hello.len()).unwrap();
        let record = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
        client.stream.write_all(&record).await.unwrap();
        let (heard, _ended) = rest(&mut client.stream).await;
        // An alert, fatal: protocol_version.
        assert_eq!(
            (heard[0], &heard[5..]),
            (21, &[2, 70][..]),
            "TLS 1.{}",
            minor - 1
        );
    }
    assert!(door.nothing_leaked());
}

#[tokio::test]
async fn plain_text_behind_starttls_is_not_taken_for_more() {
    let door = Door::new(true).await;
    let mut both = Vec::new();
    ClientOption::StartTls.encode(&mut both);
    let ack = 20;
    // Somebody between lays options into the pipe, for the server to take as the client's.
    for behind in [ClientOption::List, go("d"), ClientOption::StartTls] {
        let mut bytes = both.clone();
        behind.encode(&mut bytes);
        let mut client = door.plain().await;
        client.stream.write_all(&bytes).await.unwrap();
        let (heard, _ended) = rest(&mut client.stream).await;
        // What follows the acknowledgement is an alert of TLS, and nothing of NBD.
        assert!(
            heard.len() == ack || heard[ack] == 21,
            "{behind:?}: {heard:?}"
        );
        assert!(heard.len() < ack + 16, "{behind:?}: {heard:?}");
    }
    // The same with the client's own, good handshake behind it.
    let mut client = door.plain().await;
    ClientOption::List.encode(&mut both);
    client.stream.write_all(&both).await.unwrap();
    assert_eq!(client.answers().await, Some(vec![Answer::Ack]));
    let own = door.ca.client().unwrap();
    let connector = TlsConnector::from(config(&door.ca, Some(&own)));
    let name = ServerName::try_from("localhost").unwrap();
    assert!(connector.connect(name, client.stream).await.is_err());
    assert!(door.nothing_leaked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_strangers_keeps_others_waiting_for_so_long_only() {
    let limits = Limits {
        handshake_time_max: Duration::from_secs(2),
        ..Limits::default()
    };
    let door = Door::with(true, limits, &["localhost"]).await;
    let begun = Instant::now();
    let mut crowd = Vec::new();
    for index in 0..CROWD {
        let mut stream = TcpStream::connect(door.address).await.unwrap();
        if index % 2 == 0 {
            // Half of them begin a handshake, and say no more.
            let mut bytes = vec![0, 0, 0, 3];
            ClientOption::StartTls.encode(&mut bytes);
            stream.write_all(&bytes).await.unwrap();
        }
        crowd.push(stream);
    }
    // Who comes by another door is not kept waiting.
    let mut local = Client::open(&door.fixture.socket, Mode::Simple).await;
    assert_eq!(local.write(0, 0, &[5; 512]).await, Content::Done);
    assert!(door.fixture.server.connections() < CROWD);
    let mut client = timeout(PATIENCE, door.client()).await.expect("in its turn");
    client.choose(Mode::Simple).await;
    assert_eq!(client.read(0, 512).await, Content::Data(vec![5; 512]));
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    for stream in &mut crowd {
        let (heard, _ended) = rest(stream).await;
        assert!(
            heard.len() <= 18 + 20,
            "the greeting, and perhaps one answer"
        );
    }
}
