//! The core of a log: what it knows and what it decides. It does no I/O of its own accord.
//!
//! [`Core::append`] copies a frame into the open group. [`Pipeline::begin`] takes the oldest group
//! and gives the bytes and their place; [`Pipeline::finish`] is told how the write ended. Between
//! the two anything may happen.

mod group_queue;
mod pipeline;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use crate::commit::Finished;
use crate::disk::{AlignedBuffer, Disk};
use crate::error::{Cause, Error};
use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, Frames};
use crate::group::GROUP_HEADER_BYTES;
use crate::history::EpochHistory;
use crate::ids::{Chain, DatabaseId, Epoch, LogId, Lsn, SegmentNumber};
use crate::live::{LiveSegment, LiveSegments};
use crate::options::LogOptions;
use crate::prepare::Prepared;
use crate::segment::SegmentHeader;
use crate::stats::LogStats;
use crate::sync::Event;

pub use group_queue::GroupWrite;
pub(crate) use group_queue::{Group, RecentGroup};

/// Why a record was not appended.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The log is finished, or the record is not acceptable.
    Refused(Error),
    /// A segment of at least so many bytes must be prepared first.
    SegmentNeeded { bytes: u64 },
    /// Too much waits for the disk: wait until this record is durable.
    Full { wait_for: Lsn },
}

/// What stopped the log.
#[derive(Clone, Debug)]
pub(crate) struct Poison {
    pub(crate) cause: Cause,
    /// The records of the write that failed: nobody knows whether they are durable.
    pub(crate) indeterminate: (Lsn, Lsn),
}

/// The state of a log.
///
/// Invariants:
/// - `durable.lsn <= end.lsn`; the records between them are in `in_flight`, then in `groups`,
///   without a gap;
/// - every group in `groups` has at least one frame; only the last one still grows;
/// - `in_flight` is set exactly between begin and finish of a write;
/// - `header_pending` says that the last segment's header is not written yet and no group has taken
///   it along.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: LogOptions,
    pub(crate) database_id: DatabaseId,
    /// The epoch that the next record of this node gets.
    pub(crate) epoch: Epoch,
    pub(crate) end: LogId,
    pub(crate) end_chain: Chain,
    pub(crate) durable: LogId,
    /// The same LSN, for those who only ask and need no lock for it.
    durable_published: Arc<AtomicU64>,
    /// The highest `durable_upto` that stands on the disk.
    pub(crate) proven_lsn: Lsn,
    pub(crate) commit_lsn: Lsn,
    pub(crate) history: EpochHistory,
    pub(crate) segments: LiveSegments,
    /// Where the next group goes in the last segment.
    pub(crate) next_offset: u64,
    header_pending: bool,
    /// The bytes of the last, partly filled block in front of `next_offset` of the last group
    /// written.
    tail_block: Vec<u8>,
    groups: VecDeque<Group>,
    in_flight: Option<InFlight>,
    pending_bytes: usize,
    pub(crate) prepared: Option<Prepared>,
    /// Segments that never held a record, each with the first one of the segment that took its
    /// place. Their files go once that record is durable.
    pub(crate) replaced: Vec<(SegmentNumber, Lsn)>,
    pub(crate) next_number: SegmentNumber,
    pub(crate) salts: u64,
    pub(crate) poison: Option<Poison>,
    pub(crate) closed: bool,
    pub(crate) recent: VecDeque<RecentGroup>,
    recent_bytes: usize,
    spare_buffers: Vec<AlignedBuffer>,
    pub(crate) holds: BTreeMap<u64, Hold>,
    pub(crate) next_hold: u64,
    pub(crate) stats: LogStats,
    /// Whether the log's thread sleeps until somebody notifies it.
    pub(crate) thread_parked: bool,
    /// Whether somebody wants what was appended to become durable without waiting for it.
    pub(crate) sync_requested: bool,
}

#[derive(Debug)]
struct InFlight {
    first_lsn: Lsn,
    last: LogId,
    event: Arc<Event>,
    wakers: Vec<Waker>,
    buffer: Arc<AlignedBuffer>,
    frames: Range<usize>,
}

/// Keeps the log from an LSN on.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) lsn: Lsn,
    pub(crate) lost: bool,
}

/// What a log knows when it begins or is opened.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) database_id: DatabaseId,
    pub(crate) end: LogId,
    pub(crate) end_chain: Chain,
    pub(crate) proven_lsn: Lsn,
    pub(crate) commit_lsn: Lsn,
    pub(crate) history: EpochHistory,
    pub(crate) segments: LiveSegments,
    pub(crate) next_offset: u64,
    pub(crate) tail_block: Vec<u8>,
    pub(crate) next_number: SegmentNumber,
    pub(crate) salts: u64,
}

impl Core {
    pub(crate) fn new(disk: Arc<dyn Disk>, options: LogOptions, start: Start) -> Core {
        Core {
            disk,
            options,
            database_id: start.database_id,
            epoch: start.end.epoch.max(Epoch::FIRST),
            end: start.end,
            end_chain: start.end_chain,
            durable: start.end,
            durable_published: Arc::new(AtomicU64::new(start.end.lsn.0)),
            proven_lsn: start.proven_lsn,
            commit_lsn: start.commit_lsn,
            history: start.history,
            segments: start.segments,
            next_offset: start.next_offset,
            header_pending: false,
            tail_block: start.tail_block,
            groups: VecDeque::new(),
            in_flight: None,
            pending_bytes: 0,
            prepared: None,
            replaced: Vec::new(),
            next_number: start.next_number,
            salts: start.salts,
            poison: None,
            closed: false,
            recent: VecDeque::new(),
            recent_bytes: 0,
            spare_buffers: Vec::new(),
            holds: BTreeMap::new(),
            next_hold: 0,
            stats: LogStats::default(),
            thread_parked: false,
            sync_requested: false,
        }
    }

    /// Begins the log anew at another place: after a truncation or a reset. Nothing may be waiting.
    pub(crate) fn restart_at(&mut self, end: LogId, end_chain: Chain, segment: Arc<LiveSegment>) {
        assert!(self.is_quiet(), "{:?} in flight, {} groups", self.in_flight, self.groups.len());
        self.end = end;
        self.end_chain = end_chain;
        self.set_durable(end);
        self.proven_lsn = end.lsn;
        self.commit_lsn = self.commit_lsn.min(end.lsn);
        self.next_offset = segment.header.body_offset();
        self.tail_block = Vec::new();
        self.segments.push(segment);
        self.recent.clear();
        self.recent_bytes = 0;
    }

    fn set_durable(&mut self, durable: LogId) {
        self.durable = durable;
        self.durable_published.store(durable.lsn.0, Ordering::Release);
    }

    /// Where the LSN of the newest durable record is published.
    pub(crate) fn durable_published(&self) -> Arc<AtomicU64> {
        self.durable_published.clone()
    }

    /// Whether nothing is in flight or waits to be written.
    pub(crate) fn is_quiet(&self) -> bool {
        self.in_flight.is_none() && self.groups.is_empty()
    }

    /// Whether records wait to be written.
    pub(crate) fn has_pending(&self) -> bool {
        !self.groups.is_empty()
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// What every later call gets once the log is finished.
    pub(crate) fn refusal(&self) -> Option<Error> {
        if let Some(poison) = &self.poison {
            return Some(Error::Poisoned { cause: poison.cause.clone() });
        }
        self.closed.then_some(Error::Closed)
    }

    /// Stops the log for good, for a reason outside of its groups. A write in flight still ends as
    /// it may; what waits behind it is never written. Gives what must be woken.
    pub(crate) fn stop(&mut self, cause: Cause) -> Finished {
        self.poison(cause, (Lsn::MAX, Lsn::ZERO));
        let mut finished = Finished { failed: true, ..Finished::default() };
        self.abandon_groups(&mut finished);
        finished
    }

    /// Notes the first failure, and for which records nobody knows whether they are durable.
    fn poison(&mut self, cause: Cause, indeterminate: (Lsn, Lsn)) {
        match &mut self.poison {
            // It was stopped while this write was in flight.
            Some(poison) => poison.indeterminate = indeterminate,
            None => {
                tracing::error!(%cause, "the log is poisoned: no further write will be accepted");
                self.poison = Some(Poison { cause, indeterminate });
            }
        }
    }

    /// What waits behind the write in flight is never written: definitely not applied.
    fn abandon_groups(&mut self, finished: &mut Finished) {
        for group in self.groups.drain(..) {
            finished.events.push(group.event);
            finished.wakers.extend(group.wakers);
        }
        self.pending_bytes = self.in_flight.as_ref().map_or(0, |write| write.frames.len());
    }

    /// Gives the next LSN to a payload and copies its frame into the open group.
    pub(crate) fn append(
        &mut self,
        payload: &[u8],
        payload_crc: u32,
    ) -> std::result::Result<Lsn, AppendError> {
        let payload_bytes = self.check_size(payload.len())?;
        self.make_room(FRAME_HEADER_BYTES + payload.len())?;
        let lsn = self.end.lsn.next();
        let header = FrameHeader::new(lsn, self.epoch, payload_bytes, payload_crc);
        self.push_frame(&header, payload);
        Ok(lsn)
    }

    /// Appends frames of another log verbatim, behind `previous`; gives how many bytes of them were
    /// appended. Less than all means that a segment must be prepared or the disk waited for;
    /// none, that nothing was appended.
    pub(crate) fn append_frames(
        &mut self,
        previous: LogId,
        frames: &[u8],
    ) -> std::result::Result<usize, AppendError> {
        if previous != self.end {
            let error = Error::NotContiguous { expected: previous, end: self.end };
            return Err(AppendError::Refused(error));
        }
        let largest = self.check_frames(frames)?;
        self.check_size(largest)?;
        let mut rest = Frames::new(frames);
        let mut appended = 0;
        while let Some(Ok(frame)) = rest.next() {
            match self.make_room(frame.bytes()) {
                Ok(()) => self.push_frame(&frame.header, frame.payload),
                Err(error) if appended == 0 => return Err(error),
                Err(_) => break,
            }
            appended = rest.offset();
        }
        self.epoch = self.epoch.max(self.end.epoch);
        Ok(appended)
    }

    /// Checks frames from a peer; gives the size of the largest payload.
    fn check_frames(&self, frames: &[u8]) -> std::result::Result<usize, AppendError> {
        let bad = |reason: String| AppendError::Refused(Error::BadFrames { reason });
        let (mut end, mut largest) = (self.end, 0);
        for frame in Frames::new(frames) {
            let Frame { header, payload } = frame.map_err(|error| bad(error.to_string()))?;
            if header.lsn != end.lsn.next() {
                return Err(bad(format!("LSN {} follows LSN {}", header.lsn, end.lsn)));
            }
            if header.epoch < end.epoch {
                return Err(bad(format!("epoch {} follows epoch {}", header.epoch, end.epoch)));
            }
            end = header.log_id();
            largest = largest.max(payload.len());
        }
        Ok(largest)
    }

    fn check_size(&self, payload_bytes: usize) -> std::result::Result<u32, AppendError> {
        if let Some(error) = self.refusal() {
            return Err(AppendError::Refused(error));
        }
        let limit = self.options.max_record_bytes;
        match u32::try_from(payload_bytes) {
            Ok(bytes) if bytes <= limit => Ok(bytes),
            _ => Err(AppendError::Refused(Error::TooLarge {
                bytes: payload_bytes as u64,
                limit_bytes: u64::from(limit),
            })),
        }
    }

    fn check_pending(&self, more: usize) -> std::result::Result<(), AppendError> {
        let limit = self.options.max_pending_bytes;
        if self.pending_bytes > 0 && self.pending_bytes + more > limit {
            return Err(AppendError::Full { wait_for: self.durable.lsn.next() });
        }
        Ok(())
    }

    /// Makes sure that the open group, or a new one, has room for a frame.
    fn make_room(&mut self, frame_bytes: usize) -> std::result::Result<(), AppendError> {
        self.check_pending(frame_bytes)?;
        if let Some(open) = self.groups.back()
            && open.has_room_for(frame_bytes, self.options.max_group_bytes)
        {
            return Ok(());
        }
        let offset = self.next_offset;
        let fits = |size: u64, offset: u64| {
            // Behind every group with frames an empty one must fit, to say that it was durable.
            offset + (2 * GROUP_HEADER_BYTES + frame_bytes) as u64 <= size
        };
        let size = self.segments.last().map_or(0, |last| last.header.size_bytes);
        if !fits(size, offset) {
            self.open_segment(frame_bytes)?;
        }
        self.open_group();
        Ok(())
    }

    /// Takes the prepared segment into use behind everything appended so far.
    fn open_segment(&mut self, frame_bytes: usize) -> std::result::Result<(), AppendError> {
        let needed = self.segment_bytes_for(frame_bytes);
        let usable = |prepared: &Prepared| {
            let body = prepared.size_bytes - u64::from(self.options.block_bytes);
            (2 * GROUP_HEADER_BYTES + frame_bytes) as u64 <= body
        };
        let Some(prepared) = self.prepared.take_if(|prepared| usable(prepared)) else {
            return Err(AppendError::SegmentNeeded { bytes: needed });
        };
        // A segment without records gives way to the new one, which begins with the same record.
        let replaced = self.segments.pop_above(self.end.lsn);
        let origin = replaced.as_ref().is_some_and(|replaced| replaced.header.origin);
        let header = self.next_header(prepared.number, prepared.size_bytes, origin);
        self.replaced.extend(replaced.map(|replaced| (replaced.number(), header.first_lsn)));
        self.next_offset = header.body_offset();
        self.header_pending = true;
        self.segments.push(Arc::new(LiveSegment::new(header, prepared.file)));
        self.stats.rotations += 1;
        Ok(())
    }

    /// The size of a segment that holds a frame of so many bytes: the planned one, or the next
    /// power of two.
    pub(crate) fn segment_bytes_for(&self, frame_bytes: usize) -> u64 {
        let last = self.segments.last().map_or(0, |last| last.header.size_bytes);
        let planned =
            (last * 2).clamp(self.options.first_segment_bytes, self.options.max_segment_bytes);
        let needed =
            u64::from(self.options.block_bytes) + (2 * GROUP_HEADER_BYTES + frame_bytes) as u64;
        planned.max(needed.next_power_of_two())
    }

    /// The header of a segment that begins behind everything appended so far.
    pub(crate) fn next_header(
        &mut self,
        number: SegmentNumber,
        size_bytes: u64,
        origin: bool,
    ) -> SegmentHeader {
        let epoch = self.history.last();
        SegmentHeader {
            database_id: self.database_id,
            number,
            size_bytes,
            block_bytes: self.options.block_bytes,
            origin,
            salt: self.next_salt(),
            first_lsn: self.end.lsn.next(),
            epoch: epoch.map_or(Epoch::ZERO, |entry| entry.epoch),
            epoch_start_lsn: epoch.map_or(Lsn::ZERO, |entry| entry.start_lsn),
            epoch_chain: epoch.map_or(Chain::EMPTY, |entry| entry.chain_at_start),
            chain_before: self.end_chain,
        }
    }

    fn next_salt(&mut self) -> u64 {
        next_salt(&mut self.salts)
    }
}

/// Draws the salt of a segment (the splitmix64 generator).
pub(crate) fn next_salt(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
