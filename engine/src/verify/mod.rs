//! Reading everything that a database has on its disk, and saying all that is wrong with it.
//!
//! The log proves itself: every frame has checksums, the chain joins them, and what a group says of
//! the one before it tells damage from a torn tail. The Store proves little by itself, so it is
//! read whole and compared with what the log still knows of it. Nothing is changed, and nothing
//! stops at the first fault.
//!
//! # Not done
//!
//! - Of a log with very many keys not all are compared, since what is compared is kept in memory:
//!   [`VerifyReport::compared_keys`] says how many were.
//! - Keys whose records have left the log are read, and cannot be compared with anything.

mod content;
mod log;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mainstay_wal::disk::{Disk, FileDisk, Open};
use mainstay_wal::history::EpochHistory;
use mainstay_wal::manifest::{self, Manifest, SLOT_BYTES};
use mainstay_wal::scan::{Fault, Verdict};
use mainstay_wal::{Chain, LogId, Lsn};

use crate::bytes::Key;
use crate::db::Db;
use crate::engine::{self, Engine};
use crate::error::Result;
use crate::keyspace::KeyspaceId;

/// What was read, and what is wrong with it.
#[non_exhaustive]
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// The oldest record in the log, or the first that will be.
    pub first_lsn: Lsn,
    /// The last record that was read.
    pub end: LogId,
    /// The chain over the log up to it.
    pub end_chain: Chain,
    /// Up to where the log is known to be durable.
    pub durable_lsn: Lsn,
    /// Up to where the Store is complete, as the manifest says.
    pub checkpoint_lsn: Lsn,
    /// The files of the log that are in use.
    pub segments: u64,
    /// Groups that were read.
    pub groups: u64,
    /// Records that were read.
    pub records: u64,
    /// Bytes of their frames.
    pub log_bytes: u64,
    /// The epochs of the log.
    pub history: EpochHistory,
    /// The kind of the Store; empty if no manifest names it.
    pub store_kind: String,
    /// Up to where the Store itself says that it is complete. [`Lsn::ZERO`] if it was not read:
    /// before the first checkpoint its content does not matter.
    pub store_applied_lsn: Lsn,
    /// Entries of the Store that were read, those of the catalog included.
    pub entries: u64,
    /// Keys that were compared between log and Store. Those of an open database only as long as
    /// memory for old versions lasts: writes meanwhile use it up.
    pub compared_keys: u64,
    /// Everything that is wrong, in the order in which it was found.
    pub faults: Vec<VerifyFault>,
}

impl VerifyReport {
    /// The worst of all faults.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.faults.iter().map(VerifyFault::verdict).max().unwrap_or_default()
    }

    /// Whether nothing is wrong, not even what an interrupted write leaves.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Something that is not as it was written.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum VerifyFault {
    /// In the log, with its place.
    Log(Fault),
    /// A slot of the manifest is damaged, or older than the other. With one slot whole the database
    /// opens, and writes the other anew.
    Manifest {
        /// `A` or `B`; `-` for the file as a whole.
        slot: char,
        /// What is wrong with it.
        reason: String,
        /// Whether the other slot is whole.
        is_repairable: bool,
    },
    /// A whole frame holds a record that cannot be understood.
    Record {
        /// The record.
        lsn: Lsn,
        /// What is wrong with it.
        reason: String,
    },
    /// The Store cannot be opened or read, or lacks what the manifest says it has.
    Store {
        /// What is wrong.
        reason: String,
    },
    /// A key has another value than the last record in the log gave it.
    Mismatch {
        /// The keyspace.
        keyspace: KeyspaceId,
        /// The key.
        key: Key,
        /// The record.
        lsn: Lsn,
    },
}

impl VerifyFault {
    /// How bad it is.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            VerifyFault::Log(fault) => fault.verdict(),
            VerifyFault::Manifest { is_repairable: true, .. } => Verdict::TornTail,
            VerifyFault::Manifest { .. }
            | VerifyFault::Record { .. }
            | VerifyFault::Store { .. }
            | VerifyFault::Mismatch { .. } => Verdict::Corrupt,
        }
    }
}

impl fmt::Display for VerifyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyFault::Log(fault) => write!(f, "log: {fault}"),
            VerifyFault::Manifest { slot, reason, .. } => {
                write!(f, "manifest, slot {slot}: {reason}")
            }
            VerifyFault::Record { lsn, reason } => write!(f, "record at LSN {lsn}: {reason}"),
            VerifyFault::Store { reason } => write!(f, "Store: {reason}"),
            VerifyFault::Mismatch { keyspace, key, lsn } => {
                let key = key.escape_ascii();
                write!(f, "key {key} of keyspace {keyspace} is not what LSN {lsn} made it")
            }
        }
    }
}

impl Db {
    /// Reads everything that is on the disk, while the database is in use, and compares it.
    ///
    /// Every durable record is read and checked, both slots of the manifest, and every entry of the
    /// Store; keys that the log still knows are compared with what readers get. Reads as much as
    /// the database is large.
    ///
    /// # Errors
    /// Faults are in the report. An error means that it could not be made: the directory cannot be
    /// listed, or the log grew past the cap on holds meanwhile.
    pub fn verify(&self) -> Result<VerifyReport> {
        self.inner().engine.verify()
    }
}

/// Verifies the database in a directory that nobody has open, as far as it can be read. Changes
/// nothing there.
///
/// # Errors
/// Faults are in the report. An error means that there is none: the directory cannot be read
/// ([`mainstay_wal::Error::Io`]), is open somewhere ([`mainstay_wal::Error::Locked`]), or holds
/// neither a manifest nor a log ([`mainstay_wal::Error::NotADatabase`]).
pub fn verify_directory(directory: impl AsRef<Path>) -> Result<VerifyReport> {
    let directory = directory.as_ref();
    let disk = FileDisk::open_read_only(directory).map_err(|error| {
        mainstay_wal::Error::io("open the directory", directory.display().to_string(), error)
    })?;
    verify_disk(Arc::new(disk), Some(directory))
}

/// As [`verify_directory`], on any disk.
pub fn verify_disk(disk: Arc<dyn Disk>, root: Option<&Path>) -> Result<VerifyReport> {
    let _lock = engine::lock(&*disk)?;
    let mut report = VerifyReport::default();
    let manifest = check_manifest(&*disk, &mut report.faults);
    let scanned = log::scan(&*disk, manifest.as_ref(), Lsn::MAX)?;
    if manifest.is_none() && scanned.segments == 0 {
        let (path, reason) = (disk.describe(), "it has no manifest and no log".to_owned());
        return Err(mainstay_wal::Error::NotADatabase { path, reason }.into());
    }
    let writes = scanned.report_into(&mut report);
    let Some(manifest) = manifest else { return Ok(report) };
    report.checkpoint_lsn = manifest.checkpoint.lsn;
    report.store_kind.clone_from(&manifest.store_kind);
    if manifest.store_damaged {
        let reason = "it was found damaged while it was in use; opening rebuilds it".to_owned();
        report.faults.push(VerifyFault::Store { reason });
    }
    if manifest.checkpoint != LogId::ZERO {
        content::check_closed(&disk, root, &manifest, &writes, &mut report);
    }
    Ok(report)
}

impl Engine {
    /// As [`Db::verify`].
    pub fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport::default();
        let snapshot = self.state.snapshot();
        self.wait(snapshot.lsn())?;
        let (scanned, manifest) = log::scan_open(self, snapshot.lsn())?;
        let writes = scanned.report_into(&mut report);
        self.with_manifest_at_rest(|| check_manifest(&*self.disk, &mut report.faults));
        report.checkpoint_lsn = manifest.checkpoint.lsn;
        report.durable_lsn = snapshot.lsn();
        report.store_kind.clone_from(&manifest.store_kind);
        content::check_open(self, &snapshot, &writes, &mut report);
        Ok(report)
    }
}

/// Reads both slots of the manifest. Gives the newer one that is whole.
fn check_manifest(disk: &dyn Disk, faults: &mut Vec<VerifyFault>) -> Option<Manifest> {
    let bytes = match read_manifest(disk) {
        Ok(bytes) => bytes,
        Err(error) => {
            let reason = format!("cannot read it: {error}");
            faults.push(VerifyFault::Manifest { slot: '-', reason, is_repairable: false });
            return None;
        }
    };
    let (a, b) = bytes.split_at(bytes.len().min(SLOT_BYTES));
    let decoded = [Manifest::decode(a), Manifest::decode(b)];
    let newest = decoded.iter().flatten().max_by_key(|(generation, _)| *generation).cloned();
    for (slot, decoded) in ['A', 'B'].into_iter().zip(decoded) {
        let reason = match (decoded, &newest) {
            (Err(error), _) => error.to_string(),
            (Ok((generation, _)), Some((newest, _))) if generation < *newest => {
                format!("generation {generation}, and the other has {newest}")
            }
            _ => continue,
        };
        faults.push(VerifyFault::Manifest { slot, reason, is_repairable: newest.is_some() });
    }
    newest.map(|(_, manifest)| manifest)
}

fn read_manifest(disk: &dyn Disk) -> std::io::Result<Vec<u8>> {
    let file = disk.open(manifest::FILE_NAME, Open::Read)?;
    let mut bytes = vec![0; 2 * SLOT_BYTES];
    let length = file.read_at(0, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
