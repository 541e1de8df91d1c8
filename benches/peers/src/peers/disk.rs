//! Not a store: what the disk allows. A file is filled with zeros; then all records that can be
//! waited for at the same time are written and synced as one group, in whole blocks, by one write
//! with `O_DIRECT` and `O_DSYNC`, again and again.

use std::path::Path;
use std::sync::{Arc, Mutex};

use mainstay::wal::disk::{AlignedBuffer, Disk, DiskFile, FileDisk, FileDiskOptions, Open};

use super::refused;
use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "disk",
    package: "",
    class: Class::Limit,
    keeps_durable: true,
    has_tickets: true,
    durability: "one write with O_DIRECT and O_DSYNC for all records that are waited for",
    memory: "one group",
    open,
};

const BLOCK_BYTES: u64 = 4096;
const FILE_BYTES: u64 = 64 << 20;

struct DiskLimit {
    file: Arc<dyn DiskFile>,
    group: Mutex<(AlignedBuffer, u64)>,
}

fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    let disk = FileDisk::open(directory, FileDiskOptions::default())?;
    let file = disk.open("limit", Open::Create)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_at(offset, &zeros)?;
    }
    file.sync()?;
    let bytes = settings.outstanding * settings.record_bytes;
    let bytes = usize::try_from(bytes.next_multiple_of(BLOCK_BYTES))?;
    let mut group = AlignedBuffer::with_capacity(bytes);
    group.resize(bytes);
    Ok(Box::new(DiskLimit { file, group: Mutex::new((group, 0)) }))
}

impl Peer for DiskLimit {
    fn insert(&self, _key: &[u8], _value: &[u8]) -> Result<()> {
        let mut group = self.group.lock().map_err(|error| error.to_string())?;
        let (bytes, offset) = &mut *group;
        bytes[0] = bytes[0].wrapping_add(1);
        self.file.write_and_sync_at(*offset, bytes)?;
        *offset += bytes.len() as u64;
        if *offset + bytes.len() as u64 > FILE_BYTES {
            *offset = 0;
        }
        Ok(())
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        records.first().map_or(Ok(()), |(key, value)| self.insert(key, value)) // all are one group
    }

    fn get(&self, _key: &[u8]) -> Result<Option<usize>> {
        refused("read by key")
    }

    fn scan(&self) -> Result<(u64, u64)> {
        refused("read in order of keys")
    }

    fn sync(&self) -> Result<()> {
        Ok(self.file.sync()?)
    }
}
