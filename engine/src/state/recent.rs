//! What was written in the last moments, for transactions that are being committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_wal::Lsn;
use parking_lot::Mutex;

use super::State;
use crate::bytes::Key;
use crate::keyspace::KeyspaceId;
use crate::memtable::Change;
use crate::span::Span;

/// Changes remembered at most. Beyond it the oldest are forgotten, and asking for them costs a
/// search.
const LIMIT_CHANGES: usize = 8192;
/// Bytes of keys remembered at most.
const LIMIT_BYTES: usize = 1 << 20;

/// Where a record has changed something.
#[derive(Clone, Debug)]
pub(crate) enum Touched {
    Key(Key),
    Span(Span),
}

impl Touched {
    fn bytes(&self) -> usize {
        match self {
            Touched::Key(key) => key.len(),
            Touched::Span(span) => {
                span.lower.len() + span.upper.as_ref().map_or(0, |key| key.len())
            }
        }
    }
}

/// The latest changes, kept only while somebody watches: otherwise writes do nothing for it.
#[derive(Debug, Default)]
pub(super) struct Recent {
    watchers: AtomicUsize,
    changes: Mutex<Changes>,
}

#[derive(Debug, Default)]
struct Changes {
    queue: VecDeque<(Lsn, KeyspaceId, Touched)>,
    bytes: usize,
    /// Changes up to here are not known.
    forgotten: Lsn,
}

impl Recent {
    pub(super) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Acquire) > 0
    }

    /// Remembers changes of the record at `lsn`, before they are in the memtable.
    pub(super) fn remember(&self, lsn: Lsn, changes: &[Change]) {
        let mut known = self.changes.lock();
        for change in changes {
            let (keyspace, touched) = match change {
                Change::Point { keyspace, key, .. } => (*keyspace, Touched::Key(key.clone())),
                Change::Range { keyspace, span, .. } => (*keyspace, Touched::Span(span.clone())),
            };
            known.bytes += touched.bytes();
            known.queue.push_back((lsn, keyspace, touched));
        }
        while known.queue.len() > LIMIT_CHANGES || known.bytes > LIMIT_BYTES {
            let Some((lsn, _, touched)) = known.queue.pop_front() else { break };
            known.bytes -= touched.bytes();
            known.forgotten = lsn;
        }
    }

    /// Records were taken back: what is remembered does not tell any more what a watcher has
    /// missed.
    pub(super) fn forget(&self) {
        *self.changes.lock() = Changes { forgotten: Lsn::MAX, ..Changes::default() };
    }
}

/// Sees everything that is applied from its beginning on.
#[derive(Debug)]
pub(crate) struct Watch {
    state: Arc<State>,
    since: Lsn,
}

impl State {
    /// Begins to watch, from the last applied record on.
    pub(crate) fn watch(self: &Arc<Self>) -> Watch {
        // A record that is being applied meanwhile would be half remembered.
        let _applying = self.applying.lock();
        let since = self.last_applied_lsn();
        if self.recent.watchers.fetch_add(1, Ordering::AcqRel) == 0 {
            *self.recent.changes.lock() = Changes { forgotten: since, ..Changes::default() };
        }
        Watch { state: Arc::clone(self), since }
    }
}

impl Watch {
    /// The first change since the beginning that `concerns` somebody. `Err` if too much was written
    /// to remember it all.
    ///
    /// Complete up to the last applied record as long as nobody applies.
    pub(crate) fn find(
        &self,
        concerns: impl Fn(KeyspaceId, &Touched) -> bool,
    ) -> Result<Option<Lsn>, Forgotten> {
        let known = self.state.recent.changes.lock();
        if known.forgotten > self.since {
            return Err(Forgotten);
        }
        let unseen = known.queue.partition_point(|(lsn, ..)| *lsn <= self.since);
        let mut changes = known.queue.range(unseen..);
        Ok(changes.find(|(_, id, touched)| concerns(*id, touched)).map(|(lsn, ..)| *lsn))
    }
}

/// More was written since than is remembered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten;

impl Drop for Watch {
    fn drop(&mut self) {
        if self.state.recent.watchers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut changes = self.state.recent.changes.lock();
            // Somebody may have come meanwhile, and needs what is remembered for him.
            if !self.state.recent.is_watched() {
                *changes = Changes::default();
            }
        }
    }
}
