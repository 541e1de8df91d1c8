//! okaywal: a log with a group commit.

use std::path::Path;

use okaywal::{Configuration, LogVoid, WriteAheadLog};

use super::refused;
use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "okaywal",
    package: "okaywal",
    class: Class::Log,
    keeps_durable: true,
    has_tickets: false,
    durability: "EntryWriter::commit",
    memory: "none of its own but its buffers",
    open,
};

struct OkayWal(WriteAheadLog);

fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    if !settings.durable {
        return refused("acknowledge before it syncs");
    }
    // Files as large as mainstay's segments: it need not make new ones all the time, as it would
    // with its default, a megabyte.
    let config = Configuration::default_for(directory)
        .preallocate_bytes(64 << 20)
        .checkpoint_after_bytes(48 << 20);
    Ok(Box::new(OkayWal(config.open(LogVoid)?)))
}

impl Peer for OkayWal {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        entry.write_chunk(key)?;
        entry.write_chunk(value)?;
        entry.commit()?;
        Ok(())
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        for (key, value) in records {
            entry.write_chunk(key)?;
            entry.write_chunk(value)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn get(&self, _key: &[u8]) -> Result<Option<usize>> {
        refused("read by key")
    }

    fn scan(&self) -> Result<(u64, u64)> {
        refused("read in order of keys")
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
