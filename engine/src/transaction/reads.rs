//! What a transaction has read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mainstay_wal::Lsn;
use parking_lot::Mutex;

use crate::bytes::Key;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::span::{self, Span};
use crate::state::{State, Touched};

/// Keys or ranges that are remembered one by one in a keyspace. Beyond it they are taken together
/// as one range, which may find conflicts where there are none, but misses none.
const LIMIT_ITEMS: usize = 10_000;

/// How far a range was read. Shared with the iterator, which may live on.
#[derive(Debug)]
pub(super) struct RangeRead {
    whole: Span,
    /// Keys below were read.
    front: Key,
    /// Keys from here on were read; `None`: the end of the range, nothing was.
    back: Option<Key>,
    all: bool,
}

impl RangeRead {
    pub(super) fn new(whole: &Span) -> Self {
        RangeRead { front: whole.lower.clone(), back: None, whole: whole.clone(), all: false }
    }

    /// The front gave out this key, and so told that there is nothing before it.
    pub(super) fn front_reached(&mut self, key: &Key) {
        self.front = span::after(key);
    }

    pub(super) fn back_reached(&mut self, key: &Key) {
        self.back = Some(key.clone());
    }

    /// It told that there is nothing more.
    pub(super) fn all_read(&mut self) {
        self.all = true;
    }

    fn spans(&self) -> Vec<Span> {
        if self.all {
            return vec![self.whole.clone()];
        }
        let front = Span { lower: self.whole.lower.clone(), upper: Some(self.front.clone()) };
        let back = self.back.clone().map(|lower| Span { lower, upper: self.whole.upper.clone() });
        std::iter::once(front).chain(back).filter(|span| !span.is_empty()).collect()
    }
}

/// The keys and ranges that a transaction has read from its snapshot, and not from what it wrote
/// itself.
#[derive(Debug, Default)]
pub(super) struct ReadSet {
    keyspaces: BTreeMap<KeyspaceId, Reads>,
}

#[derive(Debug, Default)]
struct Reads {
    keys: BTreeSet<Key>,
    ranges: Vec<Arc<Mutex<RangeRead>>>,
    /// Ranges that are read no further.
    spans: Vec<Span>,
}

impl ReadSet {
    pub(super) fn add_key(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        let reads = self.keyspaces.entry(keyspace).or_default();
        if !reads.keys.contains(key) {
            reads.keys.insert(Key::from(key));
            reads.bound_keys();
        }
    }

    pub(super) fn add_range(
        &mut self,
        keyspace: KeyspaceId,
        within: &Span,
    ) -> Arc<Mutex<RangeRead>> {
        let range = Arc::new(Mutex::new(RangeRead::new(within)));
        let reads = self.keyspaces.entry(keyspace).or_default();
        reads.ranges.push(Arc::clone(&range));
        reads.bound_ranges();
        range
    }

    /// The set as it is when nothing is read any more.
    pub(super) fn finish(self) -> FinishedReads {
        let finish = |reads: Reads| {
            let mut spans = reads.spans;
            spans.extend(reads.ranges.iter().flat_map(|range| range.lock().spans()));
            (reads.keys, span::join(spans))
        };
        FinishedReads {
            keyspaces: self.keyspaces.into_iter().map(|(id, reads)| (id, finish(reads))).collect(),
        }
    }
}

impl Reads {
    fn bound_keys(&mut self) {
        if self.keys.len() > LIMIT_ITEMS {
            let keys = std::mem::take(&mut self.keys);
            if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
                self.spans.push(Span { lower: first.clone(), upper: Some(span::after(last)) });
                self.bound_spans();
            }
        }
    }

    fn bound_ranges(&mut self) {
        // Often enough to stay small, seldom enough to cost nothing.
        if self.ranges.len().is_multiple_of(64) {
            let (running, finished): (Vec<_>, Vec<_>) =
                self.ranges.drain(..).partition(|range| Arc::strong_count(range) > 1);
            self.ranges = running;
            self.spans.extend(finished.iter().flat_map(|range| range.lock().spans()));
            self.bound_spans();
        }
    }

    fn bound_spans(&mut self) {
        if self.spans.len() <= LIMIT_ITEMS {
            return;
        }
        self.spans = span::join(std::mem::take(&mut self.spans));
        if self.spans.len() > LIMIT_ITEMS / 2 {
            let upper = self.spans.last().and_then(|last| last.upper.clone());
            let lower = self.spans.swap_remove(0).lower;
            self.spans = vec![Span { lower, upper }];
        }
    }
}

/// A [`ReadSet`] that does not grow any more.
#[derive(Debug)]
pub(super) struct FinishedReads {
    keyspaces: BTreeMap<KeyspaceId, (BTreeSet<Key>, Vec<Span>)>,
}

impl FinishedReads {
    pub(super) fn is_empty(&self) -> bool {
        self.keyspaces.values().all(|(keys, spans)| keys.is_empty() && spans.is_empty())
    }

    /// Whether a change touches something that was read.
    pub(super) fn concern(&self, keyspace: KeyspaceId, touched: &Touched) -> bool {
        let Some((keys, spans)) = self.keyspaces.get(&keyspace) else { return false };
        match touched {
            Touched::Key(key) => keys.contains(key) || span::covers(spans, key).is_some(),
            Touched::Span(changed) => {
                spans.iter().any(|span| span.overlaps(changed))
                    || keys.range::<[u8], _>(changed.bounds()).next().is_some()
            }
        }
    }

    /// Compares with everything that was applied since a snapshot at `since`.
    pub(super) fn check(&self, state: &State, since: Lsn) -> Result<()> {
        for (keyspace, (keys, spans)) in &self.keyspaces {
            for key in keys {
                if let Some(lsn) = state.key_changed_since(*keyspace, key, since)? {
                    return Err(Error::Conflict { lsn });
                }
            }
            for span in spans {
                if let Some(lsn) = state.changed_in(*keyspace, span, since)? {
                    return Err(Error::Conflict { lsn });
                }
            }
        }
        Ok(())
    }
}
