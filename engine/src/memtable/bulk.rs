//! Points that enter a memtable together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::Ordering;

use mainstay_wal::Lsn;

use super::versions::Versions;
use super::{ENTRY_BYTES, Memtable, key_bytes, version_bytes};
use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;

/// Points of consecutive records, in the order in which they were written. Of several to one key
/// only the last counts.
#[derive(Debug, Default)]
pub(crate) struct Points {
    keyspaces: BTreeMap<KeyspaceId, Vec<(Key, Versions)>>,
    /// What a memtable takes for them, if no key is there twice.
    bytes: usize,
    first: Option<Lsn>,
    last: Lsn,
}

impl Points {
    /// Adds a point; never one that is older than one added before.
    pub(crate) fn add(&mut self, lsn: Lsn, keyspace: KeyspaceId, key: Key, value: Option<Value>) {
        assert!(lsn >= self.last, "a point at {lsn} comes after that at {}", self.last);
        self.first.get_or_insert(lsn);
        self.last = lsn;
        let versions = Versions::new(lsn, value);
        self.bytes += entry_bytes(&key, &versions);
        self.keyspaces.entry(keyspace).or_default().push((key, versions));
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a key with one version takes.
fn entry_bytes(key: &Key, versions: &Versions) -> usize {
    ENTRY_BYTES + key_bytes(key) + version_bytes(versions.newest())
}

impl Memtable {
    /// Takes in points that are newer than all that is here, and replaces what they overwrite: nobody
    /// reads before the last of them is visible.
    ///
    /// Sorting them and building a tree of what is sorted takes a fraction of the time that as many
    /// [writes](Memtable::write) would.
    pub(crate) fn fill(&self, points: Points) {
        let Some(first) = points.first else { return };
        let last = points.last;
        assert!(first > self.start, "LSN {first} in a memtable that starts at {}", self.start);
        assert!(last <= self.end(), "LSN {last} in a memtable that ends at {}", self.end());
        let (mut added, mut freed) = (0, 0);
        let mut tables = self.tables.write();
        for (keyspace, mut points) in points.keyspaces {
            let table = &mut tables.entry(keyspace).or_default().points;
            if table.is_empty() {
                // Sorts them, keeps the last of each key, and builds the tree from its leaves.
                *table = points.into_iter().collect();
                added += table.iter().map(|(key, it)| entry_bytes(key, it)).sum::<usize>();
                continue;
            }
            // Neighbours one after another: they find each other's way in the caches. Stable, so that
            // the last of each key comes last.
            points.sort_by(|one, other| one.0.cmp(&other.0));
            for (key, versions) in points {
                match table.entry(key) {
                    Entry::Vacant(vacant) => {
                        added += entry_bytes(vacant.key(), &versions);
                        vacant.insert(versions);
                    }
                    Entry::Occupied(mut old) => {
                        added += version_bytes(versions.newest());
                        let mut replaced = old.insert(versions);
                        freed += replaced.older_bytes() + version_bytes(replaced.newest());
                        freed += replaced.prune(Lsn::MAX).iter().map(version_bytes).sum::<usize>();
                    }
                }
            }
        }
        drop(tables);
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
    }
}
