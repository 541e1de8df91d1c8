//! The segments that make up a log at present, and where their groups begin.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::DiskFile;
use crate::ids::{Lsn, SegmentNumber};
use crate::scan::ExtentEnd;
use crate::segment::SegmentHeader;

/// One place in the sparse index for at least so many bytes of log.
const INDEX_STEP_BYTES: u64 = 64 << 10;

/// A segment in use, shared by the writer and any number of readers.
#[derive(Debug)]
pub(crate) struct LiveSegment {
    pub(crate) header: SegmentHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    /// First LSN and offset of some of the groups, in order; enough to begin reading near any
    /// record.
    index: Mutex<Vec<(Lsn, u64)>>,
}

impl LiveSegment {
    pub(crate) fn new(header: SegmentHeader, file: Arc<dyn DiskFile>) -> LiveSegment {
        LiveSegment { header, file, index: Mutex::new(Vec::new()) }
    }

    pub(crate) fn number(&self) -> SegmentNumber {
        self.header.number
    }

    /// Notes that a group with frames begins here. Called in the order of the groups.
    pub(crate) fn note_group(&self, first_lsn: Lsn, offset: u64) {
        let mut index = self.index.lock();
        if index.last().is_none_or(|&(_, last)| offset >= last + INDEX_STEP_BYTES) {
            index.push((first_lsn, offset));
        }
    }

    /// Where to begin reading to find a record: the offset of a group at or before it.
    pub(crate) fn group_before(&self, lsn: Lsn) -> u64 {
        let index = self.index.lock();
        let after = index.partition_point(|&(first, _)| first <= lsn);
        match after.checked_sub(1) {
            Some(at) => index[at].1,
            None => self.header.body_offset(),
        }
    }
}

/// All segments in use, oldest first.
///
/// Invariants: numbers increase strictly; first LSNs increase strictly, so the last segment at or
/// below an LSN is the one that holds it.
#[derive(Debug, Default)]
pub(crate) struct LiveSegments {
    segments: VecDeque<Arc<LiveSegment>>,
}

impl LiveSegments {
    pub(crate) fn push(&mut self, segment: Arc<LiveSegment>) {
        if let Some(last) = self.segments.back() {
            assert!(
                last.number() < segment.number(),
                "segment {} behind segment {}",
                segment.number(),
                last.number()
            );
            assert!(
                last.header.first_lsn < segment.header.first_lsn,
                "LSN {} behind LSN {}",
                segment.header.first_lsn,
                last.header.first_lsn
            );
        }
        self.segments.push_back(segment);
    }

    /// The first record of the log, or the one that will be.
    pub(crate) fn first_lsn(&self) -> Lsn {
        self.segments.front().map_or(Lsn(1), |segment| segment.header.first_lsn)
    }

    pub(crate) fn holding(&self, lsn: Lsn) -> Option<&Arc<LiveSegment>> {
        let after = self.segments.partition_point(|segment| segment.header.first_lsn <= lsn);
        after.checked_sub(1).and_then(|at| self.segments.get(at))
    }

    /// Where the part of the log ends that a segment holds; `None` for the last one.
    pub(crate) fn end_of(&self, number: SegmentNumber) -> Option<ExtentEnd> {
        let after = self.segments.partition_point(|segment| segment.number() <= number);
        self.segments.get(after).map(|next| ExtentEnd {
            last_lsn: next.header.first_lsn.previous(),
            chain: next.header.chain_before,
        })
    }

    pub(crate) fn last(&self) -> Option<&Arc<LiveSegment>> {
        self.segments.back()
    }

    /// Takes the oldest segment out if the next one begins at or before `first_kept`.
    pub(crate) fn pop_below(&mut self, first_kept: Lsn) -> Option<Arc<LiveSegment>> {
        let next = self.segments.get(1)?;
        if next.header.first_lsn <= first_kept { self.segments.pop_front() } else { None }
    }

    /// Takes the newest segment out if it holds nothing at or below `last_kept`.
    pub(crate) fn pop_above(&mut self, last_kept: Lsn) -> Option<Arc<LiveSegment>> {
        let last = self.segments.back()?;
        if last.header.first_lsn > last_kept { self.segments.pop_back() } else { None }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<LiveSegment>> {
        self.segments.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }
}
