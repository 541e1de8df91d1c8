//! Removals of whole ranges.

use std::collections::BTreeMap;
use std::ops::Bound;

use mainstay_wal::Lsn;

use crate::bytes::Key;
use crate::span::{self, Span};

/// A range that was removed. A point written at the same LSN was written after it.
#[derive(Clone, Debug)]
pub(crate) struct Removal {
    pub(crate) lsn: Lsn,
    pub(crate) span: Span,
    /// Whether the keyspace itself was dropped; the span is then everything.
    pub(crate) drops_keyspace: bool,
}

impl Removal {
    /// What it takes, with the two stretches of the skyline that it adds at most.
    fn bytes(&self) -> usize {
        let keys = self.span.lower.len() + self.span.upper.as_ref().map_or(0, |key| key.len());
        keys + 2 * size_of::<Removal>() + 2 * STRETCH_BYTES
    }
}

/// The removals of ranges in one keyspace of one memtable.
///
/// Invariants:
/// - `list` is in order of LSN;
/// - `skyline` is what one sees from above: stretches that do not overlap, each with the newest
///   removal over it. What it does not cover was never removed, so that most questions need no more
///   than it.
#[derive(Debug, Default)]
pub(super) struct Removals {
    list: Vec<Removal>,
    /// Lower key of a stretch -> its upper key and the newest removal.
    skyline: BTreeMap<Key, (Option<Key>, Lsn)>,
}

impl Removals {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn list(&self) -> &[Removal] {
        &self.list
    }

    /// Adds a removal that is not older than any here. Returns the bytes it takes.
    pub(super) fn add(&mut self, removal: Removal) -> usize {
        if let Some(last) = self.list.last() {
            assert!(removal.lsn >= last.lsn, "removal at {} comes after {}", removal.lsn, last.lsn);
        }
        let bytes = removal.bytes();
        self.raise(&removal.span, removal.lsn);
        self.list.push(removal);
        bytes
    }

    /// The newest removal of `key` that is not past `at`.
    pub(super) fn newest(&self, key: &[u8], at: Lsn) -> Option<Lsn> {
        let below = (Bound::Unbounded, Bound::Included(key));
        let (_, (upper, lsn)) = self.skyline.range::<[u8], _>(below).next_back()?;
        if upper.as_ref().is_some_and(|upper| **upper <= *key) {
            return None;
        }
        if *lsn <= at {
            return Some(*lsn);
        }
        // Only a reader in the past comes here.
        let known = self.list.partition_point(|removal| removal.lsn <= at);
        let mut newest_first = self.list[..known].iter().rev();
        newest_first.find(|removal| removal.span.contains(key)).map(|removal| removal.lsn)
    }

    /// Removes what is past `lsn`. Returns the bytes that it took.
    pub(super) fn truncate_after(&mut self, lsn: Lsn) -> usize {
        let kept = self.list.partition_point(|removal| removal.lsn <= lsn);
        let before = self.list.len();
        let mut fresh = Removals::default();
        let mut removed_bytes = 0;
        for (position, removal) in std::mem::take(&mut self.list).into_iter().enumerate() {
            if position < kept {
                fresh.add(removal);
            } else {
                removed_bytes += removal.bytes();
            }
        }
        assert_eq!(fresh.list.len(), kept.min(before), "removals kept");
        *self = fresh;
        removed_bytes
    }

    /// Puts a stretch over whatever lies below it.
    fn raise(&mut self, span: &Span, lsn: Lsn) {
        if span.is_empty() {
            return;
        }
        // The stretch that begins before the span: keep what of it lies on either side.
        let before = (Bound::Unbounded, Bound::Excluded(&*span.lower));
        if let Some((_, (upper, below))) = self.skyline.range_mut::<[u8], _>(before).next_back() {
            let old = Span { lower: span.lower.clone(), upper: upper.clone() };
            if !old.is_empty() {
                *upper = Some(span.lower.clone());
                let below = *below;
                self.keep_right_of(span, old.upper, below);
            }
        }
        // Those that begin inside: only the last can stick out on the right.
        let inside: Vec<Key> =
            self.skyline.range::<[u8], _>(span.bounds()).map(|(lower, _)| lower.clone()).collect();
        for lower in inside {
            if let Some((upper, below)) = self.skyline.remove(&lower) {
                self.keep_right_of(span, upper, below);
            }
        }
        self.skyline.insert(span.lower.clone(), (span.upper.clone(), lsn));
    }

    /// Puts back the part of an older stretch, which ends at `upper`, that lies right of `span`.
    fn keep_right_of(&mut self, span: &Span, upper: Option<Key>, lsn: Lsn) {
        let Some(end) = &span.upper else { return };
        if upper.as_ref().is_none_or(|upper| upper > end) {
            self.skyline.insert(end.clone(), (upper, lsn));
        }
    }

    /// The stretches removed at or before `at`, joined.
    pub(super) fn spans(&self, within: &Span, at: Lsn) -> Vec<Span> {
        let known = self.list.partition_point(|removal| removal.lsn <= at);
        let seen = self.list[..known].iter().map(|removal| &removal.span);
        span::join(seen.filter(|span| span.overlaps(within) && !span.is_empty()).cloned().collect())
    }

    /// The newest removal past `since` that touches `within`.
    pub(super) fn newest_over(&self, within: &Span, since: Lsn) -> Option<Lsn> {
        let newest_first = self.list.iter().rev().take_while(|removal| removal.lsn > since);
        newest_first.filter(|removal| removal.span.overlaps(within)).map(|r| r.lsn).next()
    }
}

/// What a stretch of the skyline takes, its keys apart.
const STRETCH_BYTES: usize = (size_of::<(Key, Option<Key>, Lsn)>()) * 3 / 2;
