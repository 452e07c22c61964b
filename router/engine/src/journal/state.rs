//! What is known of a journal besides what is in it: whether acknowledged writes may be gone.
//!
//! Owns: the state file beside the journal file. Does not own: to whom a loss is told (`vdisk`,
//! metadata). The note that a sync has failed is itself only in the page cache if the device is
//! dead: it outlives the process, which is what counts, since after a power cut every journal that
//! was open counts as lossy.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use vpool_format::journal::{JournalHealth, JournalState};
use vpool_format::{BLOCK_BYTES, PoolId};
use vpool_host::{File, Host, OpenMode};

/// Why acknowledged writes that no flush had covered may be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The machine has lost power, or was started anew: clients of this host went with it.
    PowerCut,
    /// A sync has failed: clients of this host may live on.
    FailedSync,
}

/// The state file of one journal.
#[derive(Debug)]
pub struct StateFile {
    file: Arc<dyn File>,
    pool: PoolId,
    boot_id: u128,
}

impl StateFile {
    /// Opens the state file of the journal at `journal`, and says what it told. `is_used`: the
    /// journal holds something. Writes nothing yet. Blocks.
    pub fn open(
        host: &Host,
        pool: PoolId,
        journal: &Path,
        is_used: bool,
    ) -> io::Result<(StateFile, Option<Loss>)> {
        let path = journal.with_extension("state");
        let file = host.files.open(&path, OpenMode::Create)?;
        let mut told = None;
        if file.size()? >= BLOCK_BYTES as u64 {
            let mut block = [0; BLOCK_BYTES];
            file.read_at(&mut block, 0)?;
            told = JournalState::decode(&block)
                .ok()
                .filter(|state| state.pool == pool);
        }
        let boot_id = host.clock.boot_id();
        let loss = match told {
            Some(state) if state.health == JournalHealth::Failed => Some(Loss::FailedSync),
            Some(state)
                if is_used
                    && (state.health == JournalHealth::Closed || state.boot_id == boot_id) =>
            {
                None
            }
            // Another boot; or the note is gone or torn, or the journal itself is gone. (A new
            // pool's journal is none of these and comes here too: it has no disk to owe to.)
            _ => Some(Loss::PowerCut),
        };
        let state = StateFile {
            file,
            pool,
            boot_id,
        };
        Ok((state, loss))
    }

    /// Notes how the journal stands now, in the page cache.
    pub fn note(&self, health: JournalHealth) -> io::Result<()> {
        let state = JournalState {
            pool: self.pool,
            boot_id: self.boot_id,
            health,
        };
        self.file.write_at(&[IoSlice::new(&state.encode())], 0)
    }

    /// Makes the note durable. Blocks.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
