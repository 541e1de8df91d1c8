//! Writing the Store of a closed database anew, so that it takes no more space than it needs.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use mainstay_wal::disk::{Disk, FileDisk, FileDiskOptions};
use mainstay_wal::manifest::ManifestFile;
use mainstay_wal::{LogId, Lsn};

use crate::engine::{lock, next_directory};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::options::Options;
use crate::state::State;
use crate::store::{self, Store, StoreOp, StorePlace, StoreSource, destroy};

/// How many operations are given to the new Store at a time, and how many bytes at most.
const PIECE_OPS: usize = 10_000;
const PIECE_BYTES: usize = 4 << 20;

/// What [`rebuild_store`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildReport {
    /// Entries that were copied, those of the catalog of keyspaces included.
    pub entries: u64,
    /// What the Store took on the disk before.
    pub before_bytes: u64,
    /// What it takes now.
    pub after_bytes: u64,
    /// The directory of the new Store, below that of the database.
    pub store_directory: String,
}

/// Copies the Store of a database into a new one, which takes its place: `sled` leaks space on
/// overwrites, and this gets it back. The log is not touched.
///
/// The new Store counts from one write of the manifest on. A crash before leaves the old one in
/// use, a crash after it the new one; what the other leaves behind is removed by the next call.
/// Needs the space of both for a while.
///
/// # Errors
/// - [`mainstay_wal::Error::Locked`] if the database is open; [`Error::Replicated`] if it belongs
///   to a node of a cluster; those of opening it.
/// - [`Error::Store`], `damaged`, if the old Store cannot be read. Opening the database rebuilds
///   such a one from the log, where that reaches back far enough.
/// - [`Error::is_indeterminate`] if the manifest could not be written: either Store may count, and
///   both are whole.
pub fn rebuild_store(directory: impl AsRef<Path>) -> Result<RebuildReport> {
    let path = directory.as_ref();
    let disk = FileDisk::open(path, FileDiskOptions::default().create(false)).map_err(|error| {
        mainstay_wal::Error::io("open the directory", path.display().to_string(), error)
    })?;
    rebuild_store_on(Arc::new(disk), Some(path))
}

/// As [`rebuild_store`], on any disk. `root` is its directory in the file system, if it is one.
pub fn rebuild_store_on(disk: Arc<dyn Disk>, root: Option<&Path>) -> Result<RebuildReport> {
    // A directory that is no database gets no lock file.
    let manifest = ManifestFile::open_read_only(&*disk)?;
    if manifest.replicated {
        return Err(Error::Replicated { directory: disk.describe() });
    }
    let _lock = lock(&*disk)?;
    let (mut manifest_file, mut manifest) = ManifestFile::open(&*disk)?;
    let old_directory = manifest.store_directory.clone();
    if manifest.checkpoint == LogId::ZERO {
        // Before the first checkpoint the Store's content does not matter.
        let store_directory = old_directory;
        return Ok(RebuildReport { entries: 0, before_bytes: 0, after_bytes: 0, store_directory });
    }
    let source = StoreSource::of(&manifest, disk.describe(), None)?;
    let options = Options::new();
    let open = |directory: &str, create| {
        let place = StorePlace { disk: &disk, root, directory };
        source.open(place, options.store_cache_bytes, create)
    };
    let old = open(&old_directory, false)?;
    let (applied, checkpoint) = (old.applied()?, manifest.checkpoint.lsn);
    if applied < checkpoint {
        let reason = format!("it ends at LSN {applied}, below the checkpoint at {checkpoint}");
        return Err(store::damaged(source.name(), "be opened", reason));
    }
    let store_directory = next_directory(&old_directory);
    destroy(&*disk, &store_directory)?;
    let new = open(&store_directory, true)?;
    let entries = copy(&old, &*new, checkpoint, &options)?;
    new.apply(&[], applied)?;
    new.make_durable()?;
    let (before_bytes, after_bytes) = (old.usage()?.disk_bytes, new.usage()?.disk_bytes);
    drop((old, new));
    manifest.store_directory.clone_from(&store_directory);
    // Whatever was found before: all of it could be read.
    manifest.store_damaged = false;
    manifest_file.write(&manifest)?;
    destroy(&*disk, &old_directory)?;
    Ok(RebuildReport { entries, before_bytes, after_bytes, store_directory })
}

/// Copies every entry of every keyspace; gives how many there were.
fn copy(old: &Arc<dyn Store>, new: &dyn Store, base: Lsn, options: &Options) -> Result<u64> {
    let state = State::open(old.clone(), base, options.state_options())?;
    let mut keyspaces = vec![KeyspaceId::CATALOG, KeyspaceId::DEFAULT, KeyspaceId::SESSIONS];
    keyspaces.extend(state.keyspaces().into_iter().map(|(_, id)| id));
    keyspaces.sort();
    keyspaces.dedup();
    let mut entries = 0;
    for keyspace in keyspaces {
        let mut piece = Vec::new();
        let mut piece_bytes = 0;
        for entry in old.range(keyspace, Bound::Unbounded, Bound::Unbounded)? {
            let (key, value) = entry?;
            entries += 1;
            piece_bytes += key.len() + value.len();
            piece.push(StoreOp::Insert { keyspace, key, value });
            if piece.len() >= PIECE_OPS || piece_bytes >= PIECE_BYTES {
                new.apply(&std::mem::take(&mut piece), Lsn::ZERO)?;
                piece_bytes = 0;
            }
        }
        if !piece.is_empty() {
            new.apply(&piece, Lsn::ZERO)?;
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    #[cfg(feature = "sled")]
    use crate::store::StoreKind;
    use mainstay_wal::disk::{SimDisk, Survivors};

    fn contents(db: &Db) -> Vec<(String, Vec<u8>, Vec<u8>)> {
        let mut all = Vec::new();
        for name in db.keyspaces() {
            for entry in db.keyspace(&name).unwrap().iter().unwrap() {
                let (key, value) = entry.unwrap();
                all.push((name.clone(), key.to_vec(), value.to_vec()));
            }
        }
        all
    }

    /// Keyspaces made and dropped, values overwritten, part of it checkpointed and part not.
    fn fill(db: &Db) {
        let users = db.keyspace("users").unwrap();
        let gone = db.keyspace("gone").unwrap();
        for round in 0..20 {
            for number in 0..50 {
                let value = format!("{round}").repeat(50);
                users.insert(format!("user-{number}"), &value).unwrap();
                gone.insert(format!("{number}"), &value).unwrap();
            }
        }
        db.drop_keyspace("gone").unwrap();
        db.insert("ada", "1815").unwrap();
        db.checkpoint().unwrap();
        users.remove("user-7").unwrap();
        db.keyspace("late").unwrap().insert("k", "v").unwrap();
    }

    #[test]
    fn everything_is_in_the_new_store_and_keyspaces_keep_their_numbers() {
        let disk = SimDisk::new(3);
        let open = || Options::new().background(false).open_on(Arc::new(disk.clone())).unwrap();
        let db = open();
        fill(&db);
        let before = contents(&db);
        db.close().unwrap();
        let report = rebuild_store_on(Arc::new(disk.clone()), None).unwrap();
        assert_eq!(report.store_directory, "store-2");
        assert!(report.entries >= 51, "{report:?}");
        let db = open();
        assert_eq!(contents(&db), before);
        assert!(db.recovery().rebuilt.is_none());
        db.keyspace("another").unwrap().insert("k", "v").unwrap();
        assert_eq!(db.keyspace("users").unwrap().iter().unwrap().count(), 49);
        db.close().unwrap();
        let names = disk.list("").unwrap();
        assert!(!names.iter().any(|name| name == "store-1"), "{names:?}");
    }

    #[cfg(feature = "sled")]
    #[test]
    fn sled_gives_back_what_overwrites_took() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("database");
        let db = Options::new().store(StoreKind::Sled).open(&dir).unwrap();
        fill(&db);
        let before = contents(&db);
        db.close().unwrap();
        let report = rebuild_store(&dir).unwrap();
        assert!(report.after_bytes > 0, "{report:?}");
        let db = Db::open(&dir).unwrap();
        assert_eq!(contents(&db), before);
        let locked = rebuild_store(&dir).unwrap_err();
        assert!(matches!(locked, Error::Log(mainstay_wal::Error::Locked { .. })), "{locked}");
        db.close().unwrap();
        assert!(rebuild_store(scratch.path()).is_err(), "there is no database");
    }

    #[test]
    fn a_rebuild_that_fails_anywhere_loses_nothing() {
        let disk = SimDisk::new(4);
        let open = |disk: &SimDisk| {
            Options::new().background(false).open_on(Arc::new(disk.clone())).unwrap()
        };
        let db = open(&disk);
        fill(&db);
        let before = contents(&db);
        db.close().unwrap();
        let whole = disk.fork();
        let start = whole.operations();
        rebuild_store_on(Arc::new(whole.clone()), None).unwrap();
        let count = whole.operations() - start;
        assert!(count > 5, "{count}");
        let policies = [Survivors::Nothing, Survivors::Everything];
        for (at, policy) in (0..count).flat_map(|at| policies.iter().map(move |it| (at, *it))) {
            let crashing = disk.fork();
            crashing.crash_at(crashing.operations() + at);
            let failed = rebuild_store_on(Arc::new(crashing.clone()), None);
            assert!(failed.is_err(), "{at} of {count}");
            let after = crashing.crash(policy);
            let db = open(&after);
            assert_eq!(contents(&db), before, "{at} of {count}, {policy:?}");
            assert!(db.recovery().rebuilt.is_none(), "{at} of {count}, {policy:?}");
            db.close().unwrap();
            rebuild_store_on(Arc::new(after.clone()), None).unwrap();
            assert_eq!(contents(&open(&after)), before, "{at} of {count}, {policy:?}");
        }
    }
}
