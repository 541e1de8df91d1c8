//! Up to where writes are visible: what is durable as far as it was asked to be, and so is
//! everything before it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_wal::Lsn;
use parking_lot::Mutex;

use crate::options::Durability;

/// Which of the appended writes must be durable before they, and what follows them, are visible.
///
/// Invariant: `outstanding` holds, in order, the writes that asked for [`Durability::Sync`] and are
/// not known to be durable.
#[derive(Debug, Default)]
pub(crate) struct Visibility {
    outstanding: Mutex<VecDeque<Lsn>>,
    durable: AtomicU64,
}

impl Visibility {
    /// Notes a write before it enters the memtable.
    pub(crate) fn appended(&self, lsn: Lsn, durability: Durability) {
        if durability == Durability::Sync {
            let mut outstanding = self.outstanding.lock();
            let last = outstanding.back().copied().unwrap_or(Lsn::ZERO);
            assert!(last < lsn, "LSN {lsn} was appended behind LSN {last}");
            outstanding.push_back(lsn);
        }
    }

    /// Notes that the log is durable up to `durable`.
    pub(crate) fn durable(&self, durable: Lsn) {
        self.durable.fetch_max(durable.0, Ordering::AcqRel);
    }

    /// Whether a write just applied can be seen at once.
    pub(crate) fn may_advance(&self, lsn: Lsn, durability: Durability) -> bool {
        durability == Durability::Buffered || self.durable.load(Ordering::Acquire) >= lsn.0
    }

    /// The last write up to `lsn` that must become durable before `lsn` may be shown. None if that
    /// was computed already, though perhaps by somebody who has not shown it yet.
    pub(crate) fn waits_for(&self, lsn: Lsn) -> Option<Lsn> {
        let outstanding = self.outstanding.lock();
        let up_to = outstanding.partition_point(|&synced| synced <= lsn);
        outstanding.range(..up_to).next_back().copied()
    }

    /// Up to where writes may be shown, if they are applied up to `applied`.
    pub(crate) fn visible(&self, applied: Lsn) -> Lsn {
        let durable = Lsn(self.durable.load(Ordering::Acquire));
        let mut outstanding = self.outstanding.lock();
        while outstanding.front().is_some_and(|&lsn| lsn <= durable) {
            outstanding.pop_front();
        }
        outstanding.front().map_or(applied, |first| first.previous().min(applied))
    }
}
