//! What the command answers to the shell.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// How a command ended. The numbers are promised to scripts; they stand in `mainstay --help` and
/// docs/cli.md.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The answer is no: a key is not there, rows were rejected, logs differ, the tail is torn, a
    /// check failed.
    No = 1,
    /// Data on the disk is corrupt.
    Corrupt = 2,
    /// A file, directory or database cannot be opened, read or written.
    Unreadable = 3,
    /// Whether the last write is durable is unknown; look at the database after opening it again.
    Unknown = 4,
    /// The command line is wrong; nothing was done.
    Usage = 64,
}

/// The table of [`Exit`] for help texts.
pub const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   the answer is no: a key is not there, rows were rejected, logs differ,
      the tail of the log is torn, a check of the demo failed
  2   data on the disk is corrupt
  3   a file, directory or database cannot be opened, read or written
  4   it is unknown whether the last write is durable: look after reopening
  64  the command line is wrong; nothing was done";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command stopped.
#[derive(Debug)]
pub enum Failure {
    /// Whoever read the output went away: an ordinary end, nothing to say.
    OutputClosed,
    /// Anything else: the exit code and what to print, in words.
    Stopped(Exit, String),
}

impl Failure {
    /// The command line asks for something impossible.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::Stopped(Exit::Usage, message.into())
    }

    /// A file of the user's cannot be used. `operation` is a verb: "read", "create".
    pub fn file(operation: &str, path: &Path, error: &io::Error) -> Failure {
        let message = format!("cannot {operation} {}: {error}", path.display());
        Failure::Stopped(Exit::Unreadable, message)
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Failure::OutputClosed => Exit::Done,
            Failure::Stopped(exit, _) => *exit,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::OutputClosed => f.write_str("the output was closed"),
            Failure::Stopped(_, message) => f.write_str(message),
        }
    }
}

/// Errors of writing to the standard output; those of other files go through [`Failure::file`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::OutputClosed;
        }
        Failure::Stopped(Exit::Unreadable, format!("cannot write to the output: {error}"))
    }
}
