//! What a log counts.

use crate::ids::{Epoch, LogId, Lsn};

/// Figures of a log since it was opened, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Records appended.
    pub appended_records: u64,
    /// Bytes of frames appended.
    pub appended_bytes: u64,
    /// Groups made durable, each by one write and sync.
    pub syncs: u64,
    /// Bytes given to the disk with them: frames, headers, and the blocks written again.
    pub written_bytes: u64,
    /// Segments taken into use.
    pub rotations: u64,
    /// Segments that a write had to wait for, because none was prepared.
    pub rotations_waited: u64,
    /// Attempts to prepare the next segment that failed. Above zero with `prepared` false: the
    /// disk may be full.
    pub preparations_failed: u64,
    /// Whether the next segment is ready.
    pub prepared: bool,
    /// Segments at present.
    pub segments: u64,
    /// Bytes of all segments at present, prepared ones included.
    pub disk_bytes: u64,
    /// The oldest record.
    pub first_lsn: Lsn,
    /// The newest record.
    pub end: LogId,
    /// The newest durable record.
    pub durable_lsn: Lsn,
    /// The newest record known to be committed.
    pub commit_lsn: Lsn,
    /// The epoch of the next record appended here.
    pub epoch: Epoch,
    /// Whether groups bypass the page cache. False where the file system does not allow it.
    pub direct: bool,
    /// Whether the log is poisoned.
    pub poisoned: bool,
    /// Bytes that wait to be written.
    pub pending_bytes: u64,
}
