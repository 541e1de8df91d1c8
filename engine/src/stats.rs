//! Figures about a database.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_wal::{LogStats, Lsn};

use crate::engine::Engine;
use crate::error::Result;
use crate::store::StoreUsage;

/// Figures about a database at present, and since it was opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Which Store it has.
    pub store: &'static str,
    /// What the Store uses; its memory comes on top of the budget.
    pub store_usage: StoreUsage,
    /// The log.
    pub log: LogStats,
    /// Up to where writes are visible.
    pub visible_lsn: Lsn,
    /// Up to where the Store is complete.
    pub checkpoint_lsn: Lsn,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Bytes of memtables that they moved.
    pub checkpointed_bytes: u64,
    /// Bytes of memtables at present.
    pub memtable_bytes: u64,
    /// Memtables that wait for a checkpoint.
    pub frozen_memtables: u64,
    /// Bytes that are kept for old snapshots alone.
    pub snapshot_bytes: u64,
    /// Snapshots that are alive, those of iterators too.
    pub snapshots: u64,
    /// The budget for all this.
    pub memory_budget_bytes: u64,
    /// Times that a writer was slowed down, since checkpoints could not keep up.
    pub slowed_writes: u64,
    /// Times that a writer was held until a checkpoint had freed memory.
    pub held_writes: u64,
    /// How long opening took, recovery included.
    pub opened_in: Duration,
}

impl Stats {
    pub(crate) fn collect(engine: &Engine, opened_in: Duration) -> Result<Stats> {
        let (state, counters) = (engine.state(), &engine.counters);
        Ok(Stats {
            store: engine.store().kind(),
            store_usage: engine.store().usage()?,
            log: engine.log_stats(),
            visible_lsn: engine.visible_lsn(),
            checkpoint_lsn: engine.checkpoint_lsn(),
            checkpoints: counters.checkpoints.load(Ordering::Relaxed),
            checkpointed_bytes: counters.checkpointed_bytes.load(Ordering::Relaxed),
            memtable_bytes: engine.memtable_bytes() as u64,
            frozen_memtables: state.frozen_count() as u64,
            snapshot_bytes: state.pinned_bytes() as u64,
            snapshots: state.snapshot_count() as u64,
            memory_budget_bytes: engine.options.memory_bytes as u64,
            slowed_writes: counters.slowed_writes.load(Ordering::Relaxed),
            held_writes: counters.held_writes.load(Ordering::Relaxed),
            opened_in,
        })
    }
}
