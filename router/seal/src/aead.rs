//! AES-256-GCM under a key that seals each place once.
//!
//! Owns: [`Aead`], the only user of the cipher in this crate, the derivation of its keys and the
//! guard against a repeated nonce. Does not own: what is sealed and what it is bound to.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroize;

use crate::TAG_BYTES;
use crate::error::Damaged;
use crate::secret::{KEY_BYTES, Secret};

/// Places that one key may seal: 0 up to here. Slots are 16 bits wide, pages, journal blocks of
/// an extent and entries of a cache zone are fewer.
const PLACES_MAX: usize = 1 << 16;
/// Words of the bitmap of used places.
const WORDS: usize = PLACES_MAX / 64;

/// A cipher key of one part, object, extent or zone.
pub(crate) struct Aead {
    key: LessSafeKey,
    /// Which places this key has sealed; made at the first seal, as most keys only open.
    used: OnceLock<Box<[AtomicU64]>>,
    #[cfg(any(test, feature = "audit"))]
    fingerprint: [u8; 32],
}

impl Aead {
    /// The key for one purpose and salt: HKDF-SHA256 of a longer-lived secret.
    pub(crate) fn derive(secret: &Secret, salt: &[u8; 32], purpose: &'static str) -> Aead {
        let mut bytes = [0; KEY_BYTES];
        Salt::new(HKDF_SHA256, salt)
            .extract(secret.expose())
            .expand(&[purpose.as_bytes()], KeyLength)
            .and_then(|key| key.fill(&mut bytes))
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("the key is 32 bytes long");
        #[cfg(any(test, feature = "audit"))]
        let fingerprint = crate::audit::fingerprint(&bytes);
        bytes.zeroize();
        Aead {
            key: LessSafeKey::new(key),
            used: OnceLock::new(),
            #[cfg(any(test, feature = "audit"))]
            fingerprint,
        }
    }

    /// Encrypts `bytes` in place, bound to `aad`.
    ///
    /// # Panics
    /// If this key has sealed `place` before, or if there is no such place: going on would give
    /// the key away.
    pub(crate) fn seal(&self, place: u32, aad: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        self.mark_used(place);
        #[cfg(any(test, feature = "audit"))]
        crate::audit::record(&self.fingerprint, u64::from(place));
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(place), Aad::from(aad), bytes)
            .expect("sealing fails only beyond 64 GiB");
        tag.as_ref().try_into().expect("a GCM tag has 16 bytes")
    }

    /// Decrypts `bytes` in place. If they do not verify they hold nothing of use afterwards.
    pub(crate) fn open(
        &self,
        place: u32,
        aad: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
        what: &'static str,
    ) -> Result<(), Damaged> {
        match self
            .key
            .open_in_place_separate_tag(nonce(place), Aad::from(aad), tag, bytes)
        {
            Ok(_) => Ok(()),
            Err(_) => {
                bytes.fill(0);
                Err(Damaged { what })
            }
        }
    }

    fn mark_used(&self, place: u32) {
        let place = usize::try_from(place).expect("a u32 fits a usize here");
        assert!(place < PLACES_MAX, "no such place to seal: {place}");
        let used = self
            .used
            .get_or_init(|| (0..WORDS).map(|_| AtomicU64::new(0)).collect());
        let bit = 1 << (place % 64);
        let before = used[place / 64].fetch_or(bit, Ordering::Relaxed);
        assert!(
            before & bit == 0,
            "place {place} sealed twice under one key"
        );
    }
}

/// The nonce of a place: its number, little-endian, then zeroes.
fn nonce(place: u32) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[..4].copy_from_slice(&place.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Asks HKDF for the length of one key.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}
