//! Making a backup, step by step, while the database is written to.

use std::sync::Arc;

use mainstay_wal::disk::Disk;
use mainstay_wal::{Bound, Hold, Log, Lsn, Reader};

use super::BackupReport;
use super::content::ContentWriter;
use super::fields::LogPlace;
use super::manifest::BackupManifest;
use super::runs::RunWriter;
use crate::bytes::Key;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::span::{self, Span};
use crate::state::State;

/// A step reads no more entries once it has so many bytes of them, or so many entries.
const STEP_BYTES: usize = 1 << 20;
const STEP_ENTRIES: usize = 4096;
/// A step copies no more of the log once it has so many bytes of it.
const STEP_LOG_BYTES: usize = 8 << 20;
/// A snapshot lives for a step. That one after the other is given up so soon means that something
/// else is wrong.
const EXPIRED_LIMIT: u32 = 100;
/// The place where the scan begins is found again where the log is let go just then.
const BEGIN_LIMIT: u32 = 100;

/// A backup that is being made, in steps, without threads: [`Db::backup`](crate::Db::backup) takes
/// all of them, a simulation takes them one by one.
///
/// The content is read in the order of keys, each step from a snapshot of its own, while it
/// changes. What changes meanwhile is in the log, which is copied along, from the LSN at the
/// beginning to that at the end. Applied over the content it gives the database as it was at the
/// end: every record holds whole values, so it does not matter which of them the scan has seen
/// already.
///
/// Dropped in the middle it leaves a directory without a manifest, which is no backup.
#[derive(Debug)]
pub struct BackupJob {
    state: Arc<State>,
    log: Log,
    target: Arc<dyn Disk>,
    manifest: BackupManifest,
    hold: Hold,
    reader: Reader,
    content: ContentWriter,
    frames: RunWriter,
    /// The keyspaces that are left, last one first.
    keyspaces: Vec<KeyspaceId>,
    /// What is left of the present one.
    current: Option<(KeyspaceId, Span)>,
    /// The newest snapshot that was read from.
    newest: Lsn,
    expired: u32,
    /// [`STEP_ENTRIES`], but for tests.
    pub(super) step_entries: usize,
}

impl Engine {
    /// Begins a backup into an empty directory. See [`BackupJob`].
    ///
    /// # Errors
    /// [`Error::Backup`] if there is something in the directory; those of the log and of the Store.
    pub fn begin_backup(&self, target: Arc<dyn Disk>) -> Result<BackupJob> {
        refuse_contents(&*target)?;
        let (start, hold) = self.backup_start()?;
        // Keyspaces that are made after `start` are in the log, with everything in them.
        let snapshot = self.state.snapshot();
        let mut keyspaces: Vec<_> = snapshot.keyspaces()?.into_iter().map(|(_, id)| id).collect();
        keyspaces.extend([KeyspaceId::CATALOG, KeyspaceId::SESSIONS]);
        keyspaces.sort();
        keyspaces.dedup();
        keyspaces.reverse();
        let own = self.manifest();
        Ok(BackupJob {
            state: self.state.clone(),
            log: self.log.clone(),
            target,
            manifest: BackupManifest {
                database_id: own.database_id,
                incarnation: own.incarnation,
                start,
                end: start,
                entries: 0,
                store_kind: own.store_kind,
                history: self.log.history(),
                content: Vec::new(),
                frames: Vec::new(),
            },
            reader: self.log.reader(start.lsn().next(), Bound::Durable)?,
            hold,
            content: ContentWriter::new(own.database_id),
            frames: RunWriter::new("log/", own.database_id, start),
            keyspaces,
            current: None,
            newest: start.lsn().max(snapshot.lsn()),
            expired: 0,
            step_entries: STEP_ENTRIES,
        })
    }

    /// A place that is durable and visible, and a hold on what follows it.
    fn backup_start(&self) -> Result<(LogPlace, Hold)> {
        for attempt in 1.. {
            let start = self.visible_lsn();
            self.wait(start)?;
            let begun = self.log.hold(start.next()).and_then(|hold| {
                let (log_id, chain) = self.log.locate(start)?;
                Ok((LogPlace { log_id, chain }, hold))
            });
            match begun {
                // A checkpoint went past it just now.
                Err(mainstay_wal::Error::LogTruncated { .. }) if attempt < BEGIN_LIMIT => {}
                begun => return Ok(begun?),
            }
        }
        unreachable!("the last attempt returns")
    }
}

fn refuse_contents(target: &dyn Disk) -> Result<()> {
    let names = match target.list("") {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        names => {
            names.map_err(|error| mainstay_wal::Error::io("list", target.describe(), error))?
        }
    };
    match names.first() {
        Some(name) => {
            Err(super::files::unusable(target.describe(), format!("it holds {name:?} already")))
        }
        None => Ok(()),
    }
}

impl BackupJob {
    /// Does a bounded piece of the work. The report, once the backup is complete and durable.
    ///
    /// # Errors
    /// Those of the log and the Store of the database, and of the target. The job cannot go on
    /// then.
    pub fn step(&mut self) -> Result<Option<BackupReport>> {
        let upto = self.log.durable_lsn().min(self.state.visible_lsn());
        self.copy_log(upto, STEP_LOG_BYTES)?;
        if self.current.is_none() {
            let Some(keyspace) = self.keyspaces.pop() else { return self.finish().map(Some) };
            self.current = self.begin_keyspace(keyspace)?;
        }
        let Some((keyspace, span)) = self.current.take() else { return Ok(None) };
        let rest = self.copy_content(keyspace, span)?;
        self.current = (!rest.is_empty()).then_some((keyspace, rest));
        Ok(None)
    }

    /// The stretch of a keyspace that has to be read. What is inserted behind it from now on is in
    /// the log: so the scan ends, however fast others write.
    fn begin_keyspace(&mut self, keyspace: KeyspaceId) -> Result<Option<(KeyspaceId, Span)>> {
        let snapshot = self.state.snapshot();
        match snapshot.range_in(keyspace, Span::all()).next_back() {
            None => Ok(None),
            Some(Ok((last, _))) => {
                let span = Span { upper: Some(span::after(&last)), ..Span::all() };
                Ok(Some((keyspace, span)))
            }
            Some(Err(Error::SnapshotTooOld { .. })) => {
                self.note_expired()?;
                Ok(Some((keyspace, Span::all())))
            }
            Some(Err(error)) => Err(error),
        }
    }

    /// Reads a piece of a keyspace from a new snapshot. Gives what is left.
    fn copy_content(&mut self, keyspace: KeyspaceId, span: Span) -> Result<Span> {
        let snapshot = self.state.snapshot();
        self.newest = self.newest.max(snapshot.lsn());
        let mut last: Option<Key> = None;
        let (mut bytes, mut entries) = (0, 0);
        for entry in snapshot.range_in(keyspace, span.clone()) {
            let (key, value) = match entry {
                // What was read so far is right; the rest comes from the next snapshot.
                Err(Error::SnapshotTooOld { .. }) => {
                    self.note_expired()?;
                    return Ok(behind(span, last));
                }
                entry => entry?,
            };
            self.content.push(&*self.target, keyspace, &key, &value)?;
            (bytes, entries) = (bytes + key.len() + value.len(), entries + 1);
            last = Some(key);
            if bytes >= STEP_BYTES || entries >= self.step_entries {
                self.expired = 0;
                return Ok(behind(span, last));
            }
        }
        self.expired = 0;
        Ok(Span { lower: span.lower.clone(), upper: Some(span.lower) })
    }

    fn note_expired(&mut self) -> Result<()> {
        self.expired += 1;
        if self.expired < EXPIRED_LIMIT {
            return Ok(());
        }
        Err(Error::Busy { what: "snapshots for a backup: writes need all memory for old versions" })
    }

    /// Copies the log up to `upto`, which is durable and visible, or about as many bytes.
    fn copy_log(&mut self, upto: Lsn, limit_bytes: usize) -> Result<()> {
        let mut bytes = 0;
        while self.frames.end().lsn() < upto && bytes < limit_bytes {
            let Some(frame) = self.reader.next_frame()? else { break };
            bytes += frame.bytes();
            self.frames.push(&*self.target, &frame)?;
        }
        Ok(self.hold.advance(self.frames.end().lsn().next())?)
    }

    /// The end of the backup is at or behind everything that the scan has seen.
    fn finish(&mut self) -> Result<BackupReport> {
        let end = self.newest.max(self.frames.end().lsn());
        self.log.wait_durable(end)?;
        while self.frames.end().lsn() < end {
            self.copy_log(end, STEP_LOG_BYTES)?;
        }
        self.content.finish(&*self.target)?;
        self.frames.flush(&*self.target)?;
        let manifest = &mut self.manifest;
        manifest.end = self.frames.end();
        manifest.history = self.log.history();
        manifest.history.truncate_suffix(end);
        manifest.entries = self.content.entries;
        manifest.content = std::mem::take(&mut self.content.files);
        manifest.frames = std::mem::take(&mut self.frames.written.files);
        manifest.write(&*self.target)?;
        Ok(BackupReport {
            start_lsn: manifest.start.lsn(),
            end: manifest.end.log_id,
            entries: manifest.entries,
            records: self.frames.written.records,
            bytes: manifest.bytes(),
        })
    }
}

/// What of a span lies behind a key.
fn behind(span: Span, last: Option<Key>) -> Span {
    match last {
        Some(last) => Span { lower: span::after(&last), upper: span.upper },
        None => span,
    }
}
