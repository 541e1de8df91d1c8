//! Reading a log from its files alone, without changing anything.
//!
//! Opening a log and the commands that look at one share this code. [`scan_segments`] says what
//! each file is, [`GroupCursor`] walks the groups of one segment, and [`scan_log`] walks the whole
//! log and judges it: clean, with a torn tail, corrupt, or unreadable. On a damaged directory they
//! tell as much as can be told.

mod cursor;
mod log;
mod segments;
mod window;

use std::fmt;

use crate::error::Error;
use crate::ids::{Lsn, Position};
use crate::segment;

pub use cursor::{Behind, GroupCursor, GroupFault, ScannedGroup, Stop};
pub use log::{Checkpointed, LogScan, ScanOptions, Tail, scan_log};
pub use segments::{
    ExtentEnd, SegmentDamage, SegmentExtent, SegmentFile, SegmentScan, SegmentState, Unused,
    scan_segments,
};

/// Two checksums that should be equal: what stands on the disk, and what was computed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// What stands on the disk.
    pub expected: u32,
    /// What was computed over the bytes.
    pub found: u32,
}

/// Something in a log that is not as it was written.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Fault {
    /// Bytes behind the last whole group that were never known to be durable: what a cut-off write
    /// leaves.
    TornTail {
        /// Where the log ends.
        position: Position,
        /// The record that would stand there.
        lsn: Lsn,
        /// From there to the last byte that is not zero.
        bytes: u64,
    },
    /// Bytes that were durable are damaged or missing.
    Corrupt {
        /// The place.
        position: Position,
        /// The first record that cannot be read; [`Lsn::ZERO`] where that is unknown.
        lsn: Lsn,
        /// What is wrong.
        reason: String,
        /// The checksums that differ, if that is how it was noticed.
        checksums: Option<Checksums>,
    },
    /// The file could not be read, is from another database, or from a newer version of the
    /// program.
    Unreadable {
        /// The place.
        position: Position,
        /// Why.
        error: Error,
    },
}

impl Fault {
    /// The place of the fault.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Fault::TornTail { position, .. }
            | Fault::Corrupt { position, .. }
            | Fault::Unreadable { position, .. } => *position,
        }
    }

    /// The error that opening the log gives because of this. A torn tail is none.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        match self {
            Fault::TornTail { .. } => None,
            Fault::Corrupt { position, lsn, reason, .. } => Some(Error::Corrupt {
                file: segment::file_name(position.segment),
                segment: Some(position.segment),
                offset: position.offset,
                lsn: *lsn,
                reason: reason.clone(),
            }),
            Fault::Unreadable { error, .. } => Some(error.clone()),
        }
    }

    /// How bad it is.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Fault::TornTail { .. } => Verdict::TornTail,
            Fault::Corrupt { .. } => Verdict::Corrupt,
            Fault::Unreadable { .. } => Verdict::Unreadable,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::TornTail { position, lsn, bytes } => {
                write!(f, "torn tail at {position} (LSN {lsn}): {bytes} bytes")
            }
            Fault::Corrupt { position, lsn, reason, .. } => {
                write!(f, "corrupt at {position} (LSN {lsn}): {reason}")
            }
            Fault::Unreadable { position, error } => write!(f, "unreadable at {position}: {error}"),
        }
    }
}

/// What a log is, all in all. The worse one is the greater.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Every byte is what was written.
    #[default]
    Clean,
    /// The last write was cut off; nothing in it was ever acknowledged, as far as can be known.
    TornTail,
    /// Something that was durable is damaged.
    Corrupt,
    /// Some of it could not be read at all.
    Unreadable,
}

#[cfg(test)]
mod tests;
