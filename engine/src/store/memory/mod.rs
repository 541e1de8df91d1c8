//! A [`Store`] in memory, kept on a [`Disk`].
//!
//! The whole content is an ordered map. What is applied is also written to the disk, in pieces; a
//! make-durable syncs them, and once more than half of what stands there is out of date, writes
//! everything afresh. Nothing is read from the disk but when the Store is opened.
//!
//! It is the Store of the simulator and the reference for others: it keeps the contract to the
//! letter, and after a crash really shows any subset of what was applied since it was last made
//! durable.
//!
//! # Not done
//!
//! Content larger than memory. Pieces are written by the thread that applies them.

mod files;
mod piece;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::iter;
use std::ops::Bound;
use std::sync::Arc;

use mainstay_wal::Lsn;
use mainstay_wal::disk::{Disk, Open};
use parking_lot::{Mutex, RwLock};

use self::files::Files;
use super::chunked::{Bounds, ChunkSource, ChunkedRange, End, bounds_cross};
use super::{Store, StoreIter, StoreOp, StoreUsage, failed};
use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;

const KIND: &str = "memory";

/// Pieces end once they are this large. Each is applied under the lock, so it bounds how long
/// readers wait.
const PIECE_BYTES: usize = 256 * 1024;

/// Files below this size are not written afresh, however much of them is out of date.
const REWRITE_FLOOR_BYTES: u64 = 32 * 1024;

/// What an entry takes in memory besides its key and value, about.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

/// An ordered map in memory, kept on a [`Disk`].
///
/// Everything must fit into memory.
pub struct MemoryStore {
    content: Arc<RwLock<Content>>,
    /// Locked by whoever writes; readers need `content` only.
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Content {
    keyspaces: BTreeMap<KeyspaceId, BTreeMap<Key, Value>>,
    entries: u64,
    /// What all insertions would take if they were written afresh.
    live_bytes: u64,
    applied: Lsn,
    /// What the files took when it was last looked; here, so that nobody waits for the writer to
    /// know it.
    disk_bytes: u64,
}

struct Writer {
    files: Files,
    read_only: bool,
    /// Something was applied since the last durable point.
    dirty: bool,
    /// The files hold what no durable point can follow.
    must_rewrite: bool,
}

impl MemoryStore {
    /// Makes an empty Store in a directory of the disk, and makes it durable.
    ///
    /// Fails if there is one already: [`destroy`](super::destroy) it first.
    pub fn create(disk: Arc<dyn Disk>, directory: &str) -> Result<MemoryStore> {
        if Files::newest(&*disk, directory)?.is_some() {
            return Err(failed(KIND, "create itself", format!("{directory} has one already")));
        }
        let mut files = Files::begin(disk, directory, 1)?;
        files.seal(Lsn::ZERO)?;
        files.publish()?;
        Ok(MemoryStore::with(files, Content::default(), false, false))
    }

    /// Opens the Store in a directory of the disk. Changes nothing there.
    ///
    /// Fails with [`Error::Store`], `damaged`, if anything is wrong with what was once made
    /// durable.
    pub fn open(disk: Arc<dyn Disk>, directory: &str) -> Result<MemoryStore> {
        MemoryStore::open_as(disk, directory, Open::Write)
    }

    /// Opens the Store for reading. Needs no permission to write; applying answers
    /// [`Error::ReadOnly`].
    pub fn open_read_only(disk: Arc<dyn Disk>, directory: &str) -> Result<MemoryStore> {
        MemoryStore::open_as(disk, directory, Open::Read)
    }

    fn open_as(disk: Arc<dyn Disk>, directory: &str, open: Open) -> Result<MemoryStore> {
        let mut content = Content::default();
        let (files, found) = Files::open(disk, directory, open, |ops| content.apply_all(&ops))?;
        content.applied = found.applied;
        content.disk_bytes = files.disk_bytes();
        Ok(MemoryStore::with(files, content, open == Open::Read, found.leftovers))
    }

    fn with(files: Files, content: Content, read_only: bool, must_rewrite: bool) -> MemoryStore {
        MemoryStore {
            content: Arc::new(RwLock::new(content)),
            writer: Mutex::new(Writer { files, read_only, dirty: must_rewrite, must_rewrite }),
        }
    }

    /// Writes everything into a new generation of files, which then replaces the one before it.
    fn rewrite(&self, writer: &mut Writer) -> Result<()> {
        let mut next = writer.files.begin_next()?;
        let applied = self.content.read().applied;
        let keyspaces: Vec<KeyspaceId> = self.content.read().keyspaces.keys().copied().collect();
        let mut piece = Vec::new();
        for keyspace in keyspaces {
            // The writer's lock keeps the content as it is; readers go on between the chunks.
            for entry in self.range(keyspace, Bound::Unbounded, Bound::Unbounded)? {
                let (key, value) = entry?;
                piece::encode_insert(keyspace, &key, &value, &mut piece)
                    .map_err(|reason| failed(KIND, "write a piece", reason))?;
                if piece.len() >= PIECE_BYTES {
                    next.append(&piece)?;
                    piece.clear();
                }
            }
        }
        if !piece.is_empty() {
            next.append(&piece)?;
        }
        next.seal(applied)?;
        next.publish().inspect_err(|error| writer.files.stop(error))?;
        writer.files = next;
        writer.must_rewrite = false;
        writer.files.remove_others()
    }
}

impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        let content = self.content.read();
        Ok(content.keyspaces.get(&keyspace).and_then(|entries| entries.get(key)).cloned())
    }

    fn range(
        &self,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<StoreIter> {
        let source = Source { content: self.content.clone(), keyspace };
        Ok(Box::new(ChunkedRange::new(source, lower, upper)))
    }

    fn apply(&self, ops: &[StoreOp], up_to: Lsn) -> Result<()> {
        let mut writer = self.writer.lock();
        if writer.read_only {
            return Err(Error::ReadOnly);
        }
        let mut piece = Vec::new();
        let mut rest = ops;
        while !rest.is_empty() {
            piece.clear();
            let mut count = 0;
            while count < rest.len() && piece.len() < PIECE_BYTES {
                piece::encode(&rest[count], &mut piece)
                    .map_err(|reason| failed(KIND, "write a piece", reason))?;
                count += 1;
            }
            writer.files.append(&piece)?;
            writer.dirty = true;
            let disk_bytes = writer.files.disk_bytes();
            let mut content = self.content.write();
            content.apply_all(&rest[..count]);
            content.disk_bytes = disk_bytes;
            rest = &rest[count..];
        }
        let mut content = self.content.write();
        if up_to > content.applied {
            content.applied = up_to;
            writer.dirty = true;
        }
        Ok(())
    }

    fn make_durable(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        if writer.read_only || !writer.dirty {
            return Ok(());
        }
        let (applied, live_bytes) = {
            let content = self.content.read();
            (content.applied, content.live_bytes)
        };
        let garbage = writer.files.disk_bytes() > REWRITE_FLOOR_BYTES.max(2 * live_bytes);
        if !writer.must_rewrite {
            writer.files.add_durable_point(applied)?;
            writer.dirty = false;
        }
        if writer.must_rewrite || garbage {
            self.rewrite(writer)?;
            writer.dirty = false;
        }
        self.content.write().disk_bytes = writer.files.disk_bytes();
        Ok(())
    }

    fn applied(&self) -> Result<Lsn> {
        Ok(self.content.read().applied)
    }

    fn usage(&self) -> Result<StoreUsage> {
        let content = self.content.read();
        let memory_bytes = content.live_bytes + content.entries * ENTRY_OVERHEAD_BYTES;
        Ok(StoreUsage { disk_bytes: content.disk_bytes, memory_bytes })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.content.read();
        f.debug_struct("MemoryStore")
            .field("entries", &content.entries)
            .field("applied", &content.applied)
            .finish_non_exhaustive()
    }
}

impl Content {
    fn apply_all(&mut self, ops: &[StoreOp]) {
        for op in ops {
            self.apply(op);
        }
    }

    fn apply(&mut self, op: &StoreOp) {
        match op {
            StoreOp::Insert { keyspace, key, value } => {
                let entries = self.keyspaces.entry(*keyspace).or_default();
                self.live_bytes += insert_bytes(key, value);
                self.entries += 1;
                if let Some(old) = entries.insert(key.clone(), value.clone()) {
                    self.forget(key, &old);
                }
            }
            StoreOp::Remove { keyspace, key } => self.remove(*keyspace, key),
            StoreOp::RemoveRange { keyspace, lower, upper } => {
                for key in self.keys_between(*keyspace, lower, upper) {
                    self.remove(*keyspace, &key);
                }
            }
            StoreOp::DropKeyspace { keyspace } => {
                for (key, value) in self.keyspaces.remove(keyspace).unwrap_or_default() {
                    self.forget(&key, &value);
                }
            }
        }
    }

    fn remove(&mut self, keyspace: KeyspaceId, key: &Key) {
        if let Some(entries) = self.keyspaces.get_mut(&keyspace)
            && let Some(old) = entries.remove(key)
        {
            self.forget(key, &old);
        }
    }

    fn keys_between(
        &self,
        keyspace: KeyspaceId,
        lower: &Bound<Key>,
        upper: &Bound<Key>,
    ) -> Vec<Key> {
        let (lower, upper) = (as_slice(lower), as_slice(upper));
        match self.keyspaces.get(&keyspace) {
            Some(entries) if !bounds_cross(lower, upper) => {
                entries.range::<[u8], _>((lower, upper)).map(|(key, _)| key.clone()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn forget(&mut self, key: &[u8], value: &[u8]) {
        self.live_bytes -= insert_bytes(key, value);
        self.entries -= 1;
    }
}

fn insert_bytes(key: &[u8], value: &[u8]) -> u64 {
    (piece::INSERT_OVERHEAD_BYTES + key.len() + value.len()) as u64
}

fn as_slice(bound: &Bound<Key>) -> Bound<&[u8]> {
    bound.as_ref().map(Key::as_bytes)
}

/// What an iterator reads from, a chunk at a time.
struct Source {
    content: Arc<RwLock<Content>>,
    keyspace: KeyspaceId,
}

impl ChunkSource for Source {
    fn chunk(&self, bounds: Bounds<'_>, from: End, limit: usize) -> Result<Vec<(Key, Value)>> {
        let content = self.content.read();
        let Some(entries) = content.keyspaces.get(&self.keyspace) else { return Ok(Vec::new()) };
        let mut range = entries.range::<[u8], _>(bounds);
        let next = || match from {
            End::Front => range.next(),
            End::Back => range.next_back(),
        };
        let taken = iter::from_fn(next).take(limit);
        Ok(taken.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
