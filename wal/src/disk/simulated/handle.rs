//! What a simulated disk hands out: open files, and its lock.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::fault::{Call, Effect};
use super::names::FileId;
use super::state::Outcome;
use super::{Operation, SimDisk, crash_error};
use crate::disk::{DiskFile, DiskLock};

/// An open file of a simulated disk.
pub(super) struct SimFile {
    disk: SimDisk,
    file: FileId,
    name: Arc<str>,
    writable: bool,
}

impl SimFile {
    /// The file's count of handles must have been raised for this one.
    pub(super) fn new(disk: SimDisk, file: FileId, name: Arc<str>, writable: bool) -> SimFile {
        SimFile { disk, file, name, writable }
    }

    fn operation(&self, call: Call, offset: u64, length: u64) -> Operation {
        Operation { number: 0, call, name: self.name.clone(), offset, length }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.begin_read(Call::Read, &self.name)?;
        let read = state.file(self.file).seen().read(offset, buffer);
        state.stats.bytes_read += read as u64;
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.state();
        let length = bytes.len() as u64;
        state.check_space(self.file, offset, length)?;
        let outcome = state.begin(self.operation(Call::Write, offset, length))?;
        state.stats.bytes_written += length;
        let sequence = state.next_sequence();
        let part = state.chance().up_to(length);
        let written = match &outcome {
            Outcome::Happens | Outcome::Crashes | Outcome::Fails(Effect::Whole, _) => bytes,
            Outcome::Fails(Effect::Part, _) => &bytes[..usize::try_from(part).unwrap_or(0)],
            Outcome::Fails(Effect::Nothing, _) => &[],
        };
        state.file(self.file).write(sequence, offset, written);
        outcome.answer()
    }

    fn write_and_sync_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.state();
        let length = bytes.len() as u64;
        state.check_space(self.file, offset, length)?;
        let outcome = state.begin(self.operation(Call::WriteAndSync, offset, length))?;
        state.stats.bytes_written += length;
        state.stats.syncs += 1;
        let sequence = state.next_sequence();
        let mut random = state.chance();
        let file = state.file(self.file);
        match &outcome {
            Outcome::Happens | Outcome::Fails(Effect::Whole, _) => {
                file.write_durable(offset, bytes)
            }
            Outcome::Crashes => file.write(sequence, offset, bytes),
            Outcome::Fails(Effect::Part, _) => {
                file.write(sequence, offset, bytes);
                file.fail_sync(Some(&mut random));
            }
            Outcome::Fails(Effect::Nothing, _) => {}
        }
        outcome.answer()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let outcome = state.begin(self.operation(Call::Sync, 0, 0))?;
        state.stats.syncs += 1;
        let mut random = state.chance();
        let file = state.file(self.file);
        match &outcome {
            Outcome::Happens | Outcome::Fails(Effect::Whole, _) => file.sync(),
            Outcome::Crashes => {}
            Outcome::Fails(Effect::Part, _) => file.fail_sync(Some(&mut random)),
            Outcome::Fails(Effect::Nothing, _) => file.fail_sync(None),
        }
        outcome.answer()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut state = self.disk.state();
        state.check_space(self.file, 0, length)?;
        let outcome = state.begin(self.operation(Call::Allocate, 0, length))?;
        if outcome.changes() {
            let sequence = state.next_sequence();
            state.file(self.file).set_length(sequence, length);
        }
        outcome.answer()
    }

    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.begin_read(Call::Length, &self.name)?;
        Ok(state.file(self.file).seen().length())
    }

    fn is_direct(&self) -> bool {
        false
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        let file = state.file(self.file);
        assert!(file.handles > 0, "a handle of {:?} was counted as closed", self.name);
        file.handles -= 1;
        if file.handles == 0 {
            state.drop_unreachable();
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SimFile({:?})", self.name)
    }
}

/// Dropping it gives the lock back.
#[derive(Debug)]
pub(super) struct SimLock {
    disk: SimDisk,
}

impl SimLock {
    /// The disk must have been marked as locked for this one.
    pub(super) fn new(disk: SimDisk) -> SimLock {
        SimLock { disk }
    }
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locked = false;
    }
}

impl Outcome {
    /// Whether the operation changes anything, be it all or a part.
    pub(super) fn changes(&self) -> bool {
        !matches!(self, Outcome::Fails(Effect::Nothing, _))
    }

    /// What the caller is told.
    pub(super) fn answer(self) -> io::Result<()> {
        match self {
            Outcome::Happens => Ok(()),
            Outcome::Crashes => Err(crash_error()),
            Outcome::Fails(_, error) => Err(error),
        }
    }
}
