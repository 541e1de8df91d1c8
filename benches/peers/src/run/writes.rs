//! Measuring writes.

use std::collections::VecDeque;
use std::sync::Barrier;
use std::time::Instant;

use mainstay_cli::bench::workload::{Distribution, Figures, Keys, Recorder, Shape, Values};

use super::{Clock, Run, WINDOW};
use crate::machine;
use crate::peer::{Class, Peer, Pending, Result};
use crate::result::Measured;
use crate::workload::Writers;

/// More keys than are ever written.
const ENDLESS: u64 = 1 << 40;

/// A writing thread.
struct Writer<'a> {
    peer: &'a dyn Peer,
    shape: &'a Shape,
    values: Values,
    keys: Keys,
    clock: Clock,
}

impl Writer<'_> {
    fn single(mut self) -> Result<Figures> {
        let mut key = vec![0; self.shape.key_bytes];
        self.clock.repeat(1, || {
            let number = self.keys.next_number();
            self.shape.write_key(number, &mut key);
            self.peer.insert(&key, self.values.of(number))
        })
    }

    fn batches(mut self, size: u64) -> Result<Figures> {
        self.clock.repeat(size, || {
            let numbers: Vec<u64> = (0..size).map(|_| self.keys.next_number()).collect();
            let record = |number| (self.shape.key(number), self.values.of(number));
            self.peer.insert_batch(&numbers.into_iter().map(record).collect::<Vec<_>>())
        })
    }

    /// So many writers in this thread, each of which begins its next write when its last one is
    /// acknowledged.
    fn tickets(mut self, each: u64) -> Result<Figures> {
        let mut recorder = Recorder::new(self.clock.started, WINDOW);
        let mut waiting: VecDeque<(Instant, Pending)> = VecDeque::new();
        for _ in 0..each {
            waiting.push_back(self.submit()?);
        }
        while let Some((began, pending)) = waiting.pop_front() {
            pending()?;
            let ended = Instant::now();
            if began >= self.clock.started {
                recorder.record_between(began, ended, 1);
            }
            if ended < self.clock.until {
                waiting.push_back(self.submit()?);
            }
        }
        Ok(recorder.finish())
    }

    fn submit(&mut self) -> Result<(Instant, Pending)> {
        let number = self.keys.next_number();
        let key = self.shape.key(number);
        Ok((Instant::now(), self.peer.submit(&key, self.values.of(number))?))
    }
}

pub(super) fn durable(
    run: &Run<'_>,
    writers: Writers,
    batch: u64,
    value_bytes: usize,
) -> Result<Measured> {
    let shape = Shape { value_bytes, ..Shape::new(ENDLESS) };
    let outstanding = writers.all() * batch;
    let peer = run.open(true, outstanding, shape.user_bytes(1))?;
    let is_limit = run.kind.class == Class::Limit;
    let threads = match writers {
        _ if is_limit => 1,
        Writers::Tickets { threads, .. } if run.kind.has_tickets => threads,
        writers => writers.all(),
    };
    let clock = run.clock();
    let written = machine::written_bytes();
    let figures = in_threads(threads, |thread| {
        let (values, keys) = (shape.values(), shape.keys(thread, threads));
        let writer = Writer { peer: &*peer, shape: &shape, values, keys, clock };
        match writers {
            _ if is_limit => clock.repeat(outstanding, || peer.insert(&[], &[])),
            Writers::Tickets { each, .. } if run.kind.has_tickets => writer.tickets(each),
            _ if batch > 1 => writer.batches(batch),
            _ => writer.single(),
        }
    })?;
    finish(run, &shape, &figures, written)
}

/// So many records, each key once, or as often as the distribution has it, and a sync.
pub(super) fn load(
    run: &Run<'_>,
    distribution: Distribution,
    threads: u64,
    records: u64,
) -> Result<Measured> {
    let shape = Shape { distribution, ..Shape::new(records) };
    let peer = run.open(false, threads, shape.user_bytes(1))?;
    let written = machine::written_bytes();
    let started = Instant::now();
    let mut figures = in_threads(threads, |thread| {
        let (mut keys, values) = (shape.keys(thread, threads), shape.values());
        let mut key = vec![0; shape.key_bytes];
        let mut recorder = Recorder::new(started, WINDOW);
        while let Some(number) = keys.next_to_load() {
            shape.write_key(number, &mut key);
            peer.insert(&key, values.of(number))?;
            recorder.record(1);
        }
        Ok(recorder.finish())
    })?;
    let sync = Instant::now();
    peer.sync()?;
    let sync_seconds = sync.elapsed().as_secs_f64();
    figures.extend_to(started.elapsed());
    let mut measured = finish(run, &shape, &figures, written)?;
    measured.sync_seconds = Some(sync_seconds);
    // And how long it takes to come back to that.
    drop(peer);
    let opening = Instant::now();
    let peer = run.open(false, threads, shape.user_bytes(1))?;
    measured.open_seconds = Some(opening.elapsed().as_secs_f64());
    let key = shape.key(shape.keys(0, 1).next_to_load().unwrap_or_default());
    if peer.get(&key)? != Some(shape.value_bytes) {
        return Err("a record that was loaded is missing after opening again".into());
    }
    Ok(measured)
}

/// Does the work of a thread in so many of them, which begin together.
pub(super) fn in_threads(
    threads: u64,
    work: impl Fn(u64) -> Result<Figures> + Sync,
) -> Result<Figures> {
    let barrier = Barrier::new(usize::try_from(threads)?);
    let parts: Vec<Result<Figures>> = std::thread::scope(|scope| {
        let (work, barrier) = (&work, &barrier);
        let thread = |thread| {
            scope.spawn(move || {
                barrier.wait();
                work(thread)
            })
        };
        let running: Vec<_> = (0..threads).map(thread).collect();
        let panicked = |_| Err("a thread panicked".into());
        running.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    });
    let mut all = Figures::new(WINDOW);
    for part in parts {
        all.merge(&part?);
    }
    Ok(all)
}

/// The figures, with what the store took of the machine.
pub(super) fn finish(
    run: &Run<'_>,
    shape: &Shape,
    figures: &Figures,
    written: u64,
) -> Result<Measured> {
    let mut measured = Measured::default();
    measured.take(figures);
    measured.user_bytes = shape.user_bytes(measured.records);
    measured.written_bytes = machine::written_bytes() - written;
    measured.space_bytes = machine::space(run.directory())?;
    Ok(measured)
}
