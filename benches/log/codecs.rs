//! The formats: frames, groups, records, the manifest.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use mainstay::KeyspaceId;
use mainstay::record::{self, RecordOp};
use mainstay::wal::frame::{Frame, encode_frame};
use mainstay::wal::group::GroupHeader;
use mainstay::wal::manifest::Manifest;
use mainstay::wal::{Chain, DatabaseId, Epoch, Incarnation, Lsn};

use crate::payload;

pub(crate) fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    for bytes in [100, 1024, 64 << 10] {
        let payload = payload(1, bytes);
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("encode", bytes), |b| {
            b.iter(|| {
                out.clear();
                encode_frame(&mut out, Lsn(7), Epoch(1), black_box(&payload))
            });
        });
        group.bench_function(BenchmarkId::new("decode", bytes), |b| {
            b.iter(|| Frame::decode(black_box(&out)).unwrap().header);
        });
    }
    group.finish();
}

pub(crate) fn groups(c: &mut Criterion) {
    const SALT: u64 = 99;
    let mut group = c.benchmark_group("group");
    for count in [1, 64, 1000] {
        let mut frames = Vec::new();
        let mut chain = Chain::EMPTY;
        for number in 0..count {
            let header =
                encode_frame(&mut frames, Lsn(1 + number), Epoch(1), &payload(number, 116));
            chain = chain.extend(&header);
        }
        let header = GroupHeader {
            count: count as u32,
            first_lsn: Lsn(1),
            byte_length: frames.len() as u32,
            durable_upto: Lsn::ZERO,
            commit_lsn: Lsn::ZERO,
            chain_before: Chain::EMPTY,
            chain_after: chain,
        };
        let bytes = header.encode(SALT);
        group.throughput(Throughput::Bytes(frames.len() as u64));
        group.bench_function(BenchmarkId::new("check", count), |b| {
            b.iter(|| {
                let header = GroupHeader::decode(black_box(&bytes), SALT).unwrap();
                header.check_body(Epoch::ZERO, black_box(&frames)).unwrap().last
            });
        });
    }
    group.bench_function("encode_header", |b| {
        let header = GroupHeader {
            count: 0,
            first_lsn: Lsn(9),
            byte_length: 0,
            durable_upto: Lsn(8),
            commit_lsn: Lsn(8),
            chain_before: Chain(1),
            chain_after: Chain(1),
        };
        b.iter(|| black_box(&header).encode(SALT));
    });
    group.finish();
}

pub(crate) fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("record");
    for count in [1, 100] {
        let keys: Vec<_> = (0..count).map(|number| payload(number, 16)).collect();
        let value = payload(count, 100);
        let keyspace = KeyspaceId(1);
        let ops: Vec<_> =
            keys.iter().map(|key| RecordOp::Insert { keyspace, key, value: &value }).collect();
        let bytes = record::encode(&ops);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("encode", count), |b| {
            b.iter(|| record::encode(black_box(&ops)));
        });
        group.bench_function(BenchmarkId::new("decode", count), |b| {
            b.iter(|| {
                record::decode(Lsn(1), black_box(&bytes)).unwrap().map(Result::unwrap).count()
            });
        });
    }
    group.finish();
}

pub(crate) fn manifest(c: &mut Criterion) {
    let manifest = Manifest::new(DatabaseId(1), Incarnation(1), "sled", "store-1");
    let bytes = manifest.encode(1);
    let mut group = c.benchmark_group("manifest");
    group.bench_function("encode", |b| b.iter(|| black_box(&manifest).encode(1)));
    group.bench_function("decode", |b| {
        b.iter(|| Manifest::decode(black_box(&bytes)).unwrap());
    });
    group.finish();
}
