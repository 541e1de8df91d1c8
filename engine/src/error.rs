//! What can go wrong in a database, and what to do next.

use std::sync::Arc;

use mainstay_wal::Lsn;

use crate::bytes::Value;

/// Every error of this crate. [`Error::kind`] says what to do next.
#[non_exhaustive]
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The log, the manifest or the disk below them. Its own variants say whether anything was changed.
    #[error(transparent)]
    Log(#[from] mainstay_wal::Error),
    /// The Store failed. Acknowledged writes are in the log. Close the database and open it again: a damaged Store is
    /// rebuilt then, or the answer is [`Error::CannotRebuild`]. Until then what is not damaged can be read.
    #[error("the {kind} Store cannot {operation}: {reason}{}", remedy(*damaged))]
    Store {
        /// Which Store.
        kind: &'static str,
        /// What was being done.
        operation: &'static str,
        /// The Store's own words.
        reason: Arc<str>,
        /// Whether the Store's content is damaged, so that it must be rebuilt.
        damaged: bool,
    },
    /// The database was made with another Store. Open it with that one. Nothing was changed.
    #[error(
        "{directory} was made with the {found} Store, not {requested}: \
         open it with {found}, or without naming a Store"
    )]
    OtherStore {
        /// The directory.
        directory: String,
        /// What the manifest says.
        found: String,
        /// What was asked for.
        requested: String,
    },
    /// The directory belongs to a node of a cluster. Open it with `Node::open`. Nothing was changed.
    #[error("{directory} belongs to a replicated node; open it as a node")]
    Replicated {
        /// The directory.
        directory: String,
    },
    /// The directory cannot be opened as a node of this cluster. Nothing was changed.
    #[error("{directory} cannot be a node of this cluster: {reason}")]
    OtherCluster {
        /// The directory.
        directory: String,
        /// What it is instead, and the remedy.
        reason: String,
    },
    /// A key is empty or longer than the limit. Nothing was applied.
    #[error("a key of {bytes} bytes is refused: keys have 1 to {limit_bytes} bytes")]
    KeySize {
        /// Size of the key.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// A value or batch is larger than its limit. Nothing was applied; split it or raise the limit.
    #[error(
        "a {what} of {bytes} bytes is larger than the limit of {limit_bytes} bytes: split it{}",
        or_raise_the_limit(.what)
    )]
    TooLarge {
        /// "value" or "batch".
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The name of a keyspace is empty, too long, or reserved. Nothing was changed.
    #[error("{name:?} cannot be the name of a keyspace: {reason}")]
    KeyspaceName {
        /// The name.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The keyspace was dropped, or belongs to another database. Nothing was applied.
    #[error(
        "keyspace {name:?} is not in this database (any more): take a handle from this database"
    )]
    NoSuchKeyspace {
        /// The name.
        name: String,
    },
    /// A precondition or compare-and-swap did not hold. Nothing was applied.
    #[error("a precondition on a key did not hold")]
    PreconditionFailed {
        /// Which operation of the batch, counted from 0.
        position: usize,
        /// What the key's value is instead.
        found: Option<Value>,
    },
    /// Another write came between a transaction's reads and its commit. Nothing was applied; run it again.
    #[error("the transaction conflicts with the write at LSN {lsn}")]
    Conflict {
        /// The write that came between.
        lsn: Lsn,
    },
    /// The transaction began before the oldest write still in memory. Nothing was applied; run it again.
    #[error("the transaction began at LSN {began}, too long ago to be checked")]
    TransactionTooOld {
        /// Where it began.
        began: Lsn,
    },
    /// The snapshot was given up because keeping what it needs would exceed the bound. Take a new one.
    #[error("the snapshot at LSN {lsn} was given up to stay within the bound on memory")]
    SnapshotTooOld {
        /// Where the snapshot stood.
        lsn: Lsn,
    },
    /// A record in the log cannot be understood. Nothing was changed; verify the database.
    #[error("the record at LSN {lsn} is not valid: {reason}")]
    BadRecord {
        /// The record.
        lsn: Lsn,
        /// What is wrong.
        reason: &'static str,
    },
    /// The Store is damaged, and the log no longer has all that was in it. Restore a backup that ends behind
    /// `first_lsn` or right before it, with this log [archived](crate::archive_directory) behind it: that is
    /// everything. What can still be read shows when the directory is opened for reading only.
    #[error(
        "the Store cannot be rebuilt, since the log begins at LSN {first_lsn}: {reason}; restore a backup with this \
         log archived behind it, or open it for reading only to save what can be read"
    )]
    CannotRebuild {
        /// What is wrong with the Store.
        reason: String,
        /// The oldest record in the log.
        first_lsn: Lsn,
    },
    /// The database was opened read-only.
    #[error("the database was opened for reading only")]
    ReadOnly,
    /// A backup, image or archive is damaged or does not fit. Nothing was changed at the target.
    #[error("{path} cannot be used: {reason}")]
    Backup {
        /// The file or directory.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A backup and its archive do not reach to where the database shall be restored. Nothing was made.
    #[error("LSN {requested} cannot be restored: only LSN {first_lsn} to {last_lsn} can")]
    RestorePoint {
        /// What was asked for.
        requested: Lsn,
        /// The end of the backup.
        first_lsn: Lsn,
        /// The end of the archive.
        last_lsn: Lsn,
    },
    /// An option is outside of its range. Nothing was opened.
    #[error("option {option}: {reason}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What it must be.
        reason: String,
    },
    /// A bound was reached (writers held, queue full). Nothing was applied; try again.
    #[error("busy: {what}")]
    Busy {
        /// Which bound.
        what: &'static str,
    },
}

/// What to do about a Store that failed.
fn remedy(damaged: bool) -> &'static str {
    if damaged { "; it is damaged: close the database and open it again to rebuild it" } else { "" }
}

fn or_raise_the_limit(what: &str) -> &'static str {
    if what == "value" { ", or raise max_value_bytes" } else { "" }
}

/// What to do about an [`Error`].
pub use mainstay_wal::ErrorKind;

impl Error {
    /// What to do next.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Log(error) => error.kind(),
            Error::Store { damaged, .. } => {
                if *damaged {
                    ErrorKind::Corrupt
                } else {
                    ErrorKind::Reopen
                }
            }
            Error::BadRecord { .. } | Error::CannotRebuild { .. } => ErrorKind::Corrupt,
            Error::OtherStore { .. }
            | Error::Replicated { .. }
            | Error::OtherCluster { .. }
            | Error::KeySize { .. }
            | Error::TooLarge { .. }
            | Error::KeyspaceName { .. }
            | Error::NoSuchKeyspace { .. }
            | Error::PreconditionFailed { .. }
            | Error::ReadOnly
            | Error::Option { .. }
            | Error::Backup { .. }
            | Error::RestorePoint { .. } => ErrorKind::Input,
            Error::Conflict { .. }
            | Error::TransactionTooOld { .. }
            | Error::SnapshotTooOld { .. }
            | Error::Busy { .. } => ErrorKind::Retry,
        }
    }

    /// Whether it is unknown if the write was applied. Every other error of a write means: not applied.
    #[must_use]
    pub fn is_indeterminate(&self) -> bool {
        self.kind() == ErrorKind::Indeterminate
    }
}

/// The result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;
