//! What a transaction will write, and sees already.

use std::collections::BTreeMap;

use crate::batch::Batch;
use crate::bytes::{Key, Value};
use crate::keyspace::{KeyspaceId, KeyspaceRef};
use crate::span::{self, Span};

/// The writes of a transaction, laid over its snapshot.
#[derive(Debug, Default)]
pub(super) struct Writes {
    keyspaces: BTreeMap<KeyspaceId, Overlay>,
}

/// The writes to one keyspace.
///
/// Invariant: what `removed` covers and `points` has not is absent.
#[derive(Debug)]
struct Overlay {
    keyspace: KeyspaceRef,
    /// The last write to each key.
    points: BTreeMap<Key, Option<Value>>,
    /// The ranges that were removed, joined.
    removed: Vec<Span>,
}

impl Writes {
    pub(super) fn is_empty(&self) -> bool {
        self.keyspaces.is_empty()
    }

    /// What a key is because of these writes: `None` if they do not touch it.
    pub(super) fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<Option<Value>> {
        let overlay = self.keyspaces.get(&keyspace)?;
        match overlay.points.get(key) {
            Some(value) => Some(value.clone()),
            None => span::covers(&overlay.removed, key).map(|_| None),
        }
    }

    pub(super) fn set(&mut self, keyspace: &KeyspaceRef, key: Key, value: Option<Value>) {
        self.overlay(keyspace).points.insert(key, value);
    }

    pub(super) fn remove_range(&mut self, keyspace: &KeyspaceRef, span: Span) {
        if span.is_empty() {
            return;
        }
        let overlay = self.overlay(keyspace);
        let covered: Vec<Key> =
            overlay.points.range::<[u8], _>(span.bounds()).map(|(key, _)| key.clone()).collect();
        for key in covered {
            overlay.points.remove(&key);
        }
        overlay.removed.push(span);
        overlay.removed = span::join(std::mem::take(&mut overlay.removed));
    }

    /// A copy of the writes to a range.
    pub(super) fn within(
        &self,
        keyspace: KeyspaceId,
        within: &Span,
    ) -> (Vec<(Key, Option<Value>)>, Vec<Span>) {
        let Some(overlay) = self.keyspaces.get(&keyspace).filter(|_| !within.is_empty()) else {
            return (Vec::new(), Vec::new());
        };
        let points = overlay.points.range::<[u8], _>(within.bounds());
        let points = points.map(|(key, value)| (key.clone(), value.clone())).collect();
        let removed = overlay.removed.iter().filter(|span| span.overlaps(within)).cloned();
        (points, removed.collect())
    }

    /// The batch that makes these writes: in each keyspace ranges first, then the keys.
    pub(super) fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for overlay in self.keyspaces.values() {
            for span in &overlay.removed {
                batch.remove_range::<&[u8], _>(&overlay.keyspace, span.bounds());
            }
            for (key, value) in &overlay.points {
                match value {
                    Some(value) => batch.insert(&overlay.keyspace, key, value),
                    None => batch.remove(&overlay.keyspace, key),
                };
            }
        }
        batch
    }

    fn overlay(&mut self, keyspace: &KeyspaceRef) -> &mut Overlay {
        self.keyspaces.entry(keyspace.id()).or_insert_with(|| Overlay {
            keyspace: keyspace.clone(),
            points: BTreeMap::new(),
            removed: Vec::new(),
        })
    }
}
