//! One verb on several names.
//!
//! Owns: going on after a failure, what is printed and what all of it exits with. Does not own:
//! the verb.

use crate::failure::{Exit, Failure, sum};

/// Does `verb` with each name. One that fails does not keep the others from being done.
pub(crate) async fn each<N, T>(
    names: &[N],
    mut verb: impl AsyncFnMut(&N) -> Result<T, Failure>,
) -> (Vec<T>, Result<(), Failure>) {
    let (mut done, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match verb(name).await {
            Ok(value) => done.push(value),
            Err(failure) if names.len() == 1 => return (done, Err(failure)),
            // Where nobody answers or listens the next name fares no better.
            Err(failure) if matches!(failure.exit(), Exit::Closed | Exit::Unreachable) => {
                return (done, Err(failure));
            }
            Err(failure) => {
                failure.print();
                failures.push(failure);
            }
        }
    }
    (done, sum(names.len(), &failures))
}
