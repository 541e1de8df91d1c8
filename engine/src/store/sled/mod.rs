//! The default [`Store`], over the `sled` crate.
//!
//! # What is done about sled as it is
//!
//! - Its flush does not survive a power cut. [`Store::make_durable`] flushes, and then syncs sled's files and
//!   directories itself, through handles kept since the Store was opened (`files`).
//! - A power cut while it writes can cost it what was durable long ago. So it is watched what it may reuse, and synced
//!   every few MiB (`anchor`).
//! - Its thread that flushes by time and moves pages together is off: what it writes, and when, could not be known, and
//!   it saved an eighth of the space only. [`Store::usage`] tells when a rebuild is due.
//! - It panics on damaged files, lazily. Every call is made behind a wall (`core`): a panic becomes an
//!   [`Error::Store`], `damaged`, and sled is not called again. The panic's message still goes to the
//!   program's panic hook, that is to standard error unless the program says otherwise.
//! - Its pages hold up to sixteen entries, however large. Large values are cut into chunks (`entry`).
//! - It cannot be opened without writing. [`SledStore::open_read_only`] opens a copy.
//! - Its lock may linger for a moment after it was closed, so opening waits for it, a little.
//!
//! One tree holds the entries of a keyspace, a second one its chunks, and one of our own what was applied.
//!
//! # Not done
//!
//! Keys are not cut: sixteen of them in a page, at 64 KiB, are one of sled's files of its own, which it removes as it
//! likes. Chunks that a crash left without their entry stay until the Store is rebuilt.
//!
//! sled has checksums, but takes a wrong one in what it wrote since it was last opened for the place where a crash cut its
//! log. Mostly [`Store::applied`] is lower then than it must be, which gives it away; where the place is in
//! a segment before the last two it goes on with the next one, and finds older values.

mod anchor;
mod core;
mod entry;
mod files;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay_wal::Lsn;
use parking_lot::{Mutex, RwLock};

use self::anchor::Anchor;
use self::core::{Core, Handles, Keyspace, Problem, Scratch, absent_if_dropped, count_read};
use self::entry::{CHUNK_BYTES, INLINE_BYTES, Large, Stored};
use self::files::{DATA_FILE, Files};
use super::chunked::{ChunkSource, ChunkedRange, bounds_cross};
use super::{Store, StoreIter, StoreOp, StoreUsage, damaged, failed};
use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;

const KIND: &str = "sled";

/// The tree of our own notes, and what is in it.
const NOTES: &[u8] = b"mainstay";
const FORMAT: &[u8] = b"format";
const FORMAT_VERSION: u32 = 1;
const APPLIED: &[u8] = b"applied";

/// How long opening waits for the lock of a Store that was just closed.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// The size of the segments of sled's log. It gives a segment free once all pages in it were replaced: with larger ones
/// later, with smaller ones there must be more syncs.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// How many entries sled writes when one of them is changed, at worst, as it writes pages.
const ENTRIES_PER_PAGE: u64 = 17;
/// What an entry takes besides its key and value, about.
const ENTRY_OVERHEAD_BYTES: u64 = 16;

/// How many keys a range removal takes at a time.
const REMOVE_CHUNK: usize = 256;
/// A chunk of an iterator is cut short at this size, as long as it has one entry.
const ITERATOR_BYTES: usize = 256 * 1024;

/// How a [`SledStore`] is opened.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// Memory that sled may use as the cache of its pages. Default: 64 MiB. sled takes more: a few hundred bytes for
    /// every page, cached or not, and what was replaced since the last sync. Too low a value makes reads go to the
    /// disk.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    fn default() -> SledOptions {
        SledOptions { cache_bytes: 64 * 1024 * 1024 }
    }
}

impl SledOptions {
    /// Sets [`SledOptions::cache_bytes`].
    #[must_use]
    pub fn cache_bytes(mut self, cache_bytes: u64) -> SledOptions {
        self.cache_bytes = cache_bytes;
        self
    }
}

/// A [`Store`] over the `sled` crate. See the [module](self) for what is done about sled as it is.
///
/// Iterators keep it open: its files are unlocked once they are dropped too.
pub struct SledStore {
    core: Arc<Core>,
    options: SledOptions,
    /// `None` if it was opened for reading.
    writer: Option<Mutex<Writer>>,
}

/// # Invariants
///
/// - While `dirty`, an anchor that was pinned before the first change is there.
/// - Once `stopped`, nothing is written any more: what a failed sync lost cannot be known.
struct Writer {
    files: Files,
    anchor: Option<Anchor>,
    care: Care,
    dirty: bool,
    /// What sled may have written since the last sync, at worst.
    unsynced_bytes: u64,
    /// The size of entries around here: the largest of late. Changes come in key order, so these are neighbours.
    entry_bytes: u64,
    stopped: Option<String>,
}

/// What is done so that a power cut takes away nothing that was durable. Tests do less.
#[derive(Copy, Clone, Debug)]
struct Care {
    anchored: bool,
    segment_bytes: usize,
    unsynced_bytes: u64,
    unsynced_reads: u64,
}

impl Care {
    const FULL: Care = Care {
        anchored: true,
        segment_bytes: SEGMENT_BYTES,
        // See `anchor` for the reason.
        unsynced_bytes: 2 * SEGMENT_BYTES as u64,
        // Pages that so many reads push out of sled's cache take some hundred MB at worst.
        unsynced_reads: 32 * 1024,
    };
}

impl SledStore {
    /// Makes an empty Store in a directory, which is created, and makes it durable. Its parent must exist.
    ///
    /// Fails if there is a Store, or a part of one: remove it first.
    pub fn create(path: &Path, options: SledOptions) -> Result<SledStore> {
        SledStore::create_with(path, options, Care::FULL)
    }

    fn create_with(path: &Path, options: SledOptions, care: Care) -> Result<SledStore> {
        let refused = |error: io::Error| {
            failed(KIND, "create itself", format!("{}: {error}", path.display()))
        };
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(refused(error));
            }
            _ => {}
        }
        if fs::read_dir(path).map_err(refused)?.next().is_some() {
            return Err(refused(io::ErrorKind::DirectoryNotEmpty.into()));
        }
        let store = SledStore::open_files(path, None, options, care, |db, notes| {
            notes.insert(FORMAT, &FORMAT_VERSION.to_le_bytes())?;
            db.flush()?;
            Ok(())
        })?;
        if let Some(writer) = &store.writer {
            store.sync(&mut writer.lock())?;
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        files::sync_directory(parent.unwrap_or(Path::new("."))).map_err(refused)?;
        Ok(store)
    }

    /// Opens the Store in a directory.
    ///
    /// # Errors
    ///
    /// - [`Error::Store`], `damaged`, if there is none, or if sled cannot read it: it must be rebuilt.
    /// - [`mainstay_wal::Error::Locked`] if another process, or an iterator of this one, still has it open.
    /// - [`mainstay_wal::Error::UnsupportedVersion`] if a newer mainstay wrote it.
    pub fn open(path: &Path, options: SledOptions) -> Result<SledStore> {
        SledStore::open_with(path, options, Care::FULL)
    }

    /// Opens a copy of the Store in a directory, for reading; applying answers [`Error::ReadOnly`]. No byte of the
    /// directory is changed.
    ///
    /// sled cannot be opened without writing. So this copies its files into a directory of its own below `scratch`, or
    /// below the system's directory for temporary files, which costs the time and the space of a copy except where
    /// the file system shares blocks; it is removed when the Store and its iterators are dropped. Nobody may have the
    /// Store open meanwhile.
    ///
    /// Fails as [`SledStore::open`] does, and if the copy cannot be made.
    pub fn open_read_only(
        path: &Path,
        options: SledOptions,
        scratch: Option<&Path>,
    ) -> Result<SledStore> {
        SledStore::check_present(path)?;
        let scratch = Scratch(make_private_directory(scratch)?);
        let copy = scratch.0.clone();
        files::copy(path, &copy).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => locked(path),
            _ => failed(KIND, "copy itself", format!("{}: {error}", path.display())),
        })?;
        let store =
            SledStore::open_files(&copy, Some(scratch), options, Care::FULL, |_, notes| {
                check_format(path, notes)
            })?;
        Ok(SledStore { writer: None, ..store })
    }

    fn open_with(path: &Path, options: SledOptions, care: Care) -> Result<SledStore> {
        SledStore::check_present(path)?;
        SledStore::open_files(path, None, options, care, |_, notes| check_format(path, notes))
    }

    fn check_present(path: &Path) -> Result<()> {
        match fs::metadata(path.join(DATA_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let reason = format!("{} holds none; it must be rebuilt", path.display());
                Err(damaged(KIND, "open itself", reason))
            }
            Err(error) => Err(failed(KIND, "open itself", format!("{}: {error}", path.display()))),
            Ok(_) => Ok(()),
        }
    }

    fn open_files(
        path: &Path,
        scratch: Option<Scratch>,
        options: SledOptions,
        care: Care,
        check: impl FnOnce(&::sled::Db, &::sled::Tree) -> std::result::Result<(), Problem>,
    ) -> Result<SledStore> {
        let refused =
            |error: io::Error| failed(KIND, "open itself", format!("{}: {error}", path.display()));
        // Opened before sled writes anything, so that no failure of that is missed. Synced, because a killed process may
        // have left what is not durable yet, and sled overwrites what that replaced as soon as it opens.
        let mut files = Files::open(path).map_err(refused)?;
        files.sync().map_err(refused)?;
        let core = Core::new(path.to_owned(), scratch, || {
            let db = open_sled(path, options, care)?;
            let notes = db.open_tree(NOTES)?;
            check(&db, &notes)?;
            let keyspaces = RwLock::new(open_keyspaces(&db)?);
            Ok(Handles { db, notes, keyspaces })
        })?;
        // sled writes when it opens. That is not durable yet.
        let mut writer = Writer {
            files,
            anchor: None,
            care,
            dirty: true,
            unsynced_bytes: 0,
            entry_bytes: 0,
            stopped: None,
        };
        writer.pin()?;
        Ok(SledStore { core: Arc::new(core), options, writer: Some(Mutex::new(writer)) })
    }

    /// Makes everything durable, and lets sled take back space and memory.
    fn sync(&self, writer: &mut Writer) -> Result<()> {
        self.sync_data(writer)?;
        writer.dirty = false;
        writer.anchor = None;
        Ok(())
    }

    /// Notes a change of an entry of this size, and makes everything durable when that was enough.
    fn wrote(&self, writer: &mut Writer, bytes: usize) -> Result<()> {
        let entry_bytes = bytes as u64 + ENTRY_OVERHEAD_BYTES;
        writer.entry_bytes = entry_bytes.max(writer.entry_bytes - writer.entry_bytes / 64);
        writer.unsynced_bytes += ENTRIES_PER_PAGE * writer.entry_bytes;
        if writer.unsynced_bytes < writer.care.unsynced_bytes
            && self.core.reads.load(Ordering::Relaxed) < writer.care.unsynced_reads
        {
            return Ok(());
        }
        // The next anchor is pinned before the sync and the one before is let go after it, so there is no gap.
        let before = writer.anchor.take();
        writer.pin()?;
        self.sync_data(writer)?;
        drop(before);
        Ok(())
    }

    fn sync_data(&self, writer: &mut Writer) -> Result<()> {
        writer.check_usable()?;
        self.core.call("flush", |handles| Ok(handles.db.flush()?))?;
        writer.files.sync().map_err(|error| {
            // A second sync could succeed with the data gone, so there is none.
            writer.stopped = Some(error.to_string());
            self.core.failed("sync its files", &error.to_string())
        })?;
        writer.unsynced_bytes = 0;
        self.core.reads.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn insert(
        &self,
        writer: &mut Writer,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        let operation = "insert";
        let trees = self.core.call(operation, |handles| {
            handles.keyspace_for_writing(keyspace, value.len() > INLINE_BYTES)
        })?;
        let stored = match &trees.chunks {
            Some(chunks) if value.len() > INLINE_BYTES => {
                let number =
                    self.core.call(operation, |handles| Ok(handles.db.generate_id()?))?;
                for (chunk, index) in value.chunks(CHUNK_BYTES).zip(0..) {
                    self.core.call(operation, |_| {
                        Ok(chunks.insert(entry::chunk_key(number, index), chunk)?)
                    })?;
                    self.wrote(writer, chunk.len())?;
                }
                let (length, crc) = (value.len() as u64, crc32fast::hash(value));
                Large { number, length, crc }.encode().to_vec()
            }
            _ => entry::encode_inline(value),
        };
        let stored_bytes = stored.len();
        let before = self.core.call(operation, |_| Ok(trees.entries.insert(key, stored)?))?;
        let before_bytes = before.as_ref().map_or(0, |before| before.len());
        self.wrote(writer, key.len() + stored_bytes.max(before_bytes))?;
        self.remove_chunks(writer, &trees, before)
    }

    fn remove(&self, writer: &mut Writer, trees: &Keyspace, key: &[u8]) -> Result<()> {
        let before = self.core.call("remove", |_| Ok(trees.entries.remove(key)?))?;
        self.wrote(writer, key.len() + before.as_ref().map_or(0, |before| before.len()))?;
        self.remove_chunks(writer, trees, before)
    }

    /// Removes the chunks of a value that was replaced.
    fn remove_chunks(
        &self,
        writer: &mut Writer,
        trees: &Keyspace,
        before: Option<::sled::IVec>,
    ) -> Result<()> {
        let large = before.as_deref().and_then(entry::decode);
        if let (Some(Stored::Large(large)), Some(chunks)) = (large, &trees.chunks) {
            for index in 0..large.chunks() {
                let key = entry::chunk_key(large.number, index);
                let removed = self.core.call("remove", |_| Ok(chunks.remove(key)?))?;
                let Some(removed) = removed else {
                    // A crash between two removals; or a damaged length, which must not keep us busy for ever.
                    break;
                };
                self.wrote(writer, key.len() + removed.len())?;
            }
        }
        Ok(())
    }

    fn remove_range(
        &self,
        writer: &mut Writer,
        trees: &Keyspace,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<()> {
        if bounds_cross(lower, upper) {
            return Ok(());
        }
        loop {
            let keys = self.core.call("remove a range", |_| {
                let keys = trees.entries.range::<&[u8], _>((lower, upper)).keys();
                Ok(keys.take(REMOVE_CHUNK).collect::<::sled::Result<Vec<_>>>()?)
            })?;
            if keys.is_empty() {
                return Ok(());
            }
            for key in keys {
                self.remove(writer, trees, &key)?;
            }
        }
    }

    fn drop_keyspace(&self, writer: &mut Writer, keyspace: KeyspaceId) -> Result<()> {
        self.core.call("drop a keyspace", |handles| {
            let known = handles.keyspaces.write().remove(&keyspace).is_some();
            // Names without a handle: the entries were dropped before a crash, and the chunks not.
            if known || handles.db.tree_names().contains(&chunks_name(keyspace).as_slice().into()) {
                handles.db.drop_tree(entries_name(keyspace))?;
                handles.db.drop_tree(chunks_name(keyspace))?;
            }
            Ok(())
        })?;
        self.wrote(writer, 0)
    }

    fn apply_op(&self, writer: &mut Writer, op: &StoreOp) -> Result<()> {
        let trees = |keyspace| self.core.call("apply", |handles| Ok(handles.keyspace(keyspace)));
        match op {
            StoreOp::Insert { keyspace, key, value } => self.insert(writer, *keyspace, key, value),
            StoreOp::Remove { keyspace, key } => match trees(*keyspace)? {
                Some(trees) => self.remove(writer, &trees, key),
                None => Ok(()),
            },
            StoreOp::RemoveRange { keyspace, lower, upper } => match trees(*keyspace)? {
                Some(trees) => {
                    let (lower, upper) = (lower.as_ref(), upper.as_ref());
                    let bounds = (lower.map(Key::as_bytes), upper.map(Key::as_bytes));
                    self.remove_range(writer, &trees, bounds.0, bounds.1)
                }
                None => Ok(()),
            },
            StoreOp::DropKeyspace { keyspace } => self.drop_keyspace(writer, *keyspace),
        }
    }

    /// Counts a read. When sled had to keep too much in memory for too many reads, and nobody is writing, this
    /// makes durable what is not, so that it can let go.
    fn read(&self) -> Result<()> {
        count_read(&self.core.reads);
        if self.core.reads.load(Ordering::Relaxed) >= Care::FULL.unsynced_reads
            && let Some(mut writer) = self.writer.as_ref().and_then(Mutex::try_lock)
        {
            if writer.dirty && writer.stopped.is_none() {
                return self.sync(&mut writer);
            }
            self.core.reads.store(0, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Store for SledStore {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        self.read()?;
        self.core.call("get", |handles| {
            let Some(trees) = handles.keyspace(keyspace) else { return Ok(None) };
            match absent_if_dropped(trees.entries.get(key))? {
                Some(found) => self.core.resolve(handles, keyspace, key, found),
                None => Ok(None),
            }
        })
    }

    fn range(
        &self,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<StoreIter> {
        self.read()?;
        let source = Source { core: self.core.clone(), keyspace };
        Ok(Box::new(ChunkedRange::new(source, lower, upper)))
    }

    fn apply(&self, ops: &[StoreOp], up_to: Lsn) -> Result<()> {
        let mut writer = self.writer.as_ref().ok_or(Error::ReadOnly)?.lock();
        writer.check_usable()?;
        writer.pin()?;
        writer.dirty = true;
        for op in ops {
            self.apply_op(&mut writer, op)?;
        }
        if up_to > self.applied()? {
            self.core.call("apply", |handles| {
                Ok(handles.notes.insert(APPLIED, &up_to.0.to_le_bytes())?)
            })?;
        }
        Ok(())
    }

    fn make_durable(&self) -> Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let mut writer = writer.lock();
        writer.check_usable()?;
        if writer.dirty { self.sync(&mut writer) } else { Ok(()) }
    }

    fn applied(&self) -> Result<Lsn> {
        self.core.call("read its notes", |handles| match handles.notes.get(APPLIED)? {
            None => Ok(Lsn::ZERO),
            Some(bytes) => match bytes.as_ref().try_into() {
                Ok(bytes) => Ok(Lsn(u64::from_le_bytes(bytes))),
                Err(_) => Err(Problem::Content("the note of what was applied is not valid".into())),
            },
        })
    }

    fn usage(&self) -> Result<StoreUsage> {
        let disk_bytes = files::bytes(&self.core.path)
            .map_err(|error| self.core.failed("measure its files", &error.to_string()))?;
        Ok(StoreUsage { disk_bytes, memory_bytes: self.options.cache_bytes })
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
            .field("path", &self.core.path)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Writer {
    fn pin(&mut self) -> Result<()> {
        if self.anchor.is_none() && self.care.anchored {
            let anchor = Anchor::pin().map_err(|error| failed(KIND, "write", error))?;
            self.anchor = Some(anchor);
        }
        Ok(())
    }

    fn check_usable(&self) -> Result<()> {
        match &self.stopped {
            None => Ok(()),
            Some(reason) => Err(failed(KIND, "write any more", format!("a sync failed: {reason}"))),
        }
    }
}

impl Handles {
    /// The trees of a keyspace, made if they are missing.
    fn keyspace_for_writing(
        &self,
        keyspace: KeyspaceId,
        with_chunks: bool,
    ) -> std::result::Result<Keyspace, Problem> {
        if let Some(trees) = self.keyspace(keyspace)
            && (trees.chunks.is_some() || !with_chunks)
        {
            return Ok(trees);
        }
        let entries = self.db.open_tree(entries_name(keyspace))?;
        let chunks =
            if with_chunks { Some(self.db.open_tree(chunks_name(keyspace))?) } else { None };
        let trees = Keyspace { entries, chunks };
        self.keyspaces.write().insert(keyspace, trees.clone());
        Ok(trees)
    }
}

/// What an iterator reads from, a chunk at a time.
struct Source {
    core: Arc<Core>,
    keyspace: KeyspaceId,
}

impl Source {
    fn take(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
        descending: bool,
    ) -> Result<Vec<(Key, Value)>> {
        count_read(&self.core.reads);
        self.core.call("read a range", |handles| {
            let Some(trees) = handles.keyspace(self.keyspace) else { return Ok(Vec::new()) };
            let mut range = trees.entries.range::<&[u8], _>(bounds);
            let (mut taken, mut bytes) = (Vec::new(), 0);
            while taken.len() < limit && bytes < ITERATOR_BYTES {
                let next = if descending { range.next_back() } else { range.next() };
                let Some((key, found)) = absent_if_dropped(next.transpose())? else { break };
                if let Some(value) = self.core.resolve(handles, self.keyspace, &key, found)? {
                    bytes += key.len() + value.len();
                    taken.push((Key::from(key.as_ref()), value));
                }
            }
            Ok(taken)
        })
    }
}

impl ChunkSource for Source {
    fn ascending(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>> {
        self.take((lower, upper), limit, false)
    }

    fn descending(
        &self,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>> {
        self.take((lower, upper), limit, true)
    }
}

/// Opens sled, waiting for a lock that lingers.
#[expect(clippy::disallowed_methods, reason = "waits for threads of sled's that end")]
fn open_sled(
    path: &Path,
    options: SledOptions,
    care: Care,
) -> std::result::Result<::sled::Db, Problem> {
    let config = ::sled::Config::new()
        .path(path)
        .cache_capacity(options.cache_bytes)
        .use_compression(false)
        .flush_every_ms(None)
        .segment_size(care.segment_bytes);
    let began = Instant::now();
    loop {
        match config.open() {
            Err(::sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") =>
            {
                if began.elapsed() >= LOCK_WAIT {
                    return Err(locked(path).into());
                }
                std::thread::sleep(LOCK_POLL);
            }
            result => return Ok(result?),
        }
    }
}

fn open_keyspaces(db: &::sled::Db) -> std::result::Result<BTreeMap<KeyspaceId, Keyspace>, Problem> {
    let names = db.tree_names();
    let mut keyspaces = BTreeMap::new();
    for name in &names {
        if let Some((&b'e', id)) = name.split_first()
            && let Ok(id) = id.try_into()
        {
            let keyspace = KeyspaceId(u32::from_be_bytes(id));
            let entries = db.open_tree(name)?;
            let chunks = chunks_name(keyspace);
            let has_chunks = names.iter().any(|name| *name == chunks.as_slice());
            let chunks = if has_chunks { Some(db.open_tree(chunks)?) } else { None };
            keyspaces.insert(keyspace, Keyspace { entries, chunks });
        }
    }
    Ok(keyspaces)
}

fn entries_name(keyspace: KeyspaceId) -> [u8; 5] {
    tree_name(b'e', keyspace)
}

fn chunks_name(keyspace: KeyspaceId) -> [u8; 5] {
    tree_name(b'c', keyspace)
}

fn tree_name(kind: u8, keyspace: KeyspaceId) -> [u8; 5] {
    let id = keyspace.0.to_be_bytes();
    [kind, id[0], id[1], id[2], id[3]]
}

fn check_format(path: &Path, notes: &::sled::Tree) -> std::result::Result<(), Problem> {
    let Some(format) = notes.get(FORMAT)? else {
        return Err(Problem::Content("it is not a Store of mainstay's, or lost its notes".into()));
    };
    let format: [u8; 4] = format
        .as_ref()
        .try_into()
        .map_err(|_| Problem::Content("the note of its format is not valid".into()))?;
    let (found, supported) = (u32::from_le_bytes(format), FORMAT_VERSION);
    if found == supported {
        return Ok(());
    }
    let path = path.display().to_string();
    Err(Error::Log(mainstay_wal::Error::UnsupportedVersion { path, found, supported }).into())
}

fn locked(path: &Path) -> Error {
    Error::Log(mainstay_wal::Error::Locked { directory: path.display().to_string() })
}

/// Makes a directory that only this user can read, under a name that nobody else has.
fn make_private_directory(below: Option<&Path>) -> Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let below = below.map_or_else(std::env::temp_dir, Path::to_owned);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = below.join(format!("mainstay-read-{}-{number}", std::process::id()));
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&path) {
            Ok(()) => return Ok(path),
            // Left behind by a process that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let reason = format!("{}: {error}", path.display());
                return Err(failed(KIND, "make a directory for a copy", reason));
            }
        }
    }
}
