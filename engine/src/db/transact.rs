//! Transactions over a database.

use std::sync::Arc;

use mainstay_wal::Lsn;

use super::{Db, Inner, Ticket};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::options::Durability;
use crate::transaction::{Commit, Transaction};

/// How often [`Db::transact`] runs its function before it gives up.
const ATTEMPTS: usize = 100;

/// Where the transactions of a [`Db`] commit.
pub struct Committer {
    inner: Arc<Inner>,
    durability: Durability,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").field("durability", &self.durability).finish()
    }
}

impl Commit for Committer {
    type Done = Ticket;

    fn append(&self, batch: Batch, check: &mut dyn FnMut() -> Result<()>) -> Result<Ticket> {
        let lsn = self.inner.write_if(&batch, self.durability, check)?;
        Ok(Ticket::new(self.inner.clone(), lsn, self.durability))
    }

    fn nothing_written(&self, at: Lsn) -> Result<Ticket> {
        Ok(Ticket::new(self.inner.clone(), at, self.durability))
    }
}

impl Db {
    /// Begins a serialisable transaction, with the default durability.
    #[must_use]
    pub fn transaction(&self) -> Transaction {
        self.transaction_with(self.inner.engine.options.durability)
    }

    /// Begins a serialisable transaction with a durability of its own.
    #[must_use]
    pub fn transaction_with(&self, durability: Durability) -> Transaction {
        let committer = Committer { inner: self.inner.clone(), durability };
        Transaction::begin(self.inner.engine.state(), committer)
    }

    /// Runs a function in a transaction, commits it and waits until it is acknowledged. Runs it
    /// again, on a newer view, where another write came between; after 100 attempts it gives
    /// [`Error::Conflict`].
    ///
    /// What the function does besides reading and writing through the transaction happens as often
    /// as it runs. An error of the function ends it, and nothing was applied.
    pub fn transact<T>(&self, mut run: impl FnMut(&mut Transaction) -> Result<T>) -> Result<T> {
        let mut attempts = 1;
        loop {
            let mut transaction = self.transaction();
            let done = run(&mut transaction)?;
            match transaction.commit() {
                Ok(ticket) => {
                    ticket.wait()?;
                    return Ok(done);
                }
                Err(Error::Conflict { .. } | Error::TransactionTooOld { .. })
                    if attempts < ATTEMPTS =>
                {
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
