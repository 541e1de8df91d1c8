//! redb: copy-on-write B-trees, one writer at a time.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "redb",
    package: "redb",
    class: Class::Store,
    keeps_durable: true,
    has_tickets: false,
    durability: "a transaction with Durability::Immediate; buffered: a transaction with \
                 Durability::None, and one with Immediate every second",
    memory: "set_cache_size",
    open,
};

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

struct Redb {
    db: Database,
    durable: bool,
    /// When something was last made durable.
    synced: Mutex<Instant>,
}

fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    let mut builder = Database::builder();
    if let Some(memory) = settings.memory {
        builder.set_cache_size(usize::try_from(memory.total())?);
    }
    std::fs::create_dir_all(directory)?;
    let db = builder.create(directory.join("redb"))?;
    let transaction = db.begin_write()?;
    transaction.open_table(TABLE)?;
    transaction.commit()?;
    Ok(Box::new(Redb { db, durable: settings.durable, synced: Mutex::new(Instant::now()) }))
}

impl Redb {
    /// What the next transaction asks for.
    fn durability(&self) -> Result<Durability> {
        let mut synced = self.synced.lock().map_err(|error| error.to_string())?;
        if !self.durable && synced.elapsed() < Duration::from_secs(1) {
            return Ok(Durability::None);
        }
        *synced = Instant::now();
        Ok(Durability::Immediate)
    }

    fn write<'a>(&self, records: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(self.durability()?)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in records {
                table.insert(key, value)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Peer for Redb {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(std::iter::once((key, value)))
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        self.write(records.iter().map(|(key, value)| (key.as_slice(), *value)))
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| value.value().len()))
    }

    fn scan(&self) -> Result<(u64, u64)> {
        let table = self.db.begin_read()?.open_table(TABLE)?;
        let (mut records, mut bytes) = (0, 0);
        for entry in table.iter()? {
            let (key, value) = entry?;
            records += 1;
            bytes += (key.value().len() + value.value().len()) as u64;
        }
        Ok((records, bytes))
    }

    fn sync(&self) -> Result<()> {
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        Ok(transaction.commit()?)
    }
}
