//! Appending, alone and together.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use mainstay::wal::Log;

use crate::{new_log, payload, scratch};

/// Appended by all threads together between two looks at the space.
const BETWEEN_TRIMS: u64 = 4096;

/// Lets go of what is durable, so that the log does not fill the disk.
fn trim(log: &Log) {
    log.truncate_prefix(log.durable_lsn()).unwrap();
}

/// Records that nobody waits for, by size.
pub(crate) fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    for bytes in [16, 100, 1024, 16 << 10] {
        let scratch = scratch();
        let log = new_log(scratch.path());
        let payload = payload(1, bytes);
        let mut count = 0;
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter(|| {
                count += 1;
                if count % BETWEEN_TRIMS == 0 {
                    trim(&log);
                }
                log.append(&payload).unwrap()
            });
        });
        log.close().unwrap();
    }
    group.finish();
}

/// Records of 116 bytes that are durable when the call returns, by threads.
pub(crate) fn group_commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("group_commit");
    for threads in [1, 4, 16, 64] {
        let scratch = scratch();
        let log = new_log(scratch.path());
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(threads), |b| {
            b.iter_custom(|iterations| durable_appends(&log, threads, iterations));
        });
        log.close().unwrap();
    }
    group.finish();
}

fn durable_appends(log: &Log, threads: u64, iterations: u64) -> Duration {
    trim(log);
    let payload = &payload(1, 116);
    let each = iterations.div_ceil(threads);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(move || {
                for _ in 0..each {
                    let lsn = log.append(payload).unwrap();
                    log.wait_durable(lsn).unwrap();
                }
            });
        }
    });
    // As if exactly so many had been written as were asked for.
    started.elapsed().mul_f64(iterations as f64 / (each * threads) as f64)
}

/// A thousand records of 116 bytes, and one wait for the last.
pub(crate) fn tickets(c: &mut Criterion) {
    const RECORDS: u64 = 1000;
    let scratch = scratch();
    let log = new_log(scratch.path());
    let payload = payload(1, 116);
    let mut group = c.benchmark_group("tickets");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function(BenchmarkId::from_parameter(RECORDS), |b| {
        b.iter_custom(|iterations| {
            trim(&log);
            let started = Instant::now();
            for _ in 0..iterations {
                let mut last = None;
                for _ in 0..RECORDS {
                    last = Some(log.append(&payload).unwrap());
                }
                log.wait_durable(last.unwrap()).unwrap();
            }
            started.elapsed()
        });
    });
    group.finish();
    log.close().unwrap();
}
