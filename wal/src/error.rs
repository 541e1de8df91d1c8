//! What can go wrong in a log, and what to do next.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::ids::{Epoch, LogId, Lsn, SegmentNumber};

/// Every error of this crate. [`Error::kind`] says what to do next.
#[non_exhaustive]
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation. Nothing was changed in the log.
    #[error("cannot {operation} {path}: {source}{}", remedy(.source))]
    Io {
        /// What was being done, as a verb: "open", "read", "sync".
        operation: &'static str,
        /// The file or directory.
        path: String,
        /// The system's own error.
        source: Arc<io::Error>,
    },
    /// Bytes that were once durable are damaged. Nothing was changed on the disk.
    /// Restore from a backup, or let a replica repair the place.
    #[error("{file} is corrupt at offset {offset} (LSN {lsn}): {reason}")]
    Corrupt {
        /// The damaged file, relative to the database directory.
        file: String,
        /// The segment, where the file is one.
        segment: Option<SegmentNumber>,
        /// Bytes from the beginning of the file.
        offset: u64,
        /// The first record that cannot be read; [`Lsn::ZERO`] where that is unknown.
        lsn: Lsn,
        /// What was expected and what was found.
        reason: String,
    },
    /// Somebody else has the directory open. Close it there first.
    #[error(
        "{directory} is in use by another process or another handle of this one: close it there first"
    )]
    Locked {
        /// The directory that is locked.
        directory: String,
    },
    /// The directory or file is not what it should be. Nothing was changed.
    #[error("{path} is not a mainstay database: {reason}")]
    NotADatabase {
        /// The path that was given.
        path: String,
        /// What is there instead.
        reason: String,
    },
    /// Written by a version of mainstay that this one does not know. Open it with that version.
    #[error(
        "{path} has format version {found}, and this program reads up to {supported}: \
         open it with the newer program"
    )]
    UnsupportedVersion {
        /// The file.
        path: String,
        /// The version in the file.
        found: u32,
        /// The highest version that this program reads.
        supported: u32,
    },
    /// The record is larger than the limit. Nothing was appended; split it.
    #[error("a record of {bytes} bytes is larger than the limit of {limit_bytes} bytes: split it")]
    TooLarge {
        /// Size of the record.
        bytes: u64,
        /// The configured limit.
        limit_bytes: u64,
    },
    /// The disk is full and the current segment too. Nothing was appended; free space and try
    /// again.
    #[error("no space left for a log segment of {needed_bytes} bytes: free space and try again")]
    NoSpace {
        /// What the next segment needs.
        needed_bytes: u64,
    },
    /// Whether the record is durable is unknown: its write or sync failed. Reopen the log to find
    /// out.
    #[error("it is unknown whether the record is durable: {cause}")]
    Indeterminate {
        /// The failure of the disk.
        cause: Cause,
    },
    /// An earlier failure stopped the log. Nothing was appended; reopen it.
    #[error("the log stopped after a failure: {cause}")]
    Poisoned {
        /// The first failure.
        cause: Cause,
    },
    /// The record was dropped by retention. Start from `first_lsn`, from a backup or from an image.
    #[error("LSN {requested} is no longer in the log, which begins at LSN {first_lsn}")]
    LogTruncated {
        /// What was asked for.
        requested: Lsn,
        /// The oldest record still there.
        first_lsn: Lsn,
    },
    /// Frames do not continue this log. Nothing was appended; find the common point first.
    #[error("frames that follow {expected} cannot be appended to a log that ends at {end}")]
    NotContiguous {
        /// What the frames follow.
        expected: LogId,
        /// The end of this log.
        end: LogId,
    },
    /// An epoch below that of the last record. Nothing was appended.
    #[error("epoch {epoch} is below the log's last epoch {last}")]
    StaleEpoch {
        /// The epoch that was given.
        epoch: Epoch,
        /// The epoch of the last record.
        last: Epoch,
    },
    /// The bytes given are not whole, valid frames. Nothing was appended.
    #[error("these bytes are not valid frames: {reason}")]
    BadFrames {
        /// What was wrong.
        reason: String,
    },
    /// A hold went past its cap in bytes and was given up. The reader needs an image.
    #[error("the hold on LSN {lsn} was given up: it kept more than {cap_bytes} bytes of log")]
    HoldLost {
        /// Where the hold stood.
        lsn: Lsn,
        /// The configured cap.
        cap_bytes: u64,
    },
    /// The log was closed by its owner.
    #[error("the log is closed")]
    Closed,
}

/// What to do about an [`Error`].
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The call was wrong: change it. Nothing was changed.
    Input,
    /// Try again later, perhaps after freeing something. Nothing was changed.
    Retry,
    /// Data on the disk is damaged: restore or repair.
    Corrupt,
    /// The outcome is unknown until the database is reopened.
    Indeterminate,
    /// The instance is finished: reopen it.
    Reopen,
    /// The environment (permission, device, another process) must be changed first.
    Environment,
}

impl Error {
    /// What to do next.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } | Error::Locked { .. } => ErrorKind::Environment,
            Error::Corrupt { .. } => ErrorKind::Corrupt,
            Error::NotADatabase { .. }
            | Error::UnsupportedVersion { .. }
            | Error::TooLarge { .. }
            | Error::LogTruncated { .. }
            | Error::NotContiguous { .. }
            | Error::StaleEpoch { .. }
            | Error::BadFrames { .. }
            | Error::HoldLost { .. } => ErrorKind::Input,
            Error::NoSpace { .. } => ErrorKind::Retry,
            Error::Indeterminate { .. } => ErrorKind::Indeterminate,
            Error::Poisoned { .. } | Error::Closed => ErrorKind::Reopen,
        }
    }

    /// Wraps a system error, naming the operation and the path.
    pub fn io(operation: &'static str, path: impl Into<String>, source: io::Error) -> Error {
        Error::Io { operation, path: path.into(), source: Arc::new(source) }
    }

    /// Puts the directory in front of a file that is named relative to it.
    pub(crate) fn within(mut self, directory: &str) -> Error {
        if let Error::Io { path, .. }
        | Error::NotADatabase { path, .. }
        | Error::UnsupportedVersion { path, .. } = &mut self
            && !path.starts_with(directory)
        {
            *path = format!("{directory}/{path}");
        }
        self
    }
}

/// What to do about a system error, where that is known.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; check the path, or have it made",
        io::ErrorKind::NotADirectory => "; give a directory",
        io::ErrorKind::PermissionDenied => "; this user needs the permission, or another directory",
        io::ErrorKind::ReadOnlyFilesystem => "; make it writable, or open it for reading only",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free space and try again",
        _ => "",
    }
}

/// The first failure of a disk, kept so that every later error can name it.
#[derive(Clone, Debug)]
pub struct Cause {
    /// What was being done: "write and sync a group", "create a segment".
    pub operation: &'static str,
    /// The system's own error.
    pub source: Arc<io::Error>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.operation, self.source)
    }
}

/// The result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;
