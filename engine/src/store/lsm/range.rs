//! Iterating over a keyspace.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use lsm_tree::{AbstractTree, Guard, IterGuardImpl};

use super::core::{Core, NEWEST, Problem};
use super::key::{self, CUT_BYTES, Prefix};
use crate::bytes::{Key, Value};
use crate::error::Result;
use crate::keyspace::KeyspaceId;

type TreeIter = Box<dyn DoubleEndedIterator<Item = IterGuardImpl> + Send>;

/// The entries between two bounds, as they were when it was made.
///
/// # Invariants
///
/// - `front` holds entries in key order, all of them below what `iter` has left; `back` as well,
///   all above.
/// - After an error nothing more comes.
pub(super) struct Range {
    /// Dropped before the core, which holds the lock.
    iter: Option<TreeIter>,
    prefix_bytes: usize,
    bounds: (Bound<Key>, Bound<Key>),
    front: VecDeque<(Key, Value)>,
    back: VecDeque<(Key, Value)>,
    core: Arc<Core>,
}

/// What one entry of the tree stands for.
enum Found {
    One((Key, Value)),
    Bunch(Vec<(Key, Value)>),
}

impl Range {
    /// The bounds must not cross.
    pub(super) fn new(
        core: &Arc<Core>,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<Range> {
        let bounds = key::bounds(keyspace, lower, upper);
        let iter = core.call("read a range", |tree| Ok(tree.range(bounds, NEWEST, None)))?;
        Ok(Range {
            iter: Some(iter),
            prefix_bytes: Prefix::new(keyspace).as_bytes().len(),
            bounds: (lower.map(Key::from), upper.map(Key::from)),
            front: VecDeque::new(),
            back: VecDeque::new(),
            core: core.clone(),
        })
    }

    /// Takes the next entry of the tree from an end.
    fn take(
        &mut self,
        take: impl FnOnce(&mut TreeIter) -> Option<IterGuardImpl>,
    ) -> Option<Result<Found>> {
        let iter = self.iter.as_mut()?;
        let (bounds, prefix_bytes) = (&self.bounds, self.prefix_bytes);
        let found = self.core.call("read a range", |_| {
            let Some(guard) = take(iter) else { return Ok(None) };
            let (tree_key, value) = guard.into_inner()?;
            let Some(key) = tree_key.get(prefix_bytes..) else {
                return Err(Problem::Content("a key is too short".into()));
            };
            if key.len() < CUT_BYTES {
                return Ok(Some(Found::One((Key::from(key), Value::from(&*value)))));
            }
            let entries = key::decode_bunch(&value)
                .ok_or_else(|| Problem::Content("a bunch of long keys is not valid".into()))?;
            let (lower, upper) = (bounds.0.as_ref(), bounds.1.as_ref());
            let (lower, upper) = (lower.map(Key::as_bytes), upper.map(Key::as_bytes));
            Ok(Some(Found::Bunch(key::between(key, &entries, lower, upper))))
        });
        if !matches!(found, Ok(Some(_))) {
            self.iter = None;
        }
        if found.is_err() {
            self.front.clear();
            self.back.clear();
        }
        found.transpose()
    }
}

impl Iterator for Range {
    type Item = Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.front.pop_front() {
                return Some(Ok(entry));
            }
            match self.take(Iterator::next) {
                Some(Ok(Found::One(entry))) => return Some(Ok(entry)),
                Some(Ok(Found::Bunch(entries))) => self.front = entries.into(),
                Some(Err(error)) => return Some(Err(error)),
                None => return self.back.pop_front().map(Ok),
            }
        }
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.back.pop_back() {
                return Some(Ok(entry));
            }
            match self.take(DoubleEndedIterator::next_back) {
                Some(Ok(Found::One(entry))) => return Some(Ok(entry)),
                Some(Ok(Found::Bunch(entries))) => self.back = entries.into(),
                Some(Err(error)) => return Some(Err(error)),
                None => return self.front.pop_back().map(Ok),
            }
        }
    }
}
