//! fjall: log-structured merge trees with a log in front.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "fjall",
    package: "fjall",
    class: Class::Store,
    keeps_durable: true,
    has_tickets: false,
    durability: "persist(PersistMode::SyncData) after each write, or as the batch's durability; \
                 buffered: given to the operating system, as is its default",
    memory: "max_memtable_size, cache_size",
    open,
};

struct Fjall {
    db: Database,
    records: Keyspace,
    durable: bool,
}

fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    let mut builder = Database::builder(directory);
    let mut options = KeyspaceCreateOptions::default();
    if let Some(memory) = settings.memory {
        builder = builder.cache_size(memory.cache_bytes);
        options = options.max_memtable_size(memory.write_bytes / 4);
    }
    let db = builder.open()?;
    let records = db.keyspace("records", move || options)?;
    Ok(Box::new(Fjall { db, records, durable: settings.durable }))
}

impl Peer for Fjall {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.records.insert(key, value)?;
        if self.durable { self.sync() } else { Ok(()) }
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        let mode = if self.durable { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.db.batch().durability(Some(mode));
        for (key, value) in records {
            batch.insert(&self.records, key.as_slice(), *value);
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.records.get(key)?.map(|value| value.len()))
    }

    fn scan(&self) -> Result<(u64, u64)> {
        let (mut records, mut bytes) = (0, 0);
        for entry in self.records.iter() {
            let (key, value) = entry.into_inner()?;
            records += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok((records, bytes))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.db.persist(PersistMode::SyncData)?)
    }

    fn settle(&self) -> Result<()> {
        self.records.rotate_memtable_and_wait()?;
        self.records.major_compact()?;
        self.sync()
    }
}
