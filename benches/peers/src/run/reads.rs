//! Measuring reads, and reads among writes.

use mainstay_cli::bench::workload::{Distribution, Figures, Shape};

use super::Run;
use super::writes::{finish, in_threads};
use crate::machine;
use crate::peer::{Peer, Result};
use crate::result::Measured;

/// So many that they fit into a memtable of everybody's.
const MEMTABLE_RECORDS: u64 = 100_000;
/// Records of a batch while a store is filled for reading.
const BATCH: u64 = 1000;

/// The directory that all rounds of reads use.
pub(super) fn prepare(run: &Run<'_>) -> Result<Measured> {
    let shape = Shape::new(run.order.records);
    let peer = run.open(false, 1, shape.user_bytes(1))?;
    fill(&*peer, &shape)?;
    peer.settle()?;
    Ok(Measured::default())
}

fn fill(peer: &dyn Peer, shape: &Shape) -> Result<()> {
    let values = shape.values();
    for first in (0..shape.records).step_by(BATCH as usize) {
        let numbers = first..shape.records.min(first + BATCH);
        let records = numbers.map(|number| (shape.key(number), values.of(number)));
        peer.insert_batch(&records.collect::<Vec<_>>())?;
    }
    Ok(())
}

pub(super) fn points(run: &Run<'_>, distribution: Distribution, threads: u64) -> Result<Measured> {
    let shape = Shape { distribution, ..Shape::new(run.order.records) };
    let peer = run.open(false, 1, shape.user_bytes(1))?;
    warm(&*peer, &shape)?;
    let figures = read(run, &*peer, &shape, threads)?;
    finish(run, &shape, &figures, machine::written_bytes())
}

pub(super) fn memtable(run: &Run<'_>, threads: u64) -> Result<Measured> {
    let shape = Shape::new(run.order.records.min(MEMTABLE_RECORDS));
    let peer = run.open(false, 1, shape.user_bytes(1))?;
    fill(&*peer, &shape)?;
    let figures = read(run, &*peer, &shape, threads)?;
    finish(run, &shape, &figures, machine::written_bytes())
}

/// Every record once, in an order that is nobody's, so that what a cache can hold is in it.
fn warm(peer: &dyn Peer, shape: &Shape) -> Result<()> {
    let mut key = vec![0; shape.key_bytes];
    for number in 0..shape.records {
        shape.write_key(number, &mut key);
        found(peer, &key, shape)?;
    }
    Ok(())
}

fn found(peer: &dyn Peer, key: &[u8], shape: &Shape) -> Result<()> {
    match peer.get(key)? {
        Some(bytes) if bytes == shape.value_bytes => Ok(()),
        other => Err(format!("{} has {other:?} bytes", key.escape_ascii()).into()),
    }
}

fn read(run: &Run<'_>, peer: &dyn Peer, shape: &Shape, threads: u64) -> Result<Figures> {
    let clock = run.clock();
    in_threads(threads, |thread| {
        let mut keys = shape.keys(thread, threads);
        let mut key = vec![0; shape.key_bytes];
        clock.repeat(1, || {
            shape.write_key(keys.next_number(), &mut key);
            found(peer, &key, shape)
        })
    })
}

/// Again and again until the time is over.
pub(super) fn scan(run: &Run<'_>) -> Result<Measured> {
    let shape = Shape::new(run.order.records);
    let peer = run.open(false, 1, shape.user_bytes(1))?;
    let all = (shape.records, shape.user_bytes(shape.records));
    let figures = run.clock().repeat(shape.records, || {
        let read = peer.scan()?;
        if read == all {
            return Ok(());
        }
        Err(format!("a scan gave {read:?} instead of {all:?} records and bytes").into())
    })?;
    finish(run, &shape, &figures, machine::written_bytes())
}

pub(super) fn mixed(run: &Run<'_>, threads: u64) -> Result<Measured> {
    let shape = Shape { distribution: Distribution::Zipfian, ..Shape::new(run.order.records) };
    let peer = run.open(false, threads, shape.user_bytes(1))?;
    fill(&*peer, &shape)?;
    peer.settle()?;
    let written = machine::written_bytes();
    let clock = run.clock();
    let figures = in_threads(threads, |thread| {
        let (mut keys, values) = (shape.keys(thread, threads), shape.values());
        let mut key = vec![0; shape.key_bytes];
        clock.repeat(1, || {
            let number = keys.next_number();
            shape.write_key(number, &mut key);
            if keys.draw() < 0.5 {
                found(&*peer, &key, &shape)
            } else {
                peer.insert(&key, values.of(number))
            }
        })
    })?;
    finish(run, &shape, &figures, written)
}
