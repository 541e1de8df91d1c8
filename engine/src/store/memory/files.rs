//! The files of a [`MemoryStore`](super::MemoryStore) on its [`Disk`].
//!
//! A generation is two files:
//!
//! ```text
//! pieces-GGGGGGGGGGGGGGGG   header, then pieces, one behind another: operations as in `piece`
//! index-GGGGGGGGGGGGGGGG    header, then slots of 32 bytes: one for each piece, and durable points
//!
//! header  magic 8  version u32  0 u32                 generation u64      0 u32        crc32 u32
//! piece   1 u32    length u32   offset u64            its crc32 u32       0 u64        crc32 u32
//! point   2 u32    0 u32        length of pieces u64  0 u32               applied u64  crc32 u32
//! ```
//!
//! The checksum of a slot covers generation and number of the slot too. Everything before the last
//! durable point was synced before that point was written: damage there is an error. A slot behind
//! it counts on its own: whatever of it, and of its piece, did not survive a crash is skipped.
//! Slots stand at fixed places, so a lost one hides none of those behind it.
//!
//! The index of a new generation gets its name only when all of it is durable; the highest
//! generation counts.

use std::fmt;
use std::io;
use std::sync::Arc;

use mainstay_wal::Lsn;
use mainstay_wal::disk::{Disk, DiskFile, Open, read_exact_at};

use super::KIND;
use super::piece;
use crate::error::{Error, Result};
use crate::store::{StoreOp, damaged, failed};

const SLOT_BYTES: usize = 32;
/// A header takes the place of slot 0.
const HEADER_BYTES: u64 = SLOT_BYTES as u64;
const VERSION: u32 = 1;
const INDEX_MAGIC: &[u8; 8] = b"MSTNMIDX";
const PIECES_MAGIC: &[u8; 8] = b"MSTNMPCS";
const PIECE: u32 = 1;
const DURABLE: u32 = 2;

/// One generation, open.
///
/// # Invariants
///
/// - `slots` is behind every slot that was ever written to this index, `pieces_bytes` behind every
///   piece.
/// - Once a sync failed (`stopped`) nothing is written any more: what the cache then holds need not
///   be on the disk.
/// - `doubtful` is there until something was written by whoever opened the files.
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    directory: String,
    generation: u64,
    pieces: Arc<dyn DiskFile>,
    index: Arc<dyn DiskFile>,
    pieces_bytes: u64,
    slots: u64,
    stopped: Option<String>,
    /// The last durable point, and its slot, as they were read: the sync behind it, and that of the directory, may
    /// have failed or never been called, and then only the cache has it.
    doubtful: Option<(u64, Slot)>,
}

/// What [`Files::open`] found besides the operations.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The LSN of the last durable point.
    pub(super) applied: Lsn,
    /// Whether something stands behind the last durable point. No durable point can be added then,
    /// because the slots before it would not all be whole: a new generation must be written.
    pub(super) leftovers: bool,
}

impl Files {
    /// Begins a generation, which counts once it was sealed and published.
    pub(super) fn begin(disk: Arc<dyn Disk>, directory: &str, generation: u64) -> Result<Files> {
        let pieces_name = file_name(directory, "pieces", generation);
        let index_name = unpublished(directory, generation);
        let make = |name: &str, magic| -> Result<Arc<dyn DiskFile>> {
            match disk.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(refused("remove", name, &error));
                }
                _ => {}
            }
            let file = disk.open(name, Open::CreateNew).map_err(|e| refused("create", name, &e))?;
            file.write_at(0, &header(magic, generation)).map_err(|e| refused("write", name, &e))?;
            Ok(file)
        };
        let pieces = make(&pieces_name, PIECES_MAGIC)?;
        let index = make(&index_name, INDEX_MAGIC)?;
        let directory = directory.to_owned();
        Ok(Files {
            disk,
            directory,
            generation,
            pieces,
            index,
            pieces_bytes: HEADER_BYTES,
            slots: 1,
            stopped: None,
            doubtful: None,
        })
    }

    /// Makes a new generation durable. It does not count yet: after an error the one before it goes
    /// on.
    pub(super) fn seal(&mut self, applied: Lsn) -> Result<()> {
        self.add_durable_point(applied)?;
        self.sync_directory()
    }

    /// Gives the index of a sealed generation the name that counts. After an error it is unknown
    /// which generation counts, so that neither may be written to.
    pub(super) fn publish(&mut self) -> Result<()> {
        let (from, to) = (unpublished(&self.directory, self.generation), self.index_name());
        self.disk.rename(&from, &to).map_err(|e| refused("rename", &from, &e))?;
        self.sync_directory()
    }

    /// Refuses every later write, because of `reason`.
    pub(super) fn stop(&mut self, reason: &Error) {
        self.stopped.get_or_insert_with(|| reason.to_string());
    }

    /// The generation that counts, if there is one.
    pub(super) fn newest(disk: &dyn Disk, directory: &str) -> Result<Option<u64>> {
        match disk.list(directory) {
            Ok(names) => Ok(names.iter().filter_map(|name| parse_index(name)).max()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(refused("list", directory, &error)),
        }
    }

    /// Opens the newest generation and hands its operations to `each`, piece by piece. Writes
    /// nothing.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        directory: &str,
        open: Open,
        each: impl FnMut(Vec<StoreOp>),
    ) -> Result<(Files, Found)> {
        let generation = Files::newest(&*disk, directory)?.ok_or_else(|| {
            damaged(KIND, "open its index", format!("{directory} holds none; it must be rebuilt"))
        })?;
        let open_file = |name: &str| match disk.open(name, open) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(damaged(KIND, "open its files", format!("{name} is missing")))
            }
            other => other.map_err(|e| refused("open", name, &e)),
        };
        let pieces = open_file(&file_name(directory, "pieces", generation))?;
        let index = open_file(&file_name(directory, "index", generation))?;
        let directory = directory.to_owned();
        let mut files = Files {
            disk,
            directory,
            generation,
            pieces,
            index,
            pieces_bytes: 0,
            slots: 0,
            stopped: None,
            doubtful: None,
        };
        let found = files.read(each)?;
        Ok((files, found))
    }

    /// Writes a piece, without making it durable. After an error the piece does not count, and may
    /// be given again.
    pub(super) fn append(&mut self, piece: &[u8]) -> Result<()> {
        self.check_usable()?;
        let length = u32::try_from(piece.len())
            .map_err(|_| failed(KIND, "write a piece", "it has 4 GiB or more"))?;
        let slot = Slot::Piece { length, offset: self.pieces_bytes, crc: crc32fast::hash(piece) };
        self.pieces
            .write_at(self.pieces_bytes, piece)
            .map_err(|e| refused("write", self.pieces_name(), &e))?;
        self.write_slot(slot)?;
        self.pieces_bytes += u64::from(length);
        Ok(())
    }

    /// Makes every piece survive a power cut, and says so in a durable point.
    pub(super) fn add_durable_point(&mut self, applied: Lsn) -> Result<()> {
        self.check_usable()?;
        self.settle_doubts()?;
        let (pieces, index) = (self.pieces.clone(), self.index.clone());
        // The point must not reach the disk before what it vouches for, hence a sync on either side
        // of it.
        self.sync(&*pieces, self.pieces_name())?;
        self.sync(&*index, self.index_name())?;
        self.write_slot(Slot::Durable { pieces_bytes: self.pieces_bytes, applied })?;
        self.sync(&*index, self.index_name())
    }

    /// Writes the last durable point once more, so that the next sync takes it along, and makes the names durable.
    fn settle_doubts(&mut self) -> Result<()> {
        let Some((number, slot)) = self.doubtful else { return Ok(()) };
        self.index
            .write_at(number * SLOT_BYTES as u64, &slot.encode(self.generation, number))
            .map_err(|e| refused("write", self.index_name(), &e))?;
        self.sync_directory()?;
        self.doubtful = None;
        Ok(())
    }

    /// Begins the generation after this one.
    pub(super) fn begin_next(&self) -> Result<Files> {
        self.check_usable()?;
        Files::begin(self.disk.clone(), &self.directory, self.generation + 1)
    }

    /// Removes everything in the directory that does not belong to this generation.
    pub(super) fn remove_others(&self) -> Result<()> {
        let names =
            self.disk.list(&self.directory).map_err(|e| refused("list", &self.directory, &e))?;
        let own = [self.pieces_name(), self.index_name()];
        for name in names {
            let name = format!("{}/{name}", self.directory);
            if !own.contains(&name) {
                self.disk.remove(&name).map_err(|e| refused("remove", &name, &e))?;
            }
        }
        Ok(())
    }

    /// Bytes of both files.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.pieces_bytes + self.slots * SLOT_BYTES as u64
    }

    fn read(&mut self, mut each: impl FnMut(Vec<StoreOp>)) -> Result<Found> {
        self.read_header(&*self.pieces, self.pieces_name(), PIECES_MAGIC)?;
        self.read_header(&*self.index, self.index_name(), INDEX_MAGIC)?;
        let pieces_length = self.length(&*self.pieces, self.pieces_name())?;
        let index_length = self.length(&*self.index, self.index_name())?;
        let slots = self.read_slots(index_length)?;
        let last_durable = slots.iter().enumerate().rev().find_map(|(number, slot)| match slot {
            Some(Slot::Durable { pieces_bytes, applied }) => {
                Some((number, *pieces_bytes, *applied))
            }
            _ => None,
        });
        let (last_durable, durable_bytes, applied) = last_durable.ok_or_else(|| {
            damaged(KIND, "read its index", format!("{} has no durable point", self.index_name()))
        })?;
        let mut expected_offset = HEADER_BYTES;
        for (number, slot) in slots[..=last_durable].iter().enumerate().skip(1) {
            expected_offset = match slot {
                Some(Slot::Piece { length, offset, crc }) if *offset == expected_offset => {
                    let ops = self.read_piece(*offset, *length, *crc, pieces_length);
                    each(ops?.map_err(|reason| self.damaged_piece(*offset, reason))?);
                    expected_offset + u64::from(*length)
                }
                Some(Slot::Durable { pieces_bytes, .. }) if *pieces_bytes == expected_offset => {
                    expected_offset
                }
                _ => return Err(self.damaged_slot(number)),
            };
        }
        for slot in slots[last_durable + 1..].iter().flatten() {
            if let Slot::Piece { length, offset, crc } = slot {
                // Never made durable: it counts if all of it is there, and is no loss if not.
                if let Ok(ops) = self.read_piece(*offset, *length, *crc, pieces_length)? {
                    each(ops);
                }
            }
        }
        let point = Slot::Durable { pieces_bytes: durable_bytes, applied };
        self.doubtful = Some((last_durable as u64, point));
        self.slots = index_length.div_ceil(SLOT_BYTES as u64);
        self.pieces_bytes = pieces_length;
        let leftovers = self.slots > last_durable as u64 + 1 || pieces_length > durable_bytes;
        Ok(Found { applied, leftovers })
    }

    fn read_header(&self, file: &dyn DiskFile, name: String, magic: &[u8; 8]) -> Result<()> {
        let mut bytes = [0; SLOT_BYTES];
        match read_exact_at(file, 0, &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged(KIND, "read a header", format!("{name} is cut off")));
            }
            other => other.map_err(|e| refused("read", &name, &e))?,
        }
        let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if bytes == header(magic, self.generation) {
            return Ok(());
        }
        let crc = u32::from_le_bytes([bytes[28], bytes[29], bytes[30], bytes[31]]);
        if bytes[..8] == *magic && crc == crc32fast::hash(&bytes[..28]) && version != VERSION {
            let (found, supported) = (version, VERSION);
            let unsupported =
                mainstay_wal::Error::UnsupportedVersion { path: name, found, supported };
            return Err(Error::Log(unsupported));
        }
        Err(damaged(KIND, "read a header", format!("that of {name} is not valid")))
    }

    /// Every slot of the index; slot 0 is the header. `None` stands for one that is not whole.
    fn read_slots(&self, index_length: u64) -> Result<Vec<Option<Slot>>> {
        let mut slots = Vec::new();
        let mut chunk = vec![0; 2048 * SLOT_BYTES];
        let mut offset = 0;
        while offset < index_length {
            let read = self
                .index
                .read_at(offset, &mut chunk)
                .map_err(|e| refused("read", self.index_name(), &e))?;
            if read == 0 {
                break;
            }
            for bytes in chunk[..read].chunks(SLOT_BYTES) {
                let number = slots.len() as u64;
                slots.push(bytes.try_into().ok().and_then(|b| self.parse_slot(number, b)));
            }
            offset += read as u64;
        }
        Ok(slots)
    }

    /// Reads a piece. The outer error is the disk's, the inner one says what is wrong with the
    /// piece.
    fn read_piece(
        &self,
        offset: u64,
        length: u32,
        crc: u32,
        pieces_length: u64,
    ) -> Result<std::result::Result<Vec<StoreOp>, &'static str>> {
        // Looked at before any memory is taken for it.
        if offset.checked_add(u64::from(length)).is_none_or(|end| end > pieces_length) {
            return Ok(Err("it reaches beyond the end of the file"));
        }
        let mut bytes = vec![0; length as usize];
        match read_exact_at(&*self.pieces, offset, &mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Err("it is cut off"));
            }
            other => other.map_err(|e| refused("read", self.pieces_name(), &e))?,
        }
        if crc32fast::hash(&bytes) != crc {
            return Ok(Err("its checksum is wrong"));
        }
        Ok(piece::decode(&bytes))
    }

    fn write_slot(&mut self, slot: Slot) -> Result<()> {
        self.index
            .write_at(self.slots * SLOT_BYTES as u64, &slot.encode(self.generation, self.slots))
            .map_err(|e| refused("write", self.index_name(), &e))?;
        self.slots += 1;
        Ok(())
    }

    fn parse_slot(&self, number: u64, bytes: [u8; SLOT_BYTES]) -> Option<Slot> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let slot = match word(0) {
            PIECE => Slot::Piece { length: word(4), offset: long(8), crc: word(16) },
            DURABLE => Slot::Durable { pieces_bytes: long(8), applied: Lsn(long(20)) },
            _ => return None,
        };
        // Comparing with the encoding checks the checksum and that all the rest is zero.
        (slot.encode(self.generation, number) == bytes).then_some(slot)
    }

    fn sync(&mut self, file: &dyn DiskFile, name: String) -> Result<()> {
        file.sync().map_err(|error| {
            // A second sync could succeed with the data gone, so there is none.
            self.stopped = Some(format!("a sync of {name} failed: {error}"));
            refused("sync", name, &error)
        })
    }

    fn sync_directory(&mut self) -> Result<()> {
        self.disk.sync_directory(&self.directory).map_err(|error| {
            self.stopped = Some(format!("a sync of {} failed: {error}", self.directory));
            refused("sync", &self.directory, &error)
        })
    }

    fn check_usable(&self) -> Result<()> {
        match &self.stopped {
            None => Ok(()),
            Some(reason) => Err(failed(KIND, "write any more", reason)),
        }
    }

    fn length(&self, file: &dyn DiskFile, name: String) -> Result<u64> {
        file.length().map_err(|e| refused("measure", name, &e))
    }

    fn damaged_piece(&self, offset: u64, reason: &str) -> Error {
        let name = self.pieces_name();
        damaged(KIND, "read its pieces", format!("{name} at offset {offset}: {reason}"))
    }

    fn damaged_slot(&self, number: usize) -> Error {
        let name = self.index_name();
        let reason = format!("{name}: slot {number}, before the last durable point, is not valid");
        damaged(KIND, "read its index", reason)
    }

    fn pieces_name(&self) -> String {
        file_name(&self.directory, "pieces", self.generation)
    }

    fn index_name(&self) -> String {
        file_name(&self.directory, "index", self.generation)
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Slot {
    Piece { length: u32, offset: u64, crc: u32 },
    Durable { pieces_bytes: u64, applied: Lsn },
}

impl Slot {
    fn encode(self, generation: u64, number: u64) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        match self {
            Slot::Piece { length, offset, crc } => {
                bytes[..4].copy_from_slice(&PIECE.to_le_bytes());
                bytes[4..8].copy_from_slice(&length.to_le_bytes());
                bytes[8..16].copy_from_slice(&offset.to_le_bytes());
                bytes[16..20].copy_from_slice(&crc.to_le_bytes());
            }
            Slot::Durable { pieces_bytes, applied } => {
                bytes[..4].copy_from_slice(&DURABLE.to_le_bytes());
                bytes[8..16].copy_from_slice(&pieces_bytes.to_le_bytes());
                bytes[20..28].copy_from_slice(&applied.0.to_le_bytes());
            }
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&generation.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        hasher.update(&bytes[..28]);
        bytes[28..].copy_from_slice(&hasher.finalize().to_le_bytes());
        bytes
    }
}

fn header(magic: &[u8; 8], generation: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(magic);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&generation.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn file_name(directory: &str, what: &str, generation: u64) -> String {
    format!("{directory}/{what}-{generation:016x}")
}

fn unpublished(directory: &str, generation: u64) -> String {
    format!("{directory}/new-index-{generation:016x}")
}

fn parse_index(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("index-")?;
    let generation = u64::from_str_radix(digits, 16).ok()?;
    (format!("{generation:016x}") == digits).then_some(generation)
}

fn refused(operation: &'static str, name: impl fmt::Display, error: &io::Error) -> Error {
    failed(KIND, operation, format!("{name}: {error}"))
}
