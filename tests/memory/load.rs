//! What is written, by how many, and who reads meanwhile.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay::{Batch, Db, Durability};
use oorandom::Rand64;

/// A sustained load.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Load {
    pub(crate) budget_bytes: usize,
    value_bytes: usize,
    /// Entries in a batch.
    batch: usize,
    writers: u64,
    durability: Durability,
    /// Whether snapshots are alive all the time.
    snapshots: bool,
    /// How many different keys there are; 0: every key is a new one.
    keys: u64,
}

/// How often the budget is written.
const TIMES: usize = 10;

impl Load {
    /// Those that a Store is put under which takes what it gets at once.
    pub(crate) fn quick() -> Vec<Load> {
        let (small, large) = (Load::of(16 << 20), Load::of(64 << 20));
        vec![
            Load { value_bytes: 100, snapshots: true, ..small },
            Load { value_bytes: 100, keys: 1000, snapshots: true, ..small },
            Load { durability: Durability::Sync, ..small },
            Load { value_bytes: 64 << 10, batch: 1, durability: Durability::Sync, ..small },
            Load { durability: Durability::Sync, writers: 8, snapshots: true, ..large },
        ]
    }

    /// Those that a Store is put under which cannot keep up.
    pub(crate) fn held() -> Vec<Load> {
        let (small, large) = (Load::of(16 << 20), Load::of(64 << 20));
        vec![
            Load { snapshots: true, ..small },
            Load { value_bytes: 1 << 20, batch: 1, writers: 16, ..small },
            Load { value_bytes: 16 << 10, batch: 1, snapshots: true, ..large },
        ]
    }

    fn of(budget_bytes: usize) -> Load {
        Load {
            budget_bytes,
            value_bytes: 1000,
            batch: 16,
            writers: 4,
            durability: Durability::Buffered,
            snapshots: false,
            keys: 0,
        }
    }

    /// The value that is written each time: the writers' own memory, not the database's.
    pub(crate) fn value(&self) -> Vec<u8> {
        vec![7; self.value_bytes]
    }

    /// The batches that the writers hold, one each: their own memory too.
    pub(crate) fn own_bytes(&self) -> usize {
        self.writers as usize * self.batch * (16 + self.value_bytes)
    }

    /// Writes ten times the budget.
    pub(crate) fn run(&self, db: &Db, value: &[u8]) -> Report {
        let entry_bytes = 16 + self.value_bytes;
        let batches = (TIMES * self.budget_bytes / (entry_bytes * self.batch)) as u64;
        let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
        let began = Instant::now();
        std::thread::scope(|scope| {
            if self.snapshots {
                scope.spawn(|| keep_snapshots(db, &done));
            }
            let writers: Vec<_> = (0..self.writers)
                .map(|writer| {
                    let written = &written;
                    scope.spawn(move || self.write(db, writer, value, batches, written))
                })
                .collect();
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Ordering::Release);
        });
        let entries = batches * self.batch as u64;
        Report { bytes: entries * entry_bytes as u64, took: began.elapsed() }
    }

    fn write(&self, db: &Db, writer: u64, value: &[u8], batches: u64, written: &AtomicU64) {
        let mut random = Rand64::new(u128::from(writer));
        while written.fetch_add(1, Ordering::Relaxed) < batches {
            let mut batch = Batch::new();
            for _ in 0..self.batch {
                let number = random.rand_u64();
                let number = number.checked_rem(self.keys).unwrap_or(number);
                let key = [number.to_be_bytes(), writer.to_be_bytes()].concat();
                batch.insert(db, key, value);
            }
            let ticket = db.write_with(batch, self.durability).unwrap();
            ticket.wait().unwrap();
        }
    }
}

/// Keeps the last few snapshots alive; some of them are given up for it.
fn keep_snapshots(db: &Db, done: &AtomicBool) {
    let mut alive = std::collections::VecDeque::new();
    while !done.load(Ordering::Acquire) {
        alive.push_back(db.snapshot());
        if alive.len() > 8 {
            alive.pop_front();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { budget_bytes, value_bytes, batch, writers, durability, keys, .. } = self;
        write!(
            f,
            "budget {} MiB, values of {value_bytes} bytes, batches of {batch}, {writers} writers, \
             {durability:?}",
            budget_bytes >> 20
        )?;
        if *keys > 0 {
            write!(f, ", {keys} keys each")?;
        }
        f.write_str(if self.snapshots { ", with snapshots" } else { "" })
    }
}

/// What a load did.
pub(crate) struct Report {
    bytes: u64,
    took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = self.bytes as f64 / f64::from(1 << 20);
        write!(f, "{mib:.0} MiB at {:.0} MiB/s", mib / self.took.as_secs_f64())
    }
}
