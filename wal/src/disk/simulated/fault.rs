//! Faults that a simulated disk is asked for.

use std::fmt;
use std::io;

/// A kind of call, to say which of them a [`Fault`] hits and what a simulated disk did.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `open` of a file that is there. A read.
    Open,
    /// `open` that makes a file.
    Create,
    /// `rename`.
    Rename,
    /// `remove`.
    Remove,
    /// `list`. A read.
    List,
    /// `sync_directory`.
    SyncDirectory,
    /// `read_at`. A read.
    Read,
    /// `write_at`.
    Write,
    /// `write_and_sync_at`.
    WriteAndSync,
    /// `sync`.
    Sync,
    /// `allocate`.
    Allocate,
    /// `length`. A read.
    Length,
}

impl Call {
    /// Whether it changes nothing. Reads are counted apart from operations.
    pub fn is_read(self) -> bool {
        matches!(self, Call::Open | Call::List | Call::Read | Call::Length)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Call::Open => "open",
            Call::Create => "create",
            Call::Rename => "rename",
            Call::Remove => "remove",
            Call::List => "list",
            Call::SyncDirectory => "sync-directory",
            Call::Read => "read",
            Call::Write => "write",
            Call::WriteAndSync => "write-and-sync",
            Call::Sync => "sync",
            Call::Allocate => "allocate",
            Call::Length => "length",
        })
    }
}

/// How much of a failing operation happens all the same.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing happens. A failed sync also takes what was pending for written: it can still be
    /// read, but no later sync makes it durable, unless it is written again.
    Nothing,
    /// Some of it: a write puts the first part of its bytes into the page cache, a sync makes any
    /// of the pending sectors durable and takes the others for written, a sync of a directory makes
    /// the first of its changes durable. A `write_and_sync_at` does both: readers see all of its
    /// bytes, and any of their sectors are on the disk. A change of names happens.
    Part,
    /// All of it, as if only the answer had been lost.
    Whole,
}

/// An error that a simulated disk answers with, once or for good: which call it hits, what the
/// error is, and how much of the call happens all the same.
///
/// It hits the first call that fits at or after its number: `Fault::at_operation(disk.operations()
/// + 3)` the third from now.
#[derive(Clone, Debug)]
pub struct Fault {
    reads: bool,
    number: u64,
    call: Option<Call>,
    below: Option<String>,
    kind: io::ErrorKind,
    effect: Effect,
    for_good: bool,
}

impl Fault {
    /// Hits the operation with this number, counted from 1: see `SimDisk::operations`.
    pub fn at_operation(number: u64) -> Fault {
        Fault {
            reads: false,
            number,
            call: None,
            below: None,
            kind: io::ErrorKind::Other,
            effect: Effect::Nothing,
            for_good: false,
        }
    }

    /// Hits the read with this number, counted from 1: see `SimDisk::reads`.
    pub fn at_read(number: u64) -> Fault {
        Fault { reads: true, ..Fault::at_operation(number) }
    }

    /// Hits the next call of this kind.
    pub fn next(call: Call) -> Fault {
        Fault { reads: call.is_read(), call: Some(call), ..Fault::at_operation(0) }
    }

    /// Hits only calls of this kind.
    #[must_use]
    pub fn of(mut self, call: Call) -> Fault {
        self.call = Some(call);
        self
    }

    /// Hits only calls on names that begin so, `log/` say. A rename counts by its new name.
    #[must_use]
    pub fn below(mut self, prefix: impl Into<String>) -> Fault {
        self.below = Some(prefix.into());
        self
    }

    /// The kind of the error; [`io::ErrorKind::Other`] if it is not set.
    #[must_use]
    pub fn kind(mut self, kind: io::ErrorKind) -> Fault {
        self.kind = kind;
        self
    }

    /// How much happens all the same; [`Effect::Nothing`] if it is not set.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Fault {
        self.effect = effect;
        self
    }

    /// Hits every call that fits from then on, not one alone.
    #[must_use]
    pub fn for_good(mut self) -> Fault {
        self.for_good = true;
        self
    }

    pub(super) fn hits(&self, call: Call, number: u64, name: &str) -> bool {
        self.reads == call.is_read()
            && number >= self.number
            && self.call.is_none_or(|wanted| wanted == call)
            && self.below.as_ref().is_none_or(|prefix| name.starts_with(prefix))
    }

    pub(super) fn is_for_good(&self) -> bool {
        self.for_good
    }

    pub(super) fn happens(&self) -> Effect {
        self.effect
    }

    pub(super) fn error(&self, call: Call, name: &str) -> io::Error {
        io::Error::new(self.kind, format!("simulated failure of {call} on {name:?}"))
    }
}

/// What the call during which a simulated disk crashed answers, and every one after it.
#[derive(Copy, Clone, Debug)]
pub(super) struct SimulatedCrash;

impl fmt::Display for SimulatedCrash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("simulated crash")
    }
}

impl std::error::Error for SimulatedCrash {}
