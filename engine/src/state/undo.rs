//! What a checkpoint overwrites in the Store while snapshots from before it are alive.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_wal::Lsn;
use parking_lot::RwLock;

use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;
use crate::memtable::{Chunk, Side};
use crate::span::Span;

/// The Store's values from before one checkpoint, of the keys that the checkpoint changes.
///
/// An entry is added before the Store is changed, so a reader that asks the Store first and the
/// layer afterwards misses nothing. A snapshot at `s` uses the layers with `end > s`, the oldest
/// first. It comes here only for keys of which the memtables it holds know nothing at `s`; so the
/// first change of such a key in the checkpoint is past `s`, and the layer has what the snapshot
/// must see.
#[derive(Debug)]
pub(crate) struct UndoLayer {
    end: Lsn,
    bytes: AtomicUsize,
    entries: RwLock<BTreeMap<KeyspaceId, BTreeMap<Key, Option<Value>>>>,
}

const ENTRY_BYTES: usize = size_of::<(Key, Option<Value>)>() * 3 / 2 + 2 * 24;

impl UndoLayer {
    pub(super) fn new(end: Lsn) -> UndoLayer {
        UndoLayer { end, bytes: AtomicUsize::new(0), entries: RwLock::default() }
    }

    /// The last LSN of the checkpoint.
    pub(super) fn end(&self) -> Lsn {
        self.end
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn contains(&self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        self.entries.read().get(&keyspace).is_some_and(|entries| entries.contains_key(key))
    }

    /// Keeps what the Store has for a key. The first entry of a key stays: a later one might be the
    /// checkpoint's own. Returns the bytes that it takes.
    pub(super) fn keep(&self, keyspace: KeyspaceId, key: Key, value: Option<Value>) -> usize {
        let bytes = ENTRY_BYTES + key.len() + value.as_ref().map_or(0, |value| value.len());
        let mut entries = self.entries.write();
        let Entry::Vacant(vacant) = entries.entry(keyspace).or_default().entry(key) else {
            return 0;
        };
        vacant.insert(value);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        bytes
    }

    /// The value before the checkpoint: `None` if the key is not in the layer.
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<Option<Value>> {
        self.entries.read().get(&keyspace)?.get(key).cloned()
    }

    /// The next entries of a range, at most `limit` of them.
    pub(crate) fn chunk(
        &self,
        keyspace: KeyspaceId,
        within: &Span,
        from: Side,
        limit: usize,
    ) -> Chunk<(Key, Option<Value>)> {
        let none = Chunk { entries: Vec::new(), stopped_at: None };
        if within.is_empty() {
            return none;
        }
        let entries = self.entries.read();
        let Some(entries) = entries.get(&keyspace) else { return none };
        let range = entries.range::<[u8], _>(within.bounds());
        let copy = |(key, value): (&Key, &Option<Value>)| (key.clone(), value.clone());
        let entries: Vec<_> = match from {
            Side::Front => range.take(limit).map(copy).collect(),
            Side::Back => range.rev().take(limit).map(copy).collect(),
        };
        let full = entries.len() == limit;
        let stopped_at = entries.last().filter(|_| full).map(|(key, _)| key.clone());
        Chunk { entries, stopped_at }
    }
}
