//! lsm-tree alone, the tree of fjall and of mainstay's Store `lsm`: what reading costs without
//! anything above it.

use std::path::Path;
use std::sync::Arc;

use lsm_tree::{
    AbstractTree as _, AnyTree, Cache, Config, Guard as _, SeqNo, SequenceNumberCounter,
};

use super::refused;
use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "lsm-tree",
    package: "lsm-tree",
    class: Class::Tree,
    keeps_durable: false,
    has_tickets: false,
    durability: "none of its own: it has no log",
    memory: "use_cache",
    open,
};

struct Tree {
    tree: AnyTree,
    numbers: SequenceNumberCounter,
}

/// Sequence numbers of reads: everything.
const NEWEST: SeqNo = SeqNo::MAX >> 1;

fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    let numbers = SequenceNumberCounter::default();
    let mut config = Config::new(directory, numbers.clone(), SequenceNumberCounter::default());
    if let Some(memory) = settings.memory {
        config = config.use_cache(Arc::new(Cache::with_capacity_bytes(memory.cache_bytes)));
    }
    Ok(Box::new(Tree { tree: config.open()?, numbers }))
}

impl Peer for Tree {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.tree.insert(key, value, self.numbers.next());
        Ok(())
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        records.iter().try_for_each(|(key, value)| self.insert(key, value))
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.tree.get(key, NEWEST)?.map(|value| value.len()))
    }

    fn scan(&self) -> Result<(u64, u64)> {
        let (mut records, mut bytes) = (0, 0);
        for entry in self.tree.iter(NEWEST, None) {
            let (key, value) = entry.into_inner()?;
            records += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok((records, bytes))
    }

    fn sync(&self) -> Result<()> {
        refused("sync")
    }

    fn settle(&self) -> Result<()> {
        self.tree.flush_active_memtable(0)?;
        self.tree.major_compact(64 << 20, 0)?;
        Ok(())
    }
}
