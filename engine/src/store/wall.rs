//! A wall around a crate that may panic on damaged files: none of its panics gets out.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::OnceLock;

use super::{damaged, failed};
use crate::error::{Error, Result};

/// Every call into the crate below a Store is made through one of these.
pub(super) struct Wall {
    kind: &'static str,
    pub(super) path: PathBuf,
    /// The first panic. The crate may have stopped half-way through anything, so it is not called
    /// again.
    panicked: OnceLock<String>,
}

/// What goes wrong in a call.
pub(super) enum Problem {
    /// The crate's own error, and whether it means that the files are not what it wrote.
    Library {
        reason: String,
        damaged: bool,
    },
    /// The crate works, and what it holds makes no sense.
    Content(String),
    Own(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        Problem::Own(error)
    }
}

impl Wall {
    pub(super) fn new(kind: &'static str, path: PathBuf) -> Wall {
        Wall { kind, path, panicked: OnceLock::new() }
    }

    /// Calls into the crate.
    pub(super) fn call<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> std::result::Result<T, Problem>,
    ) -> Result<T> {
        let kind = self.kind;
        if let Some(reason) = self.panicked.get() {
            return Err(self.damaged(operation, &format!("{kind} panicked before: {reason}")));
        }
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Problem::Own(error))) => Err(error),
            Ok(Err(Problem::Content(reason) | Problem::Library { reason, damaged: true })) => {
                Err(self.damaged(operation, &reason))
            }
            Ok(Err(Problem::Library { reason, damaged: false })) => {
                Err(self.failed(operation, &reason))
            }
            Err(payload) => {
                let reason = self.panicked.get_or_init(|| message(&*payload));
                Err(self.damaged(operation, &format!("{kind} panicked: {reason}")))
            }
        }
    }

    pub(super) fn failed(&self, operation: &'static str, reason: &str) -> Error {
        failed(self.kind, operation, format!("{}: {reason}", self.path.display()))
    }

    pub(super) fn damaged(&self, operation: &'static str, reason: &str) -> Error {
        damaged(self.kind, operation, format!("{}: {reason}", self.path.display()))
    }
}

/// The text of a panic.
pub(super) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
