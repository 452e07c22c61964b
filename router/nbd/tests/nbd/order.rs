//! What may wait for what: slow reads, flushes, writes without room, the end.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use vpool_nbd_wire::{Command, CommandFlags, Mode};

use crate::client::{Client, Content};
use crate::fake::{Event, Fixture};
use crate::transmission::pattern;

const MODES: [Mode; 3] = [Mode::Simple, Mode::Structured, Mode::Extended];

#[tokio::test]
async fn a_cold_read_or_a_held_flush_keeps_nobody_waiting() {
    for mode in MODES {
        let fixture = Fixture::new(8 << 20);
        fixture.disk.set(|behaviour| {
            behaviour.cold = 0..4096;
            behaviour.hold_flush = true;
        });
        let mut client = Client::open(&fixture.socket, mode).await;
        let small = client.send(Command::Read, 0, 0, 4096).await;
        let large = client.send(Command::Read, 0, 0, 4 << 20).await;
        let flush = client.send(Command::Flush, 0, 0, 0).await;
        let fua = client.send_write(CommandFlags::FUA, 8192, b"fua").await;
        assert_eq!(client.write(0, 4096, b"quick").await, Content::Done);
        assert_eq!(client.read(4096, 5).await, Content::Data(b"quick".to_vec()));
        fixture.disk.set(|behaviour| behaviour.cold = 0..0);
        let mut done = Vec::new();
        for _ in 0..2 {
            let (cookie, content) = client.reply().await.unwrap();
            assert!(matches!(content, Content::Data(_)));
            done.push(cookie);
        }
        done.sort_unstable();
        assert_eq!(done, [small, large]);
        fixture.disk.set(|behaviour| behaviour.hold_flush = false);
        let mut done = [client.reply().await.unwrap(), client.reply().await.unwrap()];
        done.sort_unstable_by_key(|reply| reply.0);
        assert_eq!(done, [(flush, Content::Done), (fua, Content::Done)]);
    }
}

#[tokio::test]
async fn a_long_read_with_a_cold_middle_arrives_whole() {
    let fixture = Fixture::new(8 << 20);
    let data = pattern(8 << 20, 4);
    let mut client = Client::open(&fixture.socket, Mode::Structured).await;
    for (index, part) in data.chunks(1 << 20).enumerate() {
        client.write(0, (index as u64) << 20, part).await;
    }
    for mode in MODES {
        fixture
            .disk
            .set(|behaviour| behaviour.cold = 3_000_000..3_000_001);
        let mut client = Client::open(&fixture.socket, mode).await;
        client.send(Command::Read, 0, 1, (8 << 20) - 1).await;
        let write = client.send_write(0, 0, &data[..1]).await;
        // The write is answered while the read waits, among the read's first pieces.
        assert_eq!(client.reply().await, Some((write, Content::Done)));
        fixture.disk.set(|behaviour| behaviour.cold = 0..0);
        let (_, content) = client.reply().await.unwrap();
        assert!(content == Content::Data(data[1..].to_vec()), "{mode:?}");
    }
}

#[tokio::test]
async fn writes_without_room_wait_in_line_and_reads_go_on() {
    for mode in MODES {
        let fixture = Fixture::new(8 << 20);
        fixture.disk.set(|behaviour| behaviour.room = 10_000);
        let mut client = Client::open(&fixture.socket, mode).await;
        let mut bytes = Vec::new();
        for index in 0..200u64 {
            // Each overlaps the one before, so that a wrong order shows.
            let data = pattern(4096, index);
            bytes.extend_from_slice(&client.request(Command::Write, 0, index * 2048, 4096));
            bytes.extend_from_slice(&data);
        }
        client.stream.write_all(&bytes).await.unwrap();
        for cookie in 1..=2 {
            assert_eq!(client.reply().await, Some((cookie, Content::Done)));
        }
        let read = client.read(0, 2048).await;
        assert!(read == Content::Data(pattern(4096, 0)[..2048].to_vec()));
        assert_eq!(client.call(Command::Flush, 0, 0, 0).await, Content::Done);
        for cookie in 3..=200 {
            fixture
                .disk
                .set(|behaviour| behaviour.room = 4096 + (behaviour.room & 7));
            assert_eq!(
                client.reply().await,
                Some((cookie, Content::Done)),
                "in order"
            );
        }
        fixture.disk.set(|behaviour| behaviour.room = usize::MAX);
        for index in 0..200u64 {
            let read = client.read(index * 2048, 2048).await;
            assert!(read == Content::Data(pattern(4096, index)[..2048].to_vec()));
        }
    }
}

#[tokio::test]
async fn a_full_line_blocks_the_connection_but_loses_nothing() {
    let fixture = Fixture::new(128 << 20);
    fixture.disk.set(|behaviour| behaviour.room = 0);
    let client = Client::open(&fixture.socket, Mode::Structured).await;
    let mut other = Client::open(&fixture.socket, Mode::Structured).await;
    let socket = fixture.socket.clone();
    drop(client);
    let writer = tokio::spawn(async move {
        let mut client = Client::open(&socket, Mode::Structured).await;
        // More than one connection may hold: some of it stays in the socket.
        for index in 0..96u64 {
            client
                .send_write(0, index << 20, &pattern(1 << 20, index))
                .await;
        }
        for _ in 0..96 {
            assert_eq!(client.reply().await.unwrap().1, Content::Done);
        }
    });
    while fixture.server.in_flight_bytes() < 40 << 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(other.read(0, 4096).await, Content::Data(vec![0; 4096]));
    assert!(fixture.server.in_flight_bytes() <= 64 << 20);
    while !writer.is_finished() {
        fixture.disk.set(|behaviour| behaviour.room = 3 << 20);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    writer.await.unwrap();
    for index in 0..96u64 {
        let read = other.read(index << 20, 1 << 20).await;
        assert!(read == Content::Data(pattern(1 << 20, index)));
    }
}

#[tokio::test]
async fn false_hope_of_room_keeps_nobody_else_waiting() {
    let fixture = Fixture::new(128 << 20);
    fixture
        .disk
        .set(|behaviour| (behaviour.room, behaviour.false_hope) = (0, true));
    let mut waiting = Client::open(&fixture.socket, Mode::Structured).await;
    let mut other = Client::open(&fixture.socket, Mode::Structured).await;
    // One is kept in line, one does not fit beside it and stays in the input.
    let large = pattern(30 << 20, 1);
    let mut writer = waiting.writer();
    let mut bytes = waiting.request(Command::Write, 0, 0, large.len() as u64);
    bytes.extend_from_slice(&large);
    bytes.extend_from_slice(&waiting.request(Command::Write, 0, 32 << 20, large.len() as u64));
    bytes.extend_from_slice(&large);
    let sender = tokio::spawn(async move { writer.write_all(&bytes).await });
    for _ in 0..200 {
        let read = other.read(100 << 20, 1).await;
        assert_eq!(read, Content::Data(vec![0]));
    }
    fixture.disk.set(|behaviour| behaviour.room = usize::MAX);
    for cookie in 1..=2 {
        assert_eq!(waiting.reply().await, Some((cookie, Content::Done)));
    }
    sender.await.unwrap().unwrap();
    assert!(other.read(32 << 20, 30 << 20).await == Content::Data(large));
}

#[tokio::test]
async fn a_flush_comes_after_all_that_was_acknowledged() {
    let fixture = Fixture::new(1 << 20);
    let mut client = Client::open(&fixture.socket, Mode::Structured).await;
    let mut bytes = Vec::new();
    for index in 0..10u64 {
        bytes.extend_from_slice(&client.request(Command::Write, 0, index, 1));
        bytes.push(1);
    }
    bytes.extend_from_slice(&client.request(Command::Flush, 0, 0, 0));
    client.stream.write_all(&bytes).await.unwrap();
    for _ in 0..11 {
        assert_eq!(client.reply().await.unwrap().1, Content::Done);
    }
    let mut expected: Vec<_> = (0..10).map(Event::Write).collect();
    expected.push(Event::Flush);
    assert_eq!(fixture.disk.events(), expected);
}

#[tokio::test]
async fn requests_that_wait_are_bounded() {
    let fixture = Fixture::new(1 << 20);
    fixture.disk.set(|behaviour| behaviour.hold_flush = true);
    let mut client = Client::open(&fixture.socket, Mode::Structured).await;
    let mut bytes = Vec::new();
    for _ in 0..1000 {
        bytes.extend_from_slice(&client.request(Command::Flush, 0, 0, 0));
    }
    client.stream.write_all(&bytes).await.unwrap();
    while fixture.disk.flushing.lock().unwrap().0 < 256 {
        tokio::task::yield_now().await;
    }
    fixture.disk.set(|behaviour| behaviour.hold_flush = false);
    for _ in 0..1000 {
        assert_eq!(client.reply().await.unwrap().1, Content::Done);
    }
    assert_eq!(fixture.disk.flushing.lock().unwrap().1, 256);
}

#[tokio::test]
async fn a_disconnect_waits_for_what_is_in_flight() {
    let fixture = Fixture::new(1 << 20);
    fixture.disk.set(|behaviour| behaviour.hold_flush = true);
    let mut client = Client::open(&fixture.socket, Mode::Structured).await;
    let flush = client.send(Command::Flush, 0, 0, 0).await;
    client.send(Command::Disconnect, 0, 0, 0).await;
    while fixture.disk.flushing.lock().unwrap().0 == 0 {
        tokio::task::yield_now().await;
    }
    fixture.disk.set(|behaviour| behaviour.hold_flush = false);
    assert_eq!(client.reply().await, Some((flush, Content::Done)));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_only_stops_sending_gets_its_replies() {
    let fixture = Fixture::new(1 << 20);
    let mut client = Client::open(&fixture.socket, Mode::Structured).await;
    client.send_write(0, 0, &[7; 4096]).await;
    client.send(Command::Read, 0, 0, 4096).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.reply().await.unwrap().1, Content::Done);
    assert_eq!(
        client.reply().await.unwrap().1,
        Content::Data(vec![7; 4096])
    );
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_shutdown_answers_what_was_begun_and_closes() {
    let fixture = Fixture::new(1 << 20);
    fixture.disk.set(|behaviour| behaviour.hold_flush = true);
    let mut client = Client::open(&fixture.socket, Mode::Structured).await;
    let mut undecided = Client::connect(&fixture.socket).await;
    let flush = client.send(Command::Flush, 0, 0, 0).await;
    while fixture.disk.flushing.lock().unwrap().0 == 0 {
        tokio::task::yield_now().await;
    }
    let (server, socket) = (fixture.server, fixture.socket);
    let stopping = tokio::spawn(server.shutdown(Duration::from_secs(20)));
    assert!(undecided.is_closed().await, "no export is given any more");
    fixture.disk.set(|behaviour| behaviour.hold_flush = false);
    assert_eq!(client.reply().await, Some((flush, Content::Done)));
    assert!(client.is_closed().await);
    stopping.await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let fixture = Fixture::new(1 << 20);
    fixture.disk.set(|behaviour| behaviour.hold_flush = true);
    let mut client = Client::open(&fixture.socket, Mode::Structured).await;
    client.send(Command::Flush, 0, 0, 0).await;
    fixture.server.shutdown(Duration::from_millis(200)).await;
    assert_eq!(client.reply().await, None);
}
