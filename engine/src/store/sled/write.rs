//! Changing a Store, and making the changes durable.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::anchor::Anchor;
use super::core::{Core, Handles, Keyspace, Problem};
use super::entry::{self, CHUNK_BYTES, INLINE_BYTES, Large, Stored};
use super::files::Files;
use super::{KIND, SledStore, chunks_name, entries_name};
use crate::bytes::Key;
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::store::chunked::bounds_cross;
use crate::store::{StoreOp, failed};

/// The size of the segments of sled's log. It gives a segment free once all pages in it were
/// replaced: with larger ones later, with smaller ones there must be more syncs.
pub(super) const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// How many entries sled writes when one of them is changed, at worst, as it writes pages.
const ENTRIES_PER_PAGE: u64 = 17;
/// What an entry takes besides its key and value, about.
const ENTRY_OVERHEAD_BYTES: u64 = 16;

/// How many keys a range removal takes at a time.
const REMOVE_CHUNK: usize = 256;

/// # Invariants
///
/// - While `dirty`, an anchor that was pinned before the first change is there.
/// - Once `stopped`, nothing is written any more: what a failed sync lost cannot be known.
pub(super) struct Writer {
    pub(super) files: Files,
    pub(super) anchor: Option<Anchor>,
    pub(super) care: Care,
    pub(super) dirty: bool,
    /// What sled may have written since the last sync, at worst.
    pub(super) unsynced_bytes: u64,
    /// The size of entries around here: the largest of late. Changes come in key order, so these
    /// are neighbours.
    pub(super) entry_bytes: u64,
    pub(super) stopped: Option<String>,
}

/// What is done so that a power cut takes away nothing that was durable. Tests do less.
#[derive(Copy, Clone, Debug)]
pub(super) struct Care {
    pub(super) anchored: bool,
    pub(super) segment_bytes: usize,
    pub(super) unsynced_bytes: u64,
    pub(super) unsynced_reads: u64,
}

impl Care {
    pub(super) const FULL: Care = Care {
        anchored: true,
        segment_bytes: SEGMENT_BYTES,
        // See `anchor` for the reason.
        unsynced_bytes: 2 * SEGMENT_BYTES as u64,
        // Pages that so many reads push out of sled's cache take some hundred MB at worst.
        unsynced_reads: 32 * 1024,
    };
}

impl SledStore {
    /// Makes everything durable, and lets sled take back space and memory.
    pub(super) fn sync(&self, writer: &mut Writer) -> Result<()> {
        self.sync_data(writer)?;
        writer.dirty = false;
        writer.unpin(&self.core);
        Ok(())
    }

    /// Notes a change of an entry of this size, and makes everything durable when that was enough.
    fn wrote(&self, writer: &mut Writer, bytes: usize) -> Result<()> {
        let entry_bytes = bytes as u64 + ENTRY_OVERHEAD_BYTES;
        writer.entry_bytes = entry_bytes.max(writer.entry_bytes - writer.entry_bytes / 64);
        writer.unsynced_bytes += ENTRIES_PER_PAGE * writer.entry_bytes;
        if writer.unsynced_bytes < writer.care.unsynced_bytes
            && self.core.reads() < writer.care.unsynced_reads
        {
            return Ok(());
        }
        // The next anchor is pinned before the sync and the one before is let go after it, so there
        // is no gap.
        let before = writer.anchor.take();
        writer.pin(&self.core)?;
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
            self.core.wall.failed("sync its files", &error.to_string())
        })?;
        writer.unsynced_bytes = 0;
        self.core.forget_reads();
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
                    // A crash between two removals; or a damaged length, which must not keep us
                    // busy for ever.
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
            let known = handles.change_keyspaces(|all| all.remove(&keyspace).is_some());
            // Names without a handle: the entries were dropped before a crash, and the chunks not.
            if known || handles.db.tree_names().contains(&chunks_name(keyspace).as_slice().into()) {
                handles.db.drop_tree(entries_name(keyspace))?;
                handles.db.drop_tree(chunks_name(keyspace))?;
            }
            Ok(())
        })?;
        self.wrote(writer, 0)
    }

    pub(super) fn apply_op(&self, writer: &mut Writer, op: &StoreOp) -> Result<()> {
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

    /// Counts a read. When sled had to keep too much in memory for too many reads, and nobody is
    /// writing, this makes durable what is not, so that it can let go.
    pub(super) fn read(&self) -> Result<()> {
        if self.core.count_read() >= Care::FULL.unsynced_reads
            && let Some(mut writer) = self.writer.as_ref().and_then(Mutex::try_lock)
        {
            if writer.dirty && writer.stopped.is_none() {
                return self.sync(&mut writer);
            }
            self.core.forget_reads();
        }
        Ok(())
    }
}

impl Writer {
    pub(super) fn pin(&mut self, core: &Core) -> Result<()> {
        if self.anchor.is_none() && self.care.anchored {
            let anchor = Anchor::pin().map_err(|error| failed(KIND, "write", error))?;
            self.anchor = Some(anchor);
            core.anchored.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn unpin(&mut self, core: &Core) {
        core.anchored.store(false, Ordering::Relaxed);
        self.anchor = None;
    }

    pub(super) fn check_usable(&self) -> Result<()> {
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
        self.change_keyspaces(|all| all.insert(keyspace, trees.clone()));
        Ok(trees)
    }
}
