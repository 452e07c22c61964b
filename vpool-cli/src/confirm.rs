//! Asking before what cannot be undone.
//!
//! Owns: the question, and that it is never taken as answered where nobody can answer.
//! Does not own: which commands ask.

use std::io::{BufRead, IsTerminal, Write};

use crate::arguments::shared::Consent;
use crate::failure::{Failure, say};
use crate::output::value::visible;

/// Returns if a person agreed, by `--yes` or by typing `name` on a terminal.
pub(crate) async fn confirm(consent: &Consent, what: &str, name: &str) -> Result<(), Failure> {
    if consent.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::usage(format!("{what} Nothing was done."))
            .with_hint("--yes says that this is meant; without a terminal it is needed"));
    }
    say(what);
    let question = format!("Type {} to go on: ", visible(name));
    // On a thread, so that Control-C is heard meanwhile.
    let answered = tokio::task::spawn_blocking(move || {
        let mut stderr = std::io::stderr();
        stderr.write_all(question.as_bytes())?;
        stderr.flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    });
    let failed = |error: String| Failure::failed(format!("cannot ask: {error}"));
    let answer = answered.await.map_err(|error| failed(error.to_string()))?;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    match answer.trim_end_matches(['\n', '\r']) == name {
        true => Ok(()),
        false => Err(Failure::failed("nothing was done")),
    }
}
