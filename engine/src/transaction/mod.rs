//! Serialisable transactions, without locks: read, write, and find out at the end whether it was
//! all true.
//!
//! A transaction reads from a snapshot, under its own writes, and remembers what it read: keys, and
//! ranges as far as they were read. At the commit nothing of that may have changed since the
//! snapshot; then it is as if the whole transaction had happened at the moment of its record. So
//! the order of records in the log is an order in which the transactions could have run one after
//! the other: no lost update, no write skew, no phantom.
//!
//! Most of the checking is done before the lock on appending is taken; under it only what was
//! applied in the meantime is compared, from memory.

mod range;
mod reads;
mod writes;

use std::ops::RangeBounds;
use std::sync::Arc;

use mainstay_wal::Lsn;
use parking_lot::Mutex;

use crate::batch::{self, Batch};
use crate::bytes::{Key, Value};
use crate::db::Committer;
use crate::error::{Error, Result};
use crate::keyspace::{AsKeyspace, KeyspaceRef};
use crate::record::MAX_RECORD_BYTES;
use crate::snapshot::Snapshot;
use crate::span::Span;
use crate::state::{Forgotten, State, Watch};
use reads::{FinishedReads, ReadSet};
use writes::Writes;

pub use range::TransactionRange;

/// Where a transaction's record goes.
pub trait Commit {
    /// What the committer gets for it: a ticket, an LSN.
    type Done;

    /// Takes the lock on appending, calls `check`, and appends and applies the batch if that says
    /// yes. Nothing may be applied between the two. An error of `check` is handed on, nothing being
    /// appended then.
    ///
    /// [`Error::Conflict`] names the LSN of the other write: before the caller hears of it, that
    /// should be visible. Otherwise a second attempt could not see it, and would fail in the same
    /// way.
    fn append(&self, batch: Batch, check: &mut dyn FnMut() -> Result<()>) -> Result<Self::Done>;

    /// A transaction that wrote nothing is done: it saw everything as it was at `at`.
    fn nothing_written(&self, at: Lsn) -> Result<Self::Done>;
}

/// A serialisable transaction. Dropped without a commit it leaves no trace.
///
/// It sees what was visible when it began, and its own writes. Reading the same twice gives the
/// same. It holds up nobody, and nobody holds it up; at the [commit](Transaction::commit) it may
/// turn out that others have changed what it read, and everything must be done again.
#[derive(Debug)]
pub struct Transaction<C: Commit = Committer> {
    committer: C,
    snapshot: Snapshot,
    reads: Mutex<ReadSet>,
    writes: Writes,
    written_bytes: usize,
}

impl<C: Commit> Transaction<C> {
    /// Begins a transaction on what is visible now, for whoever steps an engine;
    /// [`Db::transaction`](crate::Db::transaction) is the same for a database.
    pub fn begin(state: &Arc<State>, committer: C) -> Self {
        Transaction {
            committer,
            snapshot: state.snapshot(),
            reads: Mutex::default(),
            writes: Writes::default(),
            written_bytes: 0,
        }
    }

    /// The last record that is seen.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.snapshot.lsn()
    }

    /// The value of a key, written here or found.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get(&self, keyspace: &impl AsKeyspace, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let (keyspace, key) = (keyspace.as_keyspace(), key.as_ref());
        self.check_keyspace(keyspace)?;
        batch::check_key(key)?;
        if let Some(own) = self.writes.get(keyspace.id(), key) {
            return Ok(own);
        }
        self.reads.lock().add_key(keyspace.id(), key);
        self.snapshot.get_in(keyspace.id(), key)
    }

    /// Whether there is such a key. Errors as [`Snapshot::get`].
    pub fn contains_key(&self, keyspace: &impl AsKeyspace, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get(keyspace, key)?.is_some())
    }

    /// The entries between two bounds, from both ends.
    pub fn range<K, R>(&self, keyspace: &impl AsKeyspace, bounds: R) -> TransactionRange
    where
        K: AsRef<[u8]>,
        R: RangeBounds<K>,
    {
        self.within(keyspace.as_keyspace(), &Span::of(&bounds))
    }

    /// The entries whose keys begin with `prefix`.
    #[must_use]
    pub fn prefix(&self, keyspace: &impl AsKeyspace, prefix: impl AsRef<[u8]>) -> TransactionRange {
        self.within(keyspace.as_keyspace(), &Span::prefix(prefix.as_ref()))
    }

    /// All entries of a keyspace.
    #[must_use]
    pub fn iter(&self, keyspace: &impl AsKeyspace) -> TransactionRange {
        self.within(keyspace.as_keyspace(), &Span::all())
    }

    /// The entry with the lowest key. Errors as [`Snapshot::get`].
    pub fn first(&self, keyspace: &impl AsKeyspace) -> Result<Option<(Key, Value)>> {
        self.iter(keyspace).next().transpose()
    }

    /// The entry with the highest key. Errors as [`Snapshot::get`].
    pub fn last(&self, keyspace: &impl AsKeyspace) -> Result<Option<(Key, Value)>> {
        self.iter(keyspace).next_back().transpose()
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`Error::KeySize`]; [`Error::TooLarge`] if the transaction would not fit into a record; the
    /// limit on values is checked at the commit. [`Error::NoSuchKeyspace`] if the keyspace is one
    /// of another database. The transaction is as it was before.
    #[doc(alias = "put")]
    pub fn insert(
        &mut self,
        keyspace: &impl AsKeyspace,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<()> {
        self.write(keyspace.as_keyspace(), key.as_ref(), Some(value.as_ref()))
    }

    /// Removes a key; one that is missing is no error. Errors as [`Transaction::insert`].
    #[doc(alias = "delete")]
    pub fn remove(&mut self, keyspace: &impl AsKeyspace, key: impl AsRef<[u8]>) -> Result<()> {
        self.write(keyspace.as_keyspace(), key.as_ref(), None)
    }

    /// Removes every key between two bounds, without reading them. Errors as
    /// [`Transaction::insert`].
    pub fn remove_range<K, R>(&mut self, keyspace: &impl AsKeyspace, bounds: R) -> Result<()>
    where
        K: AsRef<[u8]>,
        R: RangeBounds<K>,
    {
        let keyspace = keyspace.as_keyspace();
        self.check_keyspace(keyspace)?;
        let (lower, upper) = crate::span::slices(&bounds);
        batch::check_bounds(lower, upper)?;
        let span = Span::between(lower, upper);
        self.reserve(span.lower.len() + span.upper.as_ref().map_or(0, |key| key.len()))?;
        self.writes.remove_range(keyspace, span);
        Ok(())
    }

    /// Makes all of it happen, or nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`] if somebody changed what was read: nothing was applied, run the
    /// transaction again. [`Error::TransactionTooOld`] if it took too long to be sure: likewise.
    /// Errors of writing a batch.
    pub fn commit(self) -> Result<C::Done> {
        let Transaction { committer, snapshot, reads, writes, .. } = self;
        if writes.is_empty() {
            return committer.nothing_written(snapshot.lsn());
        }
        let batch = writes.batch();
        match Check::begin(&snapshot, reads.into_inner().finish()) {
            Ok(check) => committer.append(batch, &mut || check.finish()),
            // Found early, but told in the same way: when the other write is visible.
            Err(Error::Conflict { lsn }) => {
                committer.append(batch, &mut || Err(Error::Conflict { lsn }))
            }
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, keyspace: &KeyspaceRef, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.check_keyspace(keyspace)?;
        batch::check_key(key)?;
        self.reserve(key.len() + value.map_or(0, <[u8]>::len))?;
        self.writes.set(keyspace, Key::from(key), value.map(Value::from));
        Ok(())
    }

    /// Counts the bytes of a write. One key written twice counts twice.
    fn reserve(&mut self, bytes: usize) -> Result<()> {
        let bytes = self.written_bytes.saturating_add(bytes).saturating_add(WRITE_BYTES);
        if bytes > MAX_RECORD_BYTES {
            return Err(Error::TooLarge {
                what: "transaction",
                bytes: bytes as u64,
                limit_bytes: MAX_RECORD_BYTES as u64,
            });
        }
        self.written_bytes = bytes;
        Ok(())
    }

    fn within(&self, keyspace: &KeyspaceRef, within: &Span) -> TransactionRange {
        if let Err(error) = self.check_keyspace(keyspace) {
            let read = Arc::new(Mutex::new(reads::RangeRead::new(within)));
            let failed = crate::range::Range::failed(self.snapshot.clone(), error);
            return TransactionRange::new(failed, (Vec::new(), Vec::new()), read);
        }
        let read = self.reads.lock().add_range(keyspace.id(), within);
        let stored = self.snapshot.range_in(keyspace.id(), within.clone());
        TransactionRange::new(stored, self.writes.within(keyspace.id(), within), read)
    }

    fn check_keyspace(&self, keyspace: &KeyspaceRef) -> Result<()> {
        if keyspace.database() == self.snapshot.state().number() {
            Ok(())
        } else {
            Err(keyspace.missing())
        }
    }
}

/// What a write takes in a record at most, its keys and value apart.
const WRITE_BYTES: usize = 16;

/// The check of a transaction's reads, in two parts.
struct Check {
    state: Arc<State>,
    began: Lsn,
    reads: FinishedReads,
    /// There if anything was read.
    watch: Option<Watch>,
}

impl Check {
    /// Compares with what was applied until now, and begins to watch what comes.
    fn begin(snapshot: &Snapshot, reads: FinishedReads) -> Result<Check> {
        let state = Arc::clone(snapshot.state());
        let began = snapshot.lsn();
        // First the watch, so that nothing falls between it and the comparison.
        let watch = (!reads.is_empty()).then(|| state.watch());
        reads.check(&state, began)?;
        Ok(Check { state, began, reads, watch })
    }

    /// Compares with what was applied since. Nobody may be applying.
    fn finish(&self) -> Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        match watch.find(|keyspace, touched| self.reads.concern(keyspace, touched)) {
            Ok(None) => Ok(()),
            Ok(Some(lsn)) => Err(Error::Conflict { lsn }),
            Err(Forgotten) => self.reads.check(&self.state, self.began),
        }
    }
}

#[cfg(test)]
mod tests;
