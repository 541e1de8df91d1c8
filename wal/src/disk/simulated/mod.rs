//! A disk in memory that forgets, tears, lies and fails as it is told.
//!
//! What was not synced can be lost by a crash: all of it, all behind some moment, or any sectors of
//! it. Names that were not synced likewise. Whatever chance decides follows from seeds: the same
//! calls give the same disk.
//!
//! # Not done
//!
//! - Calls take no time. Whoever simulates time delays them outside.
//! - A failed sync of a directory does not lose its changes: they stay pending.

mod content;
mod fault;
mod file;
mod handle;
mod image;
mod names;
mod random;
mod state;

use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Disk, DiskFile, DiskLock, Open};
use crate::disk::name::{self, is_below};
use fault::SimulatedCrash;
pub use fault::{Call, Effect, Fault};
use file::FileState;
use handle::{SimFile, SimLock};
use names::{Change, FileId};
use state::{Outcome, State, crash_error};

/// A [`Disk`] in memory for tests and simulations. Clones are handles to the same disk.
///
/// Each call that changes something is one operation, numbered from 1; other calls are reads,
/// counted apart. Taking the lock is neither, nor is a change that is refused: a file that is
/// missing, no space. An operation can be made to fail ([`SimDisk::fail`]) or to be the one during
/// which the power goes ([`SimDisk::crash_at`]); [`SimDisk::crash`] gives the disk that is found
/// afterwards.
///
/// Each file is a run of 512-byte sectors. A write tears only between them, and a sector whose
/// bytes do not change is never harmed. Directories that an operation makes are durable at once,
/// with the names beside them. A rename from one directory to another becomes durable with either
/// of them, together with every change of names before it.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// What a power cut leaves of all that was not synced.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Survivors {
    /// Nothing.
    Nothing,
    /// Everything, but for what a failed sync lost.
    Everything,
    /// What came first, up to a moment that the seed picks; it may lie inside a write, between two
    /// sectors.
    Prefix {
        /// Picks the moment.
        seed: u64,
    },
    /// Any sectors, lengths and names, each kept or lost by itself.
    RandomSectors {
        /// Picks them.
        seed: u64,
    },
    /// As [`Survivors::RandomSectors`], and each 4-KiB block in which a sector was lost may be all
    /// zeros, durable bytes included. This is beyond what a log can survive; it must find out.
    LoseBlocks {
        /// Picks them.
        seed: u64,
    },
}

impl Survivors {
    /// The four that a log must survive, to try one after the other.
    pub fn all(seed: u64) -> [Survivors; 4] {
        let (prefix, sectors) = (Survivors::Prefix { seed }, Survivors::RandomSectors { seed });
        [Survivors::Nothing, Survivors::Everything, prefix, sectors]
    }
}

/// What a simulated disk was asked to do so far.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct SimStats {
    /// Calls that change something, those that a fault hit included.
    pub operations: u64,
    /// Calls that change nothing, those that fail included.
    pub reads: u64,
    /// Calls that make something durable: syncs of files and directories, and writes that sync.
    pub syncs: u64,
    /// Bytes that reads returned.
    pub bytes_read: u64,
    /// Bytes that were given to writes.
    pub bytes_written: u64,
}

/// One operation of a simulated disk, as [`SimDisk::recorded`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number, counted from 1.
    pub number: u64,
    /// What was called.
    pub call: Call,
    /// On which file or directory; a file by the name it was opened under.
    pub name: Arc<str>,
    /// Where in the file, for writes; otherwise 0.
    pub offset: u64,
    /// How many bytes a write has, how long `allocate` makes the file; otherwise 0.
    pub length: u64,
}

impl Operation {
    fn on(call: Call, name: &str) -> Operation {
        Operation { number: 0, call, name: Arc::from(name), offset: 0, length: 0 }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Operation { number, call, name, offset, length } = self;
        write!(formatter, "{number:>6} {call:<14} {name:?}")?;
        match call {
            Call::Write | Call::WriteAndSync => write!(formatter, " at {offset}, {length} bytes"),
            Call::Allocate => write!(formatter, " to {length} bytes"),
            _ => Ok(()),
        }
    }
}

impl SimDisk {
    /// An empty disk. The seed decides what chance decides, together with the seeds of
    /// [`Survivors`].
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::from_state(State::new(seed))
    }

    fn from_state(state: State) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// How many operations were begun so far.
    pub fn operations(&self) -> u64 {
        self.state().stats.operations
    }

    /// How many reads were begun so far.
    pub fn reads(&self) -> u64 {
        self.state().stats.reads
    }

    /// All counts.
    pub fn stats(&self) -> SimStats {
        self.state().stats
    }

    /// Plans a fault. Where several fit a call, the one that was planned first hits it.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Forgets all planned faults.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Plans the power cut: the operation with this number (or the next, if that has passed) and
    /// every call after it, reads included, answer an error that [`SimDisk::is_crash`] knows. What
    /// that operation changes is pending, whatever it is: [`SimDisk::crash`] decides how much of it
    /// is found.
    pub fn crash_at(&self, operation: u64) {
        self.state().crash_at = Some(operation);
    }

    /// Whether the planned power cut has come.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Whether an error is what a crashed disk answers.
    pub fn is_crash(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<SimulatedCrash>())
    }

    /// The disk that is found after a power cut at this moment, as a new process opens it:
    /// everything on it durable, unlocked, no fault planned, counts at zero, the same seed and
    /// capacity. This disk stays as it is.
    #[must_use]
    pub fn crash(&self, survivors: Survivors) -> SimDisk {
        SimDisk::from_state(self.state().crash(survivors))
    }

    /// A copy of this disk, as a new process finds it when only the old process died: what is
    /// pending still is, unlocked, no fault planned, counts at zero. The two are independent from
    /// then on, and share memory until they differ.
    #[must_use]
    pub fn fork(&self) -> SimDisk {
        SimDisk::from_state(self.state().fork())
    }

    /// How many bytes the files may have together; more is [`io::ErrorKind::StorageFull`], and
    /// nothing is written. A file counts with its length until it has neither a name nor an open
    /// handle. `None`, the beginning, is no limit.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.state().capacity_bytes = capacity_bytes;
    }

    /// How many bytes count against the capacity.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Starts to record operations, and forgets those recorded before.
    pub fn record_operations(&self) {
        self.state().recorded = Some(Vec::new());
    }

    /// The operations since [`SimDisk::record_operations`], for the message of a test that fails.
    pub fn recorded(&self) -> Vec<Operation> {
        self.state().recorded.clone().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn handle(&self, state: &mut State, file: FileId, name: &str, open: Open) -> Arc<dyn DiskFile> {
        state.file(file).handles += 1;
        let writable = open != Open::Read;
        Arc::new(SimFile::new(self.clone(), file, Arc::from(name), writable))
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str, open: Open) -> io::Result<Arc<dyn DiskFile>> {
        name::check(name)?;
        let mut state = self.state();
        state.check_not_crashed()?;
        let found = match state.names.seen.file(name) {
            Ok(_) if open == Open::CreateNew => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error)
                if error.kind() == io::ErrorKind::IsADirectory && open == Open::CreateNew =>
            {
                Err(io::ErrorKind::AlreadyExists.into())
            }
            found => found,
        };
        let makes = matches!(open, Open::Create | Open::CreateNew)
            && matches!(&found, Err(error) if error.kind() == io::ErrorKind::NotFound);
        if !makes {
            state.begin_read(Call::Open, name)?;
            return found.map(|file| self.handle(&mut state, file, name, open));
        }
        let missing = state.names.seen.missing_directories(name::parent(name))?;
        let outcome = state.begin(Operation::on(Call::Create, name))?;
        let file = state.add_file(FileState::default());
        if outcome.changes() {
            state.make_directories(missing, matches!(outcome, Outcome::Crashes));
            state.change_name(Change::Create { name: name.to_owned(), file });
        } else {
            state.drop_unreachable();
        }
        outcome.answer()?;
        Ok(self.handle(&mut state, file, name, open))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        name::check(from)?;
        name::check(to)?;
        let mut state = self.state();
        state.check_not_crashed()?;
        let seen = &state.names.seen;
        let file = seen.file(from)?;
        if seen.is_directory(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !seen.is_directory(name::parent(to)) {
            return Err(seen.missing(name::parent(to)));
        }
        let outcome = state.begin(Operation::on(Call::Rename, to))?;
        if outcome.changes() && from != to {
            let (from, to) = (from.to_owned(), to.to_owned());
            state.change_name(Change::Rename { from, to, file });
        }
        outcome.answer()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        name::check(name)?;
        let mut state = self.state();
        state.check_not_crashed()?;
        let seen = &state.names.seen;
        let mut changes = Vec::new();
        if seen.is_directory(name) {
            // As a file system does it: the files one by one, then the directories from the lowest.
            let below = seen.files.iter().filter(|(file, _)| is_below(file, name));
            changes.extend(
                below.map(|(name, file)| Change::Remove { name: name.clone(), file: *file }),
            );
            let directories = seen.directories.iter().rev();
            let directories = directories.filter(|other| *other == name || is_below(other, name));
            changes.extend(directories.cloned().map(Change::RemoveDirectory));
        } else {
            changes.push(Change::Remove { name: name.to_owned(), file: seen.file(name)? });
        }
        let outcome = state.begin(Operation::on(Call::Remove, name))?;
        if outcome.changes() {
            for change in changes {
                state.change_name(change);
            }
        }
        outcome.answer()
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        name::check_directory(directory)?;
        let mut state = self.state();
        state.begin_read(Call::List, directory)?;
        let seen = &state.names.seen;
        if seen.is_directory(directory) {
            Ok(seen.list(directory))
        } else {
            Err(seen.missing(directory))
        }
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        name::check_directory(directory)?;
        let mut state = self.state();
        state.check_not_crashed()?;
        let missing = state.names.seen.missing_directories(directory)?;
        let outcome = state.begin(Operation::on(Call::SyncDirectory, directory))?;
        state.stats.syncs += 1;
        if outcome.changes() {
            state.make_directories(missing, matches!(outcome, Outcome::Crashes));
        }
        let pending = state.names.pending.len();
        match &outcome {
            Outcome::Happens | Outcome::Fails(Effect::Whole, _) => {
                state.names.sync_names_up_from(directory);
                state.names.sync(directory, usize::MAX);
            }
            Outcome::Fails(Effect::Part, _) => {
                let some = state.chance().up_to(pending as u64);
                state.names.sync(directory, usize::try_from(some).unwrap_or(pending));
            }
            Outcome::Crashes | Outcome::Fails(Effect::Nothing, _) => {}
        }
        state.drop_unreachable();
        outcome.answer()
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.state();
        state.check_not_crashed()?;
        if state.locked {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "somebody else has the lock of the simulated disk",
            ));
        }
        state.locked = true;
        Ok(Box::new(SimLock::new(self.clone())))
    }

    fn describe(&self) -> String {
        format!("simulated disk {}", self.state().seed)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        formatter
            .debug_struct("SimDisk")
            .field("seed", &state.seed)
            .field("stats", &state.stats)
            .field("crashed", &state.crashed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
