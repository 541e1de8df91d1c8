//! Files that hold the entries of a Store, in blocks.
//!
//! This module alone knows their names and the places of their fields; the layout is in
//! `docs/backup-format.md`.

use std::sync::Arc;

use mainstay_wal::DatabaseId;
use mainstay_wal::disk::{Disk, DiskFile, Open, read_exact_at};

use super::fields::{Fields, PutFields, length32};
use super::files::{self, failed, unusable};
use super::runs::WrittenFile;
use crate::bytes::{Key, Value};
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::record::{MAX_KEY_BYTES, MAX_RECORD_BYTES};

const MAGIC: [u8; 8] = *b"MSTAYENT";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 44;
const BLOCK_HEADER_BYTES: usize = 8;
const ENTRY_HEADER_BYTES: usize = 12;
const DIRECTORY: &str = "content";

/// A block is closed once it has so many bytes.
const BLOCK_BYTES: usize = 256 << 10;
/// The largest block: the entry that closes it may be the largest there is.
const BLOCK_LIMIT_BYTES: usize =
    BLOCK_BYTES + ENTRY_HEADER_BYTES + MAX_KEY_BYTES + MAX_RECORD_BYTES;
/// A file is closed once it has so many bytes.
const FILE_BYTES: u64 = 64 << 20;

/// Writes entries into files.
#[derive(Debug)]
pub(super) struct ContentWriter {
    database_id: DatabaseId,
    block: Vec<u8>,
    open: Option<OpenFile>,
    pub(super) entries: u64,
    pub(super) files: Vec<WrittenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<dyn DiskFile>,
    name: String,
    bytes: u64,
    crc: crc32fast::Hasher,
}

impl ContentWriter {
    pub(super) fn new(database_id: DatabaseId) -> ContentWriter {
        ContentWriter { database_id, block: Vec::new(), open: None, entries: 0, files: Vec::new() }
    }

    /// Takes the next entry, in order of keyspaces and keys.
    pub(super) fn push(
        &mut self,
        disk: &dyn Disk,
        keyspace: KeyspaceId,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        self.block.put_u32(keyspace.0);
        self.block.put_u32(length32(key.len()));
        self.block.put_u32(length32(value.len()));
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.entries += 1;
        if self.block.len() >= BLOCK_BYTES { self.flush_block(disk) } else { Ok(()) }
    }

    /// Writes what is left, and makes everything durable.
    pub(super) fn finish(&mut self, disk: &dyn Disk) -> Result<()> {
        self.flush_block(disk)?;
        self.close_file(disk)
    }

    fn flush_block(&mut self, disk: &dyn Disk) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        if self.open.is_none() {
            self.open = Some(self.begin_file(disk)?);
        }
        let Some(open) = &mut self.open else { unreachable!("it was opened just now") };
        let length = length32(self.block.len());
        let mut head = Vec::with_capacity(BLOCK_HEADER_BYTES);
        head.put_u32(length);
        head.put_u32(block_checksum(length, &self.block));
        open.write(disk, &[&head[..], &self.block].concat())?;
        self.block.clear();
        if open.bytes >= FILE_BYTES { self.close_file(disk) } else { Ok(()) }
    }

    fn begin_file(&self, disk: &dyn Disk) -> Result<OpenFile> {
        let number = self.files.len() as u64 + 1;
        let name = format!("{DIRECTORY}/{number:08}.entries");
        let file = disk.open(&name, Open::CreateNew).map_err(failed("create", disk, &name))?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.put_u32(VERSION);
        header.put_u32(0);
        header.put_u128(self.database_id.0);
        header.put_u64(number);
        let crc = crc32fast::hash(&header);
        header.put_u32(crc);
        let mut open = OpenFile { file, name, bytes: 0, crc: crc32fast::Hasher::new() };
        open.write(disk, &header)?;
        Ok(open)
    }

    fn close_file(&mut self, disk: &dyn Disk) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        open.file.sync().map_err(failed("sync", disk, &open.name))?;
        disk.sync_directory(DIRECTORY).map_err(failed("sync the directory", disk, DIRECTORY))?;
        let OpenFile { name, bytes, crc, .. } = open;
        self.files.push(WrittenFile { name, bytes, crc: crc.finalize() });
        Ok(())
    }
}

impl OpenFile {
    fn write(&mut self, disk: &dyn Disk, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_at(self.bytes, bytes);
        written.map_err(failed("write", disk, &self.name))?;
        self.bytes += bytes.len() as u64;
        self.crc.update(bytes);
        Ok(())
    }
}

/// With the length, so that a flipped one is noticed by itself.
fn block_checksum(length: u32, block: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(block);
    crc.finalize()
}

/// One entry of a content file.
pub(super) struct StoredEntry {
    pub(super) keyspace: KeyspaceId,
    pub(super) key: Key,
    pub(super) value: Value,
}

/// Reads a file to its end and checks everything in it against what the manifest says of it. Gives
/// the entries block by block.
pub(super) fn read_file(
    disk: &dyn Disk,
    file: &WrittenFile,
    database_id: DatabaseId,
    visit: &mut dyn FnMut(Vec<StoredEntry>) -> Result<()>,
) -> Result<()> {
    let path = format!("{}/{}", disk.describe(), file.name);
    let mut reader = FileReader::open(disk, file, path)?;
    reader.check_header(database_id)?;
    while let Some(block) = reader.block()? {
        let entries = parse(&block).ok_or_else(|| {
            unusable(reader.path.as_str(), format!("a bad entry before offset {}", reader.offset))
        })?;
        visit(entries)?;
    }
    reader.check_end(file.crc)
}

struct FileReader {
    file: Arc<dyn DiskFile>,
    path: String,
    length: u64,
    offset: u64,
    crc: crc32fast::Hasher,
}

impl FileReader {
    fn open(disk: &dyn Disk, file: &WrittenFile, path: String) -> Result<FileReader> {
        let (open, length) = files::open(disk, &file.name)?;
        if length != file.bytes {
            let reason = format!("it has {length} bytes instead of {}", file.bytes);
            return Err(unusable(path, reason));
        }
        Ok(FileReader { file: open, path, length, offset: 0, crc: crc32fast::Hasher::new() })
    }

    fn take(&mut self, bytes: usize) -> Result<Vec<u8>> {
        if self.length - self.offset < bytes as u64 {
            return Err(self.bad("it ends too early"));
        }
        let mut buffer = vec![0; bytes];
        read_exact_at(&*self.file, self.offset, &mut buffer)
            .map_err(|error| mainstay_wal::Error::io("read", self.path.as_str(), error))?;
        self.crc.update(&buffer);
        self.offset += bytes as u64;
        Ok(buffer)
    }

    fn check_header(&mut self, database_id: DatabaseId) -> Result<()> {
        let header = self.take(HEADER_BYTES)?;
        let (checked, crc) = header.split_at(HEADER_BYTES - 4);
        if !header.starts_with(&MAGIC) {
            return Err(self.bad("it is no file of entries"));
        }
        if crc32fast::hash(checked).to_le_bytes() != crc {
            return Err(self.bad("the checksum of its header is wrong"));
        }
        let mut fields = Fields::new(&checked[MAGIC.len()..]);
        if fields.u32() != Some(VERSION) || fields.u32() != Some(0) {
            return Err(self.bad("it has a format version that this program does not know"));
        }
        if fields.u128() != Some(database_id.0) {
            return Err(self.bad("it belongs to another database"));
        }
        Ok(())
    }

    /// The next block; none at the end of the file.
    fn block(&mut self) -> Result<Option<Vec<u8>>> {
        if self.offset == self.length {
            return Ok(None);
        }
        let head = self.take(BLOCK_HEADER_BYTES)?;
        let mut fields = Fields::new(&head);
        let (Some(length), Some(crc)) = (fields.u32(), fields.u32()) else {
            return Err(self.bad("it ends too early"));
        };
        if length as usize > BLOCK_LIMIT_BYTES {
            return Err(self.bad("a block is longer than any"));
        }
        let block = self.take(length as usize)?;
        if block_checksum(length, &block) != crc {
            return Err(self.bad("the checksum of a block is wrong"));
        }
        Ok(Some(block))
    }

    fn check_end(self, expected: u32) -> Result<()> {
        let found = self.crc.clone().finalize();
        if found == expected {
            return Ok(());
        }
        Err(unusable(self.path, format!("its checksum is {found:08x}, expected {expected:08x}")))
    }

    fn bad(&self, reason: &str) -> crate::Error {
        unusable(self.path.as_str(), format!("{reason} (before offset {})", self.offset))
    }
}

fn parse(block: &[u8]) -> Option<Vec<StoredEntry>> {
    let mut fields = Fields::new(block);
    let mut entries = Vec::new();
    while !fields.is_empty() {
        let keyspace = KeyspaceId(fields.u32()?);
        let (key_bytes, value_bytes) = (fields.u32()? as usize, fields.u32()? as usize);
        if key_bytes == 0 || key_bytes > MAX_KEY_BYTES {
            return None;
        }
        let key = Key::from(fields.take(key_bytes)?);
        entries.push(StoredEntry { keyspace, key, value: Value::from(fields.take(value_bytes)?) });
    }
    Some(entries)
}
