//! Requests and replies survive the wire in each mode, and no bytes make a parser panic.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use crate::limits::EXTENTS_MAX;
use crate::{
    Chunk, Command, CommandFlags, Errno, ExtentStatus, Mode, Reply, Request, StatusFlags, WireError,
};

const MODES: [Mode; 3] = [Mode::Simple, Mode::Structured, Mode::Extended];

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(Mode::Simple),
        Just(Mode::Structured),
        Just(Mode::Extended)
    ]
}

fn request(command: u16, flags: u16, offset: u64, length: u64) -> Request {
    let mut bytes = vec![];
    bytes.extend_from_slice(&0x21e4_1c71u32.to_be_bytes());
    bytes.extend_from_slice(&flags.to_be_bytes());
    bytes.extend_from_slice(&command.to_be_bytes());
    bytes.extend_from_slice(&7u64.to_be_bytes());
    bytes.extend_from_slice(&offset.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    Request::parse(Mode::Extended, &bytes).unwrap().unwrap()
}

#[test]
fn commands_have_the_numbers_of_the_protocol() {
    let table = [
        (0, Command::Read),
        (1, Command::Write),
        (2, Command::Disconnect),
        (3, Command::Flush),
        (4, Command::Trim),
        (5, Command::Cache),
        (6, Command::WriteZeroes),
        (7, Command::BlockStatus),
        (8, Command::Unknown(8)),
        (u16::MAX, Command::Unknown(u16::MAX)),
    ];
    for (number, command) in table {
        assert_eq!(request(number, 0, 0, 0).command, command);
        assert_eq!(command.number(), number);
    }
}

#[test]
fn flags_are_valid_only_where_they_mean_something() {
    let (fua, df, plen) = (
        CommandFlags::FUA,
        CommandFlags::DF,
        CommandFlags::PAYLOAD_LEN,
    );
    let zero = CommandFlags::NO_HOLE | CommandFlags::FAST_ZERO | fua;
    let one = CommandFlags::REQ_ONE;
    let table = [
        (0, fua, [true, true, true]),
        (0, df, [false, true, true]),
        (0, one, [false; 3]),
        (1, fua, [true; 3]),
        (1, plen, [false, false, true]),
        (1, CommandFlags::NO_HOLE, [false; 3]),
        (3, fua, [true; 3]),
        (4, fua, [true; 3]),
        (4, plen, [false; 3]),
        (6, zero, [true; 3]),
        (6, df, [false; 3]),
        (7, one, [true; 3]),
        (7, one | plen, [false; 3]),
        (0, 1 << 15, [false; 3]),
    ];
    for (command, flags, expected) in table {
        for (mode, expected) in MODES.into_iter().zip(expected) {
            let request = request(command, flags, 0, 0);
            assert_eq!(
                request.has_valid_flags(mode),
                expected,
                "{command} {flags:#x} {mode:?}"
            );
        }
    }
}

#[test]
fn payloads_belong_to_writes_and_to_what_says_so() {
    let plen = CommandFlags::PAYLOAD_LEN;
    let table = [
        (0, 0, [0, 0, 0]),
        (1, 0, [9, 9, 9]),
        (1, plen, [9, 9, 9]),
        (7, plen, [0, 0, 9]),
        (99, plen, [0, 0, 9]),
    ];
    for (command, flags, expected) in table {
        for (mode, expected) in MODES.into_iter().zip(expected) {
            assert_eq!(request(command, flags, 0, 9).payload_bytes(mode), expected);
        }
    }
}

#[test]
fn long_extents_are_cut_for_compact_headers() {
    let request = request(7, 0, 0, 1 << 40);
    let extents = [
        ExtentStatus {
            length: 4096,
            flags: StatusFlags::DATA,
        },
        ExtentStatus {
            length: 1 << 40,
            flags: StatusFlags::HOLE,
        },
        ExtentStatus {
            length: 512,
            flags: StatusFlags::DATA,
        },
    ];
    let mut out = Vec::new();
    Mode::Structured.block_status(&request, 0, &extents, &mut out);
    let (reply, _) = Reply::parse(Mode::Structured, &out).unwrap().unwrap();
    let cut = ExtentStatus {
        length: (1 << 32) - 4096,
        flags: StatusFlags::HOLE,
    };
    let content = Chunk::BlockStatus {
        context: 0,
        extents: vec![extents[0], cut],
    };
    assert_eq!(
        reply,
        Reply::Chunk {
            cookie: 7,
            done: true,
            content
        }
    );
}

#[test]
fn messages_are_cut_at_a_character() {
    let request = request(0, 0, 0, 0);
    let mut out = Vec::new();
    let long = "é".repeat(5000);
    Mode::Structured.error(&request, Errno::IO, None, &long, &mut out);
    let (reply, length) = Reply::parse(Mode::Structured, &out).unwrap().unwrap();
    assert_eq!(length, out.len());
    let content = Chunk::Error {
        errno: Errno::IO,
        at: None,
        message: &long[..1024],
    };
    assert_eq!(
        reply,
        Reply::Chunk {
            cookie: 7,
            done: true,
            content
        }
    );
}

proptest! {
    #[test]
    fn requests_survive_the_wire(
        mode in mode(),
        (flags, command, cookie, offset, length) in any::<(u16, u16, u64, u64, u64)>(),
        short in any::<bool>(),
    ) {
        let length = if short { length & 0xffff_ffff } else { length };
        let mut wanted = request(command, flags, offset, length);
        wanted.cookie = cookie;
        let mut bytes = Vec::new();
        if wanted.encode(mode, &mut bytes) == Err(WireError::Length("request")) {
            assert!(mode != Mode::Extended && length > u64::from(u32::MAX));
            return Ok(());
        }
        assert_eq!(bytes.len(), Request::header_bytes(mode));
        for short in 0..bytes.len() {
            assert_eq!(Request::parse(mode, &bytes[..short]), Ok(None));
        }
        assert_eq!(Request::parse(mode, &bytes), Ok(Some(wanted)));
        bytes[1] ^= 4;
        assert!(Request::parse(mode, &bytes).is_err());
    }

    #[test]
    fn data_survives_the_wire(
        mode in mode(), offset in any::<u64>(), done in any::<bool>(), data in vec(any::<u8>(), 1..99),
    ) {
        let request = request(0, 0, offset, data.len() as u64);
        let length = u32::try_from(data.len()).unwrap();
        let mut bytes = mode.data(&request, offset, length, done).as_ref().to_vec();
        assert_eq!(bytes.len(), mode.data_header_bytes());
        bytes.extend_from_slice(&data);
        let (reply, length) = Reply::parse(mode, &bytes).unwrap().unwrap();
        if mode == Mode::Simple {
            assert_eq!(reply, Reply::Simple { error: Errno(0), cookie: 7 });
            assert_eq!(bytes[length..], data);
        } else {
            let content = Chunk::Data { offset, data: &data };
            assert_eq!(reply, Reply::Chunk { cookie: 7, done, content });
            assert_eq!(length, bytes.len());
        }
    }

    #[test]
    fn outcomes_survive_the_wire(
        mode in mode(), at in any::<Option<u64>>(), message in "[a-z ]{0,80}", errno in 1..200u32,
    ) {
        let request = request(1, 0, 5, 6);
        let (success, empty) = (mode.success(&request), mode.empty_read(&request));
        for header in [success.as_ref(), empty.as_ref()] {
            match Reply::parse(mode, header).unwrap().unwrap() {
                (Reply::Simple { error: Errno(0), cookie: 7 }, length) => {
                    assert!(length == header.len() && mode != Mode::Extended);
                }
                (Reply::Chunk { cookie: 7, done: true, content: Chunk::None }, length) => {
                    assert!(length == header.len() && mode != Mode::Simple);
                }
                other => panic!("{other:?}"),
            }
        }
        let mut bytes = Vec::new();
        mode.error(&request, Errno(errno), at, &message, &mut bytes);
        let (reply, length) = Reply::parse(mode, &bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let wanted = match mode {
            Mode::Simple => Reply::Simple { error: Errno(errno), cookie: 7 },
            _ => {
                let content = Chunk::Error { errno: Errno(errno), at, message: &message };
                Reply::Chunk { cookie: 7, done: true, content }
            }
        };
        assert_eq!(reply, wanted);
    }

    #[test]
    fn extents_survive_the_wire(
        wide in any::<bool>(), context in any::<u32>(),
        lengths in vec((1..u32::MAX, any::<bool>()), 1..EXTENTS_MAX / 8),
    ) {
        let mode = if wide { Mode::Extended } else { Mode::Structured };
        let extents: Vec<_> = lengths
            .into_iter()
            .map(|(length, hole)| ExtentStatus {
                length: u64::from(length) << if wide { 20 } else { 0 },
                flags: if hole { StatusFlags::HOLE } else { StatusFlags::DATA },
            })
            .collect();
        let mut bytes = Vec::new();
        mode.block_status(&request(7, 0, 0, 0), context, &extents, &mut bytes);
        let (reply, length) = Reply::parse(mode, &bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let content = Chunk::BlockStatus { context, extents };
        assert_eq!(reply, Reply::Chunk { cookie: 7, done: true, content });
    }

    #[test]
    fn no_bytes_panic(mode in mode(), mut bytes in vec(any::<u8>(), 0..200), magic in 0..4usize) {
        let magics = [0x6744_6698u32, 0x668e_33ef, 0x6e8a_278c, 0x2560_9513];
        if let Some(head) = bytes.first_chunk_mut::<4>() {
            *head = magics[magic].to_be_bytes();
        }
        let _ = Request::parse(mode, &bytes);
        let _ = Reply::parse(mode, &bytes);
    }
}
