//! Opening a database: the manifest says up to where the Store is complete, the log says the rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay_wal::disk::{Disk, DiskLock};
use mainstay_wal::manifest::{Manifest, ManifestFile};
use mainstay_wal::{
    Bound, Chain, DatabaseId, Incarnation, Log, LogId, LogRecovery, Lsn, OpenedLog,
};
use parking_lot::Mutex;

use super::Engine;
use super::checkpoint::CheckpointStep;
use super::health::Health;
use crate::error::{Error, Result};
use crate::options::Options;
use crate::replicated::ClusterId;
use crate::state::{Replay, State};
use crate::store::{self, StoreKind, StorePlace, StoreSource, WatchedStore};
use crate::visibility::Visibility;

/// What opening a database found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Whether the database was made by this call.
    pub created: bool,
    /// What was found in the log: a clean end, or a tail that was cut.
    pub log: LogRecovery,
    /// Up to where the Store was complete.
    pub checkpoint_lsn: Lsn,
    /// Records that were replayed from the log.
    pub replayed_records: u64,
    /// Bytes of those records.
    pub replayed_bytes: u64,
    /// Why the Store was rebuilt from the log, if it was, and where the damaged one is.
    pub rebuilt: Option<Rebuilt>,
}

/// A Store that was given up, and rebuilt from the log in another directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// What was wrong with it.
    pub reason: String,
    /// The directory in which it was left, relative to that of the database. It can be removed.
    pub left_in: String,
}

/// What opening needs from outside, so that a simulation repeats itself.
#[derive(Copy, Clone, Debug)]
pub struct Identity {
    /// For a database that is made now.
    pub database_id: DatabaseId,
    /// For a database that is made now.
    pub incarnation: Incarnation,
    /// Where the salts of the log's segments come from.
    pub salt_seed: u64,
}

pub(crate) const FIRST_STORE_DIRECTORY: &str = "store-1";

impl Engine {
    /// Opens the database on a disk, or makes it.
    ///
    /// `root` is the disk's directory in the file system, if it is one. Nothing is changed on the disk when the
    /// answer is an error, except that an interrupted creation or recovery may be completed.
    pub fn open(
        disk: Arc<dyn Disk>,
        root: Option<PathBuf>,
        options: Options,
        identity: Identity,
    ) -> Result<Engine> {
        Engine::open_as(disk, root, options, identity, None)
    }

    /// Opens the database as a node of a cluster, or as one that is alone.
    pub(crate) fn open_as(
        disk: Arc<dyn Disk>,
        root: Option<PathBuf>,
        options: Options,
        identity: Identity,
        cluster: Option<ClusterId>,
    ) -> Result<Engine> {
        options.check()?;
        // Looked at before anything is made in there, the lock's file too.
        check_directory(&*disk, &options, cluster)?;
        let lock = lock(&*disk)?;
        let log_options = options.log_options(identity.salt_seed);
        let created = !check_directory(&*disk, &options, cluster)?;
        let opened = if created {
            let kind = options.store.clone();
            let kind = kind.unwrap_or_else(|| StoreSource::Kind(default_store(root.is_some())));
            let Identity { database_id, incarnation, .. } = identity;
            let manifest = Manifest {
                replicated: cluster.is_some(),
                cluster_id: cluster.map_or(0, |cluster| cluster.0),
                ..Manifest::new(database_id, incarnation, kind.name(), FIRST_STORE_DIRECTORY)
            };
            Log::create(disk.clone(), log_options, &manifest, Some(lock))?
        } else {
            Log::open(disk.clone(), log_options, Some(lock))?
        };
        Engine::recover(disk, root, options, opened, created)
    }

    fn recover(
        disk: Arc<dyn Disk>,
        root: Option<PathBuf>,
        options: Options,
        opened: OpenedLog,
        created: bool,
    ) -> Result<Engine> {
        let OpenedLog { log, manifest_file, manifest, recovery } = opened;
        let first_lsn = log.first_lsn();
        if manifest.checkpoint == LogId::ZERO && first_lsn > Lsn(1) {
            return Err(mainstay_wal::Error::Corrupt {
                file: mainstay_wal::segment::DIRECTORY.to_owned(),
                segment: None,
                offset: 0,
                lsn: Lsn(1),
                reason: format!("it begins with LSN {first_lsn}, but nothing is checkpointed"),
            }
            .into());
        }
        // The Store may hold anything up to here, and that was committed.
        log.set_commit_lsn(manifest.checkpoint.lsn.max(manifest.committed));
        let source = StoreSource::of(&manifest, disk.describe(), options.store.as_ref())?;
        let health = Arc::new(Health::new(manifest_file, manifest));
        let place = (&disk, root.as_deref());
        let (opened, rebuilt) = match open_state(&source, place, &options, &health.manifest()) {
            Ok(opened) => (opened, None),
            Err(error) => {
                let rebuilt = Rebuild { log: &log, health: &health }.move_aside(error)?;
                (open_state(&source, place, &options, &health.manifest())?, Some(rebuilt))
            }
        };
        let (store, state) = opened;
        store.watch(&health);
        let manifest = health.manifest();
        let base = manifest.checkpoint.lsn;
        let replicated = manifest.replicated;
        let engine = Engine {
            state,
            disk,
            root,
            options,
            log,
            store,
            health,
            append: Mutex::new(()),
            replicated,
            visibility: Visibility::default(),
            shown: Arc::default(),
            checkpoint: Mutex::default(),
            recovery: Recovery {
                created,
                log: recovery,
                checkpoint_lsn: base,
                replayed_records: 0,
                replayed_bytes: 0,
                rebuilt,
            },
            counters: super::checkpoint::Counters::default(),
        };
        engine.replay(base)
    }

    /// Applies what the log holds above the checkpoint. Memory stays within the budget: what is too much for it
    /// goes to the Store at once. On a replicated node only what is known to be committed; the rest waits.
    fn replay(mut self, base: Lsn) -> Result<Engine> {
        let bound = if self.replicated { Bound::Committed } else { Bound::Durable };
        let mut reader = self.log.reader(base.next(), bound)?;
        let mut replay = Replay::default();
        while let Some(frame) = reader.next_frame()? {
            self.state.replay(&mut replay, frame.header.lsn, frame.payload)?;
            self.recovery.replayed_records += 1;
            self.recovery.replayed_bytes += frame.bytes() as u64;
            if self.state.wants_freeze() {
                self.advance(self.state.last_applied_lsn());
                self.state.freeze();
                self.make_room_for_replay()?;
            }
        }
        self.state.settle(&mut replay);
        self.advance(self.log.durable_lsn());
        if !self.replicated {
            self.log.set_commit_lsn(self.log.durable_lsn());
        }
        self.note_durable()?;
        Ok(self)
    }
}

impl Engine {
    /// Moves frozen memtables into the Store until another one fits into the budget.
    fn make_room_for_replay(&self) -> Result<()> {
        let budget = self.options.memtables_bytes();
        let another = self.options.state_options().memtable_bytes;
        while self.memtable_bytes() + another > budget {
            if self.checkpoint_step()? == CheckpointStep::Idle {
                break;
            }
        }
        Ok(())
    }
}

/// Whether the directory holds a database. Refuses one that cannot be opened so: what is found later has changed
/// the directory already, since opening a log may cut and rewrite its tail.
fn check_directory(disk: &dyn Disk, options: &Options, cluster: Option<ClusterId>) -> Result<bool> {
    if ManifestFile::exists(disk)? {
        let manifest = ManifestFile::open_read_only(disk)?;
        check_cluster(disk, &manifest, cluster)?;
        StoreSource::of(&manifest, disk.describe(), options.store.as_ref())?;
        return Ok(true);
    }
    if !options.create {
        let reason = "it has no manifest; give the directory of a database, or have one created";
        let path = disk.describe();
        return Err(mainstay_wal::Error::NotADatabase { path, reason: reason.to_owned() }.into());
    }
    Log::check_vacant(disk)?;
    Ok(false)
}

/// Refuses to open a node's directory as if it were alone, or as a node of something else.
fn check_cluster(disk: &dyn Disk, manifest: &Manifest, cluster: Option<ClusterId>) -> Result<()> {
    let directory = disk.describe();
    let found = ClusterId(manifest.cluster_id);
    match (manifest.replicated, cluster) {
        (true, None) => Err(Error::Replicated { directory }),
        (false, Some(_)) => {
            let reason = "it was never replicated; convert it first".to_owned();
            Err(Error::OtherCluster { directory, reason })
        }
        (true, Some(cluster)) if found != cluster => {
            let reason = format!("it belongs to cluster {found}, not {cluster}");
            Err(Error::OtherCluster { directory, reason })
        }
        _ => Ok(()),
    }
}

/// Locks a directory for one owner.
pub(crate) fn lock(disk: &dyn Disk) -> Result<Box<dyn DiskLock>> {
    disk.lock().map_err(|error| {
        let directory = disk.describe();
        match error.kind() {
            std::io::ErrorKind::WouldBlock => mainstay_wal::Error::Locked { directory }.into(),
            _ => mainstay_wal::Error::io("lock", directory, error).into(),
        }
    })
}

fn default_store(has_directory: bool) -> StoreKind {
    let built = StoreKind::built().next().filter(|_| has_directory);
    built.unwrap_or(StoreKind::Memory)
}

/// The Store with the state over it. Before the first checkpoint its content does not matter: an
/// empty one is made.
fn open_state(
    source: &StoreSource,
    (disk, root): (&Arc<dyn Disk>, Option<&Path>),
    options: &Options,
    manifest: &Manifest,
) -> Result<(Arc<WatchedStore>, Arc<State>)> {
    if manifest.store_damaged {
        return Err(store::damaged(source.name(), "be opened", "it was found damaged before"));
    }
    let directory = &manifest.store_directory;
    let place = StorePlace { disk, root, directory };
    let create = manifest.checkpoint == LogId::ZERO;
    if create {
        store::destroy(&**disk, directory)?;
    }
    let store = source.open(place, options.store_cache_bytes, create)?;
    let (applied, checkpoint) = (store.applied()?, manifest.checkpoint.lsn);
    if applied < checkpoint {
        let reason = format!("it ends at LSN {applied}, below the checkpoint at {checkpoint}");
        return Err(store::damaged(source.name(), "be opened", reason));
    }
    let store = Arc::new(WatchedStore::new(store, directory));
    let state = State::open(store.clone(), checkpoint, options.state_options())?;
    Ok((store, Arc::new(state)))
}

/// Replaces a damaged Store by an empty one, if the log holds everything that was in it.
struct Rebuild<'a> {
    log: &'a Log,
    health: &'a Health,
}

impl Rebuild<'_> {
    fn move_aside(self, error: Error) -> Result<Rebuilt> {
        let Error::Store { kind, operation, reason, damaged: true } = &error else {
            return Err(error);
        };
        let reason = format!("the {kind} Store cannot {operation}: {reason}");
        let first_lsn = self.log.first_lsn();
        if first_lsn > Lsn(1) {
            tracing::error!(%error, "the Store is damaged and the log does not reach back to its beginning");
            return Err(Error::CannotRebuild { reason, first_lsn });
        }
        tracing::warn!(%error, "the Store is damaged and is rebuilt from the log");
        let old = self.health.manifest().store_directory;
        self.health.write_manifest(|manifest| {
            manifest.store_directory = next_directory(&old);
            manifest.checkpoint = LogId::ZERO;
            manifest.checkpoint_chain = Chain::EMPTY;
            manifest.store_damaged = false;
        })?;
        Ok(Rebuilt { reason, left_in: old })
    }
}

/// Whether a name is that of a Store's directory, this database's or one that was given up.
pub(crate) fn is_store_directory(name: &str) -> bool {
    let digits = name.strip_prefix("store-").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `store-2` after `store-1`.
pub(crate) fn next_directory(directory: &str) -> String {
    let number = directory.rsplit('-').next().and_then(|digits| digits.parse::<u64>().ok());
    format!("store-{}", number.unwrap_or(0).saturating_add(1))
}
