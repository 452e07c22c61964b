//! Threads for work that nobody waits for yet: packing, zeroing ahead.
//!
//! Owns: [`Behind`], a few threads that step back behind the rest of the process. Does not own:
//! which work goes there.
//!
//! Clients are answered first: a burst is taken at the speed of the journal, and packed with what
//! it leaves of the CPUs. Where it leaves nothing, the journal fills, writers wait, and the CPUs
//! are free for packing. The threads are nice, not idle: one that holds a lock goes on in time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::Mutex;

/// About a ninth of the share of a thread of the usual priority (`sched_prio_to_weight` of Linux).
const NICE: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;

/// The threads; they end with the last owner of this.
pub struct Behind(mpsc::Sender<Work>);

impl Behind {
    /// Starts as many as there are CPUs.
    pub(crate) fn start() -> Behind {
        let (sender, receiver) = mpsc::channel::<Work>();
        let receiver = Arc::new(Mutex::new(receiver));
        let count = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..count {
            let receiver = receiver.clone();
            let started = thread::Builder::new()
                .name("vpool-behind".to_owned())
                .spawn(move || serve(&receiver));
            if let Err(error) = started {
                // What has started does the work; without any, the runtime's threads do.
                tracing::error!(%error, "a thread for background work could not be started");
            }
        }
        Behind(sender)
    }

    /// Runs `work` and gives its result, or the panic that ended it; `None` while the runtime
    /// is being shut down.
    pub(crate) async fn run<T, F>(&self, work: F) -> Option<thread::Result<T>>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let runtime = tokio::runtime::Handle::current();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let work = Box::new(move || {
            let _within = runtime.enter();
            // Who waited may have gone: the work is done all the same.
            drop(answer.send(catch_unwind(AssertUnwindSafe(work))));
        });
        if let Err(mpsc::SendError(work)) = self.0.send(work) {
            tokio::task::spawn_blocking(work);
        }
        answered.await.ok()
    }
}

fn serve(receiver: &Mutex<mpsc::Receiver<Work>>) {
    // 0 is the calling thread, to Linux.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "background work runs at the usual priority");
    }
    loop {
        let next = receiver.lock().recv();
        match next {
            Ok(work) => work(),
            Err(mpsc::RecvError) => return,
        }
    }
}

impl fmt::Debug for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Behind")
    }
}

#[cfg(test)]
mod tests {
    use super::Behind;

    #[tokio::test]
    async fn it_runs_behind_the_rest_and_outlives_a_panic() {
        let behind = Behind::start();
        let nice = || rustix::process::getpriority_process(None).expect("Linux tells");
        let usual = nice();
        for _ in 0..16 {
            let panicked = behind.run(|| panic!("as it must")).await;
            assert!(panicked.expect("it ran").is_err());
        }
        let there = behind.run(nice).await.expect("it ran").expect("no panic");
        assert_eq!(there, (usual + super::NICE).min(19));
        assert_eq!(nice(), usual);
    }
}
