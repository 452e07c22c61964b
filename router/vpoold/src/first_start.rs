//! The pool `default` and the disk `demo`: made once, found again ever after.
//!
//! Owns: deciding between making, opening and adopting. Does not own: how each is done.
//!
//! | metadata | `objects/` | what happens |
//! | --- | --- | --- |
//! | has the pool | | it is opened |
//! | has it not | empty | the pool is made, and the disk |
//! | has it not | holds a claim | it is adopted, with the disks in it |
//!
//! The lock in `objects/` proves that no other daemon uses them here, so that adopting them
//! takes them from nobody.

use anyhow::{Context, anyhow};
use vpool_api::{Code, CreateDisk, Problem};
use vpool_metadata::{Location, PoolEntry};

use crate::daemon::Daemon;
use crate::databases::Meta;

/// The pool on `objects/`.
pub(crate) const POOL: &str = "default";

/// The disk that `vpoold dev` begins with.
pub(crate) const DISK: &str = "demo";

const DISK_BYTES: u64 = 10 << 30;

/// The fact that the pool was made once (and perhaps deleted since).
const POOL_MADE: &str = "default pool made";

/// The fact that the disk was made once (and perhaps deleted since), or came otherwise.
const DISK_MADE: &str = "demo disk made";

/// Opens, makes or adopts the pool `default`; `objects` is its locked directory.
pub(crate) async fn default_pool(
    daemon: &Daemon,
    meta: &Meta,
    known: Option<PoolEntry>,
    others: &[PoolEntry],
    objects: &str,
) -> anyhow::Result<()> {
    if let Some(entry) = known {
        let opened = daemon.open_pool(entry).await;
        return opened
            .map_err(explain)
            .with_context(|| format!("cannot open pool {POOL}"))
            .and_then(|()| meta.note(POOL_MADE));
    }
    let location = Location::Directory(objects.to_owned());
    // Deleted by somebody since, or adopted under another name: it is not for us to undo that.
    if meta.knows(POOL_MADE)? || others.iter().any(|pool| pool.location == location) {
        return Ok(());
    }
    match daemon.create_pool(POOL, location.clone()).await {
        Ok(_) => return meta.note(POOL_MADE),
        Err(problem) if problem.code == Code::Conflict => {
            tracing::info!(objects, "the objects there belong to a pool; it is adopted");
        }
        Err(problem) => {
            return Err(explain(problem)).with_context(|| format!("cannot make pool {POOL}"));
        }
    }
    // Before anything is adopted: whatever comes in between, no second disk is made.
    meta.note(DISK_MADE)?;
    let adopted = daemon
        .adopt_pool(Some(POOL), location, true)
        .await
        .map_err(explain)
        .with_context(|| format!("cannot adopt the pool in {objects}"))?;
    tracing::info!(pool = %adopted.pool, disks = ?adopted.disks, "the pool was adopted");
    meta.note(POOL_MADE)
}

/// Makes the disk `demo`, the first time.
pub(crate) async fn demo_disk(daemon: &Daemon, meta: &Meta) -> anyhow::Result<()> {
    if meta.knows(DISK_MADE)? || daemon.pool(POOL).is_err() {
        return Ok(());
    }
    let request = CreateDisk {
        pool: Some(POOL.to_owned()),
        name: DISK.to_owned(),
        size_bytes: DISK_BYTES,
        encrypt: false,
    };
    match daemon.create_disk(&request).await {
        Ok(_) => {}
        // Made by an earlier start that did not come to note it.
        Err(problem) if problem.code == Code::Conflict => {}
        Err(problem) => {
            return Err(explain(problem)).with_context(|| format!("cannot make disk {DISK}"));
        }
    }
    meta.note(DISK_MADE)
}

fn explain(problem: Problem) -> anyhow::Error {
    match problem.hint {
        Some(hint) => anyhow!("{} ({hint})", problem.detail),
        None => anyhow!(problem.detail),
    }
}
