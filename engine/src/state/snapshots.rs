//! Taking snapshots, and what may be forgotten because nobody has one that sees it.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use mainstay_wal::Lsn;

use super::State;
use super::registry::Registry;
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;

impl State {
    /// A snapshot of what is visible now.
    #[must_use]
    pub fn snapshot(self: &Arc<Self>) -> Snapshot {
        let mut registry = self.registry.lock();
        self.begin_to_serve(&mut registry);
        self.protect(self.visible_lsn());
        let at = self.visible_lsn();
        self.register(&mut registry, at)
    }

    /// A snapshot of what was visible at `at`, which is not past what is visible now.
    ///
    /// # Errors
    /// [`Error::SnapshotTooOld`] if a checkpoint past `at` has begun, if versions that only `at` sees
    /// were removed, or if `at` lies before what was visible when the first snapshot was taken.
    pub fn snapshot_at(self: &Arc<Self>, at: Lsn) -> Result<Snapshot> {
        let mut registry = self.registry.lock();
        let visible = self.visible_lsn();
        assert!(at <= visible, "a snapshot at {at}, but only {visible} is visible");
        self.begin_to_serve(&mut registry);
        self.protect(at);
        if at < self.floor().max(self.forgotten()) {
            self.note_oldest(&registry);
            return Err(Error::SnapshotTooOld { lsn: at });
        }
        Ok(self.register(&mut registry, at))
    }

    /// At the first snapshot the replay is over. The Store may have been ahead of it, so that it
    /// can answer for nothing before.
    fn begin_to_serve(&self, registry: &mut Registry) {
        if !std::mem::replace(&mut registry.serves, true) {
            self.floor.fetch_max(self.visible_lsn().0, Ordering::AcqRel);
        }
    }

    /// The view is loaded under the registry's lock: a checkpoint begins and ends either before,
    /// and is below `at`, or afterwards, and finds the snapshot.
    fn register(self: &Arc<Self>, registry: &mut Registry, at: Lsn) -> Snapshot {
        let floor = self.floor();
        assert!(at >= floor, "a snapshot at {at}, but the Store may be at {floor}");
        let (serial, slot) = registry.register(at, self.view().up_to(at));
        self.note_oldest(registry);
        Snapshot::new(Arc::clone(self), at, serial, slot)
    }

    /// Called when the last clone of a snapshot is dropped.
    pub(crate) fn unregister(&self, at: Lsn, serial: u64) {
        let mut registry = self.registry.lock();
        let released = registry.unregister(at, serial, &self.layers);
        self.note_oldest(&registry);
        drop(registry);
        drop(released);
    }

    /// Sees to it that from now on no version is removed that a snapshot at `at` or later needs.
    /// What was removed before is below what `forgotten` or `visible` say after this call. The
    /// registry is locked.
    fn protect(&self, at: Lsn) {
        self.oldest_snapshot.fetch_min(at.0, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// As [`State::protect`], for the snapshots that are registered.
    fn note_oldest(&self, registry: &Registry) {
        let oldest = registry.oldest().unwrap_or(Lsn::MAX);
        self.oldest_snapshot.store(oldest.0, Ordering::SeqCst);
    }

    /// Up to where everybody sees, whoever reads now or later: older versions can be removed. Whoever
    /// comes from below is refused from now on.
    ///
    /// The other half of [`State::protect`]. Each side first says what it is about to do and then
    /// looks at what the other one has said, so that at least one of them notices the other:
    /// - a snapshot of what is visible takes a visible LSN that it read after it was protected. If
    ///   it was not noticed, then that is not below the one that was read here;
    /// - a snapshot of the past that was not noticed finds `forgotten` raised.
    pub(super) fn forget_unseen(&self) -> Lsn {
        let oldest = || {
            fence(Ordering::SeqCst);
            self.oldest_snapshot.load(Ordering::SeqCst)
        };
        let visible = self.visible.load(Ordering::SeqCst);
        let seen = visible.min(oldest());
        self.forgotten.fetch_max(seen, Ordering::SeqCst);
        Lsn(seen.min(oldest()))
    }

    /// How many snapshots are alive, iterators and transactions included.
    #[must_use]
    pub fn snapshot_count(&self) -> usize {
        self.registry.lock().count()
    }

    /// The oldest snapshot that is alive.
    #[must_use]
    pub fn oldest_snapshot(&self) -> Option<Lsn> {
        self.registry.lock().oldest()
    }

    /// Bytes that are kept for old snapshots alone.
    #[must_use]
    pub fn pinned_bytes(&self) -> usize {
        self.registry.lock().pinned_bytes(&self.layers)
    }
}
