//! The numbers that name things in a log. Each is a type of its own, so that none is mistaken for
//! another.

use std::fmt;

/// The number of a record: 1, 2, 3, … without gaps across the whole life of a log.
///
/// [`Lsn::ZERO`] stands before the first record: a log that is empty ends there.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The place before the first record.
    pub const ZERO: Lsn = Lsn(0);
    /// The last record that a log can hold. One a nanosecond gets there after 292 years.
    pub const LAST: Lsn = Lsn(u64::MAX / 2);
    /// Past every record that can exist.
    pub const MAX: Lsn = Lsn(u64::MAX);

    /// The LSN after this one.
    #[must_use]
    pub fn next(self) -> Lsn {
        Lsn(self.0.saturating_add(1))
    }

    /// The LSN before this one; [`Lsn::ZERO`] stays where it is.
    #[must_use]
    pub fn previous(self) -> Lsn {
        Lsn(self.0.saturating_sub(1))
    }

    /// The LSN `count` records further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Lsn {
        Lsn(self.0.saturating_add(count))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A generation of leadership (Raft says term, Viewstamped Replication says view).
///
/// Every record bears the epoch in which it was first written; along a log epochs never decrease.
/// A single node stays in [`Epoch::FIRST`] until it is restored or replicated.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Before any epoch: the epoch of [`LogId::ZERO`], never that of a record.
    pub const ZERO: Epoch = Epoch(0);
    /// The epoch in which every new database begins.
    pub const FIRST: Epoch = Epoch(1);

    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a record across nodes, ordered as a tuple.
///
/// Two records with the same `LogId` in logs of one cluster are the same bytes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The epoch in which the record was first written.
    pub epoch: Epoch,
    /// The record's number.
    pub lsn: Lsn,
}

impl LogId {
    /// The end of an empty log.
    pub const ZERO: LogId = LogId { epoch: Epoch::ZERO, lsn: Lsn::ZERO };
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.lsn)
    }
}

/// A 64-bit running hash over every frame from the beginning of a log.
///
/// Two logs with the same chain at an LSN are the same log up to there.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Chain(pub u64);

impl Chain {
    /// The chain of an empty log.
    pub const EMPTY: Chain = Chain(0);
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The number of a segment, which is also its file's name. Grows along the log.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(pub u64);

impl SegmentNumber {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> SegmentNumber {
        SegmentNumber(self.0.saturating_add(1))
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A physical place in a log.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment.
    pub segment: SegmentNumber,
    /// Bytes from the beginning of the segment's file.
    pub offset: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {}", self.segment, self.offset)
    }
}

/// Which database a file belongs to. Drawn when a database is created; a segment of another one is
/// refused.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseId(pub u128);

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One life of a data directory, drawn when it is created or restored.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
