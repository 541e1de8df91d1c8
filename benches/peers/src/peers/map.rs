//! Not a store: a `BTreeMap` behind a lock, which is what a memtable has to beat.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use super::refused;
use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "map",
    package: "",
    class: Class::Map,
    keeps_durable: false,
    has_tickets: false,
    durability: "none: memory only",
    memory: "everything",
    open,
};

#[derive(Default)]
struct Map(RwLock<BTreeMap<Vec<u8>, Vec<u8>>>);

fn open(_directory: &Path, _settings: &Settings) -> Result<Box<dyn Peer>> {
    Ok(Box::new(Map::default()))
}

impl Peer for Map {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        records.iter().try_for_each(|(key, value)| self.insert(key, value))
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        // As from any other store, the value can be kept.
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let value = map.get(key).cloned();
        Ok(value.map(|value| std::hint::black_box(value).len()))
    }

    fn scan(&self) -> Result<(u64, u64)> {
        refused("be scanned")
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
