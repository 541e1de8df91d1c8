//! Backups, archives of the log, and databases made from them.
//!
//! A backup is *fuzzy*: [`BackupJob`] reads the content in order of keys while it changes, keeping
//! no old version, and copies what the log got meanwhile. The content with that log over it is the
//! database at the *end* of the backup, exactly. An archive is the log, copied on before it is let
//! go; over a backup it leads to any later LSN.
//!
//! Formats: `docs/backup-format.md`.
//!
//! # Not done
//!
//! - Backups that build on an earlier one: an archive does that.
//! - Compression and encryption: those of the file system, or of what the directory is copied with.

mod archive;
mod content;
mod fields;
mod files;
mod manifest;
mod place;
mod restore;
mod runs;
mod salvage;
mod take;

use std::path::{Path, PathBuf};

use mainstay_wal::{Epoch, LogId, Lsn};

use crate::db::Db;
use crate::error::Result;
use crate::store::StoreKind;

pub use archive::{Archiver, archive_directory};
pub use restore::{restore, restore_on};
pub use take::BackupJob;

/// What a backup holds.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Where the log stood when it began.
    pub start_lsn: Lsn,
    /// The last record that is in it: what it restores to.
    pub end: LogId,
    /// Entries that were read, those of the catalog of keyspaces included.
    pub entries: u64,
    /// Records of the log that were copied along.
    pub records: u64,
    /// Bytes of its files.
    pub bytes: u64,
}

/// What an archive holds, and what was added.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ArchiveReport {
    /// The oldest record in the archive, or the first that will be.
    pub first_lsn: Lsn,
    /// The newest record in it.
    pub end: LogId,
    /// Records that this call added.
    pub records: u64,
    /// Bytes that this call added.
    pub bytes: u64,
    /// Files that this call added.
    pub files: u64,
}

/// What a database is made from besides its backup. The default: from nothing else, to the backup's
/// end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// The directory of an archive that goes on where the backup ends.
    pub archive: Option<PathBuf>,
    /// The last record to restore, from the end of the backup to the end of the archive. Without
    /// it, as much as there is.
    pub to_lsn: Option<Lsn>,
    /// The Store of the new database; that of the original if it is not said.
    pub store: Option<StoreKind>,
}

/// What was restored.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// The last record of the original that is in the new database.
    pub restored: LogId,
    /// The epoch in which the new database writes.
    pub epoch: Epoch,
    /// Entries that came from the backup's content.
    pub entries: u64,
    /// Records of the log that were applied over them.
    pub records: u64,
}

impl Db {
    /// Copies the database to a new directory, while it is written to: consistent as of the moment
    /// at which this ends, and durable. [`restore`](crate::restore) makes a database of it.
    ///
    /// It neither stops writers nor keeps old versions for itself, however long it takes; it keeps
    /// the log from where it is reading, and needs memory for some megabytes. The directory appears
    /// under its name when it is whole; a crash leaves at most a hidden directory beside it, which
    /// the next attempt removes.
    ///
    /// # Errors
    /// - [`Error::Backup`](crate::Error::Backup): there is something at `target`, or it is being
    ///   made by somebody else.
    /// - [`mainstay_wal::Error::HoldLost`]: the log grew past the cap on holds faster than it was
    ///   copied.
    /// - Those of the file system, the log and the Store. Nothing is left at `target`.
    pub fn backup(&self, target: impl AsRef<Path>) -> Result<BackupReport> {
        let place = place::NewDirectory::begin(target.as_ref())?;
        let mut job = self.inner().engine.begin_backup(place.disk())?;
        loop {
            if let Some(report) = job.step()? {
                drop(job);
                place.finish()?;
                return Ok(report);
            }
        }
    }
}

#[cfg(test)]
mod tests;
