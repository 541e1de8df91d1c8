//! Segments are prepared ahead of need and off the write path: allocated and written with zeros, or
//! recycled, so that a later sync carries no metadata.

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

/// The work of preparing one segment, to be done without the lock.
#[derive(Debug)]
pub(crate) struct Preparation {
    disk: Arc<dyn Disk>,
    number: SegmentNumber,
    size_bytes: u64,
}

/// How much is written with zeros at a time.
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
        Some(Preparation { disk: self.disk.clone(), number, size_bytes })
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
    /// Makes the file. On failure nothing is left behind, as far as the disk still obeys.
    pub(crate) fn perform(&self) -> io::Result<Prepared> {
        let name = segment::file_name(self.number);
        let made = self.make(&name);
        if made.is_err()
            && let Err(error) = self.disk.remove(&name)
            && error.kind() != io::ErrorKind::NotFound
        {
            // Left as it is: opening the log finds it unused and removes it.
            tracing::warn!(%name, %error, "cannot remove a segment that could not be prepared");
        }
        made
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn make(&self, name: &str) -> io::Result<Prepared> {
        let file = self.disk.open(name, Open::CreateNew)?;
        fill_with_zeros(&*file, self.size_bytes)?;
        self.disk.sync_directory(segment::DIRECTORY)?;
        Ok(Prepared { number: self.number, size_bytes: self.size_bytes, file })
    }
}

/// Gives a file its length, with every block written and durable.
#[expect(clippy::cast_possible_truncation, reason = "at most the length of the buffer")]
pub(crate) fn fill_with_zeros(file: &dyn DiskFile, size_bytes: u64) -> io::Result<()> {
    file.allocate(size_bytes)?;
    let mut zeros = AlignedBuffer::with_capacity(ZEROS_BYTES);
    zeros.resize(ZEROS_BYTES.min(usize::try_from(size_bytes).unwrap_or(usize::MAX)));
    let mut offset = 0;
    while offset < size_bytes {
        let bytes = (size_bytes - offset).min(zeros.len() as u64) as usize;
        file.write_at(offset, &zeros[..bytes])?;
        offset += bytes as u64;
    }
    file.sync()
}
