//! Durable writes beside the limit of the disk, and recovery.
//!
//! `cargo bench --bench durable` measures; with `-- --test` everything runs once, small.
//!
//! The limit is what one thread reaches that does nothing but write a block and sync it, on a file
//! that is prepared as the log prepares its segments. All rounds are interleaved, and medians are
//! printed.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a benchmark reads clocks, runs threads, prints, and stops on the first surprise"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay::wal::disk::{AlignedBuffer, Disk, DiskFile, FileDisk, FileDiskOptions, Open};
use mainstay::{Batch, Db, Durability, Options, StoreKind};

struct Scale {
    rounds: usize,
    round: Duration,
    recovered_records: u64,
}

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let scale = if test {
        Scale { rounds: 1, round: Duration::from_millis(50), recovered_records: 10_000 }
    } else {
        Scale { rounds: 7, round: Duration::from_secs(1), recovered_records: 1_000_000 }
    };
    writes(&scale);
    recovery(&scale);
}

fn writes(scale: &Scale) {
    let directory = tempfile::tempdir_in(".").unwrap();
    let limit_file = prepared_file(directory.path());
    let db = Options::new().open(directory.path().join("db")).unwrap();
    let (mut limits, mut rates) = (Vec::new(), vec![Vec::new(); 3]);
    let threads = [1, 16, 64];
    let mut next = 0;
    for _ in 0..scale.rounds {
        limits.push(limit(&*limit_file, scale.round));
        for (rates, threads) in rates.iter_mut().zip(threads) {
            rates.push(insert(&db, threads, scale.round, &mut next));
        }
    }
    let stats = db.stats().unwrap();
    let limit = median(&mut limits);
    println!("figure: limit, one block written and synced at a time: {limit:.0}/s");
    for (rates, threads) in rates.iter_mut().zip(threads) {
        let rate = median(rates);
        println!(
            "figure: durable inserts of 100 bytes, {threads} threads: {rate:.0}/s, {:.2} of the limit",
            rate / limit
        );
    }
    println!(
        "figure: {:.1} records a sync in all; direct: {}",
        stats.log.appended_records as f64 / stats.log.syncs as f64,
        stats.log.direct
    );
}

fn prepared_file(directory: &Path) -> Arc<dyn DiskFile> {
    let disk = FileDisk::open(directory.join("limit"), FileDiskOptions::default()).unwrap();
    let file = disk.open("limit", Open::Create).unwrap();
    file.write_at(0, &vec![0; 8 << 20]).unwrap();
    file.sync().unwrap();
    file
}

fn limit(file: &dyn DiskFile, duration: Duration) -> f64 {
    let mut block = AlignedBuffer::with_capacity(4096);
    block.resize(4096);
    let started = Instant::now();
    let mut count = 0u64;
    while started.elapsed() < duration {
        block[0] = count as u8;
        file.write_and_sync_at(count * 4096 % (8 << 20), &block).unwrap();
        count += 1;
    }
    count as f64 / started.elapsed().as_secs_f64()
}

fn insert(db: &Db, threads: u64, duration: Duration, next: &mut u64) -> f64 {
    let started = Instant::now();
    let first = *next;
    let writers: Vec<_> = (0..threads)
        .map(|thread| {
            let db = db.clone();
            std::thread::spawn(move || {
                let mut count = 0u64;
                while started.elapsed() < duration {
                    let key = (first + count * threads + thread).to_be_bytes();
                    db.insert([key, key].concat(), [7; 100]).unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let counts: Vec<u64> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    *next += counts.iter().max().unwrap() * threads;
    counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64()
}

/// All records stand in the log alone: what opening after a crash costs at most.
fn recovery(scale: &Scale) {
    for store in [StoreKind::Sled, StoreKind::Memory] {
        let directory = tempfile::tempdir_in(".").unwrap();
        let options = Options::new().store(store).memory_bytes(1 << 30);
        let db = options.clone().open(directory.path()).unwrap();
        for batch in 0..scale.recovered_records / 100 {
            let mut writes = Batch::new();
            for record in 0..100 {
                let key = (batch * 100 + record).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                writes.insert(&db, [key, key].concat(), [7; 100]);
            }
            drop(db.write_with(writes, Durability::Buffered).unwrap());
        }
        db.close().unwrap();
        let started = Instant::now();
        let db = options.open(directory.path()).unwrap();
        let took = started.elapsed();
        assert_eq!(db.recovery().replayed_records, scale.recovered_records / 100);
        println!(
            "figure: recovery of {} records of 100 bytes from the log, {store}: {:.2} s",
            scale.recovered_records,
            took.as_secs_f64()
        );
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
