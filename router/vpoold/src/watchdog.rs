//! Telling the service manager that the daemon is alive, for as long as it is.
//!
//! Owns: what alive means, and how often it is said. Does not own: the message (`notify.rs`).
//!
//! Alive is: the runtime runs new tasks on its threads, and the state of every disk can be read,
//! for which the locks of log, shipping and index must be free. Neither asks a store anything: a
//! store that is dead or hangs is a matter for journal and back-pressure, and a restart would
//! mend nothing.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::Daemon;
use crate::notify::Notify;

/// Says it so many times within the time after which the service manager gives up.
const TIMES: u32 = 4;

/// Tells the service manager, for ever, that the daemon is alive; `patience` is the time after
/// which that gives up.
pub(crate) async fn run(patience: Duration, notify: Arc<Notify>, daemon: Arc<Daemon>) {
    let moves = || {
        let daemon = daemon.clone();
        // In a task of its own: a thread of the runtime must be free to take it.
        let look = tokio::spawn(async move { drop(daemon.disks(None)) });
        async move {
            if let Err(error) = look.await {
                // It has panicked, which is in the log with its place: that is alive.
                tracing::error!(%error, "the state of the disks could not be read");
            }
        }
    };
    watch(patience, moves, || notify.alive()).await;
}

/// Calls `say` whenever what `moves` begins has come to its end, and a quarter of `patience` has
/// passed since.
async fn watch<F: Future<Output = ()>>(patience: Duration, moves: impl Fn() -> F, say: impl Fn()) {
    // A pause of nothing is none; what is asked for is a second and more.
    let mut ticks = interval((patience / TIMES).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        moves().await;
        say();
    }
}

#[cfg(test)]
mod tests {
    //! It speaks while things move, and is silent while they do not.

    use super::watch;
    use std::cell::Cell;
    use std::time::Duration;
    use tokio::sync::RwLock;

    #[tokio::test(start_paused = true)]
    async fn it_is_silent_while_nothing_moves() {
        let (gate, said) = (RwLock::new(()), Cell::new(0));
        let pass = || async { drop(gate.read().await) };
        let watching = watch(Duration::from_secs(8), pass, || said.set(said.get() + 1));
        let script = async {
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert!((9..=11).contains(&said.get()), "{}", said.get());
            let shut = gate.write().await;
            let before = said.get();
            tokio::time::sleep(Duration::from_secs(100)).await;
            assert_eq!(said.get(), before, "nothing moved");
            drop(shut);
            tokio::time::sleep(Duration::from_secs(20)).await;
            assert!(said.get() >= before + 9, "it moves again: {}", said.get());
        };
        tokio::select! {
            () = watching => unreachable!("it has no end"),
            () = script => {}
        }
    }
}
