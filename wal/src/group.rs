//! The frames that one write and one sync made durable together.
//!
//! A group is a header of [`GROUP_HEADER_BYTES`] and the frames behind it. It is local to a node
//! and never shipped. Its checksum is mixed with the salt of the segment's present use, so that the
//! old groups in a recycled file are never taken for new ones. This module alone knows the places
//! of the header's fields.

use crate::codec::{is_blank, put, u32_at, u64_at};
use crate::frame::{FRAME_HEADER_BYTES, FrameError, Frames};
use crate::history::EpochEntry;
use crate::ids::{Chain, Epoch, LogId, Lsn};

/// Size of a group's header.
pub const GROUP_HEADER_BYTES: usize = 64;

/// The first byte is one that text never contains.
const MAGIC: [u8; 4] = [0xd7, b'G', b'R', b'P'];

const COUNT: usize = 4;
const FIRST_LSN: usize = 8;
const BYTE_LENGTH: usize = 16;
const RESERVED: usize = 20;
const DURABLE_UPTO: usize = 24;
const COMMIT_LSN: usize = 32;
const CHAIN_BEFORE: usize = 40;
const CHAIN_AFTER: usize = 48;
const RESERVED_TOO: usize = 56;
const CRC: usize = 60;

/// What stands in front of a group's frames.
///
/// Invariants:
/// - `first_lsn` is not zero, and no frame lies beyond [`Lsn::LAST`];
/// - `byte_length` has room for the headers of `count` frames, and is zero exactly if `count` is;
/// - `durable_upto` lies before `first_lsn`;
/// - an empty group (`count` 0) does not change the chain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// How many frames follow. None in a group that only tells what has become durable.
    pub count: u32,
    /// The first frame's LSN; in an empty group the LSN that comes next.
    pub first_lsn: Lsn,
    /// How many bytes of frames follow.
    pub byte_length: u32,
    /// Every record up to here was known to be durable when this group was written.
    pub durable_upto: Lsn,
    /// Every record up to here was known to be committed when this group was written.
    pub commit_lsn: Lsn,
    /// The chain over everything before the group.
    pub chain_before: Chain,
    /// The chain with the group.
    pub chain_after: Chain,
}

impl GroupHeader {
    /// The bytes of this header in a segment with this salt. The invariants must hold.
    #[must_use]
    pub fn encode(&self, salt: u64) -> [u8; GROUP_HEADER_BYTES] {
        let fault = self.fault();
        assert!(fault.is_none(), "{fault:?} in {self:?}");
        let mut bytes = [0; GROUP_HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, COUNT, &self.count.to_le_bytes());
        put(&mut bytes, FIRST_LSN, &self.first_lsn.0.to_le_bytes());
        put(&mut bytes, BYTE_LENGTH, &self.byte_length.to_le_bytes());
        put(&mut bytes, DURABLE_UPTO, &self.durable_upto.0.to_le_bytes());
        put(&mut bytes, COMMIT_LSN, &self.commit_lsn.0.to_le_bytes());
        put(&mut bytes, CHAIN_BEFORE, &self.chain_before.0.to_le_bytes());
        put(&mut bytes, CHAIN_AFTER, &self.chain_after.0.to_le_bytes());
        let crc = checksum(&bytes, salt);
        put(&mut bytes, CRC, &crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the front of `bytes`, in a segment with this salt.
    pub fn decode(bytes: &[u8], salt: u64) -> Result<GroupHeader, GroupError> {
        let Some(bytes) = bytes.first_chunk::<GROUP_HEADER_BYTES>() else {
            // What is left of a segment may be too short for a header, and is zero then.
            let found_bytes = bytes.len() as u64;
            return Err(match is_blank(bytes) {
                true => GroupError::Blank,
                false => {
                    GroupError::Truncated { needed_bytes: GROUP_HEADER_BYTES as u64, found_bytes }
                }
            });
        };
        if bytes[..MAGIC.len()] != MAGIC {
            return Err(match is_blank(bytes) {
                true => GroupError::Blank,
                false => GroupError::Magic { found: u32_at(bytes, 0) },
            });
        }
        let expected = u32_at(bytes, CRC);
        let found = checksum(bytes, salt);
        if expected != found {
            return Err(GroupError::Checksum { expected, found });
        }
        let header = GroupHeader {
            count: u32_at(bytes, COUNT),
            first_lsn: Lsn(u64_at(bytes, FIRST_LSN)),
            byte_length: u32_at(bytes, BYTE_LENGTH),
            durable_upto: Lsn(u64_at(bytes, DURABLE_UPTO)),
            commit_lsn: Lsn(u64_at(bytes, COMMIT_LSN)),
            chain_before: Chain(u64_at(bytes, CHAIN_BEFORE)),
            chain_after: Chain(u64_at(bytes, CHAIN_AFTER)),
        };
        if u32_at(bytes, RESERVED) != 0 || u32_at(bytes, RESERVED_TOO) != 0 {
            return Err(GroupError::Field("reserved bytes are not zero"));
        }
        match header.fault() {
            Some(fault) => Err(GroupError::Field(fault)),
            None => Ok(header),
        }
    }

    /// The LSN of the last frame; in an empty group the one before `first_lsn`.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        Lsn((self.first_lsn.0 - 1).saturating_add(u64::from(self.count)))
    }

    /// Length of the whole group: this header and the frames.
    #[must_use]
    pub fn group_bytes(&self) -> u64 {
        GROUP_HEADER_BYTES as u64 + u64::from(self.byte_length)
    }

    /// Walks all frames of this group and checks each, their LSNs, epochs, number, length and
    /// chain.
    ///
    /// `previous_epoch` is that of the record before the group ([`Epoch::ZERO`] if it is not
    /// known). `frames` begins behind this header and may be longer than the group.
    pub fn check_body(
        &self,
        previous_epoch: Epoch,
        frames: &[u8],
    ) -> Result<GroupContents, GroupBodyError> {
        let body = self.body(frames)?;
        let contents = self.walk(previous_epoch, body, self.count)?;
        if contents.bytes != body.len() {
            let fault = BodyFault::Count { declared: self.count };
            return Err(self.bad(contents.bytes, self.last_lsn().next(), fault));
        }
        if contents.chain_after != self.chain_after {
            let (expected, found) = (self.chain_after, contents.chain_after);
            return Err(self.bad(0, self.first_lsn, BodyFault::Chain { expected, found }));
        }
        Ok(contents)
    }

    /// As [`GroupHeader::check_body`], but only for the frames up to `last_kept`, where the log was
    /// cut inside this group; their chain must be `chain_kept`.
    pub fn check_kept(
        &self,
        previous_epoch: Epoch,
        frames: &[u8],
        last_kept: Lsn,
        chain_kept: Chain,
    ) -> Result<GroupContents, GroupBodyError> {
        let body = self.body(frames)?;
        let kept = last_kept.next().0.saturating_sub(self.first_lsn.0);
        let kept = u32::try_from(kept).unwrap_or(u32::MAX).min(self.count);
        let contents = self.walk(previous_epoch, body, kept)?;
        if contents.chain_after != chain_kept {
            let (expected, found) = (chain_kept, contents.chain_after);
            return Err(self.bad(0, self.first_lsn, BodyFault::Chain { expected, found }));
        }
        Ok(contents)
    }

    fn body<'a>(&self, frames: &'a [u8]) -> Result<&'a [u8], GroupBodyError> {
        let body = usize::try_from(self.byte_length).ok().and_then(|end| frames.get(..end));
        body.ok_or_else(|| {
            let (needed_bytes, found_bytes) = (u64::from(self.byte_length), frames.len() as u64);
            let fault = BodyFault::Truncated { needed_bytes, found_bytes };
            self.bad(frames.len(), self.first_lsn, fault)
        })
    }

    /// Checks the first `count` frames, each in its place.
    fn walk(
        &self,
        previous_epoch: Epoch,
        body: &[u8],
        count: u32,
    ) -> Result<GroupContents, GroupBodyError> {
        let (mut lsn, mut epoch, mut chain) = (self.first_lsn, previous_epoch, self.chain_before);
        let mut epoch_starts = Vec::new();
        let mut frames = Frames::new(body);
        for _ in 0..count {
            let offset = frames.offset();
            let header = match frames.next() {
                Some(Ok(frame)) => frame.header,
                Some(Err(error)) => return Err(self.bad(offset, lsn, BodyFault::Frame(error))),
                None => {
                    return Err(self.bad(offset, lsn, BodyFault::Count { declared: self.count }));
                }
            };
            if header.lsn != lsn {
                let fault = BodyFault::Lsn { expected: lsn, found: header.lsn };
                return Err(self.bad(offset, lsn, fault));
            }
            if header.epoch < epoch {
                let fault = BodyFault::Epoch { previous: epoch, found: header.epoch };
                return Err(self.bad(offset, lsn, fault));
            }
            if header.epoch > epoch {
                epoch = header.epoch;
                epoch_starts.push(EpochEntry { epoch, start_lsn: lsn, chain_at_start: chain });
            }
            chain = chain.extend(&header);
            lsn = lsn.next();
        }
        let last = LogId { epoch, lsn: lsn.previous() };
        Ok(GroupContents { last, chain_after: chain, bytes: frames.offset(), epoch_starts })
    }

    fn bad(&self, offset: usize, lsn: Lsn, fault: BodyFault) -> GroupBodyError {
        GroupBodyError { offset, lsn, fault }
    }

    /// The first invariant that does not hold.
    fn fault(&self) -> Option<&'static str> {
        if self.first_lsn == Lsn::ZERO {
            return Some("the first LSN is zero");
        }
        if self.first_lsn > Lsn::LAST || self.last_lsn() > Lsn::LAST {
            return Some("LSNs beyond the last that exists");
        }
        if u64::from(self.byte_length) < u64::from(self.count) * FRAME_HEADER_BYTES as u64 {
            return Some("more frames than its length has room for");
        }
        if self.count == 0 && self.byte_length != 0 {
            return Some("bytes without frames");
        }
        if self.count == 0 && self.chain_before != self.chain_after {
            return Some("an empty group that changes the chain");
        }
        (self.durable_upto >= self.first_lsn).then_some("it calls itself durable")
    }
}

/// What the frames of a group turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupContents {
    /// The last record. In an empty group the LSN before it and the previous epoch.
    pub last: LogId,
    /// The chain with that record.
    pub chain_after: Chain,
    /// Length of the frames.
    pub bytes: usize,
    /// The epochs that begin in this group, usually none.
    pub epoch_starts: Vec<EpochEntry>,
}

/// The next valid group header in `bytes`, at any place, with its offset.
#[must_use]
pub fn find_header(bytes: &[u8], salt: u64) -> Option<(usize, GroupHeader)> {
    let mut from = 0;
    while let Some(found) = bytes[from..].iter().position(|byte| *byte == MAGIC[0]) {
        let at = from + found;
        if let Ok(header) = GroupHeader::decode(&bytes[at..], salt) {
            return Some((at, header));
        }
        from = at + 1;
    }
    None
}

fn checksum(header: &[u8; GROUP_HEADER_BYTES], salt: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[..CRC]);
    hasher.update(&salt.to_le_bytes());
    hasher.finalize()
}

/// Why bytes are not a group header. In checksums, `expected` is what stands in the bytes and
/// `found` what was computed over them.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Only zeros: nothing was ever written here in the segment's present use.
    #[error("blank")]
    Blank,
    /// The segment ends before the header does.
    #[error("a group header needs {needed_bytes} bytes, {found_bytes} are there")]
    Truncated {
        /// Size of a header.
        needed_bytes: u64,
        /// What is there.
        found_bytes: u64,
    },
    /// No group begins here.
    #[error("no group begins with {found:08x}")]
    Magic {
        /// The first four bytes, as a little-endian number.
        found: u32,
    },
    /// The header is damaged, or from an earlier use of the segment.
    #[error("group header checksum is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// In the header.
        expected: u32,
        /// Of the header's bytes and the salt.
        found: u32,
    },
    /// The checksum is right, and yet a field has a value that is never written.
    #[error("group header with a right checksum: {0}")]
    Field(&'static str),
}

/// A group whose header is good and whose frames are not what it says.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of LSN {lsn}, {offset} bytes behind the group header: {fault}")]
pub struct GroupBodyError {
    /// Bytes from the end of the group header to the bad frame.
    pub offset: usize,
    /// The LSN that was expected there.
    pub lsn: Lsn,
    /// What is wrong.
    pub fault: BodyFault,
}

/// What is wrong with the frames of a group.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The segment ends before the group does.
    #[error("the group needs {needed_bytes} bytes of frames, {found_bytes} are there")]
    Truncated {
        /// What the header asks for.
        needed_bytes: u64,
        /// What is there.
        found_bytes: u64,
    },
    /// A frame is damaged.
    #[error(transparent)]
    Frame(FrameError),
    /// A frame has another number than follows from the group's first.
    #[error("LSN {found} where {expected} was expected")]
    Lsn {
        /// What should be there.
        expected: Lsn,
        /// What is there.
        found: Lsn,
    },
    /// A frame's epoch is below that of the frame before.
    #[error("epoch {found} behind epoch {previous}")]
    Epoch {
        /// The epoch before.
        previous: Epoch,
        /// What is there.
        found: Epoch,
    },
    /// The frames are more or fewer than the header says.
    #[error("the frames are not the {declared} that the group declares")]
    Count {
        /// What the header says.
        declared: u32,
    },
    /// Every frame is whole, but they are not the frames this group was written with.
    #[error("the chain is {found}, expected {expected}")]
    Chain {
        /// In the header.
        expected: Chain,
        /// Over the frames.
        found: Chain,
    },
}

#[cfg(test)]
mod tests;
