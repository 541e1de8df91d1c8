//! raft-engine: a log for many Raft groups, with a group commit.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::refused;
use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "raft-engine",
    package: "raft-engine",
    class: Class::Log,
    keeps_durable: true,
    has_tickets: false,
    durability: "write(batch, sync = true), each thread as a Raft group of its own",
    memory: "none of its own but its index",
    open,
};

struct RaftEngine {
    engine: Engine,
    durable: bool,
}

fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    let dir = directory.to_str().ok_or("its directory must be UTF-8")?.to_owned();
    // Nothing is compressed, see `crate::peers`.
    let config = Config { dir, batch_compression_threshold: ReadableSize(0), ..Config::default() };
    Ok(Box::new(RaftEngine { engine: Engine::open(config)?, durable: settings.durable }))
}

/// An entry's index stands in its first eight bytes.
struct Indexed;

const INDEX_BYTES: usize = 8;

impl MessageExt for Indexed {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        let bytes = entry.value.first_chunk::<INDEX_BYTES>();
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

static GROUPS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// This thread's group, and the index of its last entry.
    static GROUP: Cell<(u64, u64)> = Cell::new((GROUPS.fetch_add(1, Ordering::Relaxed), 0));
}

impl RaftEngine {
    fn append<'a>(&self, records: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
        let (group, mut last) = GROUP.get();
        let mut entries = Vec::new();
        for (key, value) in records {
            last += 1;
            let mut entry = BytesValue::new();
            entry.value = [&last.to_le_bytes(), key, value].concat();
            entries.push(entry);
        }
        let mut batch = LogBatch::with_capacity(entries.len());
        batch.add_entries::<Indexed>(group, &entries)?;
        self.engine.write(&mut batch, self.durable)?;
        GROUP.set((group, last));
        Ok(())
    }
}

impl Peer for RaftEngine {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.append(std::iter::once((key, value)))
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        self.append(records.iter().map(|(key, value)| (key.as_slice(), *value)))
    }

    fn get(&self, _key: &[u8]) -> Result<Option<usize>> {
        refused("read by key")
    }

    fn scan(&self) -> Result<(u64, u64)> {
        refused("read in order of keys")
    }

    fn sync(&self) -> Result<()> {
        Ok(self.engine.sync()?)
    }
}
