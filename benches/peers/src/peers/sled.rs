//! sled 0.34: a tree of its own kind, with a log of pages.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "sled",
    package: "sled",
    class: Class::Store,
    keeps_durable: false,
    has_tickets: false,
    durability: "flush() after each write, which starts the writing but does not wait for the \
                 device (spacejam/sled#1452); buffered: its own flush every 500 ms",
    memory: "cache_capacity",
    open,
};

struct Sled {
    db: sled::Db,
    durable: bool,
}

fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    let mut config = sled::Config::new().path(directory);
    if let Some(memory) = settings.memory {
        config = config.cache_capacity(memory.total());
    }
    // It may hold its lock for a moment after it was dropped.
    let began = Instant::now();
    let db = loop {
        match config.open() {
            Err(sled::Error::Io(_)) if began.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => break opened?,
        }
    };
    Ok(Box::new(Sled { db, durable: settings.durable }))
}

impl Sled {
    fn acknowledge(&self) -> Result<()> {
        if self.durable {
            self.db.flush()?;
        }
        Ok(())
    }
}

impl Peer for Sled {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.db.insert(key, value)?;
        self.acknowledge()
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        let mut batch = sled::Batch::default();
        for (key, value) in records {
            batch.insert(key.as_slice(), *value);
        }
        self.db.apply_batch(batch)?;
        self.acknowledge()
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.db.get(key)?.map(|value| value.len()))
    }

    fn scan(&self) -> Result<(u64, u64)> {
        let (mut records, mut bytes) = (0, 0);
        for entry in self.db.iter() {
            let (key, value) = entry?;
            records += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok((records, bytes))
    }

    fn sync(&self) -> Result<()> {
        self.db.flush()?;
        Ok(())
    }
}
