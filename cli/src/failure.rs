//! How a command ends: its outcome or its failure, each with an exit code, and the one way in
//! which errors are written.

use std::fmt;
use std::process::ExitCode;

/// How a command that ran to its end turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As wished: exit code 0.
    Good,
    /// It answered, and the answer is bad: exit code 1.
    Bad,
    /// It found mistakes in what the user wrote: exit code 2.
    Mistakes,
    /// It can't tell, for what it was given doesn't belong together: exit code 3.
    Unfit,
}

impl Outcome {
    /// The process's exit code.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Outcome::Good => 0,
            Outcome::Bad => 1,
            Outcome::Mistakes => 2,
            Outcome::Unfit => 3,
        })
    }
}

/// Whose doing a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The user wrote something wrong: exit code 2.
    Usage,
    /// Something failed: exit code 1.
    Failed,
}

/// How every error begins.
const PREFIX: &str = "error: ";

/// Why a command can't go on. Its `Display` is what the user reads:
///
/// ```text
/// error: WHAT
///   WHERE
///   help: what would be right
/// ```
#[derive(Debug)]
pub(crate) struct Failure {
    fault: Fault,
    what: String,
    places: Vec<String>,
    help: Option<String>,
}

impl Failure {
    /// The user wrote something wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Failure {
        Failure {
            fault: Fault::Usage,
            what: what.into(),
            places: Vec::new(),
            help: None,
        }
    }

    /// Something failed.
    pub(crate) fn failed(what: impl Into<String>) -> Failure {
        Failure {
            fault: Fault::Failed,
            ..Failure::usage(what)
        }
    }

    /// Usage or failure, as a library's `is_usage` says, with the whole chain of causes.
    pub(crate) fn of(error: &dyn std::error::Error, is_usage: bool) -> Failure {
        let mut failure = if is_usage {
            Failure::usage(error.to_string())
        } else {
            Failure::failed(error.to_string())
        };
        let mut source = error.source();
        while let Some(cause) = source {
            failure.places.push(format!("because: {cause}"));
            source = cause.source();
        }
        failure
    }

    /// Adds where it is, or why.
    pub(crate) fn at(mut self, place: impl Into<String>) -> Failure {
        self.places.push(place.into());
        self
    }

    /// Says what would be right.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.fault {
            Fault::Usage => Outcome::Mistakes.exit_code(),
            Fault::Failed => Outcome::Bad.exit_code(),
        }
    }
}

impl Failure {
    /// What, where and the remedy, without the word in front: for lists that have their own.
    pub(crate) fn body(&self) -> String {
        let text = self.to_string();
        text.strip_prefix(PREFIX).unwrap_or(&text).to_owned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.what)?;
        for place in &self.places {
            write!(f, "\n  {place}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_where_and_what_would_be_right() {
        let failure = Failure::usage("no such file")
            .at("cutover.yaml")
            .help("write one");
        let expected = "error: no such file\n  cutover.yaml\n  help: write one";
        assert_eq!(failure.to_string(), expected);
    }
}
