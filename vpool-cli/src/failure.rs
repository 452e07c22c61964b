//! How a command fails: what it prints and what it exits with.
//!
//! Owns: [`Failure`], the exit codes. Does not own: what went wrong.

use std::io::Write;
use std::process::ExitCode;

use vpool_api::{Code, Problem};

/// What the command exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
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
    /// The daemon does not answer.
    Unreachable = 8,
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

    /// With an exit code.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with a remedy.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Prints it; the answer is what to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        let hint = self
            .hint
            .as_ref()
            .map_or(String::new(), |hint| format!("hint: {hint}\n"));
        let text = format!("vpool: {}\n{hint}", self.message);
        // Where nobody reads the errors, the exit code is all that can be said.
        let _unread = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.exit as u8)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let exit = match (problem.code, problem.status) {
            (Code::NotFound, _) | (Code::Unknown, 404) => Exit::NotFound,
            (Code::Denied, _) | (Code::Unknown, 401 | 403) => Exit::Permission,
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

    use super::{Exit, Failure};
    use vpool_api::{Code, Problem};

    #[test]
    fn exit_codes() {
        for (code, exit) in [
            (Code::Invalid, 2),
            (Code::NotFound, 3),
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
        assert_eq!(Exit::Failed as u8, 1);
    }
}
