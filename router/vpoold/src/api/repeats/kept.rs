//! Answers as they are written down.
//!
//! Owns: the form: the key as it was sent, JSON with a version as the value (`golden/answer-1.json`).
//! Does not own: which answers are kept.

use std::io;

use serde::{Deserialize, Serialize};
use vpool_host::{Batch, Durability, LocalStore, Table, TableKind};

/// Where they are.
pub(crate) const TABLE: Table = Table {
    name: "answers",
    kind: TableKind::Durable,
};

/// The version that is written.
const VERSION: u32 = 1;

/// More than are ever kept.
const READ_MAX: usize = 100_000;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) at_ms: u64,
    /// The hash of the request.
    pub(super) request: [u8; 32],
    pub(super) status: u16,
    pub(super) kind: Option<String>,
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    version: u32,
    at_ms: u64,
    request: String,
    status: u16,
    kind: Option<String>,
    /// Answers are JSON, which is text.
    body: String,
}

/// All that are kept. What cannot be read (of a newer version) is left alone.
pub(super) fn read(store: &dyn LocalStore) -> io::Result<Vec<(String, Kept)>> {
    let pairs = store.scan(TABLE.name, &[], None, READ_MAX)?;
    let kept = |(key, value): (Vec<u8>, Vec<u8>)| {
        let key = String::from_utf8(key).ok()?;
        match decode(&value) {
            Some(kept) => Some((key, kept)),
            None => {
                tracing::warn!("a kept answer cannot be read; it is left alone");
                None
            }
        }
    };
    Ok(pairs.into_iter().filter_map(kept).collect())
}

/// Writes one, if there is one, and forgets others, together.
pub(super) fn write(
    store: &dyn LocalStore,
    new: Option<(&str, &Kept)>,
    forgotten: &[String],
) -> io::Result<()> {
    let mut batch = Batch::default();
    for key in forgotten {
        batch.delete(TABLE.name, key.as_bytes());
    }
    if let Some((key, kept)) = new {
        batch.put(TABLE.name, key.as_bytes(), encode(kept));
    }
    if batch.writes.is_empty() {
        return Ok(());
    }
    store.write(batch, Durability::Synced)
}

fn encode(kept: &Kept) -> Vec<u8> {
    let page = Page {
        version: VERSION,
        at_ms: kept.at_ms,
        request: kept.request.iter().map(|b| format!("{b:02x}")).collect(),
        status: kept.status,
        kind: kept.kind.clone(),
        body: String::from_utf8_lossy(&kept.body).into_owned(),
    };
    serde_json::to_vec(&page).expect("texts and numbers")
}

fn decode(value: &[u8]) -> Option<Kept> {
    let page: Page = serde_json::from_slice(value).ok()?;
    let hash = blake3::Hash::from_hex(&page.request).ok()?;
    (page.version == VERSION).then(|| Kept {
        at_ms: page.at_ms,
        request: *hash.as_bytes(),
        status: page.status,
        kind: page.kind,
        body: page.body.into_bytes(),
    })
}

#[cfg(test)]
mod tests {
    //! The written form.

    use super::{decode, encode};

    #[test]
    fn the_first_version_reads_for_ever() {
        let golden = include_bytes!("../../../golden/answer-1.json");
        let kept = decode(golden).expect("it was written once");
        assert_eq!((kept.status, kept.request[0]), (200, 0x01));
        assert_eq!(kept.body, b"{\"name\":\"vm1\"}");
        assert_eq!(decode(&encode(&kept)), Some(kept));
        let newer = String::from_utf8_lossy(golden).replace("\"version\":1", "\"version\":2");
        assert_eq!(decode(newer.as_bytes()), None);
        assert_eq!(decode(b"{}"), None);
    }
}
