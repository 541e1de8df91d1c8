//! The disk under a log: a small trait, the file system behind it, and a simulated disk that
//! forgets.
//!
//! A [`Disk`] is one directory and what lies below it. Names are relative, with `/` between the
//! parts (`manifest`, `log/0000000000000001.log`). The same log code runs on [`FileDisk`] and on
//! [`SimDisk`].

mod aligned;
pub mod conformance;
mod file_system;
mod name;
mod simulated;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use aligned::AlignedBuffer;
pub use file_system::{FileDisk, FileDiskOptions};
pub use simulated::{Call, Effect, Fault, Operation, SimDisk, SimStats, Survivors};

/// Memory, offsets and lengths of [`DiskFile::write_and_sync_at`] are multiples of this, so that a
/// write can bypass the page cache.
pub const DIRECT_ALIGNMENT_BYTES: usize = 4096;

/// How [`Disk::open`] treats a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading only; the file must exist. Writes fail.
    Read,
    /// For reading and writing; the file must exist.
    Write,
    /// For reading and writing; made empty if it is missing, and its parent directories too.
    Create,
    /// For reading and writing; must not exist yet. Parent directories are made if missing.
    CreateNew,
}

/// One directory, and the files and directories below it.
///
/// What is promised: a change of names (a file created, renamed, removed) survives a power cut once
/// [`Disk::sync_directory`] of its directory has returned, and not before. What a file contains
/// survives once [`DiskFile::sync`] or [`DiskFile::write_and_sync_at`] has returned.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a file.
    fn open(&self, name: &str, open: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name in one step, replacing what bore it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, or a directory with everything below it. Open handles stay usable.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names directly below a directory (`""` is the root), sorted, without their path. A
    /// missing directory is [`io::ErrorKind::NotFound`].
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;
    /// Makes the names in a directory durable, and its own name in its parents. Creates the
    /// directory if it is missing.
    fn sync_directory(&self, directory: &str) -> io::Result<()>;
    /// Locks the whole directory for one owner until the guard is dropped;
    /// [`io::ErrorKind::WouldBlock`] if somebody else has it.
    fn lock(&self) -> io::Result<Box<dyn DiskLock>>;
    /// The place in words, for messages.
    fn describe(&self) -> String;
}

/// Holds a [`Disk::lock`] until it is dropped.
pub trait DiskLock: fmt::Debug + Send + Sync {}

/// An open file. All calls take `&self`; callers see to it that writes do not overlap in time.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads into `buffer` from `offset`; returns how much was read, less than asked only at the
    /// end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, growing the file if needed. Not durable until
    /// [`DiskFile::sync`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`; they, and the length they need, are durable when it
    /// returns. Says nothing about earlier [`DiskFile::write_at`] calls. Where buffer, offset and
    /// length are multiples of [`DIRECT_ALIGNMENT_BYTES`] it may bypass the page cache.
    fn write_and_sync_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written so far durable, with the length.
    fn sync(&self) -> io::Result<()>;
    /// Reserves space for `length` bytes and sets the length; what was not written reads as zeros.
    fn allocate(&self, length: u64) -> io::Result<()>;
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Whether [`DiskFile::write_and_sync_at`] bypasses the page cache for aligned writes.
    fn is_direct(&self) -> bool;
}

/// Reads exactly `buffer.len()` bytes, or fails with [`io::ErrorKind::UnexpectedEof`].
pub fn read_exact_at(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let read = file.read_at(offset, buffer)?;
    if read == buffer.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
