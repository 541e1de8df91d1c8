//! Stores for tests: one that keeps nothing, and one that fails when it is told to.

use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use mainstay_wal::Lsn;
use parking_lot::Mutex;

use super::{Store, StoreIter, StoreOp, StoreUsage};
use crate::bytes::{Key, Value};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;

/// A [`Store`] that forgets what is applied, but for the LSN: what is measured over it is the
/// engine's own.
///
/// It does not keep the contract: nothing is ever found in it.
#[derive(Debug, Default)]
pub struct DiscardStore {
    applied: Mutex<Lsn>,
}

impl DiscardStore {
    /// An empty one, as it will always be.
    #[must_use]
    pub fn new() -> DiscardStore {
        DiscardStore::default()
    }
}

impl Store for DiscardStore {
    fn kind(&self) -> &'static str {
        "discard"
    }

    fn get(&self, _: KeyspaceId, _: &[u8]) -> Result<Option<Value>> {
        Ok(None)
    }

    fn range(&self, _: KeyspaceId, _: Bound<&[u8]>, _: Bound<&[u8]>) -> Result<StoreIter> {
        Ok(Box::new(std::iter::empty()))
    }

    fn apply(&self, _: &[StoreOp], up_to: Lsn) -> Result<()> {
        let mut applied = self.applied.lock();
        *applied = up_to.max(*applied);
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

/// A call that a [`FaultyStore`] can fail.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreCall {
    /// [`Store::get`].
    Get,
    /// [`Store::range`].
    Range,
    /// One step of an iterator, at either end.
    Next,
    /// [`Store::apply`]. The first half of the operations is applied before it fails.
    Apply,
    /// [`Store::make_durable`]. Nothing is made durable when it fails.
    MakeDurable,
    /// [`Store::applied`].
    Applied,
    /// [`Store::usage`].
    Usage,
}

/// A failure that a [`FaultyStore`] is asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct StoreFault {
    /// Which call fails.
    pub call: StoreCall,
    /// How many of these calls succeed before, counted from now.
    pub after: u64,
    /// Whether all that follow fail too.
    pub for_good: bool,
    /// Whether the error says that the Store is damaged.
    pub damaged: bool,
}

/// A [`Store`] that hands everything to another one, and fails when it is told to.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    faults: Mutex<Vec<StoreFault>>,
}

impl FaultyStore {
    /// Wraps a Store. Nothing fails until [`FaultyStore::fail`] asks for it.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> FaultyStore {
        FaultyStore { inner, plan: Arc::default() }
    }

    /// Plans a failure.
    pub fn fail(&self, fault: StoreFault) {
        self.plan.faults.lock().push(fault);
    }

    /// Forgets all planned failures.
    pub fn clear(&self) {
        self.plan.faults.lock().clear();
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("inner", &self.inner).field("plan", &self.plan).finish()
    }
}

impl Plan {
    fn check(&self, call: StoreCall) -> Result<()> {
        let mut faults = self.faults.lock();
        let mut failing = None;
        faults.retain_mut(|fault| {
            if fault.call != call {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            failing = failing.or(Some(fault.damaged));
            fault.for_good
        });
        let Some(damaged) = failing else { return Ok(()) };
        let reason = format!("a failure of {call:?} that was asked for").into();
        Err(Error::Store { kind: "faulty", operation: "go on", reason, damaged })
    }
}

impl Store for FaultyStore {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        self.plan.check(StoreCall::Get)?;
        self.inner.get(keyspace, key)
    }

    fn range(
        &self,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<StoreIter> {
        self.plan.check(StoreCall::Range)?;
        let inner = self.inner.range(keyspace, lower, upper)?;
        Ok(Box::new(FaultyIter { inner: Some(inner), plan: self.plan.clone() }))
    }

    fn apply(&self, ops: &[StoreOp], up_to: Lsn) -> Result<()> {
        if let Err(error) = self.plan.check(StoreCall::Apply) {
            self.inner.apply(&ops[..ops.len() / 2], Lsn::ZERO)?;
            return Err(error);
        }
        self.inner.apply(ops, up_to)
    }

    fn make_durable(&self) -> Result<()> {
        self.plan.check(StoreCall::MakeDurable)?;
        self.inner.make_durable()
    }

    fn applied(&self) -> Result<Lsn> {
        self.plan.check(StoreCall::Applied)?;
        self.inner.applied()
    }

    fn usage(&self) -> Result<StoreUsage> {
        self.plan.check(StoreCall::Usage)?;
        self.inner.usage()
    }
}

/// Ends with its first error.
struct FaultyIter {
    inner: Option<StoreIter>,
    plan: Arc<Plan>,
}

impl FaultyIter {
    fn step(
        &mut self,
        step: impl FnOnce(&mut StoreIter) -> Option<Result<(Key, Value)>>,
    ) -> Option<Result<(Key, Value)>> {
        let inner = self.inner.as_mut()?;
        if let Err(error) = self.plan.check(StoreCall::Next) {
            self.inner = None;
            return Some(Err(error));
        }
        step(inner)
    }
}

impl Iterator for FaultyIter {
    type Item = Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for FaultyIter {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

#[cfg(test)]
mod tests {
    use mainstay_wal::disk::SimDisk;

    use super::*;
    use crate::store::{MemoryStore, conformance};

    const DATA: KeyspaceId = KeyspaceId(20);

    fn insert(key: &str) -> StoreOp {
        StoreOp::Insert { keyspace: DATA, key: Key::from(key), value: Value::from("value") }
    }

    fn fault(call: StoreCall, after: u64) -> StoreFault {
        StoreFault { call, after, for_good: false, damaged: false }
    }

    fn faulty() -> FaultyStore {
        let disk = Arc::new(SimDisk::new(1));
        FaultyStore::new(Arc::new(MemoryStore::create(disk, "store").unwrap()))
    }

    #[test]
    fn fails_the_call_that_was_asked_for_and_no_other() {
        let store = faulty();
        store.fail(fault(StoreCall::Apply, 1));
        store.apply(&[insert("a")], Lsn(1)).unwrap();
        store.apply(&[insert("b"), insert("c")], Lsn(2)).unwrap_err();
        assert!(store.get(DATA, b"b").unwrap().is_some(), "the first half is applied");
        assert!(store.get(DATA, b"c").unwrap().is_none(), "the second is not");
        assert_eq!(store.applied().unwrap(), Lsn(1));
        store.apply(&[insert("b"), insert("c")], Lsn(2)).unwrap();
        store.fail(fault(StoreCall::Next, 1));
        let mut iter = store.range(DATA, Bound::Unbounded, Bound::Unbounded).unwrap();
        assert!(iter.next().unwrap().is_ok() && iter.next_back().unwrap().is_err());
        assert!(iter.next().is_none());
        store.fail(StoreFault {
            for_good: true,
            damaged: true,
            ..fault(StoreCall::MakeDurable, 0)
        });
        for _ in 0..3 {
            let error = store.make_durable().unwrap_err();
            assert!(matches!(error, Error::Store { damaged: true, .. }));
        }
        store.clear();
        store.make_durable().unwrap();
    }

    #[test]
    fn without_faults_it_is_the_store_that_it_wraps() {
        struct Subject(SimDisk);
        impl conformance::Subject for Subject {
            fn create(&mut self) -> Result<Arc<dyn Store>> {
                self.0 = SimDisk::new(1);
                let store = MemoryStore::create(Arc::new(self.0.clone()), "store")?;
                Ok(Arc::new(FaultyStore::new(Arc::new(store))))
            }
            fn reopen(&mut self) -> Result<Arc<dyn Store>> {
                let store = MemoryStore::open(Arc::new(self.0.clone()), "store")?;
                Ok(Arc::new(FaultyStore::new(Arc::new(store))))
            }
        }
        conformance::check(&mut Subject(SimDisk::new(1))).unwrap();
    }

    #[test]
    fn what_is_discarded_is_gone_and_its_lsn_is_known() {
        let store = DiscardStore::new();
        store.apply(&[insert("a")], Lsn(4)).unwrap();
        store.apply(&[insert("b")], Lsn::ZERO).unwrap();
        assert_eq!(store.applied().unwrap(), Lsn(4));
        assert_eq!(store.get(DATA, b"a").unwrap(), None);
        assert!(store.range(DATA, Bound::Unbounded, Bound::Unbounded).unwrap().next().is_none());
    }
}
