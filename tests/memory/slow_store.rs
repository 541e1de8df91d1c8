//! A Store that keeps nothing and takes its time, so that writers have to be held back.

use std::ops::Bound;
use std::time::Duration;

use mainstay::store::testing::DiscardStore;
use mainstay::{KeyspaceId, Lsn, Result, Store, StoreIter, StoreOp, StoreUsage, Value};

/// How long a megabyte takes.
const PER_MEGABYTE: Duration = Duration::from_millis(12);

#[derive(Debug, Default)]
pub(crate) struct SlowStore(DiscardStore);

fn bytes(op: &StoreOp) -> usize {
    match op {
        StoreOp::Insert { key, value, .. } => key.len() + value.len(),
        StoreOp::Remove { key, .. } => key.len(),
        StoreOp::RemoveRange { .. } | StoreOp::DropKeyspace { .. } => 0,
    }
}

impl Store for SlowStore {
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        self.0.get(keyspace, key)
    }

    fn range(
        &self,
        keyspace: KeyspaceId,
        lower: Bound<&[u8]>,
        upper: Bound<&[u8]>,
    ) -> Result<StoreIter> {
        self.0.range(keyspace, lower, upper)
    }

    fn apply(&self, ops: &[StoreOp], up_to: Lsn) -> Result<()> {
        let bytes: usize = ops.iter().map(bytes).sum();
        std::thread::sleep(PER_MEGABYTE.mul_f64(bytes as f64 / 1e6));
        self.0.apply(ops, up_to)
    }

    fn make_durable(&self) -> Result<()> {
        self.0.make_durable()
    }

    fn applied(&self) -> Result<Lsn> {
        self.0.applied()
    }

    fn usage(&self) -> Result<StoreUsage> {
        self.0.usage()
    }
}
