//! Tasks as they are written down.
//!
//! Owns: the form: the task's number as the key (8 bytes, big-endian, so that they are in order), JSON
//! with a version as the value (`golden/task-1.json`). Does not own: which tasks are kept.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vpool_api::Task;
use vpool_host::{Batch, Durability, LocalStore, Table, TableKind};

/// Where they are.
pub(crate) const TABLE: Table = Table {
    name: "tasks",
    kind: TableKind::Durable,
};

/// The version that is written.
const VERSION: u32 = 1;

/// More than are ever kept.
const READ_MAX: usize = 100_000;

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    version: u32,
    task: Task,
}

/// The tasks in the local store.
#[derive(Debug, Clone)]
pub(super) struct Book {
    store: Arc<dyn LocalStore>,
}

impl Book {
    pub(super) fn new(store: Arc<dyn LocalStore>) -> Book {
        Book { store }
    }

    /// All of them, in order. What cannot be read (of a newer version) is left alone.
    pub(super) fn read(&self) -> io::Result<Vec<Task>> {
        let pairs = self.store.scan(TABLE.name, &[], None, READ_MAX)?;
        let task = |(key, value): (Vec<u8>, Vec<u8>)| match decode(&value) {
            Ok(task) => Some(task),
            Err(error) => {
                tracing::warn!(?key, %error, "a task cannot be read; it is left alone");
                None
            }
        };
        Ok(pairs.into_iter().filter_map(task).collect())
    }

    /// Writes some and forgets others, together.
    pub(super) fn write(&self, tasks: &[Task], forgotten: &[u64]) -> io::Result<()> {
        let mut batch = Batch::default();
        for task in tasks {
            batch.put(TABLE.name, task.id.to_be_bytes(), encode(task));
        }
        for id in forgotten {
            batch.delete(TABLE.name, id.to_be_bytes());
        }
        if batch.writes.is_empty() {
            return Ok(());
        }
        self.store.write(batch, Durability::Synced)
    }
}

fn encode(task: &Task) -> Vec<u8> {
    let page = Page {
        version: VERSION,
        task: task.clone(),
    };
    serde_json::to_vec(&page).expect("texts and numbers")
}

fn decode(value: &[u8]) -> Result<Task, String> {
    let page: Page = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    if page.version != VERSION {
        return Err(format!("it is of version {}", page.version));
    }
    Ok(page.task)
}

#[cfg(test)]
mod tests {
    //! The written form.

    use super::{decode, encode};

    #[test]
    fn the_first_version_reads_for_ever() {
        let golden = include_bytes!("../../golden/task-1.json");
        let task = decode(golden).expect("it was written once");
        assert_eq!((task.id, task.object.as_str()), (7, "default:vm1"));
        assert_eq!(decode(&encode(&task)), Ok(task));
        let newer = String::from_utf8_lossy(golden).replace("\"version\":1", "\"version\":2");
        assert!(decode(newer.as_bytes()).is_err());
        assert!(decode(b"{}").is_err());
    }
}
