//! Checkpoints: moving what is in memory into the Store, so that the log can be let go.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use mainstay_wal::Lsn;

use super::Engine;
use crate::error::Result;
use crate::state::CheckpointJob;

/// How many operations one step gives to the Store.
const OPS_PER_STEP: usize = 1000;

/// Where a checkpoint stands. A crash between any two steps is recovered from.
#[derive(Debug, Default)]
pub(crate) enum Phase {
    #[default]
    Idle,
    Applying(CheckpointJob),
    /// Everything is in the Store, but does not survive a power cut yet.
    Applied(CheckpointJob),
    /// The Store survives a power cut; the manifest does not say so yet.
    Durable(CheckpointJob),
    /// The manifest says so: the memtable and the log below can go.
    Recorded(CheckpointJob),
}

/// What a step of a checkpoint did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum CheckpointStep {
    /// There was nothing to do: no memtable is frozen, or its end is not visible yet.
    Idle,
    /// There is more to do.
    Working,
    /// The checkpoint is complete: the manifest names its LSN.
    Done(Lsn),
}

/// What checkpoints have done since the database was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) checkpoints: AtomicU64,
    pub(crate) checkpointed_bytes: AtomicU64,
    pub(crate) slowed_writes: AtomicU64,
    pub(crate) held_writes: AtomicU64,
    /// Bytes of the memtable that is being moved which are in the Store already, about.
    pub(crate) moved_bytes: AtomicUsize,
}

impl Engine {
    /// Does one bounded piece of a checkpoint, over the oldest frozen memtable.
    ///
    /// A failure of the Store or of the manifest stops writes for good: reads go on, and what was
    /// acknowledged is in the log. Reopen.
    pub fn checkpoint_step(&self) -> Result<CheckpointStep> {
        let mut phase = self.checkpoint.lock();
        self.check()?;
        let stepped = self.step(&mut phase);
        if stepped.is_err() {
            *phase = Phase::Idle;
            self.counters.moved_bytes.store(0, Ordering::Relaxed);
        }
        stepped.map_err(|error| self.fail(error))
    }

    fn step(&self, phase: &mut Phase) -> Result<CheckpointStep> {
        match std::mem::take(phase) {
            Phase::Idle => {
                let Some(end) = self.state.oldest_frozen_end() else {
                    return Ok(CheckpointStep::Idle);
                };
                if self.replicated && end > self.log.commit_lsn() {
                    return Ok(CheckpointStep::Idle);
                }
                // The Store must never be ahead of what a crash leaves of the log.
                self.log.wait_durable(end)?;
                self.advance(self.log.durable_lsn());
                if self.manifest().committed < end {
                    // After a crash the Store may be ahead of the checkpoint. The log must hold all of
                    // that then, whatever a medium has lost; and on a replicated node nobody else
                    // tells that it is committed and must be applied.
                    self.write_manifest(|manifest| manifest.committed = end)?;
                }
                match self.state.begin_checkpoint() {
                    Some(job) => *phase = Phase::Applying(job),
                    None => return Ok(CheckpointStep::Idle),
                }
            }
            Phase::Applying(mut job) => {
                let done = job.step(OPS_PER_STEP)?;
                self.counters.moved_bytes.store(job.moved_bytes(), Ordering::Relaxed);
                *phase = if done { Phase::Applied(job) } else { Phase::Applying(job) };
            }
            Phase::Applied(job) => {
                self.store.make_durable()?;
                *phase = Phase::Durable(job);
            }
            Phase::Durable(job) => {
                let (checkpoint, chain) = self.log.locate(job.end())?;
                let settled = self.settled_lsn();
                self.write_manifest(|manifest| {
                    manifest.checkpoint = checkpoint;
                    manifest.checkpoint_chain = chain;
                    manifest.committed = manifest.committed.max(settled);
                })?;
                *phase = Phase::Recorded(job);
            }
            Phase::Recorded(job) => {
                let (end, freed) = (job.end(), job.bytes());
                self.state.finish_checkpoint(job);
                self.counters.moved_bytes.store(0, Ordering::Relaxed);
                self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
                self.counters.checkpointed_bytes.fetch_add(freed as u64, Ordering::Relaxed);
                match self.log.truncate_prefix(end.next()) {
                    // Closed by another thread meanwhile: the next opening lets go of the log.
                    Ok(_) | Err(mainstay_wal::Error::Closed) => {}
                    Err(error) => return Err(error.into()),
                }
                return Ok(CheckpointStep::Done(end));
            }
        }
        Ok(CheckpointStep::Working)
    }

    /// How many bytes of memtables were moved into the Store since the database was opened.
    pub(crate) fn checkpointed_bytes(&self) -> u64 {
        self.counters.checkpointed_bytes.load(Ordering::Relaxed)
    }

    /// How much the running checkpoint has moved and not freed yet, about.
    pub(crate) fn moved_bytes(&self) -> usize {
        self.counters.moved_bytes.load(Ordering::Relaxed)
    }

    /// Moves everything that is applied now into the Store, and lets go of the log below it. Gives the
    /// checkpoint's LSN.
    ///
    /// Errors as of [`Engine::checkpoint_step`].
    pub fn checkpoint(&self) -> Result<Lsn> {
        let target = self.state.last_applied_lsn();
        self.state.freeze();
        // Not only until the manifest names the LSN: the step after that lets go of the log.
        loop {
            match self.checkpoint_step()? {
                CheckpointStep::Done(end) if end >= target => break,
                CheckpointStep::Working | CheckpointStep::Done(_) => {}
                // Another thread finished it in between.
                CheckpointStep::Idle => break,
            }
        }
        Ok(self.checkpoint_lsn())
    }
}
