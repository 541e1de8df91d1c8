//! The log and its formats.
//!
//! `cargo bench --bench log` measures; `cargo bench --bench log -- append` only what has that in its
//! name; with `-- --test` everything runs once. Logs lie in the current directory, on whose disk
//! they are measured. What the disk allows is measured by `mainstay bench limits`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a benchmark runs threads, counts in small numbers, and stops on the first surprise"
)]

mod codecs;
mod reading;
mod writing;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use mainstay::wal::disk::{Disk, FileDisk, FileDiskOptions};
use mainstay::wal::manifest::Manifest;
use mainstay::wal::{DatabaseId, Incarnation, Log, LogOptions};
use tempfile::TempDir;

/// A directory on the disk that is measured.
fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("mainstay-bench-").tempdir_in(".").unwrap()
}

fn disk(directory: &Path) -> Arc<dyn Disk> {
    Arc::new(FileDisk::open(directory, FileDiskOptions::default()).unwrap())
}

/// A new log with its thread.
fn new_log(directory: &Path) -> Log {
    let disk = disk(directory);
    let lock = disk.lock().unwrap();
    let manifest = Manifest::new(DatabaseId(1), Incarnation(1), "none", "none");
    let log = Log::create(disk, LogOptions::default(), &manifest, Some(lock)).unwrap().log;
    log.spawn_thread().unwrap();
    log
}

/// A payload that follows from a number, so that no two are alike.
fn payload(number: u64, bytes: usize) -> Vec<u8> {
    let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    word.into_iter().cycle().take(bytes).collect()
}

/// Each measurement writes or reads real files: short enough that none fills a disk.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = log;
    config = short();
    targets = writing::append, writing::group_commit, writing::tickets, reading::read,
        reading::tail, reading::open
}
criterion_group!(formats, codecs::frames, codecs::groups, codecs::records, codecs::manifest);
criterion_main!(log, formats);
