//! A transaction of the workload, and what must come of it.

use mainstay_engine::{Batch, Commit, Durability, Engine, Error, KeyspaceRef, Result, Transaction};
use mainstay_wal::Lsn;

/// Commits into the engine, without waiting.
#[derive(Debug)]
pub(crate) struct Committer<'a> {
    pub(crate) engine: &'a Engine,
}

impl Commit for Committer<'_> {
    type Done = Option<Lsn>;

    fn append(&self, batch: Batch, check: &mut dyn FnMut() -> Result<()>) -> Result<Option<Lsn>> {
        self.engine.write_if(&batch, Durability::Sync, check).map(Some)
    }

    fn nothing_written(&self, _at: Lsn) -> Result<Option<Lsn>> {
        Ok(None)
    }
}

pub(crate) fn begin(engine: &Engine) -> Transaction<Committer<'_>> {
    Transaction::begin(engine.state(), Committer { engine })
}

/// What a transaction reads and writes: a key, and a key or a stretch of the same keyspace.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) keyspace: String,
    pub(crate) reads: Vec<u8>,
    pub(crate) writes: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl Plan {
    /// Reads, and gives what stood there.
    pub(crate) fn read(
        &self,
        transaction: &Transaction<Committer<'_>>,
        place: &KeyspaceRef,
    ) -> Result<Option<Vec<u8>>> {
        Ok(transaction.get(place, &self.reads)?.map(|value| value.to_vec()))
    }

    /// Writes and commits. `None` if it was refused because of another write.
    pub(crate) fn commit(
        &self,
        mut transaction: Transaction<Committer<'_>>,
        place: &KeyspaceRef,
    ) -> Result<Option<Lsn>> {
        transaction.insert(place, &self.writes, &self.value)?;
        match transaction.commit() {
            Err(Error::Conflict { .. } | Error::TransactionTooOld { .. }) => Ok(None),
            done => done,
        }
    }
}
