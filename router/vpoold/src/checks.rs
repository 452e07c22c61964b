//! What the daemon stands on: the device of its journal, space, memory, certificates.
//!
//! Owns: which checks there are, that they end, and that one is at it at a time. Does not own: any of
//! them (`device`, `certificates`), what `vpool doctor` looks at beside them.
//!
//! Nothing is written but one file in `journal/`, which has no name any more once it is open.

mod certificates;
mod device;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vpool_api::{Check, CheckState, Code, Pool, Problem};

use crate::config::Settings;

/// A device that takes longer for its part hangs.
const DEVICE_TIME_MAX: Duration = Duration::from_secs(10);

/// Looks, when it is asked to.
#[derive(Debug)]
pub(crate) struct Checks {
    data_dir: PathBuf,
    /// As they were read last.
    settings: Mutex<Settings>,
    /// Held while the device is looked at: one that hangs is not asked again and again.
    device: Arc<tokio::sync::Mutex<()>>,
}

impl Checks {
    /// Of a daemon on this directory.
    pub(crate) fn new(data_dir: PathBuf, settings: Settings) -> Checks {
        Checks {
            data_dir,
            settings: Mutex::new(settings),
            device: Arc::default(),
        }
    }

    /// The settings were read again.
    pub(crate) fn set(&self, settings: Settings) {
        *self.settings.lock() = settings;
    }

    /// Looks at everything. [`Code::Busy`] while the device is looked at for somebody else.
    pub(crate) async fn run(&self, pools: Vec<Pool>) -> Result<Vec<Check>, Problem> {
        let Ok(turn) = self.device.clone().try_lock_owned() else {
            let detail = "the journal's device is being looked at already";
            return Err(Problem::new(Code::Busy, detail).with_hint("repeat it in a while"));
        };
        let (data_dir, settings) = (self.data_dir.clone(), self.settings.lock().clone());
        let looking = tokio::task::spawn_blocking(move || {
            let mut checks = device::checks(&data_dir.join("journal"));
            checks.extend(settings::checks(&data_dir, &settings));
            checks.extend(certificates::checks(&settings, &pools));
            drop(turn);
            checks
        });
        match tokio::time::timeout(DEVICE_TIME_MAX, looking).await {
            Ok(Ok(checks)) => Ok(checks),
            Ok(Err(_)) => Err(Problem::new(
                Code::Internal,
                "a check ended by a bug in the daemon",
            )),
            Err(_) => {
                let detail =
                    format!("the journal's device has not answered for {DEVICE_TIME_MAX:?}");
                let check = Check::new("journal_sync", CheckState::Wrong, detail);
                Ok(vec![check.with_remedy(
                    "see the kernel's log (dmesg): the device hangs, or is far too slow",
                )])
            }
        }
    }
}
