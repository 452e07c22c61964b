//! Why there was no answer, or only a part of one.
//!
//! Owns: reading a client's chain of errors, the remedies for what connections die of, and
//! taming foreign text. Does not own: what an answer's own error means (each store).

use std::error::Error as StdError;
use std::io;

use vpool_object::ErrorKind;

use crate::limits::MESSAGE_BYTES_MAX;

fn sources<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What an error and its sources say, outermost first.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for error in sources(error) {
        let next = error.to_string();
        // Many errors repeat what their source says.
        if !next.is_empty() && !text.contains(&next) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&next);
        }
    }
    printable(&text)
}

/// A body that ended early in good order is damage; one whose connection broke is not.
pub fn body_kind(error: &(dyn StdError + 'static)) -> ErrorKind {
    let broken = sources(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| {
            !matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            )
        });
    if broken {
        ErrorKind::Unavailable
    } else {
        ErrorKind::Damaged
    }
}

/// A foreign text, cut to what an error may hold and without what a terminal would obey.
pub fn printable(text: &str) -> String {
    let mut cut = String::new();
    for c in text.chars() {
        if cut.len() + c.len_utf8() > MESSAGE_BYTES_MAX {
            cut.push_str("...");
            break;
        }
        cut.push(if c.is_control() { ' ' } else { c });
    }
    cut
}

/// What may help where there was no answer, judged by what the errors say; empty where
/// nothing is known. The errors come from the resolver, the system and the TLS library,
/// whose types are not ours to name.
pub fn remedy(cause: &str) -> &'static str {
    const TABLE: [(&str, &str); 9] = [
        (
            "dns error",
            "the endpoint's host name does not resolve: check its spelling and DNS",
        ),
        (
            "failed to lookup",
            "the endpoint's host name does not resolve: check its spelling and DNS",
        ),
        (
            "Connection refused",
            "nothing listens there: check the port, and that the store runs",
        ),
        (
            "invalid peer certificate",
            "the store's certificate is not trusted: set the CA file of its issuer; check its name, its dates and this host's clock",
        ),
        (
            "InvalidContentType",
            "the store does not speak TLS there: is it http:// on that port?",
        ),
        (
            "corrupt message",
            "the store does not speak TLS there: is it http:// on that port?",
        ),
        (
            "HandshakeFailure",
            "the store's TLS is too old or of another kind",
        ),
        (
            "unreachable",
            "check the network between this host and the store",
        ),
        (
            "timed out",
            "the store is overloaded or hangs, or a firewall swallows packets",
        ),
    ];
    let found = TABLE.iter().find(|(part, _)| cause.contains(part));
    found.map_or("", |(_, remedy)| remedy)
}

#[cfg(test)]
mod tests {
    //! What gets into a message, and what kind a break is.

    use std::io;

    use vpool_object::ErrorKind::{self, Damaged, Unavailable};

    use super::{body_kind, chain, printable, remedy};

    #[test]
    fn remedies_by_cause() {
        let check = |cause: &str, expect: &str| {
            let remedy = remedy(cause);
            assert!(remedy.contains(expect), "{cause}: {remedy}");
        };
        check(
            "error trying to connect: dns error: failed to lookup address information",
            "resolve",
        );
        check(
            "tcp connect error: Connection refused (os error 111)",
            "listens",
        );
        check("invalid peer certificate: UnknownIssuer", "CA file");
        check(
            "received corrupt message of type InvalidContentType",
            "http://",
        );
        assert_eq!(remedy("something else"), "");
    }

    #[test]
    fn foreign_texts_are_cut_and_tamed() {
        assert_eq!(printable("a\n\x1b[31mb"), "a  [31mb");
        assert!(printable(&"ü".repeat(1000)).len() <= 303);
        let inner = io::Error::new(io::ErrorKind::ConnectionReset, "reset by peer");
        let outer = io::Error::other(inner);
        assert_eq!(chain(&outer), "reset by peer");
    }

    #[test]
    fn how_bodies_break_off() {
        let check = |kind: io::ErrorKind, expect: ErrorKind| {
            assert_eq!(body_kind(&io::Error::from(kind)), expect, "{kind}");
        };
        check(io::ErrorKind::UnexpectedEof, Damaged);
        check(io::ErrorKind::ConnectionReset, Unavailable);
        check(io::ErrorKind::TimedOut, Unavailable);
    }
}
