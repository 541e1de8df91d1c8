//! What was written and is not in the Store yet: every version of every key, in order, in memory.
//!
//! Versions enter when a record is applied, before they are visible; each reader says up to which
//! LSN it sees. No lock is held while anybody else's code runs: ranges are read in chunks.
//!
//! Invariants:
//! - versions here are past `start`, and not past `end` once that is set;
//! - a point at the LSN of a removed range was written after it;
//! - `bytes` is what keys, values and the structures around them take, as close as can be
//!   estimated.

mod bulk;
mod removals;
mod versions;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mainstay_wal::Lsn;
use parking_lot::RwLock;

use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;
use crate::span::{self, Span};
use removals::Removals;
use versions::Versions;

pub(crate) use bulk::Points;
pub(crate) use removals::Removal;
pub(crate) use versions::Version;

/// From which end a range is read.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Front,
    Back,
}

/// One change, as it enters a memtable.
#[derive(Debug)]
pub(crate) enum Change {
    Point { keyspace: KeyspaceId, key: Key, value: Option<Value> },
    Range { keyspace: KeyspaceId, span: Span, drops_keyspace: bool },
}

/// A key with what it is at some LSN; `None`: it is not there.
pub(crate) type KeyState = (Key, Option<Value>);

/// What a memtable knows of a key at some LSN.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The newest version up to there.
    pub(crate) version: Option<Version>,
    /// Whether the memtable has the key, but only versions that came later: the one in question may
    /// have been removed.
    pub(crate) later: bool,
}

/// A piece of a range, in the direction of reading.
#[derive(Debug, Default)]
pub(crate) struct Chunk<T> {
    pub(crate) entries: Vec<T>,
    /// The last key looked at, when there may be more behind it.
    pub(crate) stopped_at: Option<Key>,
}

/// A point of a checkpoint: the newest version of a key, and when the first one was written.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) key: Key,
    pub(crate) first_lsn: Lsn,
    pub(crate) value: Option<Value>,
}

/// Which removals a checkpoint makes in a keyspace.
#[derive(Debug)]
pub(crate) enum Removed {
    Ranges(Vec<Span>),
    Keyspace,
}

#[derive(Debug, Default)]
struct Table {
    points: BTreeMap<Key, Versions>,
    removals: Removals,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Memtable {
    start: Lsn,
    end: AtomicU64,
    bytes: AtomicUsize,
    tables: RwLock<BTreeMap<KeyspaceId, Table>>,
}

/// What an entry takes besides its key and value: its place in the tree. Nodes are half full when keys
/// come in order, and two thirds when they do not.
const ENTRY_BYTES: usize = size_of::<(Key, Versions)>() * 2;
/// How many keys are looked at under one lock when a range is searched through.
const SEARCH_KEYS: usize = 1024;

/// What shared bytes take: two counters, the bytes, and the allocator's own word, in steps of 16.
fn shared_bytes(length: usize) -> usize {
    (length + 2 * size_of::<usize>() + size_of::<usize>()).next_multiple_of(16)
}

/// What a key takes besides its place in the tree.
fn key_bytes(key: &Key) -> usize {
    if key.is_shared() { shared_bytes(key.len()) } else { 0 }
}

fn version_bytes(version: &Version) -> usize {
    value_bytes(version.value.as_ref())
}

fn value_bytes(value: Option<&Value>) -> usize {
    value.map_or(0, |value| shared_bytes(value.len()))
}

impl Memtable {
    /// An empty memtable for what comes after `start`.
    pub(crate) fn new(start: Lsn) -> Self {
        Memtable {
            start,
            end: AtomicU64::new(u64::MAX),
            bytes: AtomicUsize::new(0),
            tables: RwLock::default(),
        }
    }

    pub(crate) fn start(&self) -> Lsn {
        self.start
    }

    /// The last LSN it may hold; [`Lsn::MAX`] while it is the active one.
    pub(crate) fn end(&self) -> Lsn {
        Lsn(self.end.load(Ordering::Acquire))
    }

    pub(crate) fn set_end(&self, end: Lsn) {
        assert!(end >= self.start, "a memtable that starts at {} ends at {end}", self.start);
        self.end.store(end.0, Ordering::Release);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Adds changes of one record, in their order, and empties the list.
    ///
    /// Versions that nobody can see any more are removed where a key has many: `seen` says up to
    /// where everybody sees, whoever reads meanwhile or later. It is asked only then.
    pub(crate) fn write(&self, lsn: Lsn, changes: &mut Vec<Change>, seen: impl Fn() -> Lsn) {
        assert!(lsn > self.start, "LSN {lsn} in a memtable that starts at {}", self.start);
        assert!(lsn <= self.end(), "LSN {lsn} in a memtable that ends at {}", self.end());
        let mut added = 0;
        let mut freed = 0;
        let mut tables = self.tables.write();
        for change in changes.drain(..) {
            match change {
                Change::Point { keyspace, key, value } => {
                    let table = tables.entry(keyspace).or_default();
                    added += value_bytes(value.as_ref());
                    match table.points.entry(key) {
                        Entry::Occupied(mut versions) => {
                            let versions = versions.get_mut();
                            freed += versions.older_bytes();
                            freed += value_bytes(versions.add(lsn, value).as_ref());
                            if versions.has_many() {
                                let pruned = versions.prune(seen());
                                freed += pruned.iter().map(version_bytes).sum::<usize>();
                            }
                            added += versions.older_bytes();
                        }
                        Entry::Vacant(vacant) => {
                            added += ENTRY_BYTES + key_bytes(vacant.key());
                            vacant.insert(Versions::new(lsn, value));
                        }
                    }
                }
                Change::Range { keyspace, span, drops_keyspace } => {
                    let removals = &mut tables.entry(keyspace).or_default().removals;
                    added += removals.add(Removal { lsn, span, drops_keyspace });
                }
            }
        }
        drop(tables);
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    /// The newest version of a key that is not past `at`, removed ranges included.
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8], at: Lsn) -> Known {
        // Nothing that is visible up to `at` is missing from an empty one.
        if self.start >= at || self.bytes() == 0 {
            return Known::default();
        }
        let tables = self.tables.read();
        tables.get(&keyspace).map_or_else(Known::default, |table| table.get(key, at))
    }

    /// The next entries of a range at `at`, at most `limit` of them.
    pub(crate) fn chunk(
        &self,
        keyspace: KeyspaceId,
        within: &Span,
        at: Lsn,
        from: Side,
        limit: usize,
    ) -> Chunk<KeyState> {
        if self.start >= at || within.is_empty() {
            return Chunk { entries: Vec::new(), stopped_at: None };
        }
        let tables = self.tables.read();
        let Some(table) = tables.get(&keyspace) else {
            return Chunk { entries: Vec::new(), stopped_at: None };
        };
        let entry = |(key, versions): (&Key, &Versions)| {
            let version = table.resolve(key, versions.newest_at(at)?, at);
            Some((key.clone(), version.value))
        };
        let range = table.points.range::<[u8], _>(within.bounds());
        match from {
            Side::Front => collect(range, limit, entry),
            Side::Back => collect(range.rev(), limit, entry),
        }
    }

    /// Whether there may be anything in a range for a reader at `at`. Where there is not, there never
    /// will be: all of it is in the past.
    pub(crate) fn concerns(&self, keyspace: KeyspaceId, within: &Span, at: Lsn) -> bool {
        if self.start >= at || within.is_empty() {
            return false;
        }
        self.tables.read().get(&keyspace).is_some_and(|table| {
            let mut points = table.points.range::<[u8], _>(within.bounds());
            !table.removals.is_empty() || points.next().is_some()
        })
    }

    /// The ranges removed at or before `at`, joined.
    pub(crate) fn removed_spans(&self, keyspace: KeyspaceId, within: &Span, at: Lsn) -> Vec<Span> {
        if self.start >= at {
            return Vec::new();
        }
        let tables = self.tables.read();
        tables.get(&keyspace).map_or_else(Vec::new, |table| table.removals.spans(within, at))
    }

    /// The LSN of the newest version past `since` in a range. Of points, any such LSN will do.
    pub(crate) fn changed_since(
        &self,
        keyspace: KeyspaceId,
        within: &Span,
        since: Lsn,
    ) -> Option<Lsn> {
        if self.end() <= since || within.is_empty() {
            return None;
        }
        let mut rest = within.clone();
        let mut newest = None;
        loop {
            let tables = self.tables.read();
            let table = tables.get(&keyspace)?;
            newest = newest.max(table.removals.newest_over(&rest, since));
            let range = table.points.range::<[u8], _>(rest.bounds());
            let chunk = collect(range, SEARCH_KEYS, |(_, versions)| {
                Some(versions.newest().lsn).filter(|lsn| *lsn > since)
            });
            newest = newest.max(chunk.entries.into_iter().max());
            match chunk.stopped_at {
                Some(key) => rest.lower = span::after(&key),
                None => return newest,
            }
        }
    }

    /// Removes every version past `lsn`.
    pub(crate) fn truncate_after(&self, lsn: Lsn) {
        let (mut added, mut freed) = (0, 0);
        let mut tables = self.tables.write();
        for table in tables.values_mut() {
            freed += table.removals.truncate_after(lsn);
            table.points.retain(|key, versions| {
                freed += versions.older_bytes();
                let stays = loop {
                    match versions.remove_past(lsn) {
                        Ok(None) => break true,
                        Ok(Some(removed)) => freed += version_bytes(&removed),
                        Err(()) => break false,
                    }
                };
                if stays {
                    added += versions.older_bytes();
                } else {
                    freed += ENTRY_BYTES + key_bytes(key) + version_bytes(versions.newest());
                }
                stays
            });
        }
        tables.retain(|_, table| !table.points.is_empty() || !table.removals.is_empty());
        drop(tables);
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    /// The keyspaces that have anything here, in order.
    pub(crate) fn keyspaces(&self) -> Vec<KeyspaceId> {
        self.tables.read().keys().copied().collect()
    }

    /// How many keys have versions here.
    pub(crate) fn key_count(&self) -> usize {
        self.tables.read().values().map(|table| table.points.len()).sum()
    }

    /// What a checkpoint of the whole memtable removes from a keyspace before it sets points.
    pub(crate) fn removed(&self, keyspace: KeyspaceId) -> Removed {
        let tables = self.tables.read();
        let Some(table) = tables.get(&keyspace) else { return Removed::Ranges(Vec::new()) };
        if table.removals.list().iter().any(|removal| removal.drops_keyspace) {
            return Removed::Keyspace;
        }
        Removed::Ranges(table.removals.spans(&Span::all(), Lsn::MAX))
    }

    /// The next points that a checkpoint of the whole memtable sets: those that no later removal
    /// covers.
    pub(crate) fn points(&self, keyspace: KeyspaceId, within: &Span, limit: usize) -> Chunk<Point> {
        let tables = self.tables.read();
        let Some(table) = tables.get(&keyspace) else {
            return Chunk { entries: Vec::new(), stopped_at: None };
        };
        let range = table.points.range::<[u8], _>(within.bounds());
        collect(range, limit, |(key, versions)| {
            let newest = versions.newest();
            let removed = table.removals.newest(key, Lsn::MAX);
            (removed.is_none_or(|removed| removed <= newest.lsn)).then(|| Point {
                key: key.clone(),
                first_lsn: versions.oldest().lsn,
                value: newest.value.clone(),
            })
        })
    }
}

impl Table {
    fn get(&self, key: &[u8], at: Lsn) -> Known {
        let versions = match Key::inline(key) {
            // Compared as keys are: cheaper than as slices.
            Some(key) => self.points.get(&key),
            None => self.points.get(key),
        };
        match versions.and_then(|versions| versions.newest_at(at)) {
            Some(version) => Known { version: Some(self.resolve(key, version, at)), later: false },
            None => {
                let removed = (!self.removals.is_empty()).then(|| self.removals.newest(key, at));
                let version = removed.flatten().map(|lsn| Version { lsn, value: None });
                Known { version, later: versions.is_some() }
            }
        }
    }

    /// A point, or the removal of a range that came after it.
    fn resolve(&self, key: &[u8], point: &Version, at: Lsn) -> Version {
        if self.removals.is_empty() {
            return point.clone();
        }
        match self.removals.newest(key, at) {
            Some(lsn) if lsn > point.lsn => Version { lsn, value: None },
            _ => point.clone(),
        }
    }
}

/// Looks at up to `limit` keys and keeps what `pick` makes of them.
fn collect<'a, T>(
    range: impl Iterator<Item = (&'a Key, &'a Versions)>,
    limit: usize,
    mut pick: impl FnMut((&'a Key, &'a Versions)) -> Option<T>,
) -> Chunk<T> {
    let mut chunk = Chunk { entries: Vec::new(), stopped_at: None };
    for (looked_at, (key, versions)) in range.enumerate() {
        chunk.entries.extend(pick((key, versions)));
        if looked_at + 1 >= limit {
            chunk.stopped_at = Some(key.clone());
            break;
        }
    }
    chunk
}

#[cfg(test)]
mod tests;
