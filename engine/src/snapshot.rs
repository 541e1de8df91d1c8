//! Reading the state as it was at one LSN.

use std::ops::RangeBounds;
use std::sync::Arc;

use mainstay_wal::Lsn;

use crate::batch::check_key;
use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::{AsKeyspace, DEFAULT_NAME, KeyspaceId};
use crate::range::Range;
use crate::span::Span;
use crate::state::{Slot, State, StateHasher, View};

/// The database as it was at one LSN. Reads repeat: whatever is written later is not seen.
///
/// Cheap to clone. It pins memory while newer writes go into the Store; that is bounded, and past
/// the bound the oldest snapshots are given up: they answer [`Error::SnapshotTooOld`] from then on.
#[derive(Clone, Debug)]
pub struct Snapshot {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    state: Arc<State>,
    lsn: Lsn,
    serial: u64,
    slot: Arc<Slot>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.unregister(self.lsn, self.serial);
    }
}

impl Snapshot {
    pub(crate) fn new(state: Arc<State>, lsn: Lsn, serial: u64, slot: Arc<Slot>) -> Snapshot {
        Snapshot { place: Arc::new(Place { state, lsn, serial, slot }) }
    }

    /// The last record that is seen.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.place.lsn
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`Error::KeySize`]; [`Error::SnapshotTooOld`]; [`Error::NoSuchKeyspace`] if the keyspace is one of another
    /// database (one that was dropped since can still be read); those of the Store.
    pub fn get(&self, keyspace: &impl AsKeyspace, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let key = key.as_ref();
        check_key(key)?;
        self.get_in(self.id(keyspace)?, key)
    }

    /// Whether there is such a key. Errors as [`Snapshot::get`].
    pub fn contains_key(&self, keyspace: &impl AsKeyspace, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get(keyspace, key)?.is_some())
    }

    /// The entries between two bounds, from both ends. Bounds that cross give none.
    pub fn range<K, R>(&self, keyspace: &impl AsKeyspace, bounds: R) -> Range
    where
        K: AsRef<[u8]>,
        R: RangeBounds<K>,
    {
        self.within(keyspace, Span::of(&bounds))
    }

    /// The entries whose keys begin with `prefix`.
    #[must_use]
    pub fn prefix(&self, keyspace: &impl AsKeyspace, prefix: impl AsRef<[u8]>) -> Range {
        self.within(keyspace, Span::prefix(prefix.as_ref()))
    }

    /// All entries of a keyspace.
    #[must_use]
    pub fn iter(&self, keyspace: &impl AsKeyspace) -> Range {
        self.within(keyspace, Span::all())
    }

    /// The entry with the lowest key. Errors as [`Snapshot::get`].
    pub fn first(&self, keyspace: &impl AsKeyspace) -> Result<Option<(Key, Value)>> {
        self.iter(keyspace).next().transpose()
    }

    /// The entry with the highest key. Errors as [`Snapshot::get`].
    pub fn last(&self, keyspace: &impl AsKeyspace) -> Result<Option<(Key, Value)>> {
        self.iter(keyspace).next_back().transpose()
    }

    /// Names and numbers of the keyspaces that there were, in order of names. Errors as
    /// [`Snapshot::get`].
    pub fn keyspaces(&self) -> Result<Vec<(String, KeyspaceId)>> {
        let mut keyspaces = vec![(DEFAULT_NAME.to_string(), KeyspaceId::DEFAULT)];
        for entry in self.range_in(KeyspaceId::CATALOG, Span::all()) {
            let (key, value) = entry?;
            keyspaces.extend(self.place.state.catalog_entry(&key, &value)?);
        }
        keyspaces.sort();
        Ok(keyspaces)
    }

    /// A hash over every keyspace, key and value in order. Two states with the same content have
    /// the same hash, on every machine and in every version of mainstay. Reads everything; to do
    /// that piece by piece use [`StateHasher`]. Errors as [`Snapshot::get`].
    pub fn state_hash(&self) -> Result<u64> {
        let mut hasher = StateHasher::new(self)?;
        loop {
            if let Some(hash) = hasher.step(4096)? {
                return Ok(hash);
            }
        }
    }

    /// As [`Snapshot::get`], by the keyspace's number.
    pub(crate) fn get_in(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        let view = self.view()?;
        if let Some(found) = view.get(keyspace, key, self.lsn()) {
            return Ok(found);
        }
        let stored = self.state().store().get(keyspace, key)?;
        // The Store first, then what was kept of it.
        let layers = self.state().layers_past(self.lsn());
        let kept = layers.iter().find_map(|layer| layer.get(keyspace, key));
        self.check()?;
        Ok(kept.unwrap_or(stored))
    }

    /// As [`Snapshot::range`], by the keyspace's number.
    pub(crate) fn range_in(&self, keyspace: KeyspaceId, within: Span) -> Range {
        Range::new(self.clone(), keyspace, within)
    }

    fn within(&self, keyspace: &impl AsKeyspace, within: Span) -> Range {
        match self.id(keyspace) {
            Ok(id) => self.range_in(id, within),
            Err(error) => Range::failed(self.clone(), error),
        }
    }

    fn id(&self, keyspace: &impl AsKeyspace) -> Result<KeyspaceId> {
        let keyspace = keyspace.as_keyspace();
        if keyspace.database() == self.place.state.number() {
            Ok(keyspace.id())
        } else {
            Err(keyspace.missing())
        }
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.place.state
    }

    pub(crate) fn view(&self) -> Result<Arc<View>> {
        self.place.slot.view().ok_or(Error::SnapshotTooOld { lsn: self.lsn() })
    }

    /// Whether the snapshot was not given up.
    pub(crate) fn check(&self) -> Result<()> {
        if self.place.slot.is_live() {
            Ok(())
        } else {
            Err(Error::SnapshotTooOld { lsn: self.lsn() })
        }
    }
}
