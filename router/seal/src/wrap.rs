//! One key wrapped by another: sealed under it, bound to the pool or disk that it is for.
//!
//! Owns: the wrapped form below. Does not own: which key wraps which (`pool`, `grid_key`).
//!
//! | at | bytes | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic `VPWK` |
//! | 4 | 2 | version, 1 (AES-256-GCM under HKDF-SHA256 of the wrapping key and the salt) |
//! | 6 | 2 | what is wrapped: 1 a pool key, 2 a data key |
//! | 8 | 8 | id of the wrapping key |
//! | 16 | 32 | salt, fresh at each wrapping: no (key, nonce) repeats, whatever is wrapped again |
//! | 48 | 32 | the key, encrypted, nonce 0 |
//! | 80 | 16 | tag; associated data: bytes 0 to 47, then the 16-byte id of the pool or disk |

use std::fmt;

use crate::aead::Aead;
use crate::error::UnwrapError;
use crate::secret::{KEY_BYTES, Secret};

/// Length of a wrapped key.
pub const WRAPPED_KEY_BYTES: usize = 96;

const MAGIC: &[u8; 4] = b"VPWK";
const VERSION: u16 = 1;
const AT_KEY_ID: usize = 8;
const AT_SALT: usize = 16;
const AT_KEY: usize = 48;
const AT_TAG: usize = 80;

/// Names a key without telling anything about it: to say which key is needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    pub(crate) fn of(key: &Secret) -> KeyId {
        let derived = key.derive("vpool v1 key id");
        KeyId(*derived.expose().first_chunk().expect("a key has 32 bytes"))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What is wrapped, and by what.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A pool key, by a grid key.
    Pool,
    /// A data key, by a pool key.
    Data,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::Pool => 1,
            Kind::Data => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Pool => "pool key",
            Kind::Data => "data key",
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Kind::Pool => "vpool v1 wrap a pool key",
            Kind::Data => "vpool v1 wrap a data key",
        }
    }
}

/// Wraps `key` by `by`, bound to `owner` (a pool's or a disk's id).
pub(crate) fn wrap(
    kind: Kind,
    by: &Secret,
    owner: u128,
    key: &Secret,
    fill: &mut crate::Fill<'_>,
) -> Vec<u8> {
    let mut salt = [0; 32];
    fill(&mut salt);
    let mut out = Vec::with_capacity(WRAPPED_KEY_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&kind.number().to_le_bytes());
    out.extend_from_slice(&KeyId::of(by).0);
    out.extend_from_slice(&salt);
    let aad = associated(&out, owner);
    out.extend_from_slice(key.expose());
    let tag = Aead::derive(by, &salt, kind.purpose()).seal(0, &aad, &mut out[AT_KEY..]);
    out.extend_from_slice(&tag);
    out
}

/// The key in `wrapped`, if `by` wrapped it for `owner`.
pub(crate) fn unwrap(
    kind: Kind,
    by: &Secret,
    owner: u128,
    wrapped: &[u8],
) -> Result<Secret, UnwrapError> {
    let what = kind.name();
    let wrapped: &[u8; WRAPPED_KEY_BYTES] = wrapped
        .try_into()
        .map_err(|_| UnwrapError::Unknown { what })?;
    let [v0, v1, k0, k1] = [wrapped[4], wrapped[5], wrapped[6], wrapped[7]];
    if wrapped[..4] != *MAGIC
        || u16::from_le_bytes([v0, v1]) != VERSION
        || u16::from_le_bytes([k0, k1]) != kind.number()
    {
        return Err(UnwrapError::Unknown { what });
    }
    let wrapped_by = KeyId(field(wrapped, AT_KEY_ID));
    let offered = KeyId::of(by);
    if wrapped_by != offered {
        return Err(UnwrapError::WrongKey {
            what,
            wrapped_by,
            offered,
        });
    }
    let salt = field(wrapped, AT_SALT);
    let mut key: [u8; KEY_BYTES] = field(wrapped, AT_KEY);
    let aad = associated(&wrapped[..AT_KEY], owner);
    Aead::derive(by, &salt, kind.purpose())
        .open(0, &aad, &mut key, &field(wrapped, AT_TAG), what)
        .map_err(|_| UnwrapError::Damaged { what })?;
    Ok(Secret::take(&mut key))
}

/// Header, salt and owner.
fn associated(head: &[u8], owner: u128) -> [u8; AT_KEY + 16] {
    let mut aad = [0; AT_KEY + 16];
    aad[..AT_KEY].copy_from_slice(head);
    aad[AT_KEY..].copy_from_slice(&owner.to_le_bytes());
    aad
}

/// `N` bytes at a fixed place.
fn field<const N: usize>(wrapped: &[u8; WRAPPED_KEY_BYTES], at: usize) -> [u8; N] {
    wrapped[at..at + N]
        .try_into()
        .expect("the fields lie inside")
}

const _: () = assert!(AT_TAG + 16 == WRAPPED_KEY_BYTES && AT_KEY + KEY_BYTES == AT_TAG);
