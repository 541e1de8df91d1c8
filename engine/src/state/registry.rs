//! Who reads in the past, and what is kept in memory for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_wal::Lsn;
use parking_lot::{Mutex, RwLock};

use super::undo::UndoLayer;
use super::view::View;

/// The place of a snapshot: its view, until the snapshot is given up.
///
/// Whoever reads takes the view out of here, reads, and looks here again: as long as the view is
/// still there, no undo layer that the snapshot needs was gone when it was read.
#[derive(Debug)]
pub(crate) struct Slot {
    view: Mutex<Option<Arc<View>>>,
}

impl Slot {
    pub(crate) fn view(&self) -> Option<Arc<View>> {
        self.view.lock().clone()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.view.lock().is_some()
    }
}

/// A memtable that went into the Store, but that snapshots between its start and its end still
/// hold.
#[derive(Debug)]
struct Retired {
    start: Lsn,
    end: Lsn,
    bytes: usize,
}

/// Live snapshots and what they pin. Behind a mutex, which is taken before any other lock but
/// `applying`.
///
/// Invariants:
/// - no live snapshot is older than `floor` unless it was there when the checkpoint that raised it
///   began;
/// - each layer and each retired memtable is needed by some live snapshot.
#[derive(Debug)]
pub(super) struct Registry {
    /// By LSN, and by a serial number among those of one LSN.
    live: BTreeMap<(Lsn, u64), Arc<Slot>>,
    serial: u64,
    retired: Vec<Retired>,
    /// The end of the checkpoint that is being made.
    pub(super) checkpoint: Option<Lsn>,
    /// Whether a snapshot was ever taken.
    pub(super) serves: bool,
    limit_bytes: usize,
}

/// The undo layers, oldest first. Changed under the registry's lock only.
pub(super) type Layers = RwLock<Vec<Arc<UndoLayer>>>;

/// What was let go: dropped by the caller after the locks, since dropping a memtable takes its
/// time.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Released {
    views: Vec<Arc<View>>,
    layers: Vec<Arc<UndoLayer>>,
}

impl Registry {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Registry {
            live: BTreeMap::new(),
            serial: 0,
            retired: Vec::new(),
            checkpoint: None,
            serves: false,
            limit_bytes,
        }
    }

    /// Adds a snapshot. Returns its serial number and its place.
    pub(super) fn register(&mut self, at: Lsn, view: Arc<View>) -> (u64, Arc<Slot>) {
        self.serial += 1;
        let slot = Arc::new(Slot { view: Mutex::new(Some(view)) });
        self.live.insert((at, self.serial), Arc::clone(&slot));
        (self.serial, slot)
    }

    /// Removes a snapshot that was dropped; one that was given up is gone already.
    pub(super) fn unregister(&mut self, at: Lsn, serial: u64, layers: &Layers) -> Released {
        let mut released = Released::default();
        if let Some(slot) = self.live.remove(&(at, serial)) {
            released.views.extend(slot.view.lock().take());
            self.release(layers, &mut released);
        }
        released
    }

    pub(super) fn count(&self) -> usize {
        self.live.len()
    }

    /// The oldest live snapshot.
    pub(super) fn oldest(&self) -> Option<Lsn> {
        self.live.keys().next().map(|(at, _)| *at)
    }

    /// Bytes of layers and retired memtables.
    pub(super) fn pinned_bytes(&self, layers: &Layers) -> usize {
        let undo: usize = layers.read().iter().map(|layer| layer.bytes()).sum();
        undo + self.retired.iter().map(|retired| retired.bytes).sum::<usize>()
    }

    /// Notes that everything up to `end` is in the Store. Snapshots from `end` on need its memtable
    /// no more; those between its start and its end do.
    pub(super) fn retire(
        &mut self,
        start: Lsn,
        end: Lsn,
        bytes: usize,
        layers: &Layers,
    ) -> Released {
        let mut released = Released::default();
        for slot in self.live.range((end, 0)..).map(|(_, slot)| slot) {
            let mut view = slot.view.lock();
            if let Some(old) = view.take() {
                *view = Some(Arc::new(old.without(end)));
                released.views.push(old);
            }
        }
        self.retired.push(Retired { start, end, bytes });
        self.release(layers, &mut released);
        self.keep_bound(layers, &mut released);
        released
    }

    /// Gives up the oldest snapshots until what is pinned is within the bound.
    pub(super) fn keep_bound(&mut self, layers: &Layers, released: &mut Released) {
        while self.pinned_bytes(layers) > self.limit_bytes {
            let Some(((lsn, _), slot)) = self.live.pop_first() else { break };
            tracing::warn!(%lsn, "a snapshot is given up: it pins more memory than the bound");
            // The slot is emptied before its layers go, so that a reader that finds it full has
            // read them.
            released.views.extend(slot.view.lock().take());
            self.release(layers, released);
        }
    }

    /// Lets go of what no live snapshot needs.
    fn release(&mut self, layers: &Layers, released: &mut Released) {
        let oldest = self.oldest().unwrap_or(Lsn::MAX);
        if layers.read().first().is_some_and(|layer| layer.end() <= oldest) {
            let mut layers = layers.write();
            let unneeded = layers.partition_point(|layer| layer.end() <= oldest);
            released.layers.extend(layers.drain(..unneeded));
        }
        let live = &self.live;
        self.retired.retain(|retired| {
            live.range((retired.start.next(), 0)..(retired.end, 0)).next().is_some()
        });
    }
}
