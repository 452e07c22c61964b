//! Telling clients of acknowledged writes that may be lost.
//!
//! Owns: [`Owed`], who is still to be told; [`Told`], what an attachment has been told. Does not
//! own: when something may be lost (`journal::state`), keeping it over restarts (the metadata).
//!
//! The first flush of a machine fails. That answer may be lost with its connection, so it is
//! repeated until the machine has surely heard it: an attachment that was told goes on flushing a
//! while later, or takes leave in order, which a client does when it has all its answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use vpool_metadata::{ANY_MACHINE, THIS_HOST};

use super::VDisk;
use crate::error::{Error, ErrorKind, Result};

/// A flush that comes so long after the answer was not on its way already.
const HEARD_AFTER: Duration = Duration::from_secs(1);

/// The machines that are to be told.
#[derive(Debug, Default)]
pub(super) struct Owed {
    machines: BTreeSet<String>,
    /// Where every machine is owed: those that have heard.
    heard: BTreeSet<String>,
}

impl Owed {
    pub(super) fn new(machines: BTreeSet<String>) -> Owed {
        Owed {
            machines,
            heard: BTreeSet::new(),
        }
    }

    fn is_owed(&self, machine: &str) -> bool {
        let every = self.machines.contains(ANY_MACHINE) && !self.heard.contains(machine);
        self.machines.contains(machine) || every
    }

    /// The debt to a machine ends; whether the metadata is to know.
    fn pay(&mut self, machine: &str) -> bool {
        if self.machines.contains(ANY_MACHINE) {
            self.heard.insert(machine.to_owned());
        }
        self.machines.remove(machine)
    }
}

/// When an attachment was told.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Option<Instant>>);

impl VDisk {
    /// Fails if the machine is to be told, and has not heard.
    pub(super) fn tell_what_is_owed(self: &Arc<Self>, machine: &str, told: &Told) -> Result<()> {
        {
            let mut told = told.0.lock();
            if told.is_some_and(|at| at.elapsed() >= HEARD_AFTER) {
                self.heard(machine);
                return Ok(());
            }
            if !self.owed.lock().is_owed(machine) {
                return Ok(());
            }
            told.get_or_insert_with(Instant::now);
        }
        let whose = match machine {
            THIS_HOST => "this host",
            machine => machine,
        };
        let what = format!(
            "disk {}: writes of {whose} that were acknowledged and not flushed may be lost: the \
             journal could not keep them (failed sync, or power cut); check the guest's file \
             systems. A second later flushes are good again",
            self.name()
        );
        tracing::error!("{what}");
        Err(Error::new(ErrorKind::Io, what))
    }

    /// The client leaves with all its answers.
    pub(super) fn left(self: &Arc<Self>, machine: &str, told: &Told) {
        if told.0.lock().is_some() {
            self.heard(machine);
        }
    }

    /// The debt to a machine ends. Should keeping that fail, it hears it again.
    fn heard(self: &Arc<Self>, machine: &str) {
        if !self.owed.lock().pay(machine) {
            return;
        }
        let (disk, machine) = (self.clone(), machine.to_owned());
        tokio::spawn(async move {
            if let Err(error) = disk.pool.metadata().told(disk.entry.id, machine).await {
                tracing::warn!(disk = %disk.name(), %error, "a client is told of a loss again later");
            }
        });
    }
}
