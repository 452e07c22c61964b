//! Ranges as HTTP writes them.
//!
//! Owns: `Range` and `Content-Range`, pure. Does not own: asking, and what an answer must be.

use std::ops::Range;

/// What an answer says of the part that it brings: `bytes 0-4/10`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentRange {
    /// The part; `end` is not in it.
    pub part: Range<u64>,
    /// The whole object's length; a server may leave it open (`*`).
    pub object_bytes: Option<u64>,
}

impl ContentRange {
    /// Reads the header's value; `None` where it is no such range, or contradicts itself.
    pub fn parse(text: &str) -> Option<ContentRange> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (part, total) = rest.trim().split_once('/')?;
        let (first, last) = part.split_once('-')?;
        let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let end = last.checked_add(1)?;
        let object_bytes = match total.trim() {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let fits = first < end && object_bytes.is_none_or(|total| end <= total);
        fits.then_some(ContentRange {
            part: first..end,
            object_bytes,
        })
    }
}

/// A `Range` header for a part that is not empty.
pub fn request(part: &Range<u64>) -> String {
    debug_assert!(part.start < part.end, "HTTP has no empty range");
    format!("bytes={}-{}", part.start, part.end - 1)
}

/// A `Range` header for the last `length` bytes, more than none.
pub fn request_tail(length: u64) -> String {
    debug_assert!(length > 0, "HTTP has no empty range");
    format!("bytes=-{length}")
}

#[cfg(test)]
mod tests {
    //! The written forms.

    use super::{ContentRange, request, request_tail};

    #[test]
    fn content_ranges() {
        let check = |text: &str, expect: Option<(u64, u64, Option<u64>)>| {
            let parsed = ContentRange::parse(text);
            let parsed = parsed.map(|r| (r.part.start, r.part.end, r.object_bytes));
            assert_eq!(parsed, expect, "{text:?}");
        };
        check("bytes 0-4/10", Some((0, 5, Some(10))));
        check("Bytes 9-9/10", Some((9, 10, Some(10))));
        check("bytes 0-4/*", Some((0, 5, None)));
        for text in [
            "",
            "bytes",
            "bytes */10",
            "bytes 4-3/10",
            "bytes 0-10/10",
            "items 0-4/10",
            "bytes 0-4",
            "bytes -4/10",
            "bytes a-b/c",
            "bytes 0-18446744073709551615/*",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn requests() {
        assert_eq!(request(&(0..1)), "bytes=0-0");
        assert_eq!(request(&(5..4096)), "bytes=5-4095");
        assert_eq!(request_tail(64), "bytes=-64");
    }
}
