//! Asking before what cannot be undone.
//!
//! Owns: the question, and that it is never taken as answered where nobody can answer.
//! Does not own: which commands ask.

use std::io::{BufRead, IsTerminal, Write};

use crate::arguments::Consent;
use crate::failure::{Exit, Failure};

/// Returns if a person agreed, by `--yes` or by typing `yes` on a terminal.
pub(crate) fn confirm(consent: &Consent, what: &str) -> Result<(), Failure> {
    if consent.yes {
        return Ok(());
    }
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Err(
            Failure::new(Exit::Usage, format!("{what} Nothing was done."))
                .with_hint("--yes says that this is meant; without a terminal it is needed"),
        );
    }
    let asked = stderr.write_all(format!("{what}\nType yes to go on: ").as_bytes());
    let mut answer = String::new();
    asked
        .and_then(|()| stderr.flush())
        .and_then(|()| stdin.lock().read_line(&mut answer))
        .map_err(|error| Failure::failed(format!("cannot ask: {error}")))?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::failed("nothing was done")),
    }
}
