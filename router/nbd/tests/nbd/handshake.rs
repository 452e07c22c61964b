//! Negotiation: what is offered, in which order, and what ends the connection.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use vpool_nbd::{Limits, Server};
use vpool_nbd_wire::{
    BASE_ALLOCATION, ClientOption, InfoKind, InfoQuery, MetaQuery, Mode, OptionCode,
    OptionErrorCode, OptionHeader, TransmissionFlags,
};

use crate::client::{Answer, Client};
use crate::fake::{FakeDisk, Fixture};

fn go(name: &str) -> ClientOption<'_> {
    ClientOption::Go(InfoQuery {
        name,
        requests: vec![],
    })
}

fn meta<'a>(name: &'a str, queries: &[&'a str]) -> MetaQuery<'a> {
    MetaQuery {
        name,
        queries: queries.to_vec(),
    }
}

#[tokio::test]
async fn options_are_answered_in_any_order() {
    let fixture = Fixture::new(1 << 20);
    let mut client = Client::connect(&fixture.socket).await;
    let refused = |code| vec![Answer::Error(code)];
    let allocation = |id| Answer::Context(id, BASE_ALLOCATION.to_owned());
    let server = |name: &str| Answer::Server(name.to_owned());
    let set = |name| ClientOption::SetMetaContext(meta(name, &[BASE_ALLOCATION, "x:y"]));
    let list = |queries: &[&'static str]| ClientOption::ListMetaContext(meta("d", queries));
    let table = [
        (
            ClientOption::List,
            vec![server(""), server("d"), Answer::Ack],
        ),
        (
            ClientOption::StartTls,
            refused(OptionErrorCode::UNSUPPORTED),
        ),
        (
            ClientOption::Unknown(OptionCode(4)),
            refused(OptionErrorCode::UNSUPPORTED),
        ),
        (set("d"), refused(OptionErrorCode::INVALID)),
        (ClientOption::StructuredReply, vec![Answer::Ack]),
        (
            ClientOption::StructuredReply,
            refused(OptionErrorCode::INVALID),
        ),
        (set("nothing"), refused(OptionErrorCode::UNKNOWN)),
        (set("d"), vec![allocation(1), Answer::Ack]),
        (list(&[]), vec![allocation(0), Answer::Ack]),
        (list(&["base:"]), vec![allocation(0), Answer::Ack]),
        (list(&["qemu:"]), vec![Answer::Ack]),
        (ClientOption::ExtendedHeaders, vec![Answer::Ack]),
        (
            ClientOption::ExtendedHeaders,
            refused(OptionErrorCode::INVALID),
        ),
        (
            ClientOption::StructuredReply,
            refused(OptionErrorCode::EXTENDED_HEADERS),
        ),
        (go("nothing"), refused(OptionErrorCode::UNKNOWN)),
    ];
    for (option, answers) in table {
        assert_eq!(client.option(&option).await, answers, "{option:?}");
    }
    let requests = vec![InfoKind::BLOCK_SIZE, InfoKind::NAME, 77];
    let info = ClientOption::Info(InfoQuery {
        name: "d",
        requests,
    });
    let flags = TransmissionFlags::of_disk(false, true).0;
    let export = Answer::Export {
        size: 1 << 20,
        flags,
    };
    let sizes = "BlockSize(BlockSizes { minimum: 1, preferred: 4096, maximum: 33554432 })";
    let named = |text: &str| Answer::Info(text.to_owned());
    let expected = [
        export.clone(),
        named(sizes),
        named("Name(\"d\")"),
        Answer::Ack,
    ];
    assert_eq!(client.option(&info).await, expected);
    assert_eq!(client.option(&go("d")).await, [export, Answer::Ack]);
}

#[tokio::test]
async fn a_disk_is_opened_once_per_client() {
    let fixture = Fixture::new(1 << 20);
    let _client = Client::open(&fixture.socket, Mode::Structured).await;
    assert_eq!(*fixture.shelf.attached.lock().unwrap(), [""]);
}

#[tokio::test]
async fn abort_is_answered_and_ends_the_connection() {
    let fixture = Fixture::new(1 << 20);
    let mut client = Client::connect(&fixture.socket).await;
    assert_eq!(client.option(&ClientOption::Abort).await, [Answer::Ack]);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_context_of_another_export_is_not_taken_over() {
    let fixture = Fixture::new(1 << 20);
    let mut client = Client::connect(&fixture.socket).await;
    client.option(&ClientOption::StructuredReply).await;
    client
        .option(&ClientOption::SetMetaContext(meta("d", &[BASE_ALLOCATION])))
        .await;
    client.option(&go("")).await;
    client.mode = Mode::Structured;
    let content = client
        .call(vpool_nbd_wire::Command::BlockStatus, 0, 0, 4096)
        .await;
    assert!(matches!(
        content,
        crate::client::Content::Error(vpool_nbd_wire::Errno::INVAL, ..)
    ));
}

/// Sends `bytes` behind the greeting and says whether the server hangs up, within
/// `patience`.
async fn hangs_up(fixture: &Fixture, bytes: &[u8], patience: Duration) -> bool {
    let mut stream = UnixStream::connect(&fixture.socket).await.unwrap();
    let mut all = Vec::new();
    // The server may hang up while we send.
    let _sent = stream.write_all(bytes).await;
    let end = tokio::time::timeout(patience, stream.read_to_end(&mut all)).await;
    end.is_ok()
}

#[tokio::test]
async fn breaches_end_the_connection() {
    let fixture = Fixture::new(1 << 20);
    let option = |code: u32, length: u32| {
        OptionHeader {
            code: OptionCode(code),
            length,
        }
        .encode()
        .to_vec()
    };
    let fixed = 3u32.to_be_bytes().to_vec();
    let with = |parts: &[Vec<u8>]| [std::slice::from_ref(&fixed), parts].concat().concat();
    let table = [
        ("unknown flags", 4u32.to_be_bytes().to_vec()),
        ("no magic", with(&[vec![0; 16]])),
        (
            "not fixed, but an option",
            [vec![0; 4], option(3, 0)].concat(),
        ),
        (
            "a name that is not there",
            with(&[option(1, 1), b"x".to_vec()]),
        ),
        (
            "a name that is too long",
            with(&[option(1, 5000), vec![b'x'; 5000]]),
        ),
        ("4 GiB of option", with(&[option(7, u32::MAX)])),
        ("64 KiB of option", with(&[option(7, 64 << 10)])),
        ("65 options", with(&[option(3, 0).repeat(65)])),
        (
            "EXPORT_NAME after extended headers",
            with(&[option(11, 0), option(1, 0)]),
        ),
    ];
    for (what, bytes) in table {
        assert!(
            hangs_up(&fixture, &bytes, Duration::from_secs(5)).await,
            "{what}"
        );
    }
    let patient = with(&[option(3, 0).repeat(60)]);
    assert!(!hangs_up(&fixture, &patient, Duration::from_millis(200)).await);
    assert!(
        !hangs_up(
            &fixture,
            &with(&[option(7, 60 << 10)]),
            Duration::from_millis(200)
        )
        .await
    );
}

#[tokio::test]
async fn export_name_starts_at_once() {
    let fixture = Fixture::new(1 << 20);
    for (flags, padding) in [(3u32, 0), (1, 124), (0, 124), (2, 0)] {
        let mut stream = UnixStream::connect(&fixture.socket).await.unwrap();
        let option = OptionHeader {
            code: OptionCode::EXPORT_NAME,
            length: 1,
        };
        let bytes = [&flags.to_be_bytes()[..], &option.encode(), b"d"].concat();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; 18 + 10 + padding];
        stream.read_exact(&mut answer).await.unwrap();
        let expected = TransmissionFlags::of_disk(false, false).0;
        assert_eq!(answer[18..26], (1u64 << 20).to_be_bytes());
        assert_eq!(answer[26..28], expected.to_be_bytes());
        assert!(answer[28..].iter().all(|byte| *byte == 0));
        // A flush is understood: nothing was left over.
        let flush = [
            &0x2560_9513u32.to_be_bytes()[..],
            &[0, 0, 0, 3],
            &[9; 8],
            &[0; 12],
        ];
        stream.write_all(&flush.concat()).await.unwrap();
        let mut reply = [0; 16];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply[..8], [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0]);
        assert_eq!(reply[8..], [9; 8]);
    }
}

#[tokio::test]
async fn who_does_not_choose_in_time_is_cut_off() {
    let time = Duration::from_millis(300);
    let limits = Limits {
        handshake_time_max: time,
        ..Limits::default()
    };
    let fixture = Fixture::with(FakeDisk::new(1 << 20), limits);
    let begun = Instant::now();
    let mut silent = UnixStream::connect(&fixture.socket).await.unwrap();
    let mut half = Client::connect(&fixture.socket).await;
    half.stream.write_all(b"I").await.unwrap();
    let mut chosen = Client::open(&fixture.socket, Mode::Simple).await;
    let mut greeting = Vec::new();
    silent.read_to_end(&mut greeting).await.unwrap();
    assert!(half.is_closed().await);
    assert!(begun.elapsed() >= time, "not before the time");
    chosen.write(0, 0, b"still here").await;
}

#[tokio::test]
async fn too_many_connections_are_refused_at_once() {
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let fixture = Fixture::with(FakeDisk::new(1 << 20), limits);
    let first = Client::open(&fixture.socket, Mode::Simple).await;
    let mut second = Client::open(&fixture.socket, Mode::Simple).await;
    let mut third = UnixStream::connect(&fixture.socket).await.unwrap();
    let mut nothing = Vec::new();
    third.read_to_end(&mut nothing).await.unwrap();
    assert!(nothing.is_empty());
    drop(first);
    while fixture.server.connections() > 1 {
        tokio::task::yield_now().await;
    }
    second.write(0, 0, b"one left").await;
    Client::open(&fixture.socket, Mode::Simple).await;
}

#[tokio::test]
async fn the_socket_file_is_private_and_replaced_only_when_stale() {
    let fixture = Fixture::new(1 << 20);
    let metadata = std::fs::metadata(&fixture.socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);

    let other = Server::new(fixture.shelf.clone(), Limits::default());
    let error = other.listen_unix(&fixture.socket).unwrap_err();
    assert!(format!("{error:?}").contains("AddrInUse"), "{error:?}");

    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    other.listen_unix(&stale).unwrap();
    Client::open(&stale, Mode::Simple).await;

    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    other.listen_unix(&file).unwrap_err();
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");

    other.shutdown(Duration::from_secs(1)).await;
    assert!(!stale.exists());
}

#[tokio::test]
async fn tcp_serves_the_same() {
    let fixture = Fixture::new(1 << 20);
    let address = fixture
        .server
        .listen_tcp("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut greeting = [0; 18];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting[..8], b"NBDMAGIC");
}
