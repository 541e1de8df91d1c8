//! A Store as it should be, in the simplest way: what the random rule compares with.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;
use crate::store::StoreOp;

/// Entries, by keyspace and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model(BTreeMap<(KeyspaceId, Key), Value>);

impl Model {
    pub(super) fn apply(&mut self, ops: &[StoreOp]) {
        for op in ops {
            match op {
                StoreOp::Insert { keyspace, key, value } => {
                    self.0.insert((*keyspace, key.clone()), value.clone());
                }
                StoreOp::Remove { keyspace, key } => {
                    self.0.remove(&(*keyspace, key.clone()));
                }
                StoreOp::RemoveRange { keyspace, lower, upper } => {
                    let range = (lower.clone(), upper.clone());
                    self.0.retain(|(other, key), _| other != keyspace || !range.contains(key));
                }
                StoreOp::DropKeyspace { keyspace } => {
                    self.0.retain(|(other, _), _| other != keyspace)
                }
            }
        }
    }

    pub(super) fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<Value> {
        self.0.get(&(keyspace, Key::from(key))).cloned()
    }

    /// The entries of a range, in key order.
    pub(super) fn range(
        &self,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Vec<(Key, Value)> {
        let range = (lower, upper);
        let inside = |key: &Key| RangeBounds::<&[u8]>::contains(&range, &key.as_bytes());
        let entries = self.0.iter().filter(|((other, key), _)| *other == keyspace && inside(key));
        entries.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }
}
