//! mainstay itself, over each of its Stores.

use std::path::Path;

use mainstay::{Batch, Db, Durability, Options, StoreKind};

use crate::peer::{Class, Kind, Peer, Pending, Result, Settings};

pub(crate) const SLED: Kind = Kind {
    name: "mainstay",
    package: "mainstay",
    class: Class::Store,
    keeps_durable: true,
    has_tickets: true,
    durability: "Durability::Sync; buffered: Durability::Buffered",
    memory: "memory_bytes, store_cache_bytes",
    open: |directory, settings| open(directory, settings, StoreKind::Sled),
};

pub(crate) const LSM: Kind = Kind {
    name: "mainstay-lsm",
    open: |directory, settings| open(directory, settings, StoreKind::Lsm),
    ..SLED
};

struct Mainstay {
    db: Db,
    durability: Durability,
}

fn open(directory: &Path, settings: &Settings, store: StoreKind) -> Result<Box<dyn Peer>> {
    let mut options = Options::new().store(store);
    if let Some(memory) = settings.memory {
        options = options
            .memory_bytes(usize::try_from(memory.write_bytes)?)
            .store_cache_bytes(memory.cache_bytes);
    }
    let durability = if settings.durable { Durability::Sync } else { Durability::Buffered };
    Ok(Box::new(Mainstay { db: options.open(directory)?, durability }))
}

impl Mainstay {
    fn batch(&self, records: &[(Vec<u8>, &[u8])]) -> Batch {
        let bytes = records.iter().map(|(key, value)| key.len() + value.len() + 16).sum();
        let mut batch = Batch::with_capacity(bytes);
        for (key, value) in records {
            batch.insert(&self.db, key, value);
        }
        batch
    }
}

impl Peer for Mainstay {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.db.insert_with(key, value, self.durability)?;
        Ok(())
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        self.db.write_with(self.batch(records), self.durability)?.wait()?;
        Ok(())
    }

    fn submit(&self, key: &[u8], value: &[u8]) -> Result<Pending> {
        let mut batch = Batch::with_capacity(key.len() + value.len() + 32);
        batch.insert(&self.db, key, value);
        let ticket = self.db.write_with(batch, self.durability)?;
        Ok(Box::new(move || {
            ticket.wait()?;
            Ok(())
        }))
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.db.get(key)?.map(|value| value.len()))
    }

    fn scan(&self) -> Result<(u64, u64)> {
        let (mut records, mut bytes) = (0, 0);
        for entry in self.db.iter()? {
            let (key, value) = entry?;
            records += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok((records, bytes))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.db.sync()?)
    }

    fn settle(&self) -> Result<()> {
        self.db.checkpoint()?;
        Ok(())
    }
}
