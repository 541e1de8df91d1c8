//! Reads, alone and mixed with writes.

use criterion::{BenchmarkId, Criterion, Throughput};
use mainstay::{Db, Durability, Options};
use mainstay_cli::bench::workload::{Distribution, Shape};
use tempfile::TempDir;

use crate::{load, open, scratch};

const RECORDS: u64 = 100_000;

/// Databases whose records lie in memory, and in the Store.
fn loaded(shape: &Shape) -> [(&'static str, Db, TempDir); 2] {
    ["memtable", "store"].map(|name| {
        let scratch = scratch();
        let db = open(&scratch, Options::new());
        load(&db, shape);
        if name == "store" {
            db.checkpoint().unwrap();
        }
        assert_eq!(db.stats().unwrap().memtable_bytes == 0, name == "store");
        (name, db, scratch)
    })
}

pub(crate) fn get(c: &mut Criterion) {
    let mut group = c.benchmark_group("get");
    group.throughput(Throughput::Elements(1));
    for (name, db, _scratch) in loaded(&Shape::new(RECORDS)) {
        for distribution in [Distribution::Uniform, Distribution::Zipfian] {
            let shape = Shape { distribution, ..Shape::new(RECORDS) };
            let mut keys = shape.keys(0, 1);
            group.bench_function(BenchmarkId::new(name, distribution), |b| {
                b.iter(|| db.get(shape.key(keys.next_number())).unwrap().unwrap());
            });
        }
        group.bench_function(BenchmarkId::new(name, "missing"), |b| {
            b.iter(|| assert_eq!(db.get(b"no such key").unwrap(), None));
        });
        db.close().unwrap();
    }
    group.finish();
}

pub(crate) fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Elements(RECORDS));
    for (name, db, _scratch) in loaded(&Shape::new(RECORDS)) {
        group.bench_function(name, |b| {
            b.iter(|| {
                let entries = db.iter().unwrap().map(Result::unwrap);
                assert_eq!(entries.count() as u64, RECORDS);
            });
        });
        db.close().unwrap();
    }
    group.finish();
}

/// One read and one overwrite of frequent keys.
pub(crate) fn mixed(c: &mut Criterion) {
    let shape = Shape { distribution: Distribution::Zipfian, ..Shape::new(RECORDS) };
    let mut group = c.benchmark_group("mixed");
    group.throughput(Throughput::Elements(2));
    let scratch = scratch();
    let db = open(&scratch, Options::new());
    load(&db, &shape);
    db.checkpoint().unwrap();
    let (mut keys, values) = (shape.keys(0, 1), shape.values());
    group.bench_function("buffered", |b| {
        b.iter(|| {
            let number = keys.next_number();
            db.insert_with(shape.key(number), values.of(number), Durability::Buffered).unwrap();
            db.get(shape.key(keys.next_number())).unwrap().unwrap()
        });
    });
    group.finish();
    db.close().unwrap();
}
