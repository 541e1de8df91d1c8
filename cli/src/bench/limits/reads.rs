//! How fast a file can be read from front to back.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mainstay::wal::disk::{AlignedBuffer, Disk, DiskFile, FileDisk, FileDiskOptions, Open};

use super::Sample;

const PIECE_BYTES: usize = 1 << 20;
const NAME: &str = "limit-of-reads";

/// Reads a file in pieces of 1 MiB.
///
/// It was written past the page cache where that is possible: then the first pass reads from the
/// device (or from what is below us and caches by itself), and later ones from the page cache.
#[derive(Debug)]
pub struct SequentialReads {
    file: Arc<dyn DiskFile>,
    length: u64,
    piece: Vec<u8>,
}

impl SequentialReads {
    /// Makes a file of `length` bytes, rounded up to whole pieces.
    pub fn new(directory: &Path, length: u64) -> io::Result<SequentialReads> {
        let disk = FileDisk::open(directory, FileDiskOptions::default())?;
        let file = disk.open(NAME, Open::Create)?;
        let length = length.next_multiple_of(PIECE_BYTES as u64);
        let mut piece = AlignedBuffer::with_capacity(PIECE_BYTES);
        piece.resize(PIECE_BYTES);
        for offset in (0..length).step_by(PIECE_BYTES) {
            piece.fill(offset.to_le_bytes()[2]);
            file.write_and_sync_at(offset, &piece)?;
        }
        disk.remove(NAME)?;
        Ok(SequentialReads { file, length, piece: vec![0; PIECE_BYTES] })
    }

    /// Reads all of it once.
    pub fn pass(&mut self) -> io::Result<Sample> {
        let started = Instant::now();
        let mut bytes = 0;
        while bytes < self.length {
            let read = self.file.read_at(bytes, &mut self.piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes += read as u64;
        }
        let count = self.length / PIECE_BYTES as u64;
        Ok(Sample { count, bytes, elapsed: started.elapsed() })
    }
}
