//! Conditional writes: what some stores offer beyond the trait, and many only seem to.
//!
//! Owns: [`Conditional`], which the [`probe`](crate::probe) tries out at pool creation.
//! Does not own: any decision. Correctness rests on Raft and on epochs in names; a
//! conditional put is at most a second lock, where a probe found that it works.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::Result;
use crate::key::Key;

/// An entity tag without the quotes around it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Etag(String);

impl Etag {
    /// The tag as a store gave it; one pair of quotes is taken off.
    pub fn new(tag: &str) -> Etag {
        let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        Etag(bare.unwrap_or(tag).to_owned())
    }

    /// The tag without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag as it stands in a header.
    pub fn in_form(&self, form: EtagForm) -> String {
        match form {
            EtagForm::Quoted => format!("\"{}\"", self.0),
            EtagForm::Unquoted => self.0.clone(),
        }
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a tag is written in `If-Match`: the standard has quotes, Ceph 16 wants none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtagForm {
    /// `"d41d8c"`, as the standard says.
    Quoted,
    /// `d41d8c`
    Unquoted,
}

/// What a store said to a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It says that it wrote.
    Applied,
    /// It says that the condition does not hold (412, or 409 for a race), and wrote nothing.
    Refused,
    /// It says that it knows no such request (400, 501).
    Unsupported,
}

/// Writes with a condition, and a write whose checksum follows the body. What a store
/// answers is reported as it is: believing it is the probe's business.
#[async_trait]
pub trait Conditional: Send + Sync + fmt::Debug {
    /// Puts if the name holds nothing (`If-None-Match: *`).
    async fn put_if_absent(&self, key: &Key, body: Bytes) -> Result<Outcome>;

    /// Puts if the name holds the object with this tag (`If-Match`), written in `form`.
    async fn put_if_match(
        &self,
        key: &Key,
        body: Bytes,
        etag: &Etag,
        form: EtagForm,
    ) -> Result<Outcome>;

    /// The tag of an object.
    async fn etag(&self, key: &Key) -> Result<Etag>;

    /// Puts with the checksum in a trailer after the body.
    async fn put_with_trailer(&self, key: &Key, body: Bytes) -> Result<Outcome>;
}
