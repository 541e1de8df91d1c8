//! Memtables over a Store: consumes records in LSN order and shows those up to `visible_lsn`.
//!
//! [`State`] has no thread and no clock and knows nothing of the log. A database on one node, a
//! replicated node and the simulator run the same one: they differ in who calls [`State::apply`]
//! and [`State::set_visible`], and when.
//!
//! A reader at an LSN asks the memtables, newest first, then the Store, then the undo layers. Two
//! things change under its feet, and both are made harmless by order:
//! - a checkpoint changes the Store: it adds to its undo layer first, the reader asks the Store
//!   first;
//! - a finished checkpoint takes its memtable out of the view: the reader holds the view it began
//!   with.
//!
//! A third thing is made known: overwritten versions that nobody sees any more are removed from a
//! memtable, and who comes from before that is refused (`snapshots`).
//!
//! Locks, in the order in which they are taken: `applying`, `registry`, `recent`, `catalog`,
//! `layers`, those within memtables and layers. None is held while the Store works, and
//! none but `applying` is held for longer than a bounded piece of work; except that
//! [`State::truncate_after`] holds up everything.

mod apply;
mod catalog;
mod checkpoint;
mod hash;
mod recent;
mod registry;
mod replay;
mod snapshots;
mod undo;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use mainstay_wal::Lsn;
use parking_lot::{Mutex, RwLock};

use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::{KeyspaceId, KeyspaceRef};
use crate::memtable::{Change, Memtable};
use crate::range;
use crate::span::Span;
use crate::store::Store;
use catalog::Catalog;
use recent::Recent;
use registry::{Layers, Registry};

pub use checkpoint::CheckpointJob;
pub use hash::StateHasher;
pub(crate) use recent::{Forgotten, Touched, Watch};
pub(crate) use registry::Slot;
pub(crate) use replay::Replay;
pub(crate) use undo::UndoLayer;
pub(crate) use view::View;

/// How much memory a [`State`] may take.
#[derive(Copy, Clone, Debug)]
pub struct StateOptions {
    /// Size at which the active memtable should be frozen. [`State::wants_freeze`] compares with
    /// it; nothing is refused here when it is exceeded.
    pub memtable_bytes: usize,
    /// Bytes that old snapshots may pin. Past it the oldest are given up, and answer
    /// [`Error::SnapshotTooOld`].
    pub snapshot_bytes: usize,
}

/// See the [module](self).
///
/// Invariants: base <= floor <= visible <= applied.
#[derive(Debug)]
pub struct State {
    /// Tells open databases of this process apart.
    number: u64,
    store: Arc<dyn Store>,
    options: StateOptions,
    /// Held by the one who changes the active memtable. The list is empty between two records, and
    /// keeps its memory.
    applying: Mutex<Vec<Change>>,
    registry: Mutex<Registry>,
    recent: Recent,
    catalog: RwLock<Catalog>,
    /// Grows whenever a keyspace may have ceased to be there.
    drops: AtomicU64,
    /// Loaded by every read: so without a lock, and without counting.
    view: ArcSwap<View>,
    layers: Layers,
    applied: AtomicU64,
    visible: AtomicU64,
    /// Up to here the Store may have been changed already. Raised before it is.
    floor: AtomicU64,
    /// Below, versions may be missing that were overwritten since. Raised before they are removed.
    forgotten: AtomicU64,
    /// No snapshot that is alive is older; [`Lsn::MAX`] if there is none. Changed under the
    /// registry's lock only.
    oldest_snapshot: AtomicU64,
}

/// The number of the next [`State`] of this process. Only compared, so that it decides nothing
/// else.
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

impl State {
    /// Opens the state over a Store that has everything up to `base`, and may have some of what
    /// came later: all records past `base` must be [applied](State::apply) before anything is read.
    ///
    /// # Errors
    /// Those of the Store, or that its catalog of keyspaces is damaged.
    pub fn open(store: Arc<dyn Store>, base: Lsn, options: StateOptions) -> Result<State> {
        let view = View::new(base);
        let catalog = read_catalog(&*store, &view)?;
        Ok(State {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            store,
            options,
            applying: Mutex::default(),
            registry: Mutex::new(Registry::new(options.snapshot_bytes)),
            recent: Recent::default(),
            catalog: RwLock::new(catalog),
            drops: AtomicU64::new(0),
            view: ArcSwap::from_pointee(view),
            layers: Layers::default(),
            applied: AtomicU64::new(base.0),
            visible: AtomicU64::new(base.0),
            floor: AtomicU64::new(base.0),
            forgotten: AtomicU64::new(base.0),
            oldest_snapshot: AtomicU64::new(Lsn::MAX.0),
        })
    }

    /// The Store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Shows everything up to `lsn`. Never goes back: a lower `lsn` than before changes nothing.
    ///
    /// Panics if `lsn` was not applied yet.
    pub fn set_visible(&self, lsn: Lsn) {
        let applied = self.last_applied_lsn();
        assert!(lsn <= applied, "LSN {lsn} is made visible, but only {applied} is applied");
        self.visible.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// Up to where readers see.
    #[must_use]
    pub fn visible_lsn(&self) -> Lsn {
        Lsn(self.visible.load(Ordering::Acquire))
    }

    /// The last record that was applied.
    #[must_use]
    pub fn last_applied_lsn(&self) -> Lsn {
        Lsn(self.applied.load(Ordering::Acquire))
    }

    /// The value that readers see now.
    pub fn get_visible(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        loop {
            match self.get(keyspace, key, self.visible_lsn()) {
                // A checkpoint of what became visible in the meantime: look again.
                Err(Error::SnapshotTooOld { .. }) => {}
                other => return other,
            }
        }
    }

    /// The value at `at`, which is not past the last applied record.
    ///
    /// # Errors
    /// [`Error::SnapshotTooOld`] if a checkpoint past `at` has begun, or versions that only `at` sees
    /// were removed; a [`Snapshot`](crate::Snapshot) is kept from
    /// that. Those of the Store.
    pub fn get(&self, keyspace: KeyspaceId, key: &[u8], at: Lsn) -> Result<Option<Value>> {
        // `at` was chosen before the view is loaded, so that every version up to it is in there or
        // below.
        let view = self.glance();
        let known = view.known(keyspace, key, at);
        // Looked at afterwards: as long as that is not past `at`, no version was missing.
        if known.later && self.forgotten() > at {
            return Err(Error::SnapshotTooOld { lsn: at });
        }
        if let Some(version) = known.version {
            return Ok(version.value);
        }
        let value = self.store.get(keyspace, key)?;
        // Looked at last: as long as the floor is not past `at`, the Store was not either.
        if self.floor() > at {
            return Err(Error::SnapshotTooOld { lsn: at });
        }
        Ok(value)
    }

    /// The newest version that was applied, visible or not, with its LSN; that of a value in the
    /// Store is only known to be at most [`State::oldest_base`], which is given instead.
    ///
    /// Exact as long as nobody applies: the caller holds the lock on appending.
    pub fn newest(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<(Lsn, Option<Value>)> {
        let view = self.glance();
        if let Some(version) = view.newest(keyspace, key, Lsn::MAX) {
            return Ok((version.lsn, version.value));
        }
        Ok((view.base, self.store.get(keyspace, key)?))
    }

    /// The number of the keyspace with this name, after the last applied record.
    #[must_use]
    pub fn keyspace_id(&self, name: &str) -> Option<KeyspaceId> {
        self.catalog.read().id(name)
    }

    /// Whether there is a keyspace with this number, after the last applied record.
    #[must_use]
    pub fn has_keyspace(&self, id: KeyspaceId) -> bool {
        let always = [KeyspaceId::DEFAULT, KeyspaceId::SESSIONS];
        always.contains(&id) || self.catalog.read().name(id).is_some()
    }

    /// A number that stays the same as long as every keyspace that is there stays there.
    pub(crate) fn drops(&self) -> u64 {
        self.drops.load(Ordering::Acquire)
    }

    /// Changes which keyspaces there are.
    fn change_catalog<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        let mut catalog = self.catalog.write();
        let changed = change(&mut catalog);
        // Before anybody can find the catalog changed: who sees the old number came earlier.
        self.drops.fetch_add(1, Ordering::AcqRel);
        changed
    }

    /// Names and numbers of the keyspaces after the last applied record, in order of names.
    #[must_use]
    pub fn keyspaces(&self) -> Vec<(String, KeyspaceId)> {
        self.catalog.read().all()
    }

    /// The keyspace that an entry of the catalog names, if it names one.
    pub(crate) fn catalog_entry(
        &self,
        key: &Key,
        value: &Value,
    ) -> Result<Option<(String, KeyspaceId)>> {
        catalog::keyspace_of(key, value).ok_or_else(|| bad_catalog(&*self.store))
    }

    /// A number for a new keyspace, which is not given again.
    ///
    /// # Errors
    /// [`Error::Busy`] after four billion keyspaces.
    pub fn allocate_keyspace_id(&self) -> Result<KeyspaceId> {
        self.catalog.write().allocate().ok_or(Error::Busy { what: "numbers of keyspaces" })
    }

    /// What batches, snapshots and transactions take for a keyspace.
    #[must_use]
    pub fn keyspace_ref(&self, id: KeyspaceId, name: &str) -> KeyspaceRef {
        KeyspaceRef::new(self.number, id, name)
    }

    /// The number in every [`KeyspaceRef`] of this state.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// An LSN past `since` at which something in the range changed, visible or not: the newest if a
    /// point or the keyspace changed. `None` if nothing did.
    ///
    /// # Errors
    /// [`Error::TransactionTooOld`] if `since` is below [`State::oldest_base`].
    pub fn changed_since(
        &self,
        keyspace: KeyspaceId,
        lower: std::ops::Bound<&[u8]>,
        upper: std::ops::Bound<&[u8]>,
        since: Lsn,
    ) -> Result<Option<Lsn>> {
        self.changed_in(keyspace, &Span::between(lower, upper), since)
    }

    /// As [`State::changed_since`].
    pub(crate) fn changed_in(
        &self,
        keyspace: KeyspaceId,
        within: &Span,
        since: Lsn,
    ) -> Result<Option<Lsn>> {
        let view = self.view();
        if since < view.base {
            return Err(Error::TransactionTooOld { began: since });
        }
        let mut changes = view.memtables.iter().map(|m| m.changed_since(keyspace, within, since));
        Ok(changes.find_map(|changed| changed))
    }

    /// As [`State::changed_since`], for one key: the newest version past `since`.
    pub(crate) fn key_changed_since(
        &self,
        keyspace: KeyspaceId,
        key: &[u8],
        since: Lsn,
    ) -> Result<Option<Lsn>> {
        let view = self.glance();
        if since < view.base {
            return Err(Error::TransactionTooOld { began: since });
        }
        let newest = view.newest(keyspace, key, Lsn::MAX).map(|version| version.lsn);
        Ok(newest.filter(|lsn| *lsn > since))
    }

    /// Bytes of the active memtable.
    #[must_use]
    pub fn active_bytes(&self) -> usize {
        self.glance().active().bytes()
    }

    /// Bytes of the frozen memtables that are not in the Store yet.
    #[must_use]
    pub fn frozen_bytes(&self) -> usize {
        self.glance().memtables[1..].iter().map(|memtable| memtable.bytes()).sum()
    }

    /// How many memtables are frozen and not in the Store yet.
    #[must_use]
    pub fn frozen_count(&self) -> usize {
        self.glance().memtables.len() - 1
    }

    /// The end of the memtable that the next checkpoint moves; `None` if none is frozen.
    #[must_use]
    pub fn oldest_frozen_end(&self) -> Option<Lsn> {
        self.glance().oldest_frozen().map(|memtable| memtable.end())
    }

    /// The memtables hold everything past this LSN; the Store is complete up to it.
    #[must_use]
    pub fn oldest_base(&self) -> Lsn {
        self.glance().base
    }

    /// Bytes of all memtables: those of the active one and of the frozen ones.
    #[must_use]
    pub fn memtable_bytes(&self) -> usize {
        self.glance().memtables.iter().map(|memtable| memtable.bytes()).sum()
    }

    /// Whether the active memtable has reached its size.
    #[must_use]
    pub fn wants_freeze(&self) -> bool {
        self.active_bytes() >= self.options.memtable_bytes
    }

    /// Freezes the active memtable at the last applied record, for the next checkpoint. `false` if
    /// nothing was applied since the last time.
    pub fn freeze(&self) -> bool {
        let _applying = self.applying.lock();
        let _registry = self.registry.lock();
        let old = self.view();
        let end = self.last_applied_lsn();
        if end == old.active().start() {
            return false;
        }
        old.active().set_end(end);
        let mut memtables = vec![Arc::new(Memtable::new(end))];
        memtables.extend(old.memtables.iter().cloned());
        self.set_view(View { base: old.base, memtables });
        true
    }

    /// Takes back every record past `lsn`, which was not made visible: a follower's that was never
    /// committed.
    ///
    /// # Errors
    /// Those of the Store, from which the catalog is read again. The versions are gone then, but
    /// the state must be opened anew.
    pub fn truncate_after(&self, lsn: Lsn) -> Result<()> {
        let _applying = self.applying.lock();
        let registry = self.registry.lock();
        if lsn >= self.last_applied_lsn() {
            return Ok(());
        }
        let visible = self.visible_lsn();
        assert!(lsn >= visible, "truncated after {lsn}, but {visible} was visible");
        let running = registry.checkpoint.unwrap_or(Lsn::ZERO);
        assert!(lsn >= running, "truncated after {lsn}, but the checkpoint goes up to {running}");
        let old = self.view();
        let mut memtables: Vec<_> =
            old.memtables.iter().filter(|memtable| memtable.start() < lsn).cloned().collect();
        for memtable in memtables.iter().filter(|memtable| memtable.end() > lsn) {
            memtable.truncate_after(lsn);
        }
        if !memtables.first().is_some_and(|newest| Arc::ptr_eq(newest, old.active())) {
            if let Some(newest) = memtables.first() {
                newest.set_end(lsn);
            }
            memtables.insert(0, Arc::new(Memtable::new(lsn)));
        }
        self.set_view(View { base: old.base, memtables });
        self.applied.store(lsn.0, Ordering::Release);
        self.recent.forget();
        let mut catalog = read_catalog(&*self.store, &self.view())?;
        self.change_catalog(|current| {
            catalog.continue_after(current);
            *current = catalog;
        });
        Ok(())
    }

    /// The view at present, to be held for long.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The view at present, to be looked into once.
    fn glance(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// Under the registry's lock, so that snapshots find view and floor together.
    fn set_view(&self, view: View) {
        view.check();
        // The old view is dropped by whoever loaded it last: here callers still hold it.
        self.view.store(Arc::new(view));
    }

    fn floor(&self) -> Lsn {
        Lsn(self.floor.load(Ordering::Acquire))
    }

    fn forgotten(&self) -> Lsn {
        Lsn(self.forgotten.load(Ordering::SeqCst))
    }

    /// The layers that a reader at `at` must look into, oldest first. Load them after the Store was
    /// asked.
    pub(crate) fn layers_past(&self, at: Lsn) -> Vec<Arc<UndoLayer>> {
        let layers = self.layers.read();
        let first = layers.partition_point(|layer| layer.end() <= at);
        layers[first..].to_vec()
    }
}

/// What the catalog says at the end of a view.
fn read_catalog(store: &dyn Store, view: &View) -> Result<Catalog> {
    let entries = range::newest_entries(store, view, KeyspaceId::CATALOG)?;
    Catalog::read(&entries).ok_or_else(|| bad_catalog(store))
}

fn bad_catalog(store: &dyn Store) -> Error {
    Error::Store {
        kind: store.kind(),
        operation: "read the catalog of keyspaces",
        reason: Arc::from("an entry is not valid"),
        damaged: true,
    }
}

#[cfg(test)]
pub(crate) mod tests;
