//! The default [`Store`], over the `sled` crate.
//!
//! # What is done about sled as it is
//!
//! - Its flush does not survive a power cut. [`Store::make_durable`] flushes, and then syncs sled's
//!   files and directories itself, through handles kept since the Store was opened (`files`).
//! - A power cut while it writes can cost it what was durable long ago. So it is watched what it
//!   may reuse, and synced every few MiB (`anchor`).
//! - Its thread that flushes by time and moves pages together is off: what it writes, and when,
//!   could not be known, and it saved an eighth of the space only. [`Store::usage`] tells when a
//!   rebuild is due.
//! - It panics on damaged files, lazily. Every call is made behind a wall (`core`): a panic becomes
//!   an [`Error::Store`], `damaged`, and sled is not called again. The panic's message still goes
//!   to the program's panic hook, that is to standard error unless the program says otherwise.
//! - Its pages hold up to sixteen entries, however large. Large values are cut into chunks
//!   (`entry`).
//! - It cannot be opened without writing. [`SledStore::open_read_only`] opens a copy.
//! - Its lock may linger for a moment after it was closed, so opening waits for it, a little.
//!
//! One tree holds the entries of a keyspace, a second one its chunks, and one of our own what was
//! applied.
//!
//! # Not done
//!
//! Keys are not cut: sixteen of them in a page, at 64 KiB, are one of sled's files of its own,
//! which it removes as it likes. Chunks that a crash left without their entry stay until the Store
//! is rebuilt.
//!
//! sled has checksums, but takes a wrong one in what it wrote since it was last opened for the
//! place where a crash cut its log. Mostly [`Store::applied`] is lower then than it must be, which
//! gives it away; where the place is in a segment before the last two it goes on with the next one,
//! and finds older values.

mod anchor;
mod core;
mod entry;
mod files;
mod open;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use mainstay_wal::Lsn;
use parking_lot::Mutex;

use self::core::{Core, Problem, absent_if_dropped};
use self::write::Writer;
use super::chunked::{Bounds, ChunkSource, ChunkedRange, End};
use super::{Store, StoreIter, StoreOp, StoreUsage};
use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;

const KIND: &str = "sled";

/// The tree of our own notes, and what is in it.
const NOTES: &[u8] = b"mainstay";
const FORMAT: &[u8] = b"format";
const FORMAT_VERSION: u32 = 1;
const APPLIED: &[u8] = b"applied";

/// A chunk of an iterator is cut short at this size, as long as it has one entry.
const ITERATOR_BYTES: usize = 256 * 1024;

/// How a [`SledStore`] is opened.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// Memory that sled may use as the cache of its pages. Default: 64 MiB. sled takes more: a few
    /// hundred bytes for every page, cached or not, and what was replaced since the last sync. Too
    /// low a value makes reads go to the disk.
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

/// A [`Store`] over the `sled` crate, whose own word on durability is never taken.
///
/// Iterators keep it open: its files are unlocked once they are dropped too.
pub struct SledStore {
    core: Arc<Core>,
    options: SledOptions,
    /// `None` if it was opened for reading.
    writer: Option<Mutex<Writer>>,
}

impl Store for SledStore {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        self.read()?;
        self.core.call("get", |handles| {
            let keyspaces = handles.keyspaces.load();
            let Some(trees) = keyspaces.get(&keyspace) else { return Ok(None) };
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
        writer.pin(&self.core)?;
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
        let disk_bytes = files::bytes(&self.core.wall.path)
            .map_err(|error| self.core.wall.failed("measure its files", &error.to_string()))?;
        Ok(StoreUsage { disk_bytes, memory_bytes: self.options.cache_bytes })
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore")
            .field("path", &self.core.wall.path)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What an iterator reads from, a chunk at a time.
struct Source {
    core: Arc<Core>,
    keyspace: KeyspaceId,
}

impl ChunkSource for Source {
    fn chunk(&self, bounds: Bounds<'_>, from: End, limit: usize) -> Result<Vec<(Key, Value)>> {
        self.core.count_read();
        self.core.call("read a range", |handles| {
            let Some(trees) = handles.keyspace(self.keyspace) else { return Ok(Vec::new()) };
            let mut range = trees.entries.range::<&[u8], _>(bounds);
            let (mut taken, mut bytes) = (Vec::new(), 0);
            while taken.len() < limit && bytes < ITERATOR_BYTES {
                let next = match from {
                    End::Front => range.next(),
                    End::Back => range.next_back(),
                };
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
