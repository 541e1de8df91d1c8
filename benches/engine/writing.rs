//! Writes.

use criterion::{BenchmarkId, Criterion, Throughput};
use mainstay::{Batch, Durability, Options};
use mainstay_cli::bench::workload::{Distribution, Shape};

use crate::{open, scratch};

/// Different keys; so few that what is overwritten is coalesced in memory.
const RECORDS: u64 = 100_000;

pub(crate) fn insert(c: &mut Criterion) {
    let mut group = c.benchmark_group("insert");
    group.throughput(Throughput::Elements(1));
    for (name, durability) in [("sync", Durability::Sync), ("buffered", Durability::Buffered)] {
        for distribution in [Distribution::Sequential, Distribution::Uniform] {
            let scratch = scratch();
            let db = open(&scratch, Options::new());
            let shape = Shape { distribution, ..Shape::new(RECORDS) };
            let (mut keys, values) = (shape.keys(0, 1), shape.values());
            group.bench_function(BenchmarkId::new(name, distribution), |b| {
                b.iter(|| {
                    let number = keys.next_number();
                    db.insert_with(shape.key(number), values.of(number), durability).unwrap()
                });
            });
            db.close().unwrap();
        }
    }
    group.finish();
}

pub(crate) fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch");
    for (name, durability) in [("sync", Durability::Sync), ("buffered", Durability::Buffered)] {
        for records in [10u64, 100, 1000] {
            let scratch = scratch();
            let db = open(&scratch, Options::new());
            let shape = Shape::new(RECORDS);
            let (mut keys, values) = (shape.keys(0, 1), shape.values());
            group.throughput(Throughput::Elements(records));
            group.bench_function(BenchmarkId::new(name, records), |b| {
                b.iter(|| {
                    let mut batch = Batch::new();
                    for _ in 0..records {
                        let number = keys.next_number();
                        batch.insert(&db, shape.key(number), values.of(number));
                    }
                    db.write_with(batch, durability).unwrap().wait().unwrap()
                });
            });
            db.close().unwrap();
        }
    }
    group.finish();
}

/// Reads a key, and writes it and another one.
pub(crate) fn transaction(c: &mut Criterion) {
    let scratch = scratch();
    let db = open(&scratch, Options::new().durability(Durability::Buffered));
    let shape = Shape::new(RECORDS);
    let (mut keys, values) = (shape.keys(0, 1), shape.values());
    let mut group = c.benchmark_group("transaction");
    group.throughput(Throughput::Elements(1));
    group.bench_function("buffered", |b| {
        b.iter(|| {
            let (one, other) = (keys.next_number(), keys.next_number());
            db.transact(|tx| {
                let found = tx.get(&db, shape.key(one))?;
                tx.insert(&db, shape.key(one), values.of(one))?;
                tx.insert(&db, shape.key(other), values.of(other))?;
                Ok(found.is_some())
            })
            .unwrap()
        });
    });
    group.finish();
    db.close().unwrap();
}
