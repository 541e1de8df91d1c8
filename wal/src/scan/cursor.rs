//! Walks the groups of one segment.

use std::io;

use super::window::Window;
use super::{Checksums, SegmentExtent};
use crate::codec::is_blank;
use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::frame::FrameError;
use crate::group::{
    BodyFault, GROUP_HEADER_BYTES, GroupBodyError, GroupContents, GroupError, GroupHeader,
    find_header,
};
use crate::ids::{Chain, Epoch, LogId, Lsn, Position};
use crate::segment;

/// Reads the groups of one segment in order and checks everything in them. Each byte is read once,
/// in large pieces; no more memory is taken than the largest group needs.
///
/// Invariants: `offset` is where the next group begins, behind a log that ends with `last` and
/// `chain`.
#[derive(Debug)]
pub struct GroupCursor {
    extent: SegmentExtent,
    window: Window,
    offset: u64,
    last: LogId,
    chain: Chain,
    stop: Option<Stop>,
}

/// A whole group whose frames have all been checked.
#[derive(Clone, Debug)]
pub struct ScannedGroup<'a> {
    /// Where the group begins.
    pub position: Position,
    /// Its header, as it was written.
    pub header: GroupHeader,
    /// The frames that belong to the log: all, unless the log was cut inside this group.
    pub contents: GroupContents,
    /// Those frames, byte for byte.
    pub frames: &'a [u8],
}

impl ScannedGroup<'_> {
    /// Where the first frame begins.
    #[must_use]
    pub fn frames_position(&self) -> Position {
        let offset = self.position.offset + GROUP_HEADER_BYTES as u64;
        Position { offset, ..self.position }
    }

    /// How many records of the log it holds.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.contents.last.lsn.next().0.saturating_sub(self.header.first_lsn.0)
    }
}

/// What stands behind the place where a [`GroupCursor`] stopped.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The first valid group header that was wanted, with its offset in the file.
    pub group: Option<(u64, GroupHeader)>,
    /// How many bytes there are up to the last one that is not zero. Too few if a group was found.
    pub bytes: u64,
}

/// Why a [`GroupCursor`] yields no more groups.
#[derive(Clone, Debug)]
pub enum Stop {
    /// All records of the segment were read.
    Complete,
    /// What follows is blank, or the segment is full.
    Blank,
    /// What follows is neither blank nor a whole group that belongs there.
    Bad(GroupFault),
    /// The system refused to read on.
    Unreadable(Error),
}

/// Why bytes are not the group that belongs there.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupFault {
    /// Its header is damaged, or there is none.
    #[error(transparent)]
    Header(GroupError),
    /// Its frames are damaged, or do not belong to it.
    #[error(transparent)]
    Body(GroupBodyError),
    /// A whole header of a group that does not follow the one before.
    #[error("a group from LSN {found} where LSN {expected} follows")]
    Lsn {
        /// What should follow.
        expected: Lsn,
        /// What is there.
        found: Lsn,
    },
    /// A whole header of a group that follows other records.
    #[error("a group that follows chain {found}, behind chain {expected}")]
    Chain {
        /// The chain of the log before.
        expected: Chain,
        /// What the group says.
        found: Chain,
    },
}

impl GroupFault {
    /// The checksums that differ, if that is how it was noticed.
    #[must_use]
    pub fn checksums(&self) -> Option<Checksums> {
        match self {
            GroupFault::Header(GroupError::Checksum { expected, found }) => {
                Some(Checksums { expected: *expected, found: *found })
            }
            GroupFault::Body(GroupBodyError {
                fault:
                    BodyFault::Frame(
                        FrameError::HeaderChecksum { expected, found }
                        | FrameError::PayloadChecksum { expected, found },
                    ),
                ..
            }) => Some(Checksums { expected: *expected, found: *found }),
            _ => None,
        }
    }
}

impl GroupCursor {
    /// Begins at the first group of a segment.
    pub fn open(disk: &dyn Disk, extent: SegmentExtent) -> Result<GroupCursor> {
        let SegmentExtent { header, .. } = extent;
        let name = segment::file_name(header.number);
        let file = disk
            .open(&name, Open::Read)
            .map_err(|error| Error::io("open", name.as_str(), error))?;
        Ok(GroupCursor {
            extent,
            window: Window::new(file, header.size_bytes),
            offset: header.body_offset(),
            last: LogId { epoch: header.epoch, lsn: header.first_lsn.previous() },
            chain: header.chain_before,
            stop: None,
        })
    }

    /// The next group; `None` when there is no more, and [`GroupCursor::stop`] says why.
    #[expect(clippy::should_implement_trait, reason = "what it yields borrows from it")]
    pub fn next(&mut self) -> Option<ScannedGroup<'_>> {
        if self.stop.is_some() {
            return None;
        }
        match self.read_group() {
            Ok((header, contents)) => {
                let position = self.position();
                self.offset += header.group_bytes();
                self.last = contents.last;
                self.chain = contents.chain_after;
                let frames = &self.window.held(position.offset)[GROUP_HEADER_BYTES..];
                let frames = &frames[..contents.bytes];
                Some(ScannedGroup { position, header, contents, frames })
            }
            Err(stop) => {
                self.stop = Some(stop);
                None
            }
        }
    }

    /// Why it stopped; `None` while it has not.
    #[must_use]
    pub fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// Where the next group begins, or would begin.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { segment: self.extent.header.number, offset: self.offset }
    }

    /// The last record read.
    #[must_use]
    pub fn last(&self) -> LogId {
        self.last
    }

    /// The chain with the last record read.
    #[must_use]
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Looks through everything behind the place where the cursor stopped, for a valid group header
    /// that `accept` takes and for bytes that are not zero. Ends with the first header found.
    pub fn look_behind(&mut self, accept: impl Fn(&GroupHeader) -> bool) -> Result<Behind> {
        let salt = self.extent.header.salt;
        let mut behind = Behind { group: None, bytes: 0 };
        let mut from = self.offset;
        while from < self.window.size_bytes() {
            let bytes = match self.window.at(from, GROUP_HEADER_BYTES as u64) {
                Ok(bytes) => bytes,
                Err(error) => return Err(io_error(&self.extent, error)),
            };
            if !is_blank(bytes) {
                let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
                behind.bytes = from - self.offset + last + 1;
                let mut searched = usize::from(from == self.offset);
                while let Some((at, header)) = find_header(&bytes[searched..], salt) {
                    if accept(&header) {
                        let offset = from + (searched + at) as u64;
                        return Ok(Behind { group: Some((offset, header)), ..behind });
                    }
                    searched += at + 1;
                }
            }
            // A header may begin in what was read and end behind it.
            from += (bytes.len() as u64).saturating_sub(GROUP_HEADER_BYTES as u64 - 1).max(1);
        }
        Ok(behind)
    }

    /// Goes on at a group found by [`GroupCursor::look_behind`], as if the log before it had been
    /// read.
    pub fn skip_to(&mut self, offset: u64, header: &GroupHeader) {
        self.offset = offset;
        // The epoch before the group is not known; frames behind it cannot be below it.
        self.last = LogId { epoch: Epoch::ZERO, lsn: header.first_lsn.previous() };
        self.chain = header.chain_before;
        self.stop = None;
    }

    /// Reads and checks the group at `offset`, and leaves it in the window.
    fn read_group(&mut self) -> std::result::Result<(GroupHeader, GroupContents), Stop> {
        if self.extent.end.is_some_and(|end| self.last.lsn >= end.last_lsn) {
            return Err(Stop::Complete);
        }
        let (offset, salt) = (self.offset, self.extent.header.salt);
        let left = self.window.size_bytes().saturating_sub(offset);
        let bytes = self.window.at(offset, GROUP_HEADER_BYTES as u64);
        let bytes = bytes.map_err(|error| Stop::Unreadable(io_error(&self.extent, error)))?;
        let header = match GroupHeader::decode(bytes, salt) {
            Ok(header) => header,
            Err(GroupError::Blank) => return Err(Stop::Blank),
            Err(error) => return Err(Stop::Bad(GroupFault::Header(error))),
        };
        let (expected, found) = (self.last.lsn.next(), header.first_lsn);
        if expected != found {
            return Err(Stop::Bad(GroupFault::Lsn { expected, found }));
        }
        let (expected, found) = (self.chain, header.chain_before);
        if expected != found {
            return Err(Stop::Bad(GroupFault::Chain { expected, found }));
        }
        let bytes = self.window.at(offset, header.group_bytes().min(left));
        let bytes = bytes.map_err(|error| Stop::Unreadable(io_error(&self.extent, error)))?;
        let frames = &bytes[GROUP_HEADER_BYTES..];
        let contents = match self.extent.end {
            Some(end) if header.last_lsn() >= end.last_lsn => {
                header.check_kept(self.last.epoch, frames, end.last_lsn, end.chain)
            }
            _ => header.check_body(self.last.epoch, frames),
        };
        match contents {
            Ok(contents) => Ok((header, contents)),
            Err(error) => Err(Stop::Bad(GroupFault::Body(error))),
        }
    }
}

fn io_error(extent: &SegmentExtent, error: io::Error) -> Error {
    Error::io("read", segment::file_name(extent.header.number), error)
}
