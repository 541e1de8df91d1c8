//! The memtables over the Store, as a reader finds them.

use std::sync::Arc;

use mainstay_wal::Lsn;

use crate::bytes::Value;
use crate::keyspace::KeyspaceId;
use crate::memtable::{Known, Memtable, Version};

/// Memtables that together hold every version past `base`. What is not in them is in the Store as
/// it was at `base`: there, or in the undo layers of later checkpoints.
///
/// Invariants: newest first; each ends where the newer one starts; the oldest starts at `base`.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) base: Lsn,
    pub(crate) memtables: Vec<Arc<Memtable>>,
}

impl View {
    pub(super) fn new(base: Lsn) -> View {
        View { base, memtables: vec![Arc::new(Memtable::new(base))] }
    }

    pub(super) fn active(&self) -> &Arc<Memtable> {
        &self.memtables[0]
    }

    /// The oldest frozen memtable.
    pub(super) fn oldest_frozen(&self) -> Option<&Arc<Memtable>> {
        self.memtables[1..].last()
    }

    /// What the memtables know of a key at `at`.
    pub(super) fn known(&self, keyspace: KeyspaceId, key: &[u8], at: Lsn) -> Known {
        let mut later = false;
        for memtable in &self.memtables {
            let known = memtable.get(keyspace, key, at);
            later |= known.later;
            if known.version.is_some() {
                return Known { later, ..known };
            }
        }
        Known { version: None, later }
    }

    /// The newest version not past `at`, if a memtable has it. The versions that were there at `at`
    /// still are: `at` is that of a snapshot, or everything is seen.
    pub(crate) fn newest(&self, keyspace: KeyspaceId, key: &[u8], at: Lsn) -> Option<Version> {
        self.known(keyspace, key, at).version
    }

    /// What the memtables know of a key at `at`: `None` if nothing, `Some(None)` if it was removed.
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8], at: Lsn) -> Option<Option<Value>> {
        self.newest(keyspace, key, at).map(|version| version.value)
    }

    /// The view without the memtables that have nothing for a reader at `at`.
    pub(super) fn up_to(self: &Arc<Self>, at: Lsn) -> Arc<View> {
        let useful = |memtable: &&Arc<Memtable>| memtable.start() < at;
        if self.memtables.iter().all(|memtable| useful(&memtable)) {
            return Arc::clone(self);
        }
        let memtables = self.memtables.iter().filter(useful).cloned().collect();
        Arc::new(View { base: self.base, memtables })
    }

    /// The view after everything up to `end` has gone into the Store.
    pub(super) fn without(&self, end: Lsn) -> View {
        let later = |memtable: &&Arc<Memtable>| memtable.start() >= end;
        View { base: end, memtables: self.memtables.iter().filter(later).cloned().collect() }
    }

    /// Panics unless the invariants hold.
    pub(super) fn check(&self) {
        let oldest = self.memtables.last().map(|memtable| memtable.start());
        assert_eq!(oldest, Some(self.base), "start of the oldest memtable and base");
        for pair in self.memtables.windows(2) {
            assert_eq!(
                pair[0].start(),
                pair[1].end(),
                "start of a memtable and end of the one before"
            );
        }
        assert_eq!(self.active().end(), Lsn::MAX, "end of the active memtable");
    }
}
