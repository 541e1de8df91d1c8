//! LMDB by way of `heed`: a memory-mapped copy-on-write B-tree, one writer at a time.

use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, WithTls};

use crate::peer::{Class, Kind, Peer, Result, Settings};

pub(crate) const KIND: Kind = Kind {
    name: "lmdb",
    package: "heed",
    class: Class::Store,
    keeps_durable: true,
    has_tickets: false,
    durability: "a transaction, synced when it commits; buffered: opened with MDB_NOSYNC",
    memory: "none of its own: the kernel's page cache",
    open,
};

/// Address space, not memory; more than any workload here needs.
const MAP_BYTES: usize = 64 << 30;

struct Lmdb {
    env: Env<WithTls>,
    records: Database<'static, Bytes, Bytes>,
}

#[expect(unsafe_code, reason = "a memory map: nobody else touches the file while it is measured")]
fn open(directory: &Path, settings: &Settings) -> Result<Box<dyn Peer>> {
    std::fs::create_dir_all(directory)?;
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES).max_readers(1024);
    if !settings.durable {
        // SAFETY: a power cut may damage the file, which is measured but never read after one.
        unsafe { options.flags(EnvFlags::NO_SYNC) };
    }
    // SAFETY: the directory belongs to this measurement alone.
    let env = unsafe { options.open(directory)? };
    let made = env.create_databases_and_commit(env.write_txn()?, |opener, transaction| {
        let records = opener.create_database::<Bytes, Bytes>(transaction, None)?;
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(records))
    })?;
    let CommitOrAbort::Commit(records) = made else { return Err("not committed".into()) };
    Ok(Box::new(Lmdb { env, records }))
}

impl Peer for Lmdb {
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.records.put(&mut transaction, key, value)?;
        Ok(transaction.commit()?)
    }

    fn insert_batch(&self, records: &[(Vec<u8>, &[u8])]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (key, value) in records {
            self.records.put(&mut transaction, key, value)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Result<Option<usize>> {
        let transaction = self.env.read_txn()?;
        Ok(self.records.get(&transaction, key)?.map(<[u8]>::len))
    }

    fn scan(&self) -> Result<(u64, u64)> {
        let transaction = self.env.read_txn()?;
        let (mut records, mut bytes) = (0, 0);
        for entry in self.records.iter(&transaction)? {
            let (key, value) = entry?;
            records += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        Ok((records, bytes))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }
}
