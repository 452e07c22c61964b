//! Sealing and opening the chunks of one part.
//!
//! Owns: [`PartKey`]. Does not own: compression (`compress`), the salt, the layout around it.

use std::fmt;
use std::sync::Arc;

use vpool_format::segment::Codec;

use crate::aead::Aead;
use crate::clear::Inner;
use crate::context::ChunkContext;
use crate::error::Damaged;
use crate::pool::PoolSecrets;
use crate::{ContentId, RAW_BYTES_MAX, TAG_BYTES};

const WHAT: &str = "chunk";

/// Seals and opens the chunks of one part of a segment.
pub struct PartKey(Form);

enum Form {
    Clear(Arc<PoolSecrets>),
    Sealed(Box<Aead>),
}

impl PartKey {
    pub(crate) fn clear(pool: Arc<PoolSecrets>) -> PartKey {
        PartKey(Form::Clear(pool))
    }

    pub(crate) fn sealed(key: Aead) -> PartKey {
        PartKey(Form::Sealed(Box::new(key)))
    }

    /// Appends `bytes` (compressed, if `context` says so) as they are to be stored, followed
    /// by a tag of [`TAG_BYTES`]. Answers the chunk's content id where it fell out for free:
    /// for an uncompressed chunk of a clear disk. Otherwise `DiskKeys::content_id` of the
    /// bytes before compression is the content id.
    ///
    /// # Panics
    /// If this key of an encrypted disk has sealed the slot before: a nonce may not repeat.
    pub fn seal(
        &self,
        context: &ChunkContext,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<ContentId> {
        debug_assert!(bytes.len() <= RAW_BYTES_MAX, "longer than any chunk");
        let aad = context.encode();
        out.reserve(bytes.len() + TAG_BYTES);
        let start = out.len();
        out.extend_from_slice(bytes);
        match &self.0 {
            Form::Clear(pool) => {
                let inner = Inner::of(pool, bytes);
                out.extend_from_slice(&inner.tag(pool, &[&aad]));
                (context.codec == Codec::Raw).then(|| inner.content_id())
            }
            Form::Sealed(key) => {
                let tag = key.seal(u32::from(context.slot.0), &aad, &mut out[start..]);
                out.extend_from_slice(&tag);
                None
            }
        }
    }

    /// Verifies what [`seal`](Self::seal) made and appends the bytes without the tag (still
    /// compressed, if `context` says so). On an error nothing is appended. Answers the content
    /// id where it is free, as `seal` does.
    pub fn open(
        &self,
        context: &ChunkContext,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<ContentId>, Damaged> {
        let damaged = Damaged { what: WHAT };
        let (bytes, tag) = stored.split_last_chunk::<TAG_BYTES>().ok_or(damaged)?;
        if bytes.len() > RAW_BYTES_MAX {
            return Err(damaged);
        }
        let aad = context.encode();
        match &self.0 {
            Form::Clear(pool) => {
                let inner = Inner::of(pool, bytes);
                if !inner.fits(pool, &[&aad], tag) {
                    return Err(damaged);
                }
                out.extend_from_slice(bytes);
                Ok((context.codec == Codec::Raw).then(|| inner.content_id()))
            }
            Form::Sealed(key) => {
                let start = out.len();
                out.extend_from_slice(bytes);
                let slot = u32::from(context.slot.0);
                let opened = key.open(slot, &aad, &mut out[start..], tag, WHAT);
                if opened.is_err() {
                    out.truncate(start);
                }
                opened.map(|()| None)
            }
        }
    }
}

impl fmt::Debug for PartKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Form::Clear(_) => "PartKey(clear)",
            Form::Sealed(_) => "PartKey(sealed)",
        })
    }
}
