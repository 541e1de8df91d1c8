//! Segments are prepared ahead of need and off the write path: allocated and written with zeros, so
//! that a later sync carries no metadata. In pieces, between which the log's thread writes groups.

use std::io;
use std::sync::Arc;

use crate::core::Core;
use crate::disk::{AlignedBuffer, Disk, DiskFile, Open};
use crate::ids::SegmentNumber;
use crate::segment;

/// A file that is ready to become a segment.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) number: SegmentNumber,
    pub(crate) size_bytes: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// The work of preparing one segment, done step by step and without the lock.
#[derive(Debug)]
pub(crate) struct Preparation {
    disk: Arc<dyn Disk>,
    number: SegmentNumber,
    size_bytes: u64,
    /// The file and how much of it is zeros, once it was made.
    file: Option<(Arc<dyn DiskFile>, u64)>,
}

/// How much is written with zeros at a time: little enough that a group which comes meanwhile does
/// not wait long for the disk.
const ZEROS_BYTES: usize = 256 << 10;

impl Core {
    /// The work to be done so that a segment stands ready; none if one does.
    pub(crate) fn preparation(&mut self, at_least_bytes: u64) -> Option<Preparation> {
        let size_bytes = self.segment_bytes_for(0).max(at_least_bytes);
        if self.prepared.as_ref().is_some_and(|prepared| prepared.size_bytes >= size_bytes) {
            return None;
        }
        let number = self.next_number;
        self.next_number = number.next();
        Some(Preparation { disk: self.disk.clone(), number, size_bytes, file: None })
    }

    /// Takes a prepared file; gives back one that it replaces, to be removed.
    pub(crate) fn accept(&mut self, prepared: Prepared) -> Option<Prepared> {
        if let Some(present) = &self.prepared
            && present.size_bytes >= prepared.size_bytes
        {
            return Some(prepared);
        }
        self.prepared.replace(prepared)
    }
}

impl Preparation {
    /// Does the next piece of the work; gives the file once it is ready. On failure nothing is left
    /// behind, as far as the disk still obeys.
    pub(crate) fn step(&mut self) -> io::Result<Option<Prepared>> {
        let name = segment::file_name(self.number);
        let stepped = self.advance(&name);
        if stepped.is_err() {
            self.remove(&name);
        }
        stepped
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Removes what was made so far.
    pub(crate) fn give_up(&self) {
        if self.file.is_some() {
            self.remove(&segment::file_name(self.number));
        }
    }

    fn remove(&self, name: &str) {
        if let Err(error) = self.disk.remove(name)
            && error.kind() != io::ErrorKind::NotFound
        {
            // Left as it is: opening the log finds it unused and removes it.
            tracing::warn!(%name, %error, "cannot remove a segment that was not prepared");
        }
    }

    fn advance(&mut self, name: &str) -> io::Result<Option<Prepared>> {
        let Some((file, zeros)) = &mut self.file else {
            let file = self.disk.open(name, Open::CreateNew)?;
            file.allocate(self.size_bytes)?;
            self.file = Some((file, 0));
            return Ok(None);
        };
        if *zeros < self.size_bytes {
            *zeros += write_zeros(&**file, *zeros, self.size_bytes)?;
            return Ok(None);
        }
        file.sync()?;
        self.disk.sync_directory(segment::DIRECTORY)?;
        let file = file.clone();
        Ok(Some(Prepared { number: self.number, size_bytes: self.size_bytes, file }))
    }
}

/// Gives a file its length, with every block written and durable.
pub(crate) fn fill_with_zeros(file: &dyn DiskFile, size_bytes: u64) -> io::Result<()> {
    file.allocate(size_bytes)?;
    let mut zeros = 0;
    while zeros < size_bytes {
        zeros += write_zeros(file, zeros, size_bytes)?;
    }
    file.sync()
}

/// Writes the next piece of zeros. A [`FileDisk`](crate::disk::FileDisk) gives it to the disk at
/// once: a whole segment in the page cache would come there in one piece, and hold up the groups that
/// come meanwhile.
fn write_zeros(file: &dyn DiskFile, offset: u64, size_bytes: u64) -> io::Result<u64> {
    let bytes = (size_bytes - offset).min(ZEROS_BYTES as u64);
    let mut zeros = AlignedBuffer::with_capacity(ZEROS_BYTES);
    zeros.resize(usize::try_from(bytes).unwrap_or(ZEROS_BYTES));
    file.write_at(offset, &zeros)?;
    Ok(bytes)
}
