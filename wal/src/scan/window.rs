//! A moving view of a file, filled by large reads.

use std::io;
use std::sync::Arc;

use crate::disk::DiskFile;

/// How much is read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// Part of a file in memory.
///
/// Invariants: `bytes[..filled]` are those of the file from `start` on; `start + filled` is within
/// `size_bytes`.
#[derive(Debug)]
pub(super) struct Window {
    file: Arc<dyn DiskFile>,
    size_bytes: u64,
    bytes: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Window {
    /// A view of the first `size_bytes` of a file, which must have as many.
    pub(super) fn new(file: Arc<dyn DiskFile>, size_bytes: u64) -> Window {
        Window { file, size_bytes, bytes: Vec::new(), start: 0, filled: 0 }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The bytes from `offset` on: at least `needed`, or all there are, and usually more.
    pub(super) fn at(&mut self, offset: u64, needed: u64) -> io::Result<&[u8]> {
        let left = self.size_bytes.saturating_sub(offset);
        let needed = needed.min(left);
        let held = self.held(offset).len();
        if (held as u64) < needed {
            self.fill(offset, held, needed.max(CHUNK_BYTES).min(left))?;
            if (self.filled as u64) < needed {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.held(offset))
    }

    /// The bytes from `offset` on that are in memory.
    pub(super) fn held(&self, offset: u64) -> &[u8] {
        let skip = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes[..self.filled].get(skip..)).unwrap_or_default()
    }

    /// Makes the view begin at `offset`, of which `held` bytes are in memory, and reads on to
    /// `length`.
    fn fill(&mut self, offset: u64, held: usize, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        if held > 0 {
            self.bytes.copy_within(self.filled - held..self.filled, 0);
        }
        self.start = offset;
        self.filled = held;
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
        self.filled += self.file.read_at(offset + held as u64, &mut self.bytes[held..length])?;
        Ok(())
    }
}
