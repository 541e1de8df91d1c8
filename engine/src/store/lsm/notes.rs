//! What a Store knows besides its tree, in a file of its own: up to where it is complete.
//!
//! Three sectors, little-endian. Each slot is written in turn, so a torn write leaves the one
//! before.
//!
//! ```text
//! header  "MNSTYLSM"  format version u32  zeros to byte 28  CRC u32 of what is before it
//! slots   generation u64  applied LSN u64  version of the tree u64  CRC u32 of these
//! ```
//!
//! The tree must not be older than the version that the newest slot names.

use std::fs::File;
use std::io;
use std::path::Path;

use mainstay_wal::Lsn;

use crate::error::Error;
use crate::store::wall::Problem;

/// The file. It is locked by whoever has the Store open.
pub(super) const FILE: &str = "notes";

const MAGIC: &[u8; 8] = b"MNSTYLSM";
const VERSION: u32 = 1;
const SECTOR_BYTES: usize = 512;
const HEADER_BYTES: usize = 32;
const SLOT_BYTES: usize = 28;

/// What a slot says.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) applied: Lsn,
    pub(super) tree_version: u64,
}

/// The file, open for writing.
pub(super) struct Notes {
    file: File,
    generation: u64,
}

impl Notes {
    /// Writes a new file and makes it durable, but for its name.
    pub(super) fn create(path: &Path, note: Note) -> io::Result<Notes> {
        let file = File::options().read(true).write(true).create_new(true).open(path.join(FILE))?;
        let mut bytes = vec![0; 3 * SECTOR_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        write_all_at(&file, &bytes, 0)?;
        let mut notes = Notes { file, generation: 0 };
        notes.write(note)?;
        Ok(notes)
    }

    /// Reads the newest note.
    pub(super) fn read(path: &Path, file: &File) -> std::result::Result<(u64, Note), Problem> {
        let mut bytes = vec![0; 3 * SECTOR_BYTES];
        read_exact_at(file, &mut bytes, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Content(format!("{FILE} is cut off")),
            _ => Problem::Library { reason: format!("{FILE}: {error}"), damaged: false },
        })?;
        check_header(path, &bytes[..HEADER_BYTES])?;
        let slots = [&bytes[SECTOR_BYTES..], &bytes[2 * SECTOR_BYTES..]].map(parse_slot);
        slots
            .into_iter()
            .flatten()
            .max_by_key(|(generation, _)| *generation)
            .ok_or_else(|| Problem::Content(format!("{FILE} has no valid slot")))
    }

    pub(super) fn new(file: File, generation: u64) -> Notes {
        Notes { file, generation }
    }

    /// Writes a note, durably.
    pub(super) fn write(&mut self, note: Note) -> io::Result<()> {
        let generation = self.generation + 1;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&generation.to_le_bytes());
        slot[8..16].copy_from_slice(&note.applied.0.to_le_bytes());
        slot[16..24].copy_from_slice(&note.tree_version.to_le_bytes());
        let crc = crc32fast::hash(&slot[..24]);
        slot[24..].copy_from_slice(&crc.to_le_bytes());
        let place = 1 + generation % 2;
        write_all_at(&self.file, &slot, place * SECTOR_BYTES as u64)?;
        self.file.sync_all()?;
        self.generation = generation;
        Ok(())
    }

    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

fn check_header(path: &Path, header: &[u8]) -> std::result::Result<(), Problem> {
    let word = |at: usize| header[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or(0);
    let whole = word(HEADER_BYTES - 4) == crc32fast::hash(&header[..HEADER_BYTES - 4]);
    let (found, supported) = (word(8), VERSION);
    if !whole || header[..8] != *MAGIC {
        return Err(Problem::Content(format!("the header of {FILE} is not valid")));
    }
    if found != supported {
        let path = path.display().to_string();
        let unsupported = mainstay_wal::Error::UnsupportedVersion { path, found, supported };
        return Err(Error::Log(unsupported).into());
    }
    Ok(())
}

fn parse_slot(bytes: &[u8]) -> Option<(u64, Note)> {
    let long = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    let crc = u32::from_le_bytes(bytes.get(24..SLOT_BYTES)?.try_into().ok()?);
    // Never written: all zeros, whose checksum is not zero.
    (crc32fast::hash(&bytes[..24]) == crc).then_some(())?;
    Some((long(0)?, Note { applied: Lsn(long(8)?), tree_version: long(16)? }))
}

fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

fn read_exact_at(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}
