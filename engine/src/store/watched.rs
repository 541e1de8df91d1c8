//! A Store that says at once when it turns out to be damaged.

use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use mainstay_wal::Lsn;

use super::{Store, StoreIter, StoreOp, StoreUsage};
use crate::bytes::{Key, Value};
use crate::engine::Health;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;

/// A Store whose damage is noted in the manifest, whoever meets it: a reader, an iterator or a
/// checkpoint. Until it is [watched](WatchedStore::watch) it is the Store below and no more.
pub(crate) struct WatchedStore {
    store: Arc<dyn Store>,
    watch: Arc<Watch>,
}

struct Watch {
    directory: String,
    health: OnceLock<Arc<Health>>,
}

impl Watch {
    fn look<T>(&self, result: Result<T>) -> Result<T> {
        if let (Err(error @ Error::Store { damaged: true, .. }), Some(health)) =
            (&result, self.health.get())
        {
            health.note_damage(&self.directory, error);
        }
        result
    }
}

impl WatchedStore {
    pub(crate) fn new(store: Arc<dyn Store>, directory: &str) -> WatchedStore {
        let watch = Watch { directory: directory.to_owned(), health: OnceLock::new() };
        WatchedStore { store, watch: Arc::new(watch) }
    }

    /// Begins to note damage.
    pub(crate) fn watch(&self, health: &Arc<Health>) {
        self.watch.health.get_or_init(|| health.clone());
    }
}

impl Store for WatchedStore {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        self.watch.look(self.store.get(keyspace, key))
    }

    fn range(
        &self,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<StoreIter> {
        let iter = self.watch.look(self.store.range(keyspace, lower, upper))?;
        Ok(Box::new(WatchedIter { iter, watch: self.watch.clone() }))
    }

    fn apply(&self, ops: &[StoreOp], up_to: Lsn) -> Result<()> {
        self.watch.look(self.store.apply(ops, up_to))
    }

    fn make_durable(&self) -> Result<()> {
        self.watch.look(self.store.make_durable())
    }

    fn applied(&self) -> Result<Lsn> {
        self.watch.look(self.store.applied())
    }

    fn usage(&self) -> Result<StoreUsage> {
        self.watch.look(self.store.usage())
    }
}

impl fmt::Debug for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

struct WatchedIter {
    iter: StoreIter,
    watch: Arc<Watch>,
}

impl Iterator for WatchedIter {
    type Item = Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.iter.next().map(|entry| self.watch.look(entry))
    }
}

impl DoubleEndedIterator for WatchedIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.iter.next_back().map(|entry| self.watch.look(entry))
    }
}
