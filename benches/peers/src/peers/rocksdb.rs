//! RocksDB: a log-structured merge tree with a log in front, in C++.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "rocksdb",
    package: "rocksdb",
    class: Class::Store,
    keeps_durable: true,
    has_tickets: false,
    durability: "WriteOptions::set_sync(true); buffered: false",
    memory: "write_buffer_size, max_write_buffer_number, block cache",
    open,
};

struct Rocks {
    db: DB,
    write: WriteOptions,
}

fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::None);
    options.increase_parallelism(2);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    if let Some(memory) = settings.memory {
        options.set_write_buffer_size(usize::try_from(memory.write_bytes / 4)?);
        options.set_max_write_buffer_number(4);
        blocks.set_block_cache(&Cache::new_lru_cache(usize::try_from(memory.cache_bytes)?));
        blocks.set_cache_index_and_filter_blocks(true);
    }
    options.set_block_based_table_factory(&blocks);
    let mut write = WriteOptions::default();
    write.set_sync(settings.durable);
    Ok(Box::new(Rocks { db: DB::open(&options, directory)?, write }))
}

impl Peer for Rocks {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.db.put_opt(key, value, &self.write)?)
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in records {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        Ok(self.db.get_pinned(key)?.map(|value| value.len()))
    }

    fn scan(&self) -> Result<(u64, u64)> {
        let (mut records, mut bytes) = (0, 0);
        for entry in self.db.iterator(IteratorMode::Start) {
            let (key, value) = entry?;
            records += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok((records, bytes))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }

    fn settle(&self) -> Result<()> {
        self.db.flush()?;
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }
}
