//! Reading a log, following it, opening it.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use mainstay::wal::{Bound, Log, LogOptions, Lsn};

use crate::{disk, new_log, payload, scratch};

/// Bytes of payloads in the logs that are read.
const LOG_BYTES: u64 = 32 << 20;

fn fill(log: &Log, payload_bytes: usize, records: u64) {
    for number in 0..records {
        log.append(&payload(number, payload_bytes)).unwrap();
    }
    log.sync().unwrap();
}

/// Reads everything from the beginning in runs; gives the number of records.
fn read_all(log: &Log) -> u64 {
    let mut reader = log.reader(Lsn(1), Bound::Durable).unwrap();
    let mut records = 0;
    while let Some(run) = reader.read_run().unwrap() {
        records += run.last().lsn.next().0 - run.first_lsn().0;
    }
    records
}

/// Reads frame by frame.
fn read_frames(log: &Log) -> u64 {
    let mut reader = log.reader(Lsn(1), Bound::Durable).unwrap();
    let mut records = 0;
    while reader.next_frame().unwrap().is_some() {
        records += 1;
    }
    records
}

/// A whole log, from the page cache.
pub(crate) fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    for bytes in [100, 1024] {
        let records = LOG_BYTES / bytes as u64;
        let scratch = scratch();
        let log = new_log(scratch.path());
        fill(&log, bytes, records);
        group.throughput(Throughput::Bytes(LOG_BYTES));
        group.bench_function(BenchmarkId::new("runs", bytes), |b| {
            b.iter(|| assert_eq!(read_all(&log), records));
        });
        group.bench_function(BenchmarkId::new("frames", bytes), |b| {
            b.iter(|| assert_eq!(read_frames(&log), records));
        });
        log.close().unwrap();
    }
    group.finish();
}

/// Records that one thread appends and another has read.
pub(crate) fn tail(c: &mut Criterion) {
    let mut group = c.benchmark_group("tail");
    for bytes in [100, 1024] {
        let scratch = scratch();
        let log = new_log(scratch.path());
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter_custom(|iterations| follow(&log, &payload(1, bytes), iterations));
        });
        log.close().unwrap();
    }
    group.finish();
}

fn follow(log: &Log, payload: &[u8], records: u64) -> Duration {
    let first = log.end().lsn.next();
    log.truncate_prefix(first).unwrap();
    let mut reader = log.reader(first, Bound::Durable).unwrap();
    let last = Lsn(first.0 + records - 1);
    let started = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..records {
                log.append(payload).unwrap();
            }
            log.sync().unwrap();
        });
        while reader.next_lsn() <= last {
            while reader.read_run().unwrap().is_some() {}
            let _there_is_more = reader.wait(Duration::from_millis(100));
        }
    });
    started.elapsed()
}

/// Opening a log that was closed: every byte is read and checked.
pub(crate) fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    for bytes in [100, 1024] {
        let records = LOG_BYTES / bytes as u64;
        let scratch = scratch();
        let log = new_log(scratch.path());
        fill(&log, bytes, records);
        log.close().unwrap();
        drop(log);
        group.throughput(Throughput::Bytes(LOG_BYTES));
        group.bench_function(BenchmarkId::from_parameter(bytes), |b| {
            b.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    let disk = disk(scratch.path());
                    let lock = disk.lock().unwrap();
                    let started = Instant::now();
                    let opened = Log::open(disk, LogOptions::default(), Some(lock)).unwrap();
                    took += started.elapsed();
                    assert_eq!(opened.recovery.end.lsn, Lsn(records));
                    opened.log.close().unwrap();
                }
                took
            });
        });
    }
    group.finish();
}
