//! The engine: what a program does with a database.
//!
//! `cargo bench --bench engine` measures; `cargo bench --bench engine -- get` only what has that in
//! its name; with `-- --test` everything runs once. Databases lie in the current directory, on whose
//! disk they are measured. Whole workloads, with latencies and stalls: `mainstay bench`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark runs threads and stops on the first surprise"
)]

mod keeping;
mod reading;
mod writing;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use mainstay::{Batch, Db, Durability, Options};
use mainstay_cli::bench::workload::{Distribution, Shape};
use tempfile::TempDir;

/// A directory on the disk that is measured.
fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("mainstay-bench-").tempdir_in(".").unwrap()
}

fn open(scratch: &TempDir, options: Options) -> Db {
    options.open(scratch.path().join("db")).unwrap()
}

/// Writes every record of a shape, in batches, buffered.
fn load(db: &Db, shape: &Shape) {
    let shape = &Shape { distribution: Distribution::Uniform, ..shape.clone() };
    let (mut keys, values) = (shape.keys(0, 1), shape.values());
    loop {
        let mut batch = Batch::new();
        for number in std::iter::from_fn(|| keys.next_to_load()).take(100) {
            batch.insert(db, shape.key(number), values.of(number));
        }
        if batch.is_empty() {
            break;
        }
        drop(db.write_with(batch, Durability::Buffered).unwrap());
    }
    db.sync().unwrap();
}

/// Each measurement writes real files: short enough that none fills a disk.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = engine;
    config = short();
    targets = writing::insert, writing::batch, writing::transaction, reading::get, reading::scan,
        reading::mixed, keeping::checkpoint, keeping::recovery
}
criterion_main!(engine);
