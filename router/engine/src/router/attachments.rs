//! Who is attached to a disk.
//!
//! Owns: the count of each machine's clients. Does not own: what they may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vpool_metadata::THIS_HOST;

/// The clients of one disk, by their machine.
#[derive(Debug, Default)]
pub(super) struct Attachments(Mutex<BTreeMap<Arc<str>, usize>>);

impl Attachments {
    /// Counts a client on `machine` while the answer lives.
    pub(super) fn add(self: &Arc<Self>, machine: Arc<str>) -> Arc<Attachment> {
        *self.0.lock().entry(machine.clone()).or_default() += 1;
        Arc::new(Attachment {
            all: self.clone(),
            machine,
        })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.lock().values().sum()
    }

    /// Who they are, in words.
    pub(super) fn clients(&self) -> Vec<String> {
        let clients = self.0.lock();
        let line = |(machine, count): (&Arc<str>, &usize)| {
            let machine = match &**machine {
                THIS_HOST => "this host",
                machine => machine,
            };
            match count {
                1 => machine.to_owned(),
                count => format!("{machine} ({count} connections)"),
            }
        };
        clients.iter().map(line).collect()
    }
}

/// Counts one client of a disk while it lives.
#[derive(Debug)]
pub struct Attachment {
    all: Arc<Attachments>,
    machine: Arc<str>,
}

impl Attachment {
    /// The client's machine; [`THIS_HOST`] is this one.
    pub fn machine(&self) -> &Arc<str> {
        &self.machine
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        if let Some(count) = all.get_mut(&self.machine) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.machine);
            }
        }
    }
}
