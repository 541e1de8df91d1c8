//! A Store as loose as the contract allows: its iterators look at the live map at every step.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_wal::Lsn;
use parking_lot::Mutex;

use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::store::{Store, StoreIter, StoreOp, StoreUsage};

type Content = BTreeMap<(KeyspaceId, Key), Value>;

/// What happens in the middle of a read.
type Meanwhile = Box<dyn FnMut() + Send>;

#[derive(Default)]
pub(crate) struct LooseStore {
    content: Arc<Mutex<Content>>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
    applied: Mutex<Lsn>,
    fails_reads: Arc<AtomicBool>,
    fails_after_applying: AtomicBool,
}

impl std::fmt::Debug for LooseStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LooseStore")
    }
}

/// Runs what was asked for. Reads that it makes itself are left alone.
fn run(meanwhile: &Mutex<Option<Meanwhile>>) {
    let taken = meanwhile.lock().take();
    if let Some(mut taken) = taken {
        taken();
        meanwhile.lock().get_or_insert(taken);
    }
}

impl LooseStore {
    /// From now on `meanwhile` runs within every read, before and after it looks: as if another
    /// thread came in between.
    pub(crate) fn meanwhile(&self, meanwhile: impl FnMut() + Send + 'static) {
        *self.meanwhile.lock() = Some(Box::new(meanwhile));
    }

    pub(crate) fn undisturbed(&self) {
        *self.meanwhile.lock() = None;
    }

    /// From now on every read fails, those that have begun too.
    pub(crate) fn fail_reads(&self, fail: bool) {
        self.fails_reads.store(fail, Ordering::Relaxed);
    }

    /// From now on what is applied is applied, and then there is an error.
    pub(crate) fn fail_after_applying(&self, fail: bool) {
        self.fails_after_applying.store(fail, Ordering::Relaxed);
    }

    pub(crate) fn insert(&self, keyspace: KeyspaceId, key: Key, value: Value) {
        self.content.lock().insert((keyspace, key), value);
    }

    fn fail_if(fails: &AtomicBool) -> Result<()> {
        if !fails.load(Ordering::Relaxed) {
            return Ok(());
        }
        let reason = Arc::from("it was told to fail");
        Err(Error::Store { kind: "loose", operation: "work", reason, damaged: false })
    }

    pub(crate) fn content(&self) -> Content {
        self.content.lock().clone()
    }

    fn apply_one(content: &mut Content, op: &StoreOp) {
        match op {
            StoreOp::Insert { keyspace, key, value } => {
                content.insert((*keyspace, key.clone()), value.clone());
            }
            StoreOp::Remove { keyspace, key } => {
                content.remove(&(*keyspace, key.clone()));
            }
            StoreOp::RemoveRange { keyspace, lower, upper } => {
                content.retain(|(id, key), _| id != keyspace || !within(key, lower, upper));
            }
            StoreOp::DropKeyspace { keyspace } => content.retain(|(id, _), _| id != keyspace),
        }
    }
}

fn within(key: &Key, lower: &Bound<Key>, upper: &Bound<Key>) -> bool {
    use std::ops::RangeBounds;
    (lower.as_ref(), upper.as_ref()).contains(key)
}

/// Where an operation stands in the order that is asked for.
fn rank(op: &StoreOp) -> (KeyspaceId, u8, &[u8]) {
    match op {
        StoreOp::DropKeyspace { keyspace } => (*keyspace, 0, &[]),
        StoreOp::RemoveRange { keyspace, lower, .. } => match lower {
            Bound::Included(key) | Bound::Excluded(key) => (*keyspace, 1, key),
            Bound::Unbounded => (*keyspace, 1, &[]),
        },
        StoreOp::Insert { keyspace, key, .. } | StoreOp::Remove { keyspace, key } => {
            (*keyspace, 2, key)
        }
    }
}

impl Store for LooseStore {
    fn kind(&self) -> &'static str {
        "loose"
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        Self::fail_if(&self.fails_reads)?;
        run(&self.meanwhile);
        let value = self.content.lock().get(&(keyspace, Key::from(key))).cloned();
        run(&self.meanwhile);
        Ok(value)
    }

    fn range(
        &self,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<StoreIter> {
        Self::fail_if(&self.fails_reads)?;
        Ok(Box::new(LooseIter {
            content: Arc::clone(&self.content),
            meanwhile: Arc::clone(&self.meanwhile),
            fails: Arc::clone(&self.fails_reads),
            keyspace,
            lower: lower.map(Key::from),
            upper: upper.map(Key::from),
        }))
    }

    fn apply(&self, ops: &[StoreOp], up_to: Lsn) -> Result<()> {
        for pair in ops.windows(2) {
            assert!(rank(&pair[0]) < rank(&pair[1]), "{:?} before {:?}", pair[0], pair[1]);
        }
        // One lock an operation, so that readers on other threads come in between.
        for op in ops {
            Self::apply_one(&mut self.content.lock(), op);
        }
        Self::fail_if(&self.fails_after_applying)?;
        let mut applied = self.applied.lock();
        *applied = (*applied).max(up_to);
        Ok(())
    }

    fn make_durable(&self) -> Result<()> {
        Ok(())
    }

    fn applied(&self) -> Result<Lsn> {
        Ok(*self.applied.lock())
    }

    fn usage(&self) -> Result<StoreUsage> {
        Ok(StoreUsage::default())
    }
}

struct LooseIter {
    content: Arc<Mutex<Content>>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
    fails: Arc<AtomicBool>,
    keyspace: KeyspaceId,
    lower: Bound<Key>,
    upper: Bound<Key>,
}

impl LooseIter {
    fn step(&mut self, back: bool) -> Option<Result<(Key, Value)>> {
        if let Err(error) = LooseStore::fail_if(&self.fails) {
            return Some(Err(error));
        }
        run(&self.meanwhile);
        let found = self.find(back);
        run(&self.meanwhile);
        found.map(Ok)
    }

    fn find(&mut self, back: bool) -> Option<(Key, Value)> {
        let content = self.content.lock();
        let of_keyspace = content
            .range((self.keyspace, Key::from(&[][..]))..)
            .take_while(|((id, _), _)| *id == self.keyspace)
            .filter(|((_, key), _)| within(key, &self.lower, &self.upper));
        let found = if back { of_keyspace.last() } else { { of_keyspace }.next() };
        let ((_, key), value) = found?;
        let bound = Bound::Excluded(key.clone());
        *(if back { &mut self.upper } else { &mut self.lower }) = bound;
        Some((key.clone(), value.clone()))
    }
}

impl Iterator for LooseIter {
    type Item = Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl DoubleEndedIterator for LooseIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}
