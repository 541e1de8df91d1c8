//! Reading a log while it is written.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::commit::Pipeline;
use crate::core::{Core, RecentGroup};
use crate::disk::AlignedBuffer;
use crate::error::{Error, Result};
use crate::frame::{Frame, Frames};
use crate::ids::{Chain, LogId, Lsn};
use crate::live::LiveSegment;
use crate::log::Log;
use crate::scan::GroupCursor;

/// Up to where a [`Reader`] reads.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Everything appended, durable or not. For shipping records before the own disk has them, and for
    /// nothing else: a crash takes back what is not durable.
    Appended,
    /// What is durable. The default.
    Durable,
    /// What is durable and committed.
    Committed,
}

/// Reads a log from a record on, and follows its end. Never blocks writers.
#[derive(Debug)]
pub struct Reader {
    log: Log,
    bound: Bound,
    next: Lsn,
    cursor: Option<(Arc<LiveSegment>, GroupCursor)>,
    run: Option<Run>,
}

/// Consecutive frames, as they stand in the log.
#[derive(Clone, Debug)]
pub struct Run {
    first_lsn: Lsn,
    last: LogId,
    bytes: RunBytes,
    range: Range<usize>,
}

#[derive(Clone, Debug)]
enum RunBytes {
    Group(Arc<AlignedBuffer>),
    Read(Arc<[u8]>),
}

impl Run {
    /// The first record.
    #[must_use]
    pub fn first_lsn(&self) -> Lsn {
        self.first_lsn
    }

    /// The last record.
    #[must_use]
    pub fn last(&self) -> LogId {
        self.last
    }

    /// The frames, one after another, byte for byte as in the log.
    #[must_use]
    pub fn frames(&self) -> &[u8] {
        match &self.bytes {
            RunBytes::Group(buffer) => &buffer[self.range.clone()],
            RunBytes::Read(bytes) => &bytes[self.range.clone()],
        }
    }
}
