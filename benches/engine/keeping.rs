//! Checkpoints and recovery.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use mainstay::{Options, StoreKind};
use mainstay_cli::bench::workload::Shape;

use crate::{load, open, scratch};

const RECORDS: u64 = 50_000;
const STORES: [StoreKind; 2] = [StoreKind::Sled, StoreKind::Memory];

/// Records that are moved from memory into a Store which has them already.
pub(crate) fn checkpoint(c: &mut Criterion) {
    let mut group = c.benchmark_group("checkpoint");
    group.throughput(Throughput::Elements(RECORDS));
    for store in STORES {
        let scratch = scratch();
        let db = open(&scratch, Options::new().store(store));
        group.bench_function(BenchmarkId::from_parameter(store), |b| {
            b.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    load(&db, &Shape::new(RECORDS));
                    let started = Instant::now();
                    db.checkpoint().unwrap();
                    took += started.elapsed();
                }
                took
            });
        });
        db.close().unwrap();
    }
    group.finish();
}

/// Opening a database all of whose records stand in the log alone, in batches of 100.
pub(crate) fn recovery(c: &mut Criterion) {
    let mut group = c.benchmark_group("recovery");
    group.throughput(Throughput::Elements(RECORDS));
    for store in STORES {
        let scratch = scratch();
        let options = Options::new().store(store);
        let db = open(&scratch, options.clone());
        load(&db, &Shape::new(RECORDS));
        db.close().unwrap();
        group.bench_function(BenchmarkId::from_parameter(store), |b| {
            b.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    let started = Instant::now();
                    let db = open(&scratch, options.clone());
                    took += started.elapsed();
                    assert_eq!(db.recovery().replayed_records, RECORDS.div_ceil(100));
                    db.close().unwrap();
                }
                took
            });
        });
    }
    group.finish();
}
