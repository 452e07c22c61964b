//! What negotiation must take, and what it must refuse without allocating for it.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use crate::limits::{INFO_REQUESTS_MAX, QUERIES_MAX, STRING_BYTES_MAX};
use crate::{
    BlockSizes, ClientFlags, ClientOption, InfoQuery, MetaQuery, OPTION_HEADER_BYTES, OptionCode,
    OptionErrorCode, OptionHeader, OptionReply, WireError, greeting, parse_greeting,
};

#[test]
fn the_greeting_is_fixed_newstyle_with_no_zeroes() {
    assert_eq!(&greeting(), b"NBDMAGICIHAVEOPT\x00\x03");
    assert_eq!(parse_greeting(&greeting()), Ok(3));
    assert!(parse_greeting(b"NBDMAGICIHAVEOPX\x00\x03").is_err());
}

#[test]
fn client_flags_that_were_not_offered_are_refused() {
    for bits in 0..=3u32 {
        let flags = ClientFlags::parse(bits.to_be_bytes()).expect("offered");
        assert_eq!(u32::from_be_bytes(flags.encode()), bits);
    }
    for bits in [4, 7, 1 << 31, u32::MAX] {
        assert_eq!(
            ClientFlags::parse(u32::to_be_bytes(bits)),
            Err(WireError::ClientFlags(bits))
        );
    }
}

#[test]
fn option_headers_need_the_magic_and_keep_any_length() {
    let header = OptionHeader {
        code: OptionCode::GO,
        length: u32::MAX,
    };
    assert_eq!(OptionHeader::parse(&header.encode()), Ok(header));
    let mut wrong = header.encode();
    wrong[0] ^= 1;
    assert!(matches!(
        OptionHeader::parse(&wrong),
        Err(WireError::Magic { .. })
    ));
}

/// Bytes of an option's data: a 32-bit name length, the name, and what follows.
fn named(length: u32, name: &[u8], rest: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes(), name, rest].concat()
}

#[test]
fn hostile_options_are_errors() {
    let long = "x".repeat(STRING_BYTES_MAX + 1);
    let many_queries = named(
        0,
        b"",
        &u32::try_from(QUERIES_MAX + 1).unwrap().to_be_bytes(),
    );
    let endless_queries = named(0, b"", &u32::MAX.to_be_bytes());
    let many_requests = named(
        0,
        b"",
        &u16::try_from(INFO_REQUESTS_MAX + 1).unwrap().to_be_bytes(),
    );
    let endless_query = [
        named(0, b"", &1u32.to_be_bytes()),
        u32::MAX.to_be_bytes().into(),
    ];
    let table: &[(&str, OptionCode, &[u8])] = &[
        (
            "name longer than its data",
            OptionCode::GO,
            &named(u32::MAX, b"a", &[0, 0]),
        ),
        (
            "name one byte longer",
            OptionCode::INFO,
            &named(4, b"abc", &[]),
        ),
        ("no count", OptionCode::GO, &named(1, b"a", &[])),
        (
            "count without entries",
            OptionCode::GO,
            &named(1, b"a", &[0, 1]),
        ),
        ("half an entry", OptionCode::GO, &named(1, b"a", &[0, 1, 0])),
        (
            "more entries than counted",
            OptionCode::GO,
            &named(1, b"a", &[0, 0, 0, 3]),
        ),
        ("too many requests", OptionCode::GO, &many_requests),
        (
            "too many queries",
            OptionCode::SET_META_CONTEXT,
            &many_queries,
        ),
        (
            "queries without end",
            OptionCode::LIST_META_CONTEXT,
            &endless_queries,
        ),
        (
            "a query without end",
            OptionCode::SET_META_CONTEXT,
            &endless_query.concat(),
        ),
        (
            "bytes behind the queries",
            OptionCode::SET_META_CONTEXT,
            &named(0, b"", &[0; 5]),
        ),
        ("empty", OptionCode::GO, &[]),
        ("list with data", OptionCode::LIST, &[0]),
        ("TLS with data", OptionCode::STARTTLS, &[0]),
        ("structured with data", OptionCode::STRUCTURED_REPLY, &[0]),
        ("extended with data", OptionCode::EXTENDED_HEADERS, &[0]),
        ("name too long", OptionCode::EXPORT_NAME, long.as_bytes()),
        ("name not text", OptionCode::EXPORT_NAME, &[0xff, 0xfe]),
        ("name with NUL", OptionCode::EXPORT_NAME, b"a\0b"),
        ("name with NUL", OptionCode::GO, &named(1, &[0], &[0, 0])),
    ];
    for (what, code, data) in table {
        assert!(ClientOption::parse(*code, data).is_err(), "{what}");
    }
    let unknown = OptionCode(77);
    assert_eq!(
        ClientOption::parse(unknown, &[1, 2]),
        Ok(ClientOption::Unknown(unknown))
    );
    assert_eq!(
        ClientOption::parse(OptionCode::ABORT, &[9]),
        Ok(ClientOption::Abort)
    );
}

#[test]
fn only_the_allocation_context_is_found() {
    let table: &[(&[&str], bool, bool)] = &[
        (&[], true, false),
        (&["base:"], true, false),
        (&["base:allocation"], true, true),
        (&["x:y", "base:allocation"], true, true),
        (&["base:other"], false, false),
        (&["base"], false, false),
    ];
    for (queries, lists, selects) in table {
        let query = MetaQuery {
            name: "d",
            queries: queries.to_vec(),
        };
        assert_eq!(query.lists_allocation(), *lists, "{queries:?}");
        assert_eq!(query.selects_allocation(), *selects, "{queries:?}");
    }
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-zA-Z0-9/._é-]{1,300}"]
}

proptest! {
    #[test]
    fn options_survive_the_wire(
        name in name(),
        requests in vec(any::<u16>(), 0..INFO_REQUESTS_MAX),
        queries in vec(name(), 0..QUERIES_MAX),
        which in 0..10usize,
    ) {
        let info = InfoQuery { name: &name, requests };
        let queries = queries.iter().map(String::as_str).collect();
        let meta = MetaQuery { name: &name, queries };
        let option = match which {
            0 => ClientOption::ExportName(&name),
            1 => ClientOption::Abort,
            2 => ClientOption::List,
            3 => ClientOption::StartTls,
            4 => ClientOption::Info(info),
            5 => ClientOption::Go(info),
            6 => ClientOption::StructuredReply,
            7 => ClientOption::ListMetaContext(meta),
            8 => ClientOption::SetMetaContext(meta),
            _ => ClientOption::ExtendedHeaders,
        };
        let mut bytes = Vec::new();
        option.encode(&mut bytes);
        let (header, data) = bytes.split_first_chunk::<OPTION_HEADER_BYTES>().unwrap();
        let header = OptionHeader::parse(header).unwrap();
        assert_eq!(header.length as usize, data.len());
        assert_eq!(ClientOption::parse(header.code, data), Ok(option));
    }

    #[test]
    fn option_replies_survive_the_wire(
        name in name(),
        line in name(),
        (size, flags, id) in any::<(u64, u16, u32)>(),
        which in 0..8usize,
    ) {
        let reply = match which {
            0 => OptionReply::Ack,
            1 => OptionReply::Server { name: &name, description: &line },
            2 => OptionReply::Export { size, flags },
            3 => OptionReply::Name(&name),
            4 => OptionReply::Description(&line),
            5 => OptionReply::BlockSize(BlockSizes { minimum: 1, preferred: id, maximum: 7 }),
            6 => OptionReply::MetaContext { id, name: &name },
            _ => OptionReply::Error { code: OptionErrorCode::UNKNOWN, message: &line },
        };
        let mut bytes = Vec::new();
        reply.encode(OptionCode::GO, &mut bytes);
        for short in 0..bytes.len() {
            assert_eq!(OptionReply::parse(&bytes[..short]), Ok(None));
        }
        assert_eq!(OptionReply::parse(&bytes), Ok(Some((OptionCode::GO, reply, bytes.len()))));
    }

    #[test]
    fn no_bytes_panic(code in 0..14u32, data in vec(any::<u8>(), 0..400)) {
        let _ = ClientOption::parse(OptionCode(code), &data);
        let _ = OptionReply::parse(&data);
    }

    #[test]
    fn mangled_options_do_not_panic(at in any::<usize>(), byte in any::<u8>(), name in name()) {
        let query = MetaQuery { name: &name, queries: vec!["base:allocation", &name] };
        let mut bytes = Vec::new();
        ClientOption::SetMetaContext(query).encode(&mut bytes);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = ClientOption::parse(OptionCode::SET_META_CONTEXT, &bytes[OPTION_HEADER_BYTES..]);
    }
}
