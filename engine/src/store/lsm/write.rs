//! Changing a Store: what was gathered becomes a sorted run of the tree, whole.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use lsm_tree::{AbstractTree, AnyIngestion, AnyTree, Guard, Slice};

use super::core::{Core, NEWEST, Problem};
use super::key::{self, Prefix, is_cut};
use super::notes::{Note, Notes};
use super::{KIND, LsmStore};
use crate::bytes::{Key, Value};
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::store::chunked::bounds_cross;
use crate::store::{StoreOp, failed};
use mainstay_wal::Lsn;

/// What is gathered before it is ingested. A checkpoint is mostly smaller: it is one run then.
const GATHERED_BYTES: usize = 64 << 20;

/// What an operation takes besides its key and value, about.
const OP_BYTES: usize = 96;

/// # Invariants
///
/// - What is `gathered` comes after everything in the tree, in order.
/// - Once `stopped`, nothing is written any more: what a failed write or sync lost cannot be known.
pub(super) struct Writer {
    notes: Notes,
    noted: Note,
    gathered: Vec<StoreOp>,
    gathered_bytes: usize,
    /// Something was ingested since the last note.
    dirty: bool,
    stopped: Option<String>,
}

impl Writer {
    pub(super) fn new(notes: Notes, noted: Note) -> Writer {
        let gathered = Vec::new();
        Writer { notes, noted, gathered, gathered_bytes: 0, dirty: false, stopped: None }
    }

    fn check_usable(&self) -> Result<()> {
        match &self.stopped {
            None => Ok(()),
            Some(reason) => {
                Err(failed(KIND, "write any more", format!("a write failed: {reason}")))
            }
        }
    }

    /// Does something that must not fail, or nothing is written any more.
    fn or_stop<T>(&mut self, done: Result<T>) -> Result<T> {
        if let Err(error) = &done {
            self.stopped = Some(error.to_string());
        }
        done
    }
}

impl LsmStore {
    pub(super) fn gather(&self, writer: &mut Writer, ops: &[StoreOp], up_to: Lsn) -> Result<()> {
        writer.check_usable()?;
        if up_to > Lsn::ZERO && writer.gathered.is_empty() {
            self.ingest(writer, ops)?;
        } else {
            for op in ops {
                writer.gathered_bytes += OP_BYTES + bytes(op);
                writer.gathered.push(op.clone());
                if writer.gathered_bytes >= GATHERED_BYTES {
                    self.ingest_gathered(writer)?;
                }
            }
            if up_to > Lsn::ZERO {
                self.ingest_gathered(writer)?;
            }
        }
        self.applied.fetch_max(up_to.0, Ordering::AcqRel);
        Ok(())
    }

    pub(super) fn sync(&self, writer: &mut Writer) -> Result<()> {
        writer.check_usable()?;
        self.ingest_gathered(writer)?;
        let applied = Lsn(self.applied.load(Ordering::Acquire));
        if !writer.dirty && applied == writer.noted.applied {
            return Ok(());
        }
        // lsm-tree has synced what it ingested, and the version that names it.
        let tree_version =
            self.core.call("tell its version", |tree| Ok(tree.current_version().id()))?;
        let note = Note { applied, tree_version };
        let written = writer.notes.write(note);
        let written =
            written.map_err(|error| self.core.wall.failed("write its notes", &error.to_string()));
        writer.or_stop(written)?;
        (writer.noted, writer.dirty) = (note, false);
        Ok(())
    }

    fn ingest_gathered(&self, writer: &mut Writer) -> Result<()> {
        writer.gathered_bytes = 0;
        let gathered = std::mem::take(&mut writer.gathered);
        self.ingest(writer, &gathered)
    }

    fn ingest(&self, writer: &mut Writer, mut ops: &[StoreOp]) -> Result<()> {
        if ops.is_empty() {
            return Ok(());
        }
        writer.dirty = true;
        let core = &*self.core;
        let ingested = core.call("apply", |tree| {
            let mut run = Run { core, tree, ingestion: None, last: Vec::new() };
            while let Some(first) = ops.first() {
                let points = ops.iter().map_while(point).collect::<Vec<_>>();
                if points.is_empty() {
                    run.remove_range(first)?;
                }
                ops = &ops[points.len().max(1)..];
                run.points(points)?;
            }
            run.finish()
        });
        writer.or_stop(ingested)
    }
}

fn bytes(op: &StoreOp) -> usize {
    match op {
        StoreOp::Insert { key, value, .. } => key.len() + value.len(),
        StoreOp::Remove { key, .. } => key.len(),
        StoreOp::RemoveRange { .. } | StoreOp::DropKeyspace { .. } => 0,
    }
}

/// A change of one key.
#[derive(Copy, Clone)]
struct Point<'a> {
    keyspace: KeyspaceId,
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

impl<'a> Point<'a> {
    fn place(&self) -> (KeyspaceId, &'a [u8]) {
        (self.keyspace, self.key)
    }
}

fn point(op: &StoreOp) -> Option<Point<'_>> {
    match op {
        StoreOp::Insert { keyspace, key, value } => {
            Some(Point { keyspace: *keyspace, key, value: Some(value) })
        }
        StoreOp::Remove { keyspace, key } => Some(Point { keyspace: *keyspace, key, value: None }),
        StoreOp::RemoveRange { .. } | StoreOp::DropKeyspace { .. } => None,
    }
}

/// The run that is being written. Where keys do not ascend another one begins.
struct Run<'a> {
    core: &'a Core,
    tree: &'a AnyTree,
    /// Made with the first entry: an empty one would leave a file behind.
    ingestion: Option<AnyIngestion<'a>>,
    /// The tree's key of the last entry.
    last: Vec<u8>,
}

type Done = std::result::Result<(), Problem>;

impl Run<'_> {
    fn points(&mut self, mut points: Vec<Point<'_>>) -> Done {
        if !points.is_sorted_by(|a, b| a.place() < b.place()) {
            points.sort_by_key(Point::place);
        }
        let mut tree_key = Vec::new();
        let mut rest = points.as_slice();
        while let Some((point, after)) = rest.split_first() {
            if is_cut(point.key) {
                let cut = &point.key[..key::CUT_BYTES];
                let same = |p: &&Point<'_>| p.keyspace == point.keyspace && p.key.starts_with(cut);
                let (bunch, after) = rest.split_at(rest.iter().take_while(same).count());
                self.change_bunch(bunch)?;
                rest = after;
                continue;
            }
            rest = after;
            // Of changes of the same key the last one counts.
            if after.first().is_none_or(|next| next.place() != point.place()) {
                key::encode(point.keyspace, point.key, &mut tree_key);
                self.put(&tree_key, point.value)?;
            }
        }
        Ok(())
    }

    /// Changes long keys that are equal up to the cut.
    fn change_bunch(&mut self, points: &[Point<'_>]) -> Done {
        let Some(first) = points.first() else { return Ok(()) };
        let mut tree_key = Vec::new();
        key::encode(first.keyspace, first.key, &mut tree_key);
        if self.last >= tree_key {
            self.finish()?;
        }
        let before = self.tree.get(&tree_key, NEWEST)?;
        let entries = key::decode_bunch(before.as_deref().unwrap_or_default())
            .ok_or_else(|| Problem::Content("a bunch of long keys is not valid".into()))?;
        let mut entries = entries.into_iter().collect::<std::collections::BTreeMap<_, _>>();
        for point in points {
            let rest = &point.key[key::CUT_BYTES..];
            match point.value {
                Some(value) => entries.insert(rest, value),
                None => entries.remove(rest),
            };
        }
        self.put_bunch(&tree_key, entries.into_iter())
    }

    fn put_bunch<'e>(
        &mut self,
        tree_key: &[u8],
        entries: impl Iterator<Item = (&'e [u8], &'e [u8])>,
    ) -> Done {
        let Some(bytes) = key::encode_bunch(entries) else {
            let reason = "long keys that are equal up to byte 65,000 take more than 4 GiB together";
            return Err(failed(KIND, "apply", reason).into());
        };
        self.put(tree_key, (!bytes.is_empty()).then_some(bytes.as_slice()))
    }

    /// Removes what a range removal or the drop of a keyspace names, one key after another: the
    /// tree has no removals of ranges.
    fn remove_range(&mut self, op: &StoreOp) -> Done {
        let all = (Bound::Unbounded, Bound::Unbounded);
        let (keyspace, (lower, upper)) = match op {
            StoreOp::RemoveRange { keyspace, lower, upper } => {
                let (lower, upper) = (lower.as_ref(), upper.as_ref());
                (*keyspace, (lower.map(Key::as_bytes), upper.map(Key::as_bytes)))
            }
            StoreOp::DropKeyspace { keyspace } => (*keyspace, all),
            StoreOp::Insert { .. } | StoreOp::Remove { .. } => return Ok(()),
        };
        if bounds_cross(lower, upper) {
            return Ok(());
        }
        let bounds = key::bounds(keyspace, lower, upper);
        let begin = match &bounds.0 {
            Bound::Included(begin) | Bound::Excluded(begin) => begin.as_slice(),
            Bound::Unbounded => &[],
        };
        // What is in the run must be found too.
        if self.last.as_slice() >= begin {
            self.finish()?;
        }
        let prefix_bytes = Prefix::new(keyspace).as_bytes().len();
        for guard in self.tree.range(bounds, NEWEST, None) {
            let (tree_key, value) = guard.into_inner()?;
            let cut = &tree_key[prefix_bytes.min(tree_key.len())..];
            if !is_cut(cut) {
                self.put(&tree_key, None)?;
                continue;
            }
            let entries = key::decode_bunch(&value)
                .ok_or_else(|| Problem::Content("a bunch of long keys is not valid".into()))?;
            let stays = |rest: &[u8]| !key::contains(lower, upper, &[cut, rest].concat());
            self.put_bunch(&tree_key, entries.into_iter().filter(|(rest, _)| stays(rest)))?;
        }
        Ok(())
    }

    fn put(&mut self, tree_key: &[u8], value: Option<&[u8]>) -> Done {
        if self.ingestion.is_some() && self.last.as_slice() >= tree_key {
            self.finish()?;
        }
        let ingestion = match &mut self.ingestion {
            Some(ingestion) => ingestion,
            none => {
                self.core.compaction.wait(self.core)?;
                none.insert(self.tree.ingestion()?)
            }
        };
        match value {
            Some(value) => ingestion.write(Slice::from(tree_key), Slice::from(value))?,
            None => ingestion.write_tombstone(Slice::from(tree_key))?,
        }
        self.last.clear();
        self.last.extend_from_slice(tree_key);
        Ok(())
    }

    /// Makes the run part of the tree, durably.
    fn finish(&mut self) -> Done {
        self.last.clear();
        if let Some(ingestion) = self.ingestion.take() {
            ingestion.finish()?;
            self.core.forget_versions()?;
            self.core.compaction.raise();
        }
        Ok(())
    }
}

/// The value of a long key in its bunch.
pub(super) fn in_bunch(bunch: &[u8], key: &[u8]) -> std::result::Result<Option<Value>, Problem> {
    let entries = key::decode_bunch(bunch)
        .ok_or_else(|| Problem::Content("a bunch of long keys is not valid".into()))?;
    let found = entries.binary_search_by_key(&&key[key::CUT_BYTES..], |(rest, _)| rest);
    Ok(found.ok().map(|place| Value::from(entries[place].1)))
}
