//! NBD: options and requests as a server reads them, replies as a client does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpool_nbd_wire::limits::{OPTION_DATA_BYTES_MAX, PAYLOAD_BYTES_MAX};
use vpool_nbd_wire::{
    ClientFlags, ClientOption, Mode, OPTION_HEADER_BYTES, OptionHeader, OptionReply, Reply, Request,
};

/// The options at the front of `bytes`, as far as they are understood.
fn options(mut bytes: &[u8]) {
    while let Some((header, rest)) = bytes.split_first_chunk::<OPTION_HEADER_BYTES>() {
        let Ok(header) = OptionHeader::parse(header) else {
            return;
        };
        let length = header.length as usize;
        let Some(data) = rest
            .get(..length)
            .filter(|_| length <= OPTION_DATA_BYTES_MAX)
        else {
            return;
        };
        option(header, data);
        bytes = &rest[length..];
    }
}

fn option(header: OptionHeader, data: &[u8]) {
    let Ok(option) = ClientOption::parse(header.code, data) else {
        return;
    };
    assert_eq!(option.code(), header.code);
    if matches!(option, ClientOption::Abort | ClientOption::Unknown(_)) {
        return; // Their data means nothing and is not kept.
    }
    let mut again = Vec::new();
    option.encode(&mut again);
    assert_eq!(again[..OPTION_HEADER_BYTES], header.encode());
    assert_eq!(again[OPTION_HEADER_BYTES..], *data);
}

/// The requests at the front of `bytes`, each behind the payload of the one before.
fn requests(mode: Mode, mut bytes: &[u8]) {
    while let Ok(Some(request)) = Request::parse(mode, bytes) {
        let (header, rest) = bytes.split_at(Request::header_bytes(mode));
        let mut again = Vec::new();
        request
            .encode(mode, &mut again)
            .expect("it has been read in this mode");
        assert_eq!(again, header, "two spellings of one request");
        let _valid = request.has_valid_flags(mode);
        let payload = request.payload_bytes(mode);
        if payload > u64::from(PAYLOAD_BYTES_MAX) || payload > rest.len() as u64 {
            return;
        }
        bytes = &rest[usize::try_from(payload).expect("within a slice")..];
    }
}

fn replies(mode: Mode, mut bytes: &[u8]) {
    while let Ok(Some((_reply, length))) = Reply::parse(mode, bytes) {
        assert!(length > 0 && length <= bytes.len());
        bytes = &bytes[length..];
    }
}

fn option_replies(mut bytes: &[u8]) {
    while let Ok(Some((_option, _reply, length))) = OptionReply::parse(bytes) {
        assert!(length > 0 && length <= bytes.len());
        bytes = &bytes[length..];
    }
}

/// `bytes` with `magic` in front, so that the fuzzer need not find it.
fn behind(magic: &[u8], bytes: &[u8]) -> Vec<u8> {
    [magic, bytes].concat()
}

fuzz_target!(|bytes: &[u8]| {
    if let Some(flags) = bytes.first_chunk::<4>()
        && let Ok(parsed) = ClientFlags::parse(*flags)
    {
        assert_eq!(parsed.encode(), *flags);
    }
    options(bytes);
    options(&behind(b"IHAVEOPT", bytes));
    // An option of each kind with these bytes as its data.
    for code in 1..=12 {
        let length = u32::try_from(bytes.len().min(OPTION_DATA_BYTES_MAX)).unwrap_or(0);
        let code = vpool_nbd_wire::OptionCode(code);
        option(OptionHeader { code, length }, &bytes[..length as usize]);
    }
    option_replies(bytes);
    option_replies(&behind(&0x0003_e889_0455_65a9u64.to_be_bytes(), bytes));
    for mode in [Mode::Simple, Mode::Structured, Mode::Extended] {
        requests(mode, bytes);
        replies(mode, bytes);
    }
    let compact = behind(&0x2560_9513u32.to_be_bytes(), bytes);
    requests(Mode::Structured, &compact);
    requests(
        Mode::Extended,
        &behind(&0x21e4_1c71u32.to_be_bytes(), bytes),
    );
    replies(
        Mode::Structured,
        &behind(&0x668e_33efu32.to_be_bytes(), bytes),
    );
    replies(
        Mode::Extended,
        &behind(&0x6e8a_278cu32.to_be_bytes(), bytes),
    );
});
