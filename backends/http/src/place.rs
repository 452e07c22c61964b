//! Parts of a location that all stores write alike.
//!
//! Owns: the split of a URL and what may stand in its host; the rule for prefixes.
//! Does not own: what lies between host and prefix (each store).

use vpool_object::Key;

use crate::limits::PREFIX_BYTES_MAX;

/// `http://HOST[:PORT]` in lower case, and the path behind it without its first `/`. The
/// error says why the text is none.
pub fn split(text: &str) -> Result<(String, &str), &'static str> {
    const NO_URL: &str = "it does not begin with http:// or https://";
    let (scheme, rest) = text.split_once("://").ok_or(NO_URL)?;
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return Err(NO_URL);
    }
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    check_host(host)?;
    Ok((format!("{scheme}://{}", host.to_ascii_lowercase()), path))
}

/// `NAME`, `1.2.3.4` or `[::1]`, with or without `:PORT`.
fn check_host(host: &str) -> Result<(), &'static str> {
    let (name, port) = match host.rsplit_once(':') {
        // The colons of an IPv6 address stand within brackets.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err("the port is no number from 1 to 65535");
    }
    if let Some(address) = name.strip_prefix('[') {
        let address = address.strip_suffix(']').ok_or("a bracket is not closed")?;
        let address = address.parse::<std::net::Ipv6Addr>();
        return address
            .map(drop)
            .map_err(|_| "between the brackets is no IPv6 address");
    }
    let name_ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || name.len() > 253 || !name.bytes().all(name_ok) {
        return Err("the host is no name or address");
    }
    Ok(())
}

/// A prefix is empty, or as valid as a key.
pub fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if prefix.len() > PREFIX_BYTES_MAX {
        return Err("the prefix is longer than 200 bytes");
    }
    if !prefix.is_empty() && Key::new(prefix).is_err() {
        return Err("the prefix holds other than a-z, 0-9, '.', '_', '-', or an empty part");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! What is split, and what is refused.

    use super::{check_prefix, split};

    #[test]
    fn urls() {
        let check = |text: &str, origin: &str, path: &str| {
            assert_eq!(split(text), Ok((origin.to_owned(), path)), "{text}");
        };
        check("http://h/a/b", "http://h", "a/b");
        check("HTTPS://H.Example:1", "https://h.example:1", "");
        check("http://[::1]:80/", "http://[::1]:80", "");
        for text in [
            "",
            "h/a",
            "ftp://h/a",
            "http://",
            "http:///a",
            "http://h:0/a",
            "http://h:x/a",
            "http://h:70000/a",
            "http://[::1/a",
            "http://[h]/a",
            "http://a b/c",
            "http://u@h/a",
        ] {
            assert!(split(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn prefixes() {
        for good in ["", "a", "a/b.c/d_e-f"] {
            assert_eq!(check_prefix(good), Ok(()), "{good:?}");
        }
        for bad in ["/", "a/", "a//b", "..", "A", "a b", &"p".repeat(201)] {
            assert!(check_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
