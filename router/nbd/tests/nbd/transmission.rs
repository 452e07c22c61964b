//! Every request, in each mode: what is done, what is answered, what is refused.

use vpool_block::ErrorKind;
use vpool_nbd::Limits;
use vpool_nbd_wire::{Command, CommandFlags, Errno, ExtentStatus, Mode, StatusFlags};

use crate::client::{Client, Content};
use crate::fake::{Event, FakeDisk, Fixture};

const MODES: [Mode; 3] = [Mode::Simple, Mode::Structured, Mode::Extended];
const MIB: usize = 1 << 20;

/// Bytes that differ from place to place.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn refused(errno: Errno) -> Content {
    Content::Error(errno, None, 0)
}

#[tokio::test]
async fn bytes_of_any_length_and_place_come_back() {
    let fixture = Fixture::new(80 * MIB);
    for mode in MODES {
        let mut client = Client::open(&fixture.socket, mode).await;
        let lengths = [
            1,
            511,
            512,
            4096,
            4097,
            65_536,
            131_072,
            131_073,
            MIB,
            5 * MIB + 3,
        ];
        let lengths = lengths.into_iter().chain([32 * MIB]);
        for (seed, length) in lengths.enumerate() {
            let offset = 7 * seed as u64 + 3;
            let data = pattern(length, seed as u64);
            assert_eq!(
                client.write(0, offset, &data).await,
                Content::Done,
                "{mode:?} {length}"
            );
            let read = client.read(offset, length as u64).await;
            assert!(read == Content::Data(data), "{mode:?} {length}");
        }
        assert_eq!(client.write(0, 5, &[]).await, Content::Done);
        assert_eq!(client.read(80 << 20, 0).await, Content::Data(vec![]));
        let end = pattern(100, 9);
        assert_eq!(client.write(0, (80 << 20) - 100, &end).await, Content::Done);
        assert_eq!(client.read((80 << 20) - 100, 100).await, Content::Data(end));
    }
}

#[tokio::test]
async fn zeroes_trims_flushes_and_prefetches_reach_the_disk() {
    let (fua, no_hole) = (CommandFlags::FUA, CommandFlags::NO_HOLE);
    let fast = CommandFlags::FAST_ZERO;
    for mode in MODES {
        let fixture = Fixture::new(MIB);
        let mut client = Client::open(&fixture.socket, mode).await;
        let table = [
            (Command::Flush, 0, 0, 0, vec![Event::Flush]),
            (Command::Trim, 0, 5, 4097, vec![Event::Discard(5, 4097)]),
            (
                Command::Trim,
                fua,
                0,
                1,
                vec![Event::Discard(0, 1), Event::Flush],
            ),
            (Command::WriteZeroes, 0, 1, 2, vec![Event::Discard(1, 2)]),
            (Command::WriteZeroes, fast, 1, 2, vec![Event::Discard(1, 2)]),
            (Command::WriteZeroes, no_hole, 3, 4, vec![Event::Zero(3, 4)]),
            (
                Command::WriteZeroes,
                no_hole | fua,
                3,
                4,
                vec![Event::Zero(3, 4), Event::Flush],
            ),
            (Command::Cache, fua, 8, 9, vec![Event::Prefetch(8, 9)]),
        ];
        for (command, flags, offset, length, events) in table {
            fixture.disk.events.lock().unwrap().clear();
            let content = client.call(command, flags, offset, length).await;
            assert_eq!(content, Content::Done, "{mode:?} {command:?}");
            assert_eq!(fixture.disk.events(), events, "{mode:?} {command:?}");
        }
        fixture.disk.events.lock().unwrap().clear();
        assert_eq!(client.write(fua, 77, b"durable").await, Content::Done);
        assert_eq!(fixture.disk.events(), [Event::Write(77), Event::Flush]);
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_and_the_next_one_works() {
    let end = MIB as u64;
    let all = u64::from(u32::MAX);
    let table = [
        (Command::Read, 0, end, 1, Errno::INVAL),
        (Command::Read, 0, end - 1, 2, Errno::INVAL),
        (Command::Read, 0, u64::MAX, 2, Errno::INVAL),
        (Command::Read, 0, 0, all, Errno::INVAL),
        (Command::Read, CommandFlags::NO_HOLE, 0, 1, Errno::INVAL),
        (Command::Trim, 0, end - 1, 2, Errno::INVAL),
        (Command::Trim, 0, u64::MAX, all, Errno::INVAL),
        (Command::Cache, 0, end, 1, Errno::INVAL),
        (Command::WriteZeroes, 0, end, 1, Errno::NOSPC),
        (Command::WriteZeroes, 0, 0, all, Errno::NOSPC),
        (Command::WriteZeroes, CommandFlags::DF, 0, 1, Errno::INVAL),
        (Command::Flush, 1 << 9, 0, 0, Errno::INVAL),
        (Command::BlockStatus, 0, 0, 0, Errno::INVAL),
        (Command::BlockStatus, 0, end, 1, Errno::INVAL),
        (Command::Unknown(8), 0, 0, 0, Errno::INVAL),
        (Command::Unknown(u16::MAX), 0, 0, 512, Errno::INVAL),
    ];
    let fixture = Fixture::new(MIB);
    for mode in MODES {
        let mut client = Client::open(&fixture.socket, mode).await;
        for (command, flags, offset, length, errno) in table {
            let content = client.call(command, flags, offset, length).await;
            assert_eq!(
                content,
                refused(errno),
                "{mode:?} {command:?} {offset} {length}"
            );
        }
        let mib = pattern(MIB, 1);
        assert_eq!(
            client.write(0, 1, &mib).await,
            refused(Errno::NOSPC),
            "its data is skipped"
        );
        assert_eq!(client.write(1 << 3, 0, &mib).await, refused(Errno::INVAL));
        assert_eq!(client.write(0, 0, b"works").await, Content::Done);
        assert_eq!(client.read(0, 5).await, Content::Data(b"works".to_vec()));
    }
}

#[tokio::test]
async fn a_payload_too_long_is_skipped_if_it_is_not_absurd() {
    let fixture = Fixture::new(80 * MIB);
    let mut client = Client::open(&fixture.socket, Mode::Structured).await;
    let long = pattern(32 * MIB + 1, 3);
    assert_eq!(client.write(0, 0, &long).await, refused(Errno::INVAL));
    assert_eq!(client.write(0, 0, &long[1..]).await, Content::Done);
    client.send(Command::Write, 0, 0, u64::from(u32::MAX)).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn an_unexpected_payload_is_skipped() {
    let fixture = Fixture::new(MIB);
    let mut client = Client::open(&fixture.socket, Mode::Extended).await;
    for command in [
        Command::BlockStatus,
        Command::Read,
        Command::Flush,
        Command::Unknown(40),
    ] {
        let flags = CommandFlags::PAYLOAD_LEN;
        let mut bytes = client.request(command, flags, 0, 5000);
        bytes.extend_from_slice(&pattern(5000, 1));
        tokio::io::AsyncWriteExt::write_all(&mut client.stream, &bytes)
            .await
            .unwrap();
        let (_, content) = client.reply().await.unwrap();
        assert_eq!(content, refused(Errno::INVAL), "{command:?}");
    }
    let flags = CommandFlags::PAYLOAD_LEN;
    assert_eq!(
        client.write(flags, 0, b"as it should be").await,
        Content::Done
    );
}

#[tokio::test]
async fn writes_to_a_read_only_disk_are_not_permitted() {
    let disk = FakeDisk::new(MIB);
    disk.set(|behaviour| behaviour.read_only = true);
    let fixture = Fixture::with(disk, Limits::default());
    for mode in MODES {
        let mut client = Client::open(&fixture.socket, mode).await;
        assert_eq!(client.write(0, 0, &[1; 4096]).await, refused(Errno::PERM));
        for command in [Command::Trim, Command::WriteZeroes] {
            assert_eq!(client.call(command, 0, 0, 1).await, refused(Errno::PERM));
        }
        assert_eq!(client.call(Command::Flush, 0, 0, 0).await, Content::Done);
        assert_eq!(client.read(0, 2).await, Content::Data(vec![0; 2]));
    }
    assert!(
        fixture
            .disk
            .events()
            .iter()
            .all(|event| *event == Event::Flush)
    );
}

#[tokio::test]
async fn extents_are_told_in_both_widths() {
    let fixture = Fixture::new(4 * MIB);
    let hole = |length| ExtentStatus {
        length,
        flags: StatusFlags::HOLE,
    };
    let data = |length| ExtentStatus {
        length,
        flags: StatusFlags::DATA,
    };
    for mode in [Mode::Structured, Mode::Extended] {
        let mut client = Client::open(&fixture.socket, mode).await;
        client.write(0, 4096, &[1; 8192]).await;
        let all = client.call(Command::BlockStatus, 0, 0, 4 << 20).await;
        let rest = (4 << 20) - 12288;
        assert_eq!(
            all,
            Content::Status(vec![hole(4096), data(8192), hole(rest)])
        );
        let one = CommandFlags::REQ_ONE;
        let first = client.call(Command::BlockStatus, one, 4096, 16384).await;
        assert_eq!(first, Content::Status(vec![data(8192)]));
        let odd = client.call(Command::BlockStatus, 0, 4095, 3).await;
        assert!(matches!(odd, Content::Status(_)));
        for offset in (0..4 << 20).step_by(8192) {
            client.write(0, offset, &[1; 4096]).await;
            client.call(Command::Trim, 0, offset + 4096, 4096).await;
        }
        let Content::Status(many) = client.call(Command::BlockStatus, 0, 0, 4 << 20).await else {
            panic!("not a status");
        };
        assert_eq!(many.len(), 1024);
        client.call(Command::Trim, 0, 0, 4 << 20).await;
    }
    let mut simple = Client::open(&fixture.socket, Mode::Simple).await;
    let content = simple.call(Command::BlockStatus, 0, 0, 4096).await;
    assert_eq!(content, refused(Errno::INVAL));
}

#[tokio::test]
async fn the_disk_s_errors_have_their_numbers_or_end_the_connection() {
    let table = [
        (ErrorKind::Invalid, Some(Errno::INVAL)),
        (ErrorKind::ReadOnly, Some(Errno::PERM)),
        (ErrorKind::NoSpace, Some(Errno::NOSPC)),
        (ErrorKind::NotFound, Some(Errno::IO)),
        (ErrorKind::Unavailable, Some(Errno::IO)),
        (ErrorKind::Corrupt, Some(Errno::IO)),
        (ErrorKind::Io, Some(Errno::IO)),
        (ErrorKind::Fenced, None),
        (ErrorKind::ShuttingDown, None),
    ];
    let fixture = Fixture::new(MIB);
    for mode in MODES {
        for (kind, errno) in table {
            fixture
                .disk
                .set(|behaviour| behaviour.broken = Some((5000, kind)));
            let mut client = Client::open(&fixture.socket, mode).await;
            let Some(errno) = errno else {
                client.send_write(0, 4096, &[1; 4096]).await;
                assert_eq!(client.reply().await, None, "{kind:?}");
                continue;
            };
            assert_eq!(client.write(0, 4096, &[1; 4096]).await, refused(errno));
            assert_eq!(
                client.call(Command::Trim, 0, 0, MIB as u64).await,
                refused(errno)
            );
            let at = (mode != Mode::Simple).then_some(4096);
            assert_eq!(client.read(4096, 4096).await, Content::Error(errno, at, 0));
            assert_eq!(client.write(0, 0, b"beside it").await, Content::Done);
            assert_eq!(
                client.read(0, 9).await,
                Content::Data(b"beside it".to_vec())
            );
        }
    }
}

#[tokio::test]
async fn a_long_read_that_fails_says_where() {
    let fixture = Fixture::new(4 * MIB);
    let broken = 1_500_000;
    fixture
        .disk
        .set(|behaviour| behaviour.broken = Some((broken, ErrorKind::Corrupt)));
    for mode in MODES {
        let mut client = Client::open(&fixture.socket, mode).await;
        let content = client.read(0, 4 << 20).await;
        if mode == Mode::Simple {
            assert_eq!(content, refused(Errno::IO));
        } else {
            let Content::Error(Errno::IO, Some(at), before) = content else {
                panic!("{mode:?} {content:?}");
            };
            assert!(at <= broken && at == before as u64 && at > broken - (256 << 10));
        }
        let one_chunk = client
            .call(Command::Read, dont_fragment(mode), 0, 4 << 20)
            .await;
        assert_eq!(one_chunk, refused(Errno::IO));
        assert_eq!(client.read(9, 1).await, Content::Data(vec![0]));
    }
}

fn dont_fragment(mode: Mode) -> u16 {
    match mode {
        Mode::Simple => 0,
        _ => CommandFlags::DF,
    }
}

#[tokio::test]
async fn one_bad_write_in_a_batch_does_not_touch_the_others() {
    let fixture = Fixture::new(MIB);
    fixture
        .disk
        .set(|behaviour| behaviour.broken = Some((40_960, ErrorKind::Io)));
    for mode in MODES {
        let mut client = Client::open(&fixture.socket, mode).await;
        let mut bytes = Vec::new();
        for index in 0..40u64 {
            let offset = if index == 20 { 2 << 20 } else { index * 4096 };
            bytes.extend_from_slice(&client.request(Command::Write, 0, offset, 4096));
            bytes.extend_from_slice(&pattern(4096, index));
        }
        tokio::io::AsyncWriteExt::write_all(&mut client.stream, &bytes)
            .await
            .unwrap();
        let mut refusals = Vec::new();
        for index in 0..40u64 {
            match client.reply().await.unwrap() {
                (_, Content::Done) => {}
                (_, Content::Error(errno, ..)) => refusals.push((index, errno)),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(refusals, [(10, Errno::IO), (20, Errno::NOSPC)]);
        for index in (0..40u64).filter(|index| ![10, 20].contains(index)) {
            let read = client.read(index * 4096, 4096).await;
            assert!(read == Content::Data(pattern(4096, index)));
        }
    }
    assert!(
        *fixture.disk.batch_max.lock().unwrap() > 4,
        "writes are handed on together"
    );
}
