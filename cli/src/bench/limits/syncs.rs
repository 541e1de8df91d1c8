//! How fast groups can be made durable one after another.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay::wal::disk::{
    AlignedBuffer, DIRECT_ALIGNMENT_BYTES, Disk, DiskFile, FileDisk, FileDiskOptions, Open,
};

use crate::bench::workload::{Figures, Recorder};

const FILE_BYTES: u64 = 64 << 20;
const NAME: &str = "limit-of-syncs";

/// Writes groups of one size and syncs each, with nothing else to do: the best that is known on
/// Linux, one write with `O_DIRECT` and `O_DSYNC` into blocks that were written with zeros before.
///
/// It advances as the log does: a group begins where the one before ended, and the block that both
/// share is written again. Where the file system does not allow direct writes it is a plain write
/// and fdatasync, as in the log.
#[derive(Debug)]
pub struct GroupSyncs {
    file: Arc<dyn DiskFile>,
    group_bytes: usize,
    offset: u64,
    buffer: AlignedBuffer,
    mark: u8,
    written_bytes: u64,
}

impl GroupSyncs {
    /// Prepares a file in a directory, which must exist. It is removed when this is dropped, or
    /// earlier.
    pub fn new(directory: &Path, group_bytes: usize) -> io::Result<GroupSyncs> {
        let disk = FileDisk::open(directory, FileDiskOptions::default())?;
        let file = disk.open(NAME, Open::Create)?;
        let zeros = vec![0; 1 << 20];
        for offset in (0..FILE_BYTES).step_by(zeros.len()) {
            file.write_at(offset, &zeros)?;
        }
        file.sync()?;
        // The open file lives on without its name, and is gone with this process at the latest.
        disk.remove(NAME)?;
        let group_bytes = group_bytes.clamp(1, 16 << 20);
        let buffer = AlignedBuffer::with_capacity(group_bytes + 2 * DIRECT_ALIGNMENT_BYTES);
        Ok(GroupSyncs { file, group_bytes, offset: 0, buffer, mark: 0, written_bytes: 0 })
    }

    /// Whether the page cache is bypassed.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    /// Bytes written so far, those of blocks that were written again included.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Writes and syncs groups for so long; each is a record of the figures.
    pub fn run(&mut self, slice: Duration, window: Duration) -> io::Result<Figures> {
        let started = Instant::now();
        let mut recorder = Recorder::new(started, window);
        loop {
            self.write_group()?;
            if recorder.record(1).duration_since(started) >= slice {
                return Ok(recorder.finish());
            }
        }
    }

    fn write_group(&mut self) -> io::Result<()> {
        let block = DIRECT_ALIGNMENT_BYTES;
        let mut shared = self.buffer.len();
        if self.offset + (shared + self.group_bytes + block) as u64 > FILE_BYTES {
            (self.offset, shared) = (0, 0);
            self.buffer.clear();
        }
        let end = shared + self.group_bytes;
        self.buffer.resize(end.next_multiple_of(block));
        self.mark = self.mark.wrapping_add(1);
        self.buffer[shared..end].fill(self.mark);
        self.file.write_and_sync_at(self.offset, &self.buffer)?;
        self.written_bytes += self.buffer.len() as u64;
        // What the next group shares a block with comes to the front.
        let last_block = end / block * block;
        self.buffer.copy_within(last_block..end, 0);
        self.buffer.truncate(end - last_block);
        self.offset += last_block as u64;
        Ok(())
    }
}
