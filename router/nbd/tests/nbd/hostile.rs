//! Clients that want to cost much: what they cost stays bounded, and others are served.
//!
//! Memory is measured in a process of its own: the test binary starts itself again with
//! only [`server_process`].

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use vpool_nbd::{Limits, Server};
use vpool_nbd_wire::{Command, Errno, Mode, OptionCode, OptionHeader};

use crate::client::{Client, Content};
use crate::fake::{FakeDisk, Fixture, Shelf};
use crate::transmission::pattern;

const SOCKET: &str = "VPOOL_TEST_NBD_SOCKET";
const MIB: usize = 1 << 20;

/// Lets the process hold as many connections as the system allows; says how many.
fn allow_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    limit
        .maximum
        .map_or(usize::MAX, |maximum| usize::try_from(maximum).unwrap())
}

#[tokio::test]
#[ignore = "started by the other tests of this file"]
async fn server_process() {
    let Ok(socket) = std::env::var(SOCKET) else {
        return;
    };
    allow_connections();
    let disk = FakeDisk::new(64 * MIB);
    let disks = [(String::new(), disk as vpool_block::Attached)].into();
    let shelf = Arc::new(Shelf {
        disks,
        ..Shelf::default()
    });
    let server = Server::new(shelf, Limits::default());
    server.listen_unix(Path::new(&socket)).unwrap();
    std::future::pending::<()>().await;
}

/// A server whose memory is its own.
struct Server2 {
    process: Child,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Server2 {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("nbd.sock");
        let process = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::server_process", "--ignored"])
            .env(SOCKET, &socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while UnixStream::connect(&socket).await.is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the server does not come up"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Server2 {
            process,
            socket,
            _folder: folder,
        }
    }

    /// Bytes of memory that the server has touched and holds.
    fn resident_bytes(&self) -> usize {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            << 10
    }
}

impl Drop for Server2 {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Some work of a client that behaves; each answer in good time.
async fn healthy_work(client: &mut Client, seed: u64) {
    for index in 0..100u64 {
        let begun = Instant::now();
        let data = pattern(4096, seed ^ index);
        let offset = (32 << 20) + index * 4096;
        assert_eq!(client.write(0, offset, &data).await, Content::Done);
        assert!(client.read(offset, 4096).await == Content::Data(data));
        assert!(begun.elapsed() < Duration::from_secs(2), "kept waiting");
    }
}

#[tokio::test]
async fn two_thousand_idle_clients_cost_little() {
    let count = 2000.min(allow_connections() - 200);
    let server = Server2::start().await;
    let mut healthy = Client::open(&server.socket, Mode::Structured).await;
    healthy_work(&mut healthy, 1).await;
    let before = server.resident_bytes();
    let mut idle = Vec::new();
    let mut silent = Vec::new();
    for index in 0..count {
        match index % 2 {
            0 => silent.push(UnixStream::connect(&server.socket).await.unwrap()),
            _ => idle.push(Client::open(&server.socket, Mode::Extended).await),
        }
    }
    healthy_work(&mut healthy, 2).await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB, "{} KiB each", grown / count / 1024);
    for client in idle.iter_mut().step_by(100) {
        assert_eq!(client.read(0, 1).await, Content::Data(vec![0]));
    }
}

#[tokio::test]
async fn who_has_not_chosen_an_export_costs_at_most_an_option() {
    let server = Server2::start().await;
    let mut healthy = Client::open(&server.socket, Mode::Structured).await;
    let before = server.resident_bytes();
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut client = Client::connect(&server.socket).await;
        let option = OptionHeader {
            code: OptionCode::GO,
            length: (64 << 10) - 16,
        };
        client.stream.write_all(&option.encode()).await.unwrap();
        client
            .stream
            .write_all(&vec![0; (64 << 10) - 17])
            .await
            .unwrap();
        held.push(client);
    }
    healthy_work(&mut healthy, 3).await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(
        grown < held.len() * (80 << 10) + 8 * MIB,
        "{} KiB each",
        grown / 300 / 1024
    );
}

#[tokio::test]
async fn slow_senders_of_large_writes_hold_what_they_sent() {
    let server = Server2::start().await;
    let mut healthy = Client::open(&server.socket, Mode::Structured).await;
    healthy_work(&mut healthy, 4).await;
    let before = server.resident_bytes();
    let mut slow = Vec::new();
    for _ in 0..400 {
        let mut client = Client::open(&server.socket, Mode::Structured).await;
        client.send(Command::Write, 0, 0, 32 << 20).await;
        slow.push(client);
    }
    for round in 0..5 {
        for client in &mut slow {
            client.stream.write_all(&[1]).await.unwrap();
        }
        healthy_work(&mut healthy, 5 + round).await;
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 32 * MIB, "{} KiB each", grown / slow.len() / 1024);
    // Now they send, but never enough.
    for client in slow.iter_mut().take(100) {
        // What does not fit the budget stays in the socket.
        let part = vec![1; MIB];
        let write = client.stream.write_all(&part);
        let _blocked = tokio::time::timeout(Duration::from_millis(20), write).await;
    }
    healthy_work(&mut healthy, 20).await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 160 * MIB, "{} MiB", grown / MIB);
}

#[tokio::test]
async fn clients_that_take_no_replies_hold_a_bounded_amount() {
    let server = Server2::start().await;
    let mut healthy = Client::open(&server.socket, Mode::Structured).await;
    healthy_work(&mut healthy, 6).await;
    let before = server.resident_bytes();
    let mut deaf = Vec::new();
    for index in 0..60 {
        let mode = [Mode::Simple, Mode::Structured, Mode::Extended][index % 3];
        let mut client = Client::open(&server.socket, mode).await;
        let mut bytes = Vec::new();
        for _ in 0..1000 {
            bytes.extend_from_slice(&client.request(Command::Read, 0, 0, 8 << 20));
        }
        let write = client.stream.write_all(&bytes);
        let _blocked = tokio::time::timeout(Duration::from_millis(20), write).await;
        deaf.push(client);
    }
    healthy_work(&mut healthy, 7).await;
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 200 * MIB, "{} MiB", grown / MIB);
}

#[tokio::test]
async fn absurd_lengths_are_refused_before_memory_is_asked_for() {
    let server = Server2::start().await;
    let mut healthy = Client::open(&server.socket, Mode::Structured).await;
    let before = server.resident_bytes();
    for mode in [Mode::Simple, Mode::Structured, Mode::Extended] {
        let mut client = Client::open(&server.socket, mode).await;
        for _ in 0..100 {
            let read = client.read(0, u32::MAX.into()).await;
            assert_eq!(read, Content::Error(Errno::INVAL, None, 0));
        }
        client.send(Command::Write, 0, 0, u32::MAX.into()).await;
        assert!(client.is_closed().await);
        // A write whose data is not all there, and then nothing.
        let mut client = Client::open(&server.socket, mode).await;
        client.send(Command::Write, 0, 0, 4096).await;
        client.stream.write_all(&[1; 4095]).await.unwrap();
        drop(client);
        // Not a request at all.
        let mut client = Client::open(&server.socket, mode).await;
        client.stream.write_all(&[0x5a; 64]).await.unwrap();
        assert!(client.is_closed().await);
    }
    let mut wide = Client::open(&server.socket, Mode::Extended).await;
    for command in [
        Command::Read,
        Command::Trim,
        Command::WriteZeroes,
        Command::BlockStatus,
    ] {
        let content = wide.call(command, 0, 1, u64::MAX).await;
        assert!(matches!(content, Content::Error(..)), "{command:?}");
    }
    wide.send(Command::Write, 1 << 5, 0, u64::MAX).await;
    assert!(wide.is_closed().await);
    healthy_work(&mut healthy, 8).await;
    assert!(server.resident_bytes().saturating_sub(before) < 16 * MIB);
}

#[tokio::test]
async fn who_blocks_scarce_memory_and_does_not_go_on_is_cut_off() {
    let fixture = Fixture::with(FakeDisk::new(64 * MIB), Limits::default());
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut client = Client::open(&fixture.socket, Mode::Structured).await;
        client.send(Command::Write, 0, 0, 32 << 20).await;
        let part = vec![1; MIB];
        let write = client.stream.write_all(&part);
        let _blocked = tokio::time::timeout(Duration::from_millis(200), write).await;
        slow.push(client);
    }
    assert!(fixture.server.in_flight_bytes() > 64 * MIB);
    let mut healthy = Client::open(&fixture.socket, Mode::Structured).await;
    let begun = Instant::now();
    for index in 0..4 {
        let data = pattern(16 * MIB, index);
        assert_eq!(healthy.write(0, 0, &data).await, Content::Done);
        assert!(healthy.read(0, 16 << 20).await == Content::Data(data));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(19),
        "others wait for ten seconds at most"
    );
    healthy_work(&mut healthy, 9).await;
}
