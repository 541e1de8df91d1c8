//! Writing: a batch is judged, appended to the log and applied to the state, in one order.

use std::sync::atomic::Ordering;

use mainstay_wal::Lsn;

use super::Engine;
use crate::batch::{Batch, Precondition};
use crate::error::{Error, Result};
use crate::keyspace::{self, KeyspaceRef};
use crate::options::Durability;
use crate::record::{self, RecordOp};

/// A write that was refused: what it depended on must be visible before the refusal is told.
pub(crate) enum Refusal {
    Now(Error),
    After(Lsn, Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Now(error)
    }
}

impl Engine {
    /// Appends a batch and applies it. It is durable once the log is durable up to the LSN, and
    /// visible as [`Durability`] says.
    ///
    /// On an error nothing was applied. A refused precondition is only reported when the write that
    /// refused it is visible, so that it never shows what a crash takes back; this may wait for
    /// the disk.
    pub fn write(&self, batch: &Batch, durability: Durability) -> Result<Lsn> {
        self.write_if(batch, durability, &mut || Ok(()))
    }

    /// As [`Engine::write`], if `check` says yes while nothing else is appended. Its error is
    /// handed on; where it is [`Error::Conflict`], once the write that it names is visible.
    pub fn write_if(
        &self,
        batch: &Batch,
        durability: Durability,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Lsn> {
        self.check()?;
        let appended = {
            let _append = self.append.lock();
            self.judge_and_append(batch, durability, check)
        };
        match appended {
            Ok(lsn) => Ok(lsn),
            Err(Refusal::Now(error)) => Err(error),
            Err(Refusal::After(lsn, error)) => {
                if lsn > self.visible_lsn() {
                    self.log.wait_durable(lsn)?;
                    self.advance(self.log.durable_lsn());
                }
                Err(error)
            }
        }
    }

    /// Appends a batch unless it is refused. The append lock is held.
    pub(crate) fn judge_and_append(
        &self,
        batch: &Batch,
        durability: Durability,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> std::result::Result<Lsn, Refusal> {
        self.judge(batch, check).and_then(|()| Ok(self.append_record(batch.record(), durability)?))
    }

    /// Checks a batch against the newest versions. The append lock is held.
    fn judge(
        &self,
        batch: &Batch,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> std::result::Result<(), Refusal> {
        check().map_err(|error| match error {
            Error::Conflict { lsn } => Refusal::After(lsn, error),
            _ => Refusal::Now(error),
        })?;
        let exists = |id| self.state.has_keyspace(id);
        batch.check(self.options.max_value_bytes, self.state.number(), exists)?;
        for precondition in batch.preconditions() {
            let Precondition { keyspace, key, expected, position } = precondition;
            let (lsn, found) = self.state.newest(*keyspace, key)?;
            if found.as_deref() != expected.as_deref() {
                let error = Error::PreconditionFailed { position: *position, found };
                return Err(Refusal::After(lsn, error));
            }
        }
        Ok(())
    }

    /// Refuses a handle of another database, or of a keyspace that was dropped.
    pub fn check_keyspace(&self, keyspace: &KeyspaceRef) -> Result<()> {
        if keyspace.database() == self.state.number() && self.state.has_keyspace(keyspace.id()) {
            return Ok(());
        }
        Err(keyspace.missing())
    }

    /// Appends a record and applies it. The append lock is held.
    pub(crate) fn append_record(&self, record: &[u8], durability: Durability) -> Result<Lsn> {
        let lsn = self.log.append(record)?;
        if !self.replicated {
            self.visibility.appended(lsn, durability);
        }
        self.state.apply(lsn, record)?;
        if self.visibility.may_advance(lsn, durability) {
            self.show();
        }
        if self.state.wants_freeze() {
            self.state.freeze();
        }
        Ok(lsn)
    }

    /// The keyspace with this name, made if it is missing. It is durable when this returns.
    pub fn keyspace(&self, name: &str) -> Result<KeyspaceRef> {
        keyspace::check_name(name)?;
        let appended = {
            let _append = self.append.lock();
            match self.state.keyspace_id(name) {
                Some(id) => (id, self.state.last_applied_lsn()),
                None => {
                    self.check()?;
                    let id = self.state.allocate_keyspace_id()?;
                    let op = RecordOp::CreateKeyspace { keyspace: id, name };
                    (id, self.append_record(&record::encode(&[op]), Durability::Sync)?)
                }
            }
        };
        let (id, lsn) = appended;
        self.wait(lsn)?;
        Ok(self.state.keyspace_ref(id, name))
    }

    /// Drops a keyspace and everything in it, durably. False if there is none of this name.
    ///
    /// Handles of it answer [`Error::NoSuchKeyspace`] from then on; a new keyspace of the same name
    /// is another one.
    pub fn drop_keyspace(&self, name: &str) -> Result<bool> {
        keyspace::check_droppable(name)?;
        self.check()?;
        let lsn = {
            let _append = self.append.lock();
            let Some(id) = self.state.keyspace_id(name) else { return Ok(false) };
            let op = RecordOp::DropKeyspace { keyspace: id };
            self.append_record(&record::encode(&[op]), Durability::Sync)?
        };
        self.wait(lsn)?;
        Ok(true)
    }

    /// Waits until a write is durable, and shows it.
    pub fn wait(&self, lsn: Lsn) -> Result<()> {
        self.acknowledge(lsn, Durability::Sync)
    }

    /// What must become durable before a write is acknowledged: itself, or for a buffered one a
    /// synced write before it, because nobody sees past that, and whoever writes shall see it.
    pub(crate) fn waits_for(&self, lsn: Lsn, durability: Durability) -> Option<Lsn> {
        match durability {
            Durability::Sync => Some(lsn),
            Durability::Buffered if lsn <= self.visible_lsn() => None,
            Durability::Buffered => self.visibility.waits_for(lsn),
        }
    }

    /// Waits until a write is acknowledged, as its durability says, and visible.
    pub(crate) fn acknowledge(&self, lsn: Lsn, durability: Durability) -> Result<()> {
        let awaited = self.waits_for(lsn, durability);
        if let Some(awaited) = awaited {
            self.log.wait_durable(awaited)?;
        }
        // What was visible before may be durable only now, which subscribers wait for.
        if awaited.is_some() || lsn > self.visible_lsn() {
            self.advance(self.log.durable_lsn());
        }
        Ok(())
    }

    /// How much of the budget for memtables is used once so many bytes more have come, from 0 to 1
    /// and above.
    #[must_use]
    pub fn memory_pressure(&self, more_bytes: usize) -> f64 {
        (self.memtable_bytes() + more_bytes) as f64 / self.options.memtables_bytes() as f64
    }

    /// As [`Engine::memory_pressure`] of what is there, without what the running checkpoint has moved into the Store
    /// already.
    #[must_use]
    pub fn unmoved_pressure(&self) -> f64 {
        let unmoved = self.memtable_bytes().saturating_sub(self.moved_bytes());
        unmoved as f64 / self.options.memtables_bytes() as f64
    }

    /// Bytes of memtables at present.
    #[must_use]
    pub fn memtable_bytes(&self) -> usize {
        self.state.memtable_bytes()
    }

    pub(crate) fn count_slowed(&self) {
        self.counters.slowed_writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_held(&self) {
        self.counters.held_writes.fetch_add(1, Ordering::Relaxed);
    }
}
