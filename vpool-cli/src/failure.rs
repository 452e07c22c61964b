//! How a command fails: what it prints and what it exits with.
//!
//! Owns: [`Failure`], the exit codes. Does not own: what went wrong.

use std::io::Write;
use std::process::ExitCode;

use vpool_api::{Code, Problem};

use crate::output::value::visible;

/// What the command exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Who reads the output has enough: nothing failed.
    Closed = 0,
    /// It was asked for and failed.
    Failed = 1,
    /// The command line or the request makes no sense.
    Usage = 2,
    /// There is no such pool or disk.
    NotFound = 3,
    /// Not permitted.
    Permission = 4,
    /// Taken or in use.
    Conflict = 5,
    /// It takes longer than was allowed, and goes on.
    Timeout = 6,
    /// Done for some of the names only.
    Partly = 7,
    /// The daemon does not answer.
    Unreachable = 8,
    /// By Control-C or SIGTERM.
    Interrupted = 130,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// It was asked for and failed.
    pub(crate) fn failed(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, message)
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// With an exit code.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Nobody reads any more.
    pub(crate) fn closed() -> Failure {
        Failure::new(Exit::Closed, "")
    }

    /// The same with a remedy.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// What it exits with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// What happened.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The remedy.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints it.
    pub(crate) fn print(&self) {
        if self.exit == Exit::Closed {
            return;
        }
        say(&format!("vpool: {}", self.message));
        if let Some(hint) = &self.hint {
            say(&format!("hint: {hint}"));
        }
    }

    /// Prints it; the answer is what to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        self.print();
        ExitCode::from(self.exit as u8)
    }
}

/// A line on the standard error, where it is still read; else the exit code is all that can
/// be said.
pub(crate) fn say(text: &str) {
    // What images and daemons say may hold what a terminal would obey.
    let lines: Vec<String> = text.split('\n').map(visible).collect();
    let _unread = std::io::stderr().write_all(format!("{}\n", lines.join("\n")).as_bytes());
}

/// What several names came to: each failure is printed as it comes, and this is their sum.
pub(crate) fn sum(names: usize, failures: &[Failure]) -> Result<(), Failure> {
    let Some(first) = failures.first() else {
        return Ok(());
    };
    let (failed, exit) = (failures.len(), first.exit);
    let message = format!("{failed} of {names} failed");
    if failed < names {
        return Err(Failure::new(Exit::Partly, message));
    }
    let same = failures.iter().all(|failure| failure.exit == exit);
    Err(Failure::new(
        if same { exit } else { Exit::Failed },
        message,
    ))
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let exit = match (problem.code, problem.status) {
            (Code::NotFound, _) | (Code::Unknown, 404) => Exit::NotFound,
            (Code::Unauthenticated | Code::Denied, _) | (Code::Unknown, 401 | 403) => {
                Exit::Permission
            }
            (Code::Conflict, _) | (Code::Unknown, 409) => Exit::Conflict,
            (Code::Invalid | Code::TooLarge, _) | (Code::Unknown, 400) => Exit::Usage,
            (Code::ShuttingDown, _) => Exit::Unreachable,
            _ => Exit::Failed,
        };
        Failure {
            exit,
            message: problem.detail,
            hint: problem.hint,
        }
    }
}

#[cfg(test)]
mod tests {
    //! Which problem exits with what.

    use super::{Exit, Failure, sum};
    use vpool_api::{Code, Problem};

    #[test]
    fn exit_codes() {
        for (code, exit) in [
            (Code::Invalid, 2),
            (Code::NotFound, 3),
            (Code::Unauthenticated, 4),
            (Code::Denied, 4),
            (Code::Conflict, 5),
            (Code::ShuttingDown, 8),
            (Code::Unavailable, 1),
            (Code::NoSpace, 1),
            (Code::Corrupt, 1),
            (Code::Fenced, 1),
            (Code::Internal, 1),
        ] {
            assert_eq!(
                Failure::from(Problem::new(code, "x")).exit as u8,
                exit,
                "{code:?}"
            );
        }
        for (exit, number) in [
            (Exit::Failed, 1),
            (Exit::Timeout, 6),
            (Exit::Partly, 7),
            (Exit::Interrupted, 130),
        ] {
            assert_eq!(exit as u8, number);
        }
    }

    #[test]
    fn several_names() {
        let failed = |exits: &[Exit]| {
            let failures: Vec<_> = exits.iter().map(|exit| Failure::new(*exit, "x")).collect();
            sum(2, &failures).map_err(|failure| failure.exit)
        };
        assert_eq!(failed(&[]), Ok(()));
        assert_eq!(failed(&[Exit::NotFound]), Err(Exit::Partly));
        let (missing, taken) = (Exit::NotFound, Exit::Conflict);
        assert_eq!(failed(&[missing, missing]), Err(Exit::NotFound));
        assert_eq!(failed(&[missing, taken]), Err(Exit::Failed));
    }
}
