//! Sealing and opening the index pages of one object.
//!
//! Owns: [`PageKey`]. Does not own: the layout of a page (`vpool-format`), the object's salt.

use std::fmt;
use std::sync::Arc;

use crate::TAG_BYTES;
use crate::aead::Aead;
use crate::clear::Inner;
use crate::context::PageContext;
use crate::error::Damaged;
use crate::pool::PoolSecrets;

const WHAT: &str = "index page";

/// Seals and opens the index pages of one object. The object's salt is part of the key, or of
/// what the tag covers: a page of another object of the same segments is refused.
pub struct PageKey(Form);

enum Form {
    Clear(Arc<PoolSecrets>, [u8; 32]),
    Sealed(Box<Aead>),
}

impl PageKey {
    pub(crate) fn clear(pool: Arc<PoolSecrets>, object_salt: [u8; 32]) -> PageKey {
        PageKey(Form::Clear(pool, object_salt))
    }

    pub(crate) fn sealed(key: Aead) -> PageKey {
        PageKey(Form::Sealed(Box::new(key)))
    }

    /// Appends `page` as it is to be stored, followed by a tag of [`TAG_BYTES`].
    ///
    /// # Panics
    /// If this key of an encrypted disk has sealed the page before: a nonce may not repeat.
    pub fn seal(&self, context: &PageContext, page: &[u8], out: &mut Vec<u8>) {
        let aad = context.encode();
        out.reserve(page.len() + TAG_BYTES);
        let start = out.len();
        out.extend_from_slice(page);
        let tag = match &self.0 {
            Form::Clear(pool, salt) => Inner::of(pool, page).tag(pool, &[&aad, salt]),
            Form::Sealed(key) => key.seal(context.page, &aad, &mut out[start..]),
        };
        out.extend_from_slice(&tag);
    }

    /// Verifies what [`seal`](Self::seal) made and appends the page. On an error nothing is
    /// appended.
    pub fn open(
        &self,
        context: &PageContext,
        stored: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Damaged> {
        let damaged = Damaged { what: WHAT };
        let (page, tag) = stored.split_last_chunk::<TAG_BYTES>().ok_or(damaged)?;
        let aad = context.encode();
        match &self.0 {
            Form::Clear(pool, salt) => {
                if !Inner::of(pool, page).fits(pool, &[&aad, salt], tag) {
                    return Err(damaged);
                }
                out.extend_from_slice(page);
                Ok(())
            }
            Form::Sealed(key) => {
                let start = out.len();
                out.extend_from_slice(page);
                let opened = key.open(context.page, &aad, &mut out[start..], tag, WHAT);
                if opened.is_err() {
                    out.truncate(start);
                }
                opened
            }
        }
    }
}

impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Form::Clear(..) => "PageKey(clear)",
            Form::Sealed(_) => "PageKey(sealed)",
        })
    }
}
