//! Where work that blocks is run: on threads of its own, or in turn in a simulation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Runs blocking work without holding up the tasks of the runtime.
#[derive(Clone)]
pub enum Blocking {
    /// On the runtime's blocking threads.
    Threads,
    /// On the calling task, between two waits of simulated time whose lengths the function
    /// gives: other tasks run before and after, and the trace stays a function of the seed.
    Simulated(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl Blocking {
    /// Runs `work` and gives its result. A panic in it goes on in the caller.
    pub async fn run<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        match self {
            Blocking::Threads => match tokio::task::spawn_blocking(work).await {
                Ok(value) => value,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is being shut down: this task ends at its next await.
                    Err(_) => std::future::pending().await,
                },
            },
            Blocking::Simulated(delay) => {
                tokio::time::sleep(delay()).await;
                let value = work();
                tokio::time::sleep(delay()).await;
                value
            }
        }
    }
}

impl fmt::Debug for Blocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Blocking::Threads => "Threads",
            Blocking::Simulated(_) => "Simulated",
        })
    }
}
