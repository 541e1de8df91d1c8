//! Copying the log to a place where it stays, a piece at a time, without gaps.

use std::path::Path;
use std::sync::Arc;

use mainstay_wal::disk::{Disk, DiskLock, FileDisk, FileDiskOptions};
use mainstay_wal::manifest::ManifestFile;
use mainstay_wal::{Bound, DatabaseId, Hold, Log, LogOptions, Lsn};

use super::ArchiveReport;
use super::fields::LogPlace;
use super::files::{self, unusable};
use super::place::failed;
use super::runs::{self, Run, RunWriter};
use super::salvage::archive_up_to_damage;
use crate::db::Db;
use crate::engine::{self, Engine};
use crate::error::{Error, Result};
use crate::state::State;

/// The log is let go no further than this while it is copied.
const FRAMES_PER_HOLD: u64 = 1024;

impl Db {
    /// Copies what is new in the log to an archive directory, which is made if it is missing. With
    /// a backup and the archive, [`restore`](crate::restore) can go back to any LSN behind the
    /// backup.
    ///
    /// Goes up to what is durable and visible when it is called. The first call begins with the
    /// oldest record in the log. Between two calls checkpoints may let go of what the archive does
    /// not have yet: [`Db::archiver`] prevents that.
    ///
    /// # Errors
    /// - [`mainstay_wal::Error::LogTruncated`]: what follows the archive is gone. Make a new
    ///   backup, and begin a new archive.
    /// - [`Error::Backup`](crate::Error::Backup): the directory holds the archive of another
    ///   database, or of a history that this one left when it was restored, or a damaged one, or
    ///   somebody else is writing to it.
    ///
    /// What was archived stays as it is after every error, and the next call goes on there.
    pub fn archive(&self, archive: impl AsRef<Path>) -> Result<ArchiveReport> {
        self.inner().engine.archive_to(&open_archive(archive.as_ref())?)
    }

    /// As [`Db::archive`], and keeps the log for the next time as long as the archiver lives, up to
    /// the cap on holds.
    pub fn archiver(&self, archive: impl AsRef<Path>) -> Result<Archiver> {
        self.inner().engine.archiver(Arc::new(open_archive(archive.as_ref())?))
    }
}

impl Engine {
    /// As [`Db::archive`], to any disk.
    pub fn archive_to(&self, archive: &dyn Disk) -> Result<ArchiveReport> {
        let upto = self.log.durable_lsn().min(self.visible_lsn());
        Ok(archive_log(&self.log, upto, archive)?.0)
    }

    /// As [`Db::archiver`], to any disk.
    pub fn archiver(&self, archive: Arc<dyn Disk>) -> Result<Archiver> {
        let upto = self.log.durable_lsn().min(self.visible_lsn());
        let (_, hold) = archive_log(&self.log, upto, &*archive)?;
        Ok(Archiver { log: self.log.clone(), state: self.state.clone(), archive, hold })
    }
}

/// Copies a log to an archive from time to time, and keeps the log in between: see
/// [`Db::archiver`].
///
/// It does not keep the database open, but its directory locked.
#[derive(Debug)]
pub struct Archiver {
    log: Log,
    state: Arc<State>,
    archive: Arc<dyn Disk>,
    hold: Hold,
}

impl Archiver {
    /// Copies what is new. Errors as of [`Db::archive`].
    pub fn archive(&mut self) -> Result<ArchiveReport> {
        let upto = self.log.durable_lsn().min(self.state.visible_lsn());
        let (report, hold) = archive_log(&self.log, upto, &*self.archive)?;
        self.hold = hold;
        Ok(report)
    }
}

/// As [`Db::archive`], for a database that is not open. Reads only what is in its directory, and
/// changes nothing there.
///
/// Goes up to what the log itself proves to have been durable: after a clean close that is
/// everything.
///
/// # Errors
/// Those of [`Db::archive`]; [`mainstay_wal::Error::Locked`] if the database is open somewhere;
/// those of opening the log. [`mainstay_wal::Error::Corrupt`] if the log is damaged: what stands
/// before the damage is archived then.
pub fn archive_directory(
    database: impl AsRef<Path>,
    archive: impl AsRef<Path>,
) -> Result<ArchiveReport> {
    let database = database.as_ref();
    let disk = FileDisk::open_read_only(database)
        .map_err(|error| failed("open the directory", database, error))?;
    archive_closed(Arc::new(disk), &mut || Ok(Arc::new(open_archive(archive.as_ref())?)))
}

/// As [`archive_directory`], from any disk to any disk. The archive is only opened, and made, once
/// the database was found to be readable.
pub(super) fn archive_closed(
    disk: Arc<dyn Disk>,
    archive: &mut dyn FnMut() -> Result<Arc<dyn Disk>>,
) -> Result<ArchiveReport> {
    match open_log(disk.clone()) {
        Ok((log, upto)) => Ok(archive_log(&log, upto, &*archive()?)?.0),
        Err(damage @ Error::Log(mainstay_wal::Error::Corrupt { .. })) => {
            archive_up_to_damage(&*disk, archive)?;
            Err(damage)
        }
        Err(error) => Err(error),
    }
}

/// The log of a database that is not open, and up to where it is proven to have been durable.
fn open_log(disk: Arc<dyn Disk>) -> Result<(Log, Lsn)> {
    let lock = engine::lock(&*disk)?;
    let manifest = ManifestFile::open_read_only(&*disk)?;
    let (log, recovery) = Log::open_read_only(disk, LogOptions::default(), &manifest, Some(lock))?;
    let committed = if manifest.replicated { log.commit_lsn() } else { Lsn::MAX };
    let upto = recovery.proven_lsn.min(recovery.end.lsn).min(committed);
    Ok((log, upto))
}

fn open_archive(path: &Path) -> Result<FileDisk> {
    FileDisk::open(path, FileDiskOptions::default())
        .map_err(|error| failed("open the directory", path, error))
}

/// Copies the records of a log that an archive lacks, up to `upto`. Gives a hold on what follows.
fn archive_log(log: &Log, upto: Lsn, archive: &dyn Disk) -> Result<(ArchiveReport, Hold)> {
    let (_lock, found) = begin(archive, log.database_id())?;
    let start = match found {
        None => beginning(log)?,
        Some((_, end)) => {
            check_continues(archive, log, end)?;
            end
        }
    };
    let first_lsn = found.map_or(start.lsn().next(), |(first_lsn, _)| first_lsn);
    let mut report = ArchiveReport { first_lsn, end: start.log_id, records: 0, bytes: 0, files: 0 };
    let hold = log.hold(start.lsn().next())?;
    if upto <= start.lsn() {
        return Ok((report, hold));
    }
    let mut reader = log.reader(start.lsn().next(), Bound::Durable)?;
    let mut writer = RunWriter::new("", log.database_id(), start);
    while writer.end().lsn() < upto {
        let Some(frame) = reader.next_frame()? else { break };
        writer.push(archive, &frame)?;
        if frame.header.lsn.0 % FRAMES_PER_HOLD == 0 {
            hold.advance(frame.header.lsn.next())?;
        }
    }
    writer.flush(archive)?;
    report.end = writer.end().log_id;
    report.records = writer.written.records;
    report.bytes = writer.written.bytes;
    report.files = writer.written.files.len() as u64;
    hold.advance(report.end.lsn.next())?;
    Ok((report, hold))
}

/// From its first record to its end.
type Extent = (Lsn, LogPlace);

/// Locks an archive to write to it, and gives what it holds; `None` if it is empty.
pub(super) fn begin(
    archive: &dyn Disk,
    database_id: DatabaseId,
) -> Result<(Box<dyn DiskLock>, Option<Extent>)> {
    let lock = archive.lock().map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => {
            unusable(archive.describe(), "somebody else is writing to it just now")
        }
        _ => files::failed("lock", archive, "")(error),
    })?;
    files::remove_if_there(archive, files::TEMPORARY)?;
    let runs = Archive::list(archive)?.runs;
    let (Some(oldest), Some(newest)) = (runs.first(), runs.last()) else {
        return Ok((lock, None));
    };
    // Read whole: what is added must follow something that can be read.
    let newest = Run::read(archive, &newest.name)?.header;
    check_database(archive, newest.database_id, database_id)?;
    Ok((lock, Some((oldest.first_lsn, newest.end))))
}

/// The place before the oldest record in a log.
fn beginning(log: &Log) -> Result<LogPlace> {
    // Retention may go on meanwhile: then the next place is the beginning.
    loop {
        let first_lsn = log.first_lsn();
        match log.locate(first_lsn.previous()) {
            Ok((log_id, chain)) => return Ok(LogPlace { log_id, chain }),
            Err(mainstay_wal::Error::LogTruncated { .. }) if log.first_lsn() > first_lsn => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn check_database(archive: &dyn Disk, found: DatabaseId, expected: DatabaseId) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("it is the archive of database {found}, not of {expected}");
    Err(unusable(archive.describe(), reason))
}

/// The log must go on where the archive ends.
fn check_continues(archive: &dyn Disk, log: &Log, end: LogPlace) -> Result<()> {
    let log_end = log.end();
    if log_end.lsn < end.lsn() {
        let reason = format!("it goes up to {}, and the log only up to {log_end}", end.log_id);
        return Err(unusable(archive.describe(), reason));
    }
    let (first_lsn, requested) = (log.first_lsn(), end.lsn().next());
    if requested < first_lsn {
        return Err(mainstay_wal::Error::LogTruncated { requested, first_lsn }.into());
    }
    let (log_id, chain) = log.locate(end.lsn())?;
    if (LogPlace { log_id, chain }) == end {
        return Ok(());
    }
    Err(other_record(archive, end))
}

pub(super) fn other_record(archive: &dyn Disk, end: LogPlace) -> Error {
    let reason = format!("it ends with another record {} than the log has there", end.log_id);
    unusable(archive.describe(), reason)
}

/// The files of an archive, oldest first.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) runs: Vec<ArchivedRun>,
}

/// One file, by its name.
#[derive(Debug)]
pub(super) struct ArchivedRun {
    pub(super) name: String,
    pub(super) first_lsn: Lsn,
    pub(super) last_lsn: Lsn,
}

impl Archive {
    /// Lists an archive, and sees that no file is missing in the middle.
    pub(super) fn list(disk: &dyn Disk) -> Result<Archive> {
        let names = disk.list("").map_err(files::failed("list", disk, ""))?;
        let mut runs: Vec<ArchivedRun> = Vec::new();
        for name in names {
            if let Some((first_lsn, last_lsn)) = runs::parse_file_name(&name) {
                runs.push(ArchivedRun { name, first_lsn, last_lsn });
            }
        }
        runs.sort_by_key(|run| run.first_lsn);
        for pair in runs.windows(2) {
            if pair[1].first_lsn != pair[0].last_lsn.next() {
                let (before, behind) = (&pair[0].name, &pair[1].name);
                let reason = format!("a file is missing between {before} and {behind}");
                return Err(unusable(disk.describe(), reason));
            }
        }
        Ok(Archive { runs })
    }
}
