//! The groups that wait to be written, and the one that still grows.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;

use super::Core;
use crate::disk::AlignedBuffer;
use crate::frame::FrameHeader;
use crate::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::ids::{Chain, LogId, Lsn};
use crate::live::LiveSegment;
use crate::sync::Event;

/// Frames that one write and one sync will make durable together.
///
/// Invariants: `buffer` holds room for the bytes of the block in front of `offset`, then room for
/// the group's header, then `count` frames from `first_lsn` to `last`; the chain runs from
/// `chain_before` to `chain_after`.
#[derive(Debug)]
pub(crate) struct Group {
    pub(super) segment: Arc<LiveSegment>,
    /// Whether this is the first group of its segment, whose header must be written first.
    pub(super) opens_segment: bool,
    pub(super) offset: u64,
    pub(super) buffer: AlignedBuffer,
    pub(super) first_lsn: Lsn,
    pub(super) last: LogId,
    pub(super) count: u32,
    pub(super) chain_before: Chain,
    pub(super) chain_after: Chain,
    pub(super) event: Arc<Event>,
    pub(super) wakers: Vec<Waker>,
}

impl Group {
    /// Bytes of the block in front of the group, which are written again with it.
    #[expect(clippy::cast_possible_truncation, reason = "less than a block")]
    pub(super) fn prefix_bytes(&self) -> usize {
        let block = u64::from(self.segment.header.block_bytes);
        (self.offset % block) as usize
    }

    pub(super) fn frames(&self) -> Range<usize> {
        self.prefix_bytes() + GROUP_HEADER_BYTES..self.buffer.len()
    }

    pub(super) fn has_room_for(&self, frame_bytes: usize, max_group_bytes: usize) -> bool {
        let bytes = self.frames().len() + frame_bytes;
        let end = self.offset + (2 * GROUP_HEADER_BYTES + bytes) as u64;
        bytes <= max_group_bytes && end <= self.segment.header.size_bytes
    }
}

/// A group on its way to the disk: what to write, and where.
///
/// Whoever took it with [`Log::begin_group`](crate::Log::begin_group) performs it, or does the same
/// in its own way, and gives it back with the outcome to
/// [`Log::finish_group`](crate::Log::finish_group).
#[derive(Debug)]
pub struct GroupWrite {
    pub(super) segment: Arc<LiveSegment>,
    /// Written and synced on its own before the group.
    pub(super) segment_header: Option<Vec<u8>>,
    pub(super) block_offset: u64,
    pub(super) buffer: Arc<AlignedBuffer>,
    pub(super) group_offset: u64,
    pub(super) first_lsn: Lsn,
    pub(super) last: LogId,
    pub(super) durable_upto: Lsn,
}

impl GroupWrite {
    /// Writes and syncs the group; first its segment's header if it opens one.
    pub fn perform(&self) -> io::Result<()> {
        if let Some(header) = &self.segment_header {
            let mut block = AlignedBuffer::with_capacity(header.len());
            block.extend_from_slice(header);
            self.segment.file.write_and_sync_at(0, &block)?;
        }
        self.segment.file.write_and_sync_at(self.block_offset, &self.buffer)
    }

    /// How many bytes the group's write gives to the disk.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The first and the last record that the write makes durable; none if it only says what is
    /// durable already.
    #[must_use]
    pub fn records(&self) -> Option<(Lsn, Lsn)> {
        (self.first_lsn <= self.last.lsn).then_some((self.first_lsn, self.last.lsn))
    }
}

/// A group that is durable and still in memory, for readers.
#[derive(Clone, Debug)]
pub(crate) struct RecentGroup {
    pub(crate) first_lsn: Lsn,
    pub(crate) last_lsn: Lsn,
    pub(crate) buffer: Arc<AlignedBuffer>,
    pub(crate) frames: Range<usize>,
}

impl Core {
    /// Begins a group behind everything appended so far, in the last segment.
    pub(super) fn open_group(&mut self) {
        let Some(segment) = self.segments.last().cloned() else {
            unreachable!("a log always has a segment");
        };
        let mut group = Group {
            opens_segment: std::mem::take(&mut self.header_pending),
            offset: self.next_offset,
            segment,
            buffer: self
                .spare_buffers
                .pop()
                .unwrap_or_else(|| AlignedBuffer::with_capacity(64 << 10)),
            first_lsn: self.end.lsn.next(),
            last: self.end,
            count: 0,
            chain_before: self.end_chain,
            chain_after: self.end_chain,
            event: Arc::new(Event::new()),
            wakers: Vec::new(),
        };
        group.buffer.clear();
        group.buffer.resize(group.prefix_bytes() + GROUP_HEADER_BYTES);
        self.next_offset += GROUP_HEADER_BYTES as u64;
        if let Some(full) = self.groups.back() {
            full.event.close();
        }
        self.groups.push_back(group);
    }

    /// Copies a frame into the open group, which has room for it.
    pub(super) fn push_frame(&mut self, header: &FrameHeader, payload: &[u8]) {
        let before = self.end_chain;
        let Some(group) = self.groups.back_mut() else {
            unreachable!("room was made in an open group");
        };
        group.buffer.extend_from_slice(&header.encode());
        group.buffer.extend_from_slice(payload);
        group.count += 1;
        group.last = header.log_id();
        group.chain_after = group.chain_after.extend(header);
        let bytes = header.frame_bytes();
        self.history.observe(header.epoch, header.lsn, before);
        self.end = header.log_id();
        self.end_chain = group.chain_after;
        self.next_offset += bytes;
        self.pending_bytes += usize::try_from(bytes).unwrap_or(usize::MAX);
        self.stats.appended_records += 1;
        self.stats.appended_bytes += bytes;
    }

    /// Writes the header into a group's buffer and fills its first and last block; says where the
    /// frames are.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a group fits into a segment, whose frames are below 4 GiB"
    )]
    pub(super) fn seal(&mut self, group: &mut Group) -> Range<usize> {
        let prefix = group.prefix_bytes();
        assert!(
            group.opens_segment || prefix == self.tail_block.len() || prefix == 0,
            "{prefix} bytes in front of the group, {} known",
            self.tail_block.len()
        );
        let header = GroupHeader {
            count: group.count,
            first_lsn: group.first_lsn,
            byte_length: group.frames().len() as u32,
            durable_upto: self.durable.lsn,
            commit_lsn: self.commit_lsn.min(self.durable.lsn),
            chain_before: group.chain_before,
            chain_after: group.chain_after,
        };
        let frames = group.frames();
        let end = group.buffer.len();
        if prefix > 0 {
            group.buffer[..prefix].copy_from_slice(&self.tail_block);
        }
        group.buffer[prefix..prefix + GROUP_HEADER_BYTES]
            .copy_from_slice(&header.encode(group.segment.header.salt));
        let block = group.segment.header.block_bytes as usize;
        let tail = end - end % block;
        self.tail_block.clear();
        self.tail_block.extend_from_slice(&group.buffer[tail..end]);
        group.buffer.resize(end.next_multiple_of(block));
        frames
    }
}
