//! Reads a file by large pieces, front to back, each byte once.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::disk::DiskFile;

/// How much is read at a time.
const WINDOW_BYTES: usize = 512 << 10;
/// How many buffers are kept to be used again.
const MAX_EARLIER: usize = 4;

/// A window that moves over a file.
///
/// What is read can be [shared](ReadAhead::shared) with whoever keeps it: then the window moves on in
/// another buffer, and nothing is copied but what both have in common. Buffers that nobody keeps any
/// more are used again.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    file: Arc<dyn DiskFile>,
    /// Nothing at or beyond is read.
    limit: u64,
    window: Arc<Vec<u8>>,
    start: u64,
    /// Buffers of earlier windows, oldest first.
    earlier: VecDeque<Arc<Vec<u8>>>,
}

impl ReadAhead {
    pub(crate) fn new(file: Arc<dyn DiskFile>, limit: u64) -> ReadAhead {
        let (window, earlier) = (Arc::default(), VecDeque::new());
        ReadAhead { file, limit, window, start: 0, earlier }
    }

    /// The bytes from `offset` on: at least `bytes` of them, or all up to the limit or the end of
    /// the file.
    pub(crate) fn at(&mut self, offset: u64, bytes: usize) -> io::Result<&[u8]> {
        let wanted_end = (offset + bytes as u64).min(self.limit);
        let end = self.start + self.window.len() as u64;
        if offset < self.start || offset > end || wanted_end > end {
            self.move_to(offset, bytes)?;
        }
        Ok(&self.window[self.place(offset)..])
    }

    /// Bytes that [`ReadAhead::at`] gave last, to be kept.
    pub(crate) fn shared(&self, offset: u64, bytes: usize) -> (Arc<Vec<u8>>, Range<usize>) {
        let start = self.place(offset);
        (self.window.clone(), start..start + bytes)
    }

    /// Forgets what was read: the file has grown, or was written since.
    pub(crate) fn forget(&mut self) {
        self.window = Arc::default();
        self.start = 0;
    }

    #[expect(clippy::cast_possible_truncation, reason = "an offset within the window")]
    fn place(&self, offset: u64) -> usize {
        (offset - self.start) as usize
    }

    fn move_to(&mut self, offset: u64, bytes: usize) -> io::Result<()> {
        let end = self.start + self.window.len() as u64;
        // What is in the window already is kept and not read again.
        let kept = if (self.start..=end).contains(&offset) {
            self.place(offset)..self.window.len()
        } else {
            0..0
        };
        let mut window = self.free_buffer();
        let old = std::mem::take(&mut self.window);
        // A failed read leaves an empty window, in its place.
        self.start = offset;
        let left = usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        window.resize(bytes.max(WINDOW_BYTES).min(left).max(kept.len()), 0);
        window[..kept.len()].copy_from_slice(&old[kept.clone()]);
        self.earlier.push_back(old);
        let read = self.file.read_at(offset + kept.len() as u64, &mut window[kept.len()..])?;
        window.truncate(kept.len() + read);
        self.window = Arc::new(window);
        Ok(())
    }

    /// A buffer that nobody keeps, or a new one.
    fn free_buffer(&mut self) -> Vec<u8> {
        while self.earlier.len() > MAX_EARLIER {
            self.earlier.pop_front();
        }
        let free = self.earlier.iter().position(|buffer| Arc::strong_count(buffer) == 1);
        let free = free.and_then(|at| self.earlier.remove(at));
        free.and_then(|buffer| Arc::try_unwrap(buffer).ok()).unwrap_or_default()
    }
}
