//! What stands in one place of a table.
//!
//! Owns: its forms, for people and for programs. Does not own: what it is of (`columns.rs`).

use vpool_api::size;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// There is none.
    None,
    /// Words.
    Text(String),
    /// A count.
    Count(u64),
    /// An amount in bytes.
    Bytes(u64),
    /// A rate, in bytes per second.
    Rate(f64),
    /// A number that is not whole.
    Number(f64),
    /// Whether something is so.
    Flag(bool),
}

impl Value {
    /// For people; bytes as numbers where `raw`.
    pub(crate) fn shown(&self, raw: bool) -> String {
        match self {
            Value::None => "-".to_owned(),
            Value::Text(text) => visible(text),
            Value::Bytes(bytes) if !raw => size::format(*bytes),
            Value::Rate(rate) if !raw => format!("{}/s", size::format(whole(*rate))),
            Value::Number(number) => format!("{number:.1}"),
            Value::Flag(flag) => (if *flag { "yes" } else { "no" }).to_owned(),
            other => other.plain(),
        }
    }

    /// For programs: numbers without units, nothing for what is not there.
    pub(crate) fn plain(&self) -> String {
        match self {
            Value::None => String::new(),
            Value::Text(text) => text.clone(),
            Value::Count(number) | Value::Bytes(number) => number.to_string(),
            Value::Rate(rate) => whole(*rate).to_string(),
            Value::Number(number) => format!("{number:.3}"),
            Value::Flag(flag) => flag.to_string(),
        }
    }
}

/// Control characters in what others named would reach the terminal: they are shown as
/// escapes.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

/// A rate as a number of bytes; what is less than nothing or endless does not occur, and is
/// shown as an end of the range.
#[expect(
    clippy::cast_possible_truncation,
    reason = "casts of floating point saturate"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, Into::into)
    }
}

#[cfg(test)]
mod tests {
    //! Both forms of every value.

    use super::Value;

    #[test]
    fn forms() {
        for (value, shown, plain) in [
            (Value::None, "-", ""),
            (Value::from("größe"), "größe", "größe"),
            (Value::from("a\u{1b}[2J"), "a\\u{1b}[2J", "a\u{1b}[2J"),
            (Value::Count(12), "12", "12"),
            (Value::Bytes(3 << 29), "1.5G", "1610612736"),
            (Value::Rate(1_048_576.0), "1M/s", "1048576"),
            (Value::Number(2.25), "2.2", "2.250"),
            (Value::Flag(true), "yes", "true"),
            (Value::from(None::<String>), "-", ""),
        ] {
            assert_eq!(value.shown(false), shown);
            assert_eq!(value.plain(), plain);
        }
        assert_eq!(Value::Bytes(3 << 29).shown(true), "1610612736");
        assert_eq!(Value::Rate(0.4).shown(true), "0");
    }
}
