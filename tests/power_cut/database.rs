//! The database itself: what it acknowledged is there after any power cut, in mid-write, while it
//! is made, while it recovers, and after a process that was killed left names and bytes that are
//! seen but not durable.

use std::path::Path;

use super::ends;
use super::workload::{Content, Opened, Outcome, Program, operation};
use mainstay::{Batch, Db, Keyspace, Options, StoreKind};

/// A checkpoint after so many operations, so that the Store and the retention of the log meet the
/// cuts too.
const CHECKPOINT_EVERY: u64 = 20;
/// Makes values long enough for the log to rotate every few operations.
const PADDING_BYTES: usize = 300;

/// Over sled, which acknowledges nothing that a checkpoint relies on.
pub(crate) static OVER_SLED: Program = Program {
    name: "a database over sled",
    pairs: 2,
    open: |directory| open(directory, StoreKind::Sled),
};

/// Over lsm, which syncs on its own and merges its files meanwhile.
pub(crate) static OVER_LSM: Program = Program {
    name: "a database over lsm",
    pairs: 2,
    open: |directory| open(directory, StoreKind::Lsm),
};

/// Over the Store in memory, whose files a checkpoint writes through the same disk as the log.
pub(crate) static OVER_MEMORY: Program = Program {
    name: "a database over memory",
    pairs: 2,
    open: |directory| open(directory, StoreKind::Memory),
};

struct Database {
    db: Db,
    second: Keyspace,
}

fn open(directory: &Path, store: StoreKind) -> Outcome<Box<dyn Opened>> {
    let options = Options::new().segment_bytes(8 << 10, 32 << 10).memory_bytes(1 << 20);
    let db = options.store(store).store_cache_bytes(4 << 20).open(directory)?;
    let second = db.keyspace("second")?;
    Ok(Box::new(Database { db, second }))
}

impl Opened for Database {
    fn content(&self) -> Outcome<Content> {
        let snapshot = self.db.snapshot();
        let both = [self.db.default_keyspace(), &self.second].map(|one| snapshot.iter(one));
        let pairs = both.into_iter().flatten().map(|pair| {
            let (key, value) = pair?;
            let (value, padding) = value.split_at(8);
            assert!(padding.iter().all(|byte| *byte == 7) && padding.len() == PADDING_BYTES);
            Ok((u64::from_be_bytes((*key).try_into()?), u64::from_be_bytes(value.try_into()?)))
        });
        pairs.collect()
    }

    fn operate(&mut self, number: u64) -> Outcome<()> {
        let mut batch = Batch::new();
        let keyspaces = [self.db.default_keyspace(), &self.second];
        for (keyspace, (key, value)) in keyspaces.into_iter().zip(operation(number, 2)) {
            let mut bytes = value.to_be_bytes().to_vec();
            bytes.resize(8 + PADDING_BYTES, 7);
            batch.insert(keyspace, key.to_be_bytes(), bytes);
        }
        self.db.write(batch)?.wait()?;
        if number.is_multiple_of(CHECKPOINT_EVERY) {
            self.db.checkpoint()?;
        }
        Ok(())
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_power_cuts_in_a_row_over_sled() {
    ends::power_cuts_in_a_row(&OVER_SLED, 60);
}

#[test]
fn nothing_acknowledged_is_lost_by_power_cuts_in_a_row_over_lsm() {
    ends::power_cuts_in_a_row(&OVER_LSM, 60);
}

#[test]
fn nothing_acknowledged_is_lost_by_power_cuts_in_a_row_over_memory() {
    ends::power_cuts_in_a_row(&OVER_MEMORY, 60);
}

#[test]
fn a_power_cut_while_it_is_made_leaves_a_database_or_none() {
    ends::power_cuts_while_made(&OVER_SLED);
    ends::power_cuts_while_made(&OVER_LSM);
    ends::power_cuts_while_made(&OVER_MEMORY);
}

#[test]
fn what_a_killed_process_left_unsynced_is_made_durable_before_it_is_built_upon() {
    ends::power_cuts_after_a_kill(&OVER_SLED);
    ends::power_cuts_after_a_kill(&OVER_LSM);
    ends::power_cuts_after_a_kill(&OVER_MEMORY);
}
