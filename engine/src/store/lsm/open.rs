//! Making a Store, opening it, and opening it for reading only.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use lsm_tree::{AbstractTree, AnyTree, Cache, Config, DescriptorTable, SequenceNumberCounter};
use parking_lot::Mutex;

use super::check::{self, TABLES};
use super::compaction::{self, Brake, Compaction};
use super::core::{Core, Problem};
use super::notes::{self, Note, Notes};
use super::write::Writer;
use super::{KIND, LsmOptions, LsmStore, Open};
use crate::error::Result;
use crate::store::directory::{Scratch, files_in, locked, make_empty, sync_directory, sync_parent};
use crate::store::wall::Wall;
use crate::store::{damaged, failed};

/// Where lsm-tree keeps its files, in the directory of the Store.
pub(super) const TREE: &str = "tree";

/// Files that lsm-tree may keep open.
const MAX_OPEN_FILES: usize = 128;

impl LsmStore {
    /// Makes an empty Store in a directory, which is created, and makes it durable. Its parent must
    /// exist.
    ///
    /// Fails if there is a Store, or a part of one: remove it first.
    pub fn create(path: &Path, options: LsmOptions) -> Result<LsmStore> {
        let refused = |error| refused("create itself", path, &error);
        make_empty(path).map_err(refused)?;
        let wall = Wall::new(KIND, path.to_owned());
        let opened = open_tree(&wall, path.join(TREE), options)?;
        // Without this file there is no Store, so it comes last.
        let note = Note::default();
        let notes = Notes::create(path, note).map_err(refused)?;
        let lock = notes.handle().map_err(refused)?;
        take_lock(path, lock.try_lock())?;
        sync_directory(path).map_err(refused)?;
        sync_parent(path).map_err(refused)?;
        let core = opened.into_core(wall, lock, None);
        LsmStore::start(core, options, notes, note)
    }

    /// Opens the Store in a directory.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`](crate::Error::Store), `damaged`, if there is none, or if it is not what
    ///   was written: it must be rebuilt.
    /// - [`mainstay_wal::Error::Locked`] if another process, or an iterator of this one, still has
    ///   it open.
    /// - [`mainstay_wal::Error::UnsupportedVersion`] if a newer mainstay wrote it.
    pub fn open(path: &Path, options: LsmOptions) -> Result<LsmStore> {
        let refused = |error| refused("open itself", path, &error);
        let file = open_notes(path, File::options().read(true).write(true))?;
        take_lock(path, file.try_lock())?;
        let tree = path.join(TREE);
        // A killed process may have left what is not durable yet: a note that is built on, and names
        // that replaced what lsm-tree removes as soon as it opens.
        file.sync_all().map_err(refused)?;
        for directory in [&tree.join(TABLES), &tree, path] {
            match sync_directory(directory) {
                // Damage; found below.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced.map_err(refused)?,
            }
        }
        remove_leftovers(&tree).map_err(refused)?;
        let lock = file.try_clone().map_err(refused)?;
        let wall = Wall::new(KIND, path.to_owned());
        let (generation, note) = wall.call("read its notes", || Notes::read(path, &file))?;
        let core = open_checked(wall, tree, options, note, lock, None)?;
        LsmStore::start(core, options, Notes::new(file, generation), note)
    }

    /// Opens the Store in a directory for reading; applying answers
    /// [`Error::ReadOnly`](crate::Error::ReadOnly). No byte of the directory is changed.
    ///
    /// lsm-tree removes what it does not need when it opens. So this opens a directory of its own
    /// below `scratch`, or below the system's directory for temporary files, where the tables are
    /// symbolic links, or copies where there are none. It is removed when the Store and its
    /// iterators are dropped. Nobody may have the Store open meanwhile.
    ///
    /// Fails as [`LsmStore::open`] does, and if that directory cannot be made.
    pub fn open_read_only(
        path: &Path,
        options: LsmOptions,
        scratch: Option<&Path>,
    ) -> Result<LsmStore> {
        let lock = open_notes(path, File::options().read(true))?;
        take_lock(path, lock.try_lock_shared())?;
        let wall = Wall::new(KIND, path.to_owned());
        let (_, note) = wall.call("read its notes", || Notes::read(path, &lock))?;
        let scratch = Scratch::make(scratch)
            .map_err(|error| failed(KIND, "make a directory to open in", error))?;
        let tree = scratch.0.join(TREE);
        mirror(&path.join(TREE), &tree).map_err(|error| refused("open itself", path, &error))?;
        let core = open_checked(wall, tree, options, note, lock, Some(scratch))?;
        let applied = AtomicU64::new(note.applied.0);
        Ok(LsmStore { open: Open::ReadOnly, core, options, applied })
    }

    fn start(core: Arc<Core>, options: LsmOptions, notes: Notes, note: Note) -> Result<LsmStore> {
        let thread = compaction::spawn(&core)?;
        // What the last one who had it open left.
        core.compaction.raise();
        let writer = Mutex::new(Writer::new(notes, note));
        let open = Open::Writable { writer, thread: Some(thread) };
        Ok(LsmStore { open, core, options, applied: AtomicU64::new(note.applied.0) })
    }
}

/// A tree that was opened.
struct Opened {
    tree: AnyTree,
    tree_path: PathBuf,
    numbers: SequenceNumberCounter,
    cache: Arc<Cache>,
    compaction: Compaction,
}

impl Opened {
    fn into_core(self, wall: Wall, lock: File, scratch: Option<Scratch>) -> Arc<Core> {
        let Opened { tree, tree_path, numbers, cache, compaction } = self;
        Arc::new(Core {
            wall,
            tree,
            numbers,
            cache,
            compaction,
            tree_path,
            _scratch: scratch,
            _lock: lock,
        })
    }
}

fn open_checked(
    wall: Wall,
    tree_path: PathBuf,
    options: LsmOptions,
    note: Note,
    lock: File,
    scratch: Option<Scratch>,
) -> Result<Arc<Core>> {
    wall.call("open itself", || check::check(&tree_path))?;
    let opened = open_tree(&wall, tree_path, options)?;
    wall.call("open itself", || {
        let version = opened.tree.current_version().id();
        if version < note.tree_version {
            let noted = note.tree_version;
            let reason = format!("the tree is at version {version}, and was at {noted}");
            return Err(Problem::Content(reason));
        }
        Ok(())
    })?;
    Ok(opened.into_core(wall, lock, scratch))
}

/// Opens lsm-tree's files, or makes them.
fn open_tree(wall: &Wall, tree_path: PathBuf, options: LsmOptions) -> Result<Opened> {
    wall.call("open itself", || {
        let numbers = SequenceNumberCounter::default();
        let cache = Arc::new(Cache::with_capacity_bytes(options.cache_bytes));
        let compaction = Compaction::default();
        let tree = Config::new(&tree_path, numbers.clone(), SequenceNumberCounter::default())
            .use_cache(cache.clone())
            .use_descriptor_table(Some(Arc::new(DescriptorTable::new(MAX_OPEN_FILES))))
            .with_compaction_filter_factory(Some(Arc::new(Brake(compaction.stopped.clone()))))
            .open()?;
        // What is ingested from now on must be newer than all that is there.
        numbers.fetch_max(tree.get_highest_persisted_seqno().map_or(1, |highest| highest + 1));
        Ok(Opened { tree, tree_path, numbers, cache, compaction })
    })
}

fn open_notes(path: &Path, how: &fs::OpenOptions) -> Result<File> {
    how.open(path.join(notes::FILE)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            let reason = format!("{} holds none; it must be rebuilt", path.display());
            damaged(KIND, "open itself", reason)
        }
        _ => refused("open itself", path, &error),
    })
}

fn take_lock(path: &Path, taken: std::result::Result<(), fs::TryLockError>) -> Result<()> {
    taken.map_err(|error| match error {
        fs::TryLockError::WouldBlock => locked(path),
        fs::TryLockError::Error(error) => refused("lock itself", path, &error),
    })
}

/// Removes temporary files of lsm-tree's that were to become the name of a version when a process
/// was killed. lsm-tree removes all else that is of no use.
fn remove_leftovers(tree: &Path) -> io::Result<()> {
    for (name, path) in files_in(tree)? {
        if name.as_encoded_bytes().starts_with(b".tmp") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Makes a directory that looks like lsm-tree's, to open that in its place.
fn mirror(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for (name, path) in files_in(from)? {
        fs::copy(path, to.join(name))?;
    }
    fs::create_dir(to.join(TABLES))?;
    let from = std::path::absolute(from)?;
    for (name, path) in files_in(&from.join(TABLES))? {
        let to = to.join(TABLES).join(name);
        #[cfg(unix)]
        std::os::unix::fs::symlink(path, to)?;
        #[cfg(not(unix))]
        fs::copy(path, to)?;
    }
    Ok(())
}

fn refused(operation: &'static str, path: &Path, error: &io::Error) -> crate::Error {
    failed(KIND, operation, format!("{}: {error}", path.display()))
}
