//! Reads a file by large pieces, front to back, each byte once.

use std::io;
use std::sync::Arc;

use crate::disk::DiskFile;

/// How much is read at a time.
const WINDOW_BYTES: usize = 512 << 10;

/// A window that moves over a file.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    file: Arc<dyn DiskFile>,
    /// Nothing at or beyond is read.
    limit: u64,
    window: Vec<u8>,
    start: u64,
}

impl ReadAhead {
    pub(crate) fn new(file: Arc<dyn DiskFile>, limit: u64) -> ReadAhead {
        ReadAhead { file, limit, window: Vec::new(), start: 0 }
    }

    /// The bytes from `offset` on: at least `bytes` of them, or all up to the limit or the end of
    /// the file.
    #[expect(clippy::cast_possible_truncation, reason = "an offset within the window")]
    pub(crate) fn at(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let wanted_end = (offset + bytes as u64).min(self.limit);
        let end = self.start + self.window.len() as u64;
        if offset < self.start || offset > end || wanted_end > end {
            self.move_to(offset, bytes)?;
        }
        Ok(&self.window[(offset - self.start) as usize..])
    }

    /// Forgets what was read: the file has grown, or was written since.
    pub(crate) fn forget(&mut self) {
        self.window.clear();
        self.start = 0;
    }

    #[expect(clippy::cast_possible_truncation, reason = "an offset within the window")]
    fn move_to(&mut self, offset: u64, bytes: usize) -> io::Result<()> {
        let end = self.start + self.window.len() as u64;
        // What is in the window already is kept and not read again.
        let kept = if (self.start..=end).contains(&offset) {
            self.window.drain(..(offset - self.start) as usize);
            self.window.len()
        } else {
            self.window.clear();
            0
        };
        self.start = offset;
        let left = usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.window.resize(bytes.max(WINDOW_BYTES).min(left).max(kept), 0);
        let read = self.file.read_at(offset + kept as u64, &mut self.window[kept..])?;
        self.window.truncate(kept + read);
        Ok(())
    }
}
