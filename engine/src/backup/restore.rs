//! Making a database from a backup, and from the log that was archived behind it.

use std::path::Path;
use std::sync::Arc;

use mainstay_wal::disk::{Disk, FileDisk};
use mainstay_wal::frame::{Frame, FrameHeader, payload_checksum};
use mainstay_wal::history::{EpochEntry, EpochHistory};
use mainstay_wal::manifest::Manifest;
use mainstay_wal::{Epoch, Log, LogId, Lsn, OpenedLog};

use super::archive::Archive;
use super::content::{self, StoredEntry};
use super::fields::{LogPlace, length32};
use super::files::unusable;
use super::manifest::BackupManifest;
use super::place::{NewDirectory, failed};
use super::runs::Run;
use super::{RestoreOptions, RestoreReport};
use crate::db::random_identity;
use crate::engine::{self, FIRST_STORE_DIRECTORY, Identity};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::record;
use crate::state::{State, StateOptions};
use crate::store::{self, Store, StoreKind, StoreOp, StorePlace};

/// Makes a database at `target`, where nothing may be, from a backup and perhaps an archive.
///
/// Everything is read and checked before anything is made. The database is made under a temporary
/// name beside `target` and renamed when it is whole: a crash leaves `target` as it was, or
/// complete.
///
/// The new database keeps the database id, gets a new incarnation, and begins a new epoch with an
/// empty record of its own behind the one that was restored: what it writes from then on is never
/// mistaken for what the original wrote at the same LSN.
///
/// # Errors
/// - [`Error::Backup`]: there is something at `target`, or the backup or the archive is damaged,
///   incomplete, of another database, or has a gap.
/// - [`Error::RestorePoint`]: `to_lsn` lies before the end of the backup, or behind that of the
///   archive.
/// - [`Error::Option`]: the Store cannot be used here.
pub fn restore(
    backup: impl AsRef<Path>,
    target: impl AsRef<Path>,
    options: RestoreOptions,
) -> Result<RestoreReport> {
    let open = |path: &Path| {
        FileDisk::open_read_only(path).map_err(|error| failed("open the directory", path, error))
    };
    let backup = open(backup.as_ref())?;
    let archive = options.archive.as_deref().map(open).transpose()?;
    let archive = archive.as_ref().map(|archive| archive as &dyn Disk);
    let source = RestoreSource::check(&backup, archive, options.to_lsn)?;
    let place = NewDirectory::begin(target.as_ref())?;
    let destination = Destination {
        disk: place.disk(),
        root: Some(place.root()),
        store: options.store,
        identity: random_identity(),
    };
    let report = source.restore(destination)?;
    place.finish()?;
    Ok(report)
}

/// As [`restore`], from any disks to any empty disk, with an identity that is given.
///
/// A crash in the middle leaves a disk that is empty or refuses to be opened.
pub fn restore_on(
    backup: &dyn Disk,
    archive: Option<&dyn Disk>,
    target: Arc<dyn Disk>,
    options: &RestoreOptions,
    identity: Identity,
) -> Result<RestoreReport> {
    let source = RestoreSource::check(backup, archive, options.to_lsn)?;
    let _lock = engine::lock(&*target)?;
    source.restore(Destination { disk: target, root: None, store: options.store, identity })
}

/// A backup with what follows it, checked.
struct RestoreSource<'a> {
    backup: &'a dyn Disk,
    manifest: BackupManifest,
    archive: Option<&'a dyn Disk>,
    runs: Archive,
    /// Where the restored database goes on.
    end: LogPlace,
    /// Up to there.
    history: EpochHistory,
    /// Above every epoch that is known of the original.
    next_epoch: Epoch,
}

struct Destination<'a> {
    disk: Arc<dyn Disk>,
    root: Option<&'a Path>,
    store: Option<StoreKind>,
    identity: Identity,
}

impl<'a> RestoreSource<'a> {
    /// Reads and checks everything that the restored database will be made of.
    fn check(
        backup: &'a dyn Disk,
        archive: Option<&'a dyn Disk>,
        to_lsn: Option<Lsn>,
    ) -> Result<RestoreSource<'a>> {
        let manifest = BackupManifest::read(backup)?;
        let runs = match archive {
            Some(archive) => Archive::list(archive)?,
            None => Archive { runs: Vec::new() },
        };
        let first_lsn = manifest.end.lsn();
        let last_lsn = runs.runs.last().map_or(first_lsn, |last| last.last_lsn.max(first_lsn));
        let requested = to_lsn.unwrap_or(last_lsn);
        if requested < first_lsn || requested > last_lsn {
            return Err(Error::RestorePoint { requested, first_lsn, last_lsn });
        }
        let (end, history) = (manifest.end, manifest.history.clone());
        let next_epoch = Epoch::FIRST;
        let mut source =
            RestoreSource { backup, manifest, archive, runs, end, history, next_epoch };
        source.check_content()?;
        (source.end, source.history) = source.walk_log(requested, &mut |frame| {
            record::decode(frame.header.lsn, frame.payload)?.try_for_each(|op| op.map(drop))
        })?;
        source.next_epoch = source.newest_epoch()?.next();
        Ok(source)
    }

    fn check_content(&self) -> Result<()> {
        let mut entries = 0;
        let mut last = None;
        self.read_content(&mut |block| {
            entries += block.len() as u64;
            for StoredEntry { keyspace, key, .. } in block {
                let place = Some((keyspace, key));
                if place <= last {
                    let reason = "its entries are not in order";
                    return Err(unusable(self.backup.describe(), reason));
                }
                last = place;
            }
            Ok(())
        })?;
        let expected = self.manifest.entries;
        if entries == expected {
            return Ok(());
        }
        let reason = format!("it has {entries} entries instead of {expected}");
        Err(unusable(self.backup.describe(), reason))
    }

    fn read_content(&self, visit: &mut dyn FnMut(Vec<StoredEntry>) -> Result<()>) -> Result<()> {
        let database_id = self.manifest.database_id;
        let mut files = self.manifest.content.iter();
        files.try_for_each(|file| content::read_file(self.backup, file, database_id, visit))
    }

    /// Reads the log behind the start of the backup, up to a record at or behind its end, and
    /// checks that everything follows. Gives the place and the epochs up to there.
    fn walk_log(
        &self,
        upto: Lsn,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<(LogPlace, EpochHistory)> {
        let manifest = &self.manifest;
        let mut walk = Walk { place: manifest.start, history: manifest.history.clone(), upto };
        for file in &manifest.frames {
            let run = Run::read(self.backup, &file.name)?;
            if run.crc() != file.crc || run.file_bytes() != file.bytes {
                let path = format!("{}/{}", self.backup.describe(), file.name);
                return Err(unusable(path, "it is not the file that was written"));
            }
            self.follow(&mut walk, &run, self.backup, &file.name, visit)?;
        }
        if walk.place != manifest.end {
            let (found, expected) = (walk.place.log_id, manifest.end.log_id);
            let reason = format!("its log ends with {found}, or another chain, not {expected}");
            return Err(unusable(self.backup.describe(), reason));
        }
        let Some(archive) = self.archive else { return Ok((walk.place, walk.history)) };
        for archived in &self.runs.runs {
            if archived.last_lsn > walk.place.lsn() && walk.place.lsn() < upto {
                let run = Run::read(archive, &archived.name)?;
                self.follow(&mut walk, &run, archive, &archived.name, visit)?;
            }
        }
        assert!(walk.place.lsn() == upto, "{:?} instead of {upto}", walk.place);
        Ok((walk.place, walk.history))
    }

    /// Goes on through a file, whose beginning may lie before the place that was reached.
    fn follow(
        &self,
        walk: &mut Walk,
        run: &Run,
        disk: &dyn Disk,
        name: &str,
        visit: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<()> {
        let bad = |reason: String| unusable(format!("{}/{name}", disk.describe()), reason);
        let (found, expected) = (run.header.database_id, self.manifest.database_id);
        if found != expected {
            return Err(bad(format!("it belongs to database {found}, not to {expected}")));
        }
        let (mut place, reached) = (run.header.before, walk.place);
        if place.lsn() > reached.lsn() {
            let (next, first) = (reached.lsn().next(), run.header.first_lsn());
            return Err(bad(format!("it begins with LSN {first}, and LSN {next} is missing")));
        }
        for frame in run.frames() {
            if place.lsn() == reached.lsn() && place != reached {
                break;
            }
            if place.lsn() >= walk.upto {
                return Ok(());
            }
            let next = LogPlace {
                log_id: frame.header.log_id(),
                chain: place.chain.extend(&frame.header),
            };
            if place.lsn() >= reached.lsn() {
                walk.note_epoch(place, next.log_id).map_err(bad)?;
                visit(&frame)?;
                walk.place = next;
            }
            place = next;
        }
        if place.lsn() >= reached.lsn() && walk.place == place {
            return Ok(());
        }
        let reason = format!("it does not hold {} of the log before it", reached.log_id);
        Err(bad(format!("{reason}: it belongs to another history")))
    }

    /// The newest epoch that is known of the original, whatever is restored of it.
    fn newest_epoch(&self) -> Result<Epoch> {
        let mut newest = self.end.log_id.epoch.max(Epoch::FIRST);
        if let (Some(archive), Some(last)) = (self.archive, self.runs.runs.last()) {
            newest = newest.max(Run::read(archive, &last.name)?.header.end.log_id.epoch);
        }
        Ok(newest)
    }

    /// Makes the database.
    ///
    /// The manifest that the directory gets first names a checkpoint at the record that is written
    /// last. Until that is durable the log lacks it, and opening the directory answers that it is
    /// corrupt.
    fn restore(&self, destination: Destination<'_>) -> Result<RestoreReport> {
        let Destination { disk, root, store, identity } = destination;
        let kind = match store {
            Some(kind) => kind,
            None => self.manifest.store_kind.parse()?,
        };
        let marker = record::encode(&[]);
        let first = self.marker(&marker);
        let mut manifest = Manifest::new(
            self.manifest.database_id,
            identity.incarnation,
            kind.name(),
            FIRST_STORE_DIRECTORY,
        );
        manifest.checkpoint = first.log_id;
        manifest.checkpoint_chain = first.chain;
        let options = Options::new();
        let log_options = options.log_options(identity.salt_seed);
        let opened = Log::create(disk.clone(), log_options, &manifest, None)?;
        let OpenedLog { log, manifest_file, .. } = opened;
        let place = StorePlace { disk: &disk, root, directory: FIRST_STORE_DIRECTORY };
        let store = store::open_store(kind, place, options.store_cache_bytes, true)?;
        self.fill(&store)?;
        store.apply(&[], first.lsn())?;
        store.make_durable()?;
        log.reset(self.end.log_id, self.end.chain, &self.history)?;
        log.begin_epoch(self.next_epoch)?;
        let appended = log.append(&marker)?;
        log.wait_durable(appended)?;
        assert!(log.end_and_chain() == (first.log_id, first.chain), "{first:?} was foreseen");
        log.close()?;
        drop((store, manifest_file));
        Ok(RestoreReport {
            restored: self.end.log_id,
            epoch: self.next_epoch,
            entries: self.manifest.entries,
            records: self.end.lsn().0 - self.manifest.start.lsn().0,
        })
    }

    /// The empty record with which the new epoch begins.
    fn marker(&self, payload: &[u8]) -> LogPlace {
        let lsn = self.end.lsn().next();
        let length = length32(payload.len());
        let header = FrameHeader::new(lsn, self.next_epoch, length, payload_checksum(payload));
        LogPlace {
            log_id: LogId { epoch: self.next_epoch, lsn },
            chain: self.end.chain.extend(&header),
        }
    }

    /// Puts the content into the Store, and then the log over it.
    fn fill(&self, store: &Arc<dyn Store>) -> Result<()> {
        self.read_content(&mut |block| {
            let insert =
                |StoredEntry { keyspace, key, value }| StoreOp::Insert { keyspace, key, value };
            let ops: Vec<StoreOp> = block.into_iter().map(insert).collect();
            store.apply(&ops, Lsn::ZERO)
        })?;
        // Pieces without an LSN are seen from here on.
        store.make_durable()?;
        let options = StateOptions { memtable_bytes: MEMTABLE_BYTES, snapshot_bytes: 0 };
        let state = Arc::new(State::open(store.clone(), self.manifest.start.lsn(), options)?);
        self.walk_log(self.end.lsn(), &mut |frame| {
            state.apply(frame.header.lsn, frame.payload)?;
            state.set_visible(frame.header.lsn);
            if state.wants_freeze() { move_to_store(&state) } else { Ok(()) }
        })?;
        move_to_store(&state)
    }
}

/// How much is applied at once over the content.
const MEMTABLE_BYTES: usize = 32 << 20;
const OPS_PER_STEP: usize = 1000;

fn move_to_store(state: &Arc<State>) -> Result<()> {
    state.freeze();
    while let Some(mut job) = state.begin_checkpoint() {
        while !job.step(OPS_PER_STEP)? {}
        state.finish_checkpoint(job);
    }
    Ok(())
}

/// How far the log was read.
struct Walk {
    place: LogPlace,
    history: EpochHistory,
    upto: Lsn,
}

impl Walk {
    /// Takes note of the epoch of the record behind `before`.
    fn note_epoch(&mut self, before: LogPlace, record: LogId) -> std::result::Result<(), String> {
        if self.history.last().is_some_and(|last| record.epoch <= last.epoch) {
            return Ok(());
        }
        let (epoch, start_lsn, chain_at_start) = (record.epoch, record.lsn, before.chain);
        let entry = EpochEntry { epoch, start_lsn, chain_at_start };
        self.history.try_push(entry).map_err(|error| error.to_string())
    }
}
