//! The core as the hand-off of group commit sees it.

use std::io;
use std::sync::Arc;
use std::task::Waker;

use super::group_queue::{Group, GroupWrite, RecentGroup};
use super::{Core, InFlight};
use crate::commit::{Finished, Pipeline, Status};
use crate::disk::AlignedBuffer;
use crate::error::{Cause, Error};
use crate::group::GROUP_HEADER_BYTES;
use crate::ids::Lsn;
use crate::sync::Event;

/// Buffers kept for later groups.
const MAX_SPARE_BUFFERS: usize = 4;

impl Pipeline for Core {
    type Write = GroupWrite;
    type Outcome = io::Result<()>;
    type Error = Error;

    fn is_writing(&self) -> bool {
        self.in_flight.is_some()
    }

    fn begin(&mut self) -> Option<GroupWrite> {
        if self.in_flight.is_some() || self.poison.is_some() {
            return None;
        }
        let group = self.groups.pop_front()?;
        if self.groups.is_empty() {
            self.sync_requested = false;
        }
        Some(self.launch(group))
    }

    fn finish(&mut self, write: GroupWrite, outcome: io::Result<()>) -> Finished {
        let Some(mut in_flight) = self.in_flight.take() else {
            unreachable!("a write is finished once");
        };
        let mut finished = Finished {
            failed: outcome.is_err(),
            events: vec![in_flight.event.clone()],
            wakers: std::mem::take(&mut in_flight.wakers),
        };
        match outcome {
            Ok(()) => {
                self.proven_lsn = self.proven_lsn.max(write.durable_upto);
                self.stats.syncs += 1;
                self.stats.written_bytes += write.buffer.len() as u64;
                self.note_durable(in_flight, write);
            }
            Err(error) => {
                let cause = Cause { operation: "write and sync a group", source: Arc::new(error) };
                self.poison(cause, (in_flight.first_lsn, in_flight.last.lsn));
                self.abandon_groups(&mut finished);
            }
        }
        finished
    }

    fn status(&self, record: u64) -> Status<Error> {
        // Nothing beyond the end is waited for: who asks for it means what was appended so far.
        let lsn = Lsn(record).min(self.end.lsn);
        if lsn <= self.durable.lsn {
            return Status::Durable;
        }
        if let Some(in_flight) = &self.in_flight
            && lsn <= in_flight.last.lsn
        {
            return Status::Pending(in_flight.event.clone());
        }
        if let Some(poison) = &self.poison {
            let cause = poison.cause.clone();
            let (first, last) = poison.indeterminate;
            return Status::Failed(if (first..=last).contains(&lsn) {
                Error::Indeterminate { cause }
            } else {
                Error::Poisoned { cause }
            });
        }
        let at = self.groups.partition_point(|group| group.last.lsn < lsn);
        Status::Pending(self.groups[at].event.clone())
    }

    fn next_event(&self) -> Option<Arc<Event>> {
        self.groups.front().map(|group| group.event.clone())
    }
}

impl Core {
    /// Takes an empty group that says up to where the log is durable, if the disk does not say so
    /// yet.
    pub(crate) fn begin_proof(&mut self) -> Option<GroupWrite> {
        let needed = !(self.proven_lsn >= self.durable.lsn || self.poison.is_some());
        let room = self.segments.last().is_some_and(|last| {
            self.next_offset + GROUP_HEADER_BYTES as u64 <= last.header.size_bytes
        });
        if !(needed && room && self.is_quiet()) {
            return None;
        }
        self.open_group();
        let group = self.groups.pop_back()?;
        Some(self.launch(group))
    }

    /// The oldest record that waits to be written.
    pub(crate) fn first_pending(&self) -> Option<Lsn> {
        self.groups.front().map(|group| group.first_lsn)
    }

    /// Adds a waker to a record's group. False if the record is not pending.
    pub(crate) fn wake_later(&mut self, lsn: Lsn, waker: &Waker) -> bool {
        let lsn = lsn.min(self.end.lsn);
        if lsn <= self.durable.lsn {
            return false;
        }
        if let Some(in_flight) = &mut self.in_flight
            && lsn <= in_flight.last.lsn
        {
            in_flight.wakers.push(waker.clone());
            return true;
        }
        if self.poison.is_some() {
            return false;
        }
        let at = self.groups.partition_point(|group| group.last.lsn < lsn);
        let Some(group) = self.groups.get_mut(at) else { return false };
        group.wakers.push(waker.clone());
        true
    }

    /// Copies frames that are not durable yet, from a record on, for a reader that ships them.
    pub(crate) fn pending_frames(&self, from: Lsn) -> Option<Vec<u8>> {
        if let Some(in_flight) = &self.in_flight
            && (in_flight.first_lsn..=in_flight.last.lsn).contains(&from)
        {
            return Some(in_flight.buffer[in_flight.frames.clone()].to_vec());
        }
        let at = self.groups.partition_point(|group| group.last.lsn < from);
        self.groups.get(at).map(|group| group.buffer[group.frames()].to_vec())
    }

    fn launch(&mut self, mut group: Group) -> GroupWrite {
        let block_offset = group.offset - group.prefix_bytes() as u64;
        let frames = self.seal(&mut group);
        let buffer = Arc::new(group.buffer);
        self.in_flight = Some(InFlight {
            first_lsn: group.first_lsn,
            last: group.last,
            event: group.event,
            wakers: group.wakers,
            buffer: buffer.clone(),
            frames,
        });
        GroupWrite {
            segment_header: group.opens_segment.then(|| group.segment.header.encode()),
            segment: group.segment,
            block_offset,
            buffer,
            group_offset: group.offset,
            first_lsn: group.first_lsn,
            last: group.last,
            durable_upto: self.durable.lsn,
        }
    }

    fn note_durable(&mut self, in_flight: InFlight, write: GroupWrite) {
        self.set_durable(in_flight.last);
        if in_flight.first_lsn > in_flight.last.lsn {
            return;
        }
        write.segment.note_group(in_flight.first_lsn, write.group_offset);
        drop(write);
        self.pending_bytes -= in_flight.frames.len();
        self.recent_bytes += in_flight.buffer.capacity();
        self.recent.push_back(RecentGroup {
            first_lsn: in_flight.first_lsn,
            last_lsn: in_flight.last.lsn,
            buffer: in_flight.buffer,
            frames: in_flight.frames,
        });
        while self.recent_bytes > self.options.recent_bytes {
            let Some(oldest) = self.recent.pop_front() else { break };
            self.recent_bytes -= oldest.buffer.capacity();
            self.keep_buffer(oldest.buffer);
        }
    }

    fn keep_buffer(&mut self, buffer: Arc<AlignedBuffer>) {
        if let Ok(buffer) = Arc::try_unwrap(buffer)
            && self.spare_buffers.len() < MAX_SPARE_BUFFERS
            && buffer.capacity() <= 2 * self.options.max_group_bytes
        {
            self.spare_buffers.push(buffer);
        }
    }
}
