//! The grid key: what an operator keeps, and the line of text it is kept as.
//!
//! Owns: [`GridKey`] and its text form. Does not own: the file.
//!
//! `vpool-grid-key-1 <64 hexadecimal digits> <8 more: a check>`. The check is there so that a
//! damaged file is told from the key of another grid.

use std::fmt;

use vpool_format::PoolId;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{KeyTextError, UnwrapError};
use crate::pool::PoolKey;
use crate::secret::{KEY_BYTES, Secret, equal};
use crate::wrap::{self, KeyId, Kind};

/// What the line begins with.
pub(crate) const VERSION_WORD: &str = "vpool-grid-key-1";

/// The key that wraps the pool keys of a grid.
#[derive(Clone, PartialEq, Eq)]
pub struct GridKey(Secret);

impl GridKey {
    /// A fresh one.
    pub fn generate(fill: &mut crate::Fill<'_>) -> GridKey {
        GridKey(Secret::generate(fill))
    }

    /// The key in the text of a key file; spaces and line ends around it do not matter.
    pub fn parse(text: &str) -> Result<GridKey, KeyTextError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyTextError::Empty);
        }
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some(VERSION_WORD) {
            return Err(KeyTextError::Version);
        }
        let (Some(digits), Some(check_digits)) = (words.next(), words.next()) else {
            return Err(KeyTextError::Digits);
        };
        if words.next().is_some() {
            return Err(KeyTextError::TooLong);
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let mut expected = [0; 4];
        if !from_hex(digits, &mut bytes[..]) || !from_hex(check_digits, &mut expected) {
            return Err(KeyTextError::Digits);
        }
        let key = GridKey(Secret::take(&mut bytes));
        if equal(&key.check(), &expected) {
            Ok(key)
        } else {
            Err(KeyTextError::Check)
        }
    }

    /// The text of a key file, with a line end.
    pub fn to_text(&self) -> Zeroizing<String> {
        // Long enough from the start: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str(VERSION_WORD);
        text.push(' ');
        push_hex(self.0.expose(), &mut text);
        text.push(' ');
        push_hex(&self.check(), &mut text);
        text.push('\n');
        text
    }

    /// Names the key, as errors do.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }

    /// Wraps a pool's key. Wrapping again (to rotate the grid key) rewrites no data.
    pub fn wrap(&self, key: &PoolKey, pool: PoolId, fill: &mut crate::Fill<'_>) -> Vec<u8> {
        wrap::wrap(Kind::Pool, &self.0, pool.0, key.secret(), fill)
    }

    /// The key of `pool` in `wrapped`.
    pub fn unwrap(&self, wrapped: &[u8], pool: PoolId) -> Result<PoolKey, UnwrapError> {
        wrap::unwrap(Kind::Pool, &self.0, pool.0, wrapped).map(PoolKey::from_secret)
    }

    fn check(&self) -> [u8; 4] {
        let derived = self.0.derive("vpool v1 grid key text check");
        *derived.expose().first_chunk().expect("a key has 32 bytes")
    }
}

impl fmt::Debug for GridKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GridKey({})", self.id())
    }
}

/// Appends two lower-case digits a byte.
fn push_hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from_digit(nibble.into(), 16).expect("a nibble is below 16"));
        }
    }
}

/// Fills `out` from exactly as many digits; on `false` it is wiped.
fn from_hex(digits: &str, out: &mut [u8]) -> bool {
    let mut digits = digits.chars().map(|digit| digit.to_digit(16));
    for byte in out.iter_mut() {
        match (digits.next().flatten(), digits.next().flatten()) {
            (Some(high), Some(low)) => {
                *byte = u8::try_from(high << 4 | low).expect("two digits make a byte");
            }
            _ => {
                out.zeroize();
                return false;
            }
        }
    }
    digits.next().is_none()
}
