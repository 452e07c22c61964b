//! A pool record: a change of a pool's name, settings or wrapped key after its claim.
//!
//! Owns: the record's bytes. Does not own: the numbering.
//!
//! | bytes | field (in an envelope with MAC and checksum, magic `VPOOLREC`, version 1) |
//! | --- | --- |
//! | 16, 8, 8 | pool, number, generation |
//! | 8 | wall clock, ms since 1970 |
//! | 4, … | length of the name, name |
//! | 4, … | length of the wrapped pool key, wrapped pool key |
//! | 4, … | length of the settings, settings |

use super::{NAME_BYTES_MAX, SETTINGS_BYTES_MAX, WRAPPED_KEY_BYTES_MAX, check_name};
use crate::envelope::{Envelope, MAC_BYTES, Mac, verify};
use crate::error::{Result, ensure};
use crate::ids::{Generation, PoolId};

const ENVELOPE: Envelope = Envelope {
    magic: *b"VPOOLREC",
    version: 1,
    what: "pool record",
};

/// What a pool is from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRecord {
    /// The pool.
    pub pool: PoolId,
    /// The record's number, from 1; the greatest counts.
    pub number: u64,
    /// The claim under which it was written.
    pub generation: Generation,
    /// The pool's name, 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The pool's key, wrapped; at most [`WRAPPED_KEY_BYTES_MAX`] bytes.
    pub wrapped_pool_key: Vec<u8>,
    /// The pool's settings, at most [`SETTINGS_BYTES_MAX`] bytes.
    pub settings: Vec<u8>,
    /// Wall clock, ms since 1970.
    pub wall_ms: u64,
}

impl PoolRecord {
    /// Whether the fields are within their bounds.
    ///
    /// # Errors
    /// `BadValue`, naming what is wrong.
    pub fn check(&self) -> Result<()> {
        ensure(self.number > 0, "pool record: number")?;
        check_name(&self.name, "pool record: name")?;
        ensure(
            self.wrapped_pool_key.len() <= WRAPPED_KEY_BYTES_MAX,
            "pool record: wrapped key",
        )?;
        ensure(
            self.settings.len() <= SETTINGS_BYTES_MAX,
            "pool record: settings",
        )
    }

    /// What the MAC is over: everything before it.
    ///
    /// # Panics
    /// If [`check`](Self::check) fails.
    pub fn signed_bytes(&self) -> Vec<u8> {
        assert_eq!(
            self.check(),
            Ok(()),
            "the bounds were checked when the change was asked for"
        );
        let mut to = ENVELOPE.begin();
        to.u128(self.pool.0);
        to.u64(self.number);
        to.u64(self.generation.0);
        to.u64(self.wall_ms);
        to.blob(self.name.as_bytes());
        to.blob(&self.wrapped_pool_key);
        to.blob(&self.settings);
        ENVELOPE.signed_bytes(to)
    }

    /// The record's bytes, with MAC and checksum.
    ///
    /// # Panics
    /// If [`check`](Self::check) fails.
    pub fn encode(&self, mac: Mac<'_>) -> Vec<u8> {
        Envelope::sign(self.signed_bytes(), mac)
    }

    /// Reads a record by its checksum alone, and gives its MAC: the caller unwraps the key
    /// and then asks [`verify`](Self::verify).
    ///
    /// # Errors
    /// Any kind but `BadCheck` and `NeedMore`.
    pub fn decode(bytes: &[u8]) -> Result<(Self, [u8; MAC_BYTES])> {
        let (mut from, tag) = ENVELOPE.open_unverified(bytes)?;
        let pool = PoolId(from.u128()?);
        let number = from.u64()?;
        let generation = Generation(from.u64()?);
        let wall_ms = from.u64()?;
        let name = from.text(NAME_BYTES_MAX)?.to_owned();
        let wrapped_pool_key = from.blob(WRAPPED_KEY_BYTES_MAX)?.to_vec();
        let settings = from.blob(SETTINGS_BYTES_MAX)?.to_vec();
        from.finish()?;
        let record = PoolRecord {
            pool,
            number,
            generation,
            name,
            wrapped_pool_key,
            settings,
            wall_ms,
        };
        record.check()?;
        Ok((record, tag))
    }

    /// Verifies the MAC that [`decode`](Self::decode) gave.
    ///
    /// # Errors
    /// `BadChecksum`: the record was not written by who has the pool's key.
    pub fn verify(&self, tag: &[u8; MAC_BYTES], mac: Mac<'_>) -> Result<()> {
        verify(&self.signed_bytes(), tag, mac, "pool record: MAC")
    }
}
