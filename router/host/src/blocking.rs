//! Where work that blocks is run: on threads of its own, or in turn in a simulation.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::behind::Behind;

/// Runs blocking work without holding up the tasks of the runtime.
#[derive(Clone)]
pub enum Blocking {
    /// On the runtime's blocking threads, and some of lower priority.
    Threads(Arc<Behind>),
    /// On the calling task, between two waits of simulated time whose lengths the function
    /// gives: other tasks run before and after, and the trace stays a function of the seed.
    Simulated(Arc<Delay>),
}

impl Blocking {
    /// Runs `work` and gives its result. A panic in it goes on in the caller.
    pub async fn run<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self {
            Blocking::Threads(_) => match tokio::task::spawn_blocking(work).await {
                Ok(value) => value,
                Err(error) => finish(error.try_into_panic().ok().map(Err)).await,
            },
            Blocking::Simulated(delay) => simulate(work, delay).await,
        }
    }

    /// The same for work that can wait while clients keep the CPUs busy.
    pub async fn run_behind<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self {
            Blocking::Threads(behind) => finish(behind.run(work).await).await,
            Blocking::Simulated(delay) => simulate(work, delay).await,
        }
    }
}

async fn finish<T>(ended: Option<thread::Result<T>>) -> T {
    match ended {
        Some(Ok(value)) => value,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        // The runtime is being shut down: this task ends at its next await.
        None => std::future::pending().await,
    }
}

type Delay = dyn Fn() -> Duration + Send + Sync;

async fn simulate<T>(work: impl FnOnce() -> T, delay: &Arc<Delay>) -> T {
    tokio::time::sleep(delay()).await;
    let value = work();
    tokio::time::sleep(delay()).await;
    value
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Blocking::Threads(_) => "Threads",
            Blocking::Simulated(_) => "Simulated",
        })
    }
}
