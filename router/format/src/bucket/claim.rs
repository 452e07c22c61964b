//! A grid's claim on a location: who may write under it.
//!
//! Owns: the claim's bytes. Does not own: racing for it, reading it back, adopting.
//!
//! | bytes | field (in an envelope with MAC and checksum, magic `VPOOLCLM`, version 1) |
//! | --- | --- |
//! | 16, 8, 16, 16 | grid, generation, pool, nonce |
//! | 8 | created, ms since 1970 |
//! | 16 | key check value |
//! | 4, … | length of the name, name |
//! | 4, … | length of the wrapped pool key, wrapped pool key |
//! | 4, … | length of the settings, settings |

use super::{NAME_BYTES_MAX, SETTINGS_BYTES_MAX, WRAPPED_KEY_BYTES_MAX, check_name};
use crate::envelope::{Envelope, MAC_BYTES, Mac, verify};
use crate::error::{Result, ensure};
use crate::ids::{Generation, GridId, PoolId};

const ENVELOPE: Envelope = Envelope {
    magic: *b"VPOOLCLM",
    version: 1,
    what: "claim",
};

/// A grid's claim on a location, one generation of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The grid.
    pub grid: GridId,
    /// The claim's generation, from 1.
    pub generation: Generation,
    /// The pool.
    pub pool: PoolId,
    /// The pool's name, 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The pool's key, wrapped; at most [`WRAPPED_KEY_BYTES_MAX`] bytes.
    pub wrapped_pool_key: Vec<u8>,
    /// Tells a wrong key before anything is written with it.
    pub key_check: [u8; 16],
    /// Wall clock, ms since 1970.
    pub created_ms: u64,
    /// The pool's settings, at most [`SETTINGS_BYTES_MAX`] bytes.
    pub settings: Vec<u8>,
    /// Who wrote it: tells the writer's own claim from a foreign one of the same name.
    pub nonce: u128,
}

impl Claim {
    /// Whether the fields are within their bounds.
    ///
    /// # Errors
    /// `BadValue`, naming what is wrong.
    pub fn check(&self) -> Result<()> {
        ensure(self.generation.0 > 0, "claim: generation")?;
        check_name(&self.name, "claim: name")?;
        ensure(
            self.wrapped_pool_key.len() <= WRAPPED_KEY_BYTES_MAX,
            "claim: wrapped key",
        )?;
        ensure(self.settings.len() <= SETTINGS_BYTES_MAX, "claim: settings")
    }

    /// What the MAC is over: everything before it.
    ///
    /// # Panics
    /// If [`check`](Self::check) fails.
    pub fn signed_bytes(&self) -> Vec<u8> {
        assert_eq!(
            self.check(),
            Ok(()),
            "the bounds were checked when the claim was made"
        );
        let mut to = ENVELOPE.begin();
        to.u128(self.grid.0);
        to.u64(self.generation.0);
        to.u128(self.pool.0);
        to.u128(self.nonce);
        to.u64(self.created_ms);
        to.bytes(&self.key_check);
        to.blob(self.name.as_bytes());
        to.blob(&self.wrapped_pool_key);
        to.blob(&self.settings);
        ENVELOPE.signed_bytes(to)
    }

    /// The claim's bytes, with MAC and checksum.
    ///
    /// # Panics
    /// If [`check`](Self::check) fails.
    pub fn encode(&self, mac: Mac<'_>) -> Vec<u8> {
        Envelope::sign(self.signed_bytes(), mac)
    }

    /// Reads a claim by its checksum alone, and gives its MAC: the caller unwraps the key and
    /// then asks [`verify`](Self::verify).
    ///
    /// # Errors
    /// Any kind but `BadCheck` and `NeedMore`.
    pub fn decode(bytes: &[u8]) -> Result<(Self, [u8; MAC_BYTES])> {
        let (mut from, tag) = ENVELOPE.open_unverified(bytes)?;
        let grid = GridId(from.u128()?);
        let generation = Generation(from.u64()?);
        let pool = PoolId(from.u128()?);
        let nonce = from.u128()?;
        let created_ms = from.u64()?;
        let key_check = from.array()?;
        let name = from.text(NAME_BYTES_MAX)?.to_owned();
        let wrapped_pool_key = from.blob(WRAPPED_KEY_BYTES_MAX)?.to_vec();
        let settings = from.blob(SETTINGS_BYTES_MAX)?.to_vec();
        from.finish()?;
        let claim = Claim {
            grid,
            generation,
            pool,
            name,
            wrapped_pool_key,
            key_check,
            created_ms,
            settings,
            nonce,
        };
        claim.check()?;
        Ok((claim, tag))
    }

    /// Verifies the MAC that [`decode`](Self::decode) gave.
    ///
    /// # Errors
    /// `BadChecksum`: the claim was not written by who has the pool's key.
    pub fn verify(&self, tag: &[u8; MAC_BYTES], mac: Mac<'_>) -> Result<()> {
        verify(&self.signed_bytes(), tag, mac, "claim: MAC")
    }
}
