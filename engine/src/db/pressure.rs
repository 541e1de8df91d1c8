//! Backpressure: writers are slowed down smoothly as memory fills, and held only at the end.
//!
//! Writes pass a gate one after another, each so long after the one before as checkpoints need to
//! move as much into the Store, or a part of that or a multiple, as memory is used. However many
//! threads write, all of them together are slowed to that rate. What a running checkpoint has moved
//! counts as free, though it is freed only at its end: otherwise writers would be slowed in jerks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::now;
use crate::batch::Batch;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Below this share of the budget, moved bytes not counted, nobody is slowed.
const SLOW_FROM: f64 = 0.5;
/// Here writers are slowed to half of what checkpoints move. With a memtable of a quarter of the
/// budget that is moved and not freed yet, the budget is used up.
const SLOW_FULLY: f64 = 0.75;

/// Shorter delays are saved up: a thread cannot sleep for less.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// The longest sleep for one write.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// How long a held writer sleeps before it looks again, should nobody wake it.
const HELD: Duration = Duration::from_millis(50);

/// What a byte costs until a checkpoint has been measured: 20 MB/s.
const FIRST_NANOS_PER_BYTE: f64 = 50.0;

/// What a change takes in memory besides its bytes in the record, about.
const CHANGE_BYTES: usize = 112;

/// Slows writers to the speed at which checkpoints free memory.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// How long checkpoints take for a byte of memtable, in 1/1024 nanoseconds; 0 until one was
    /// measured.
    drain: AtomicU64,
    /// When the next write may pass.
    gate: Mutex<Option<Instant>>,
    /// Bytes of the writes that were let pass and are not in a memtable yet.
    passing_bytes: AtomicUsize,
    /// Writers that are held at present.
    held: AtomicUsize,
    released: AtomicBool,
    turn: Mutex<()>,
    relieved: Condvar,
}

impl Pressure {
    /// Lets a batch pass, after the delay that the use of memory asks for. It has passed when what
    /// this gives is dropped.
    ///
    /// Held while the budget is used up. Without threads nobody would free memory meanwhile: then
    /// the writer makes the checkpoint itself.
    pub(super) fn admit(&self, engine: &Engine, batch: &Batch) -> Result<Passing<'_>> {
        let bytes = batch.record().len() + batch.len() * CHANGE_BYTES;
        // Counted before the budget is looked at: of many who come at once each sees the others.
        let mut passing = Passing::new(self, bytes);
        let pressure = engine.memory_pressure(self.passing_bytes.load(Ordering::Acquire));
        if pressure < SLOW_FROM {
            return Ok(passing);
        }
        engine.check()?;
        if !engine.options.background {
            engine.checkpoint()?;
            return Ok(passing);
        }
        if pressure > 1.0 {
            drop(passing);
            passing = self.hold(engine, bytes)?;
        }
        let unmoved = engine.unmoved_pressure();
        if unmoved > SLOW_FROM {
            self.slow(engine, unmoved, bytes);
        }
        Ok(passing)
    }

    fn slow(&self, engine: &Engine, unmoved: f64, bytes: usize) {
        // Slowly at first: a burst that fits into memory need not wait. At 0.7 of the way writers
        // are as fast as the checkpoint.
        let share = (unmoved - SLOW_FROM) / (SLOW_FULLY - SLOW_FROM);
        let nanos = bytes as f64 * self.drain_nanos_per_byte() * share * share * 2.0;
        let cost = Duration::from_nanos(saturating(nanos));
        let now = now();
        let wait = {
            let mut gate = self.gate.lock();
            let passes = gate.unwrap_or(now).max(now);
            // Nobody sleeps longer for one write, so nobody is sent further ahead either: one wrong
            // measure would hold up all that come later.
            *gate = Some((passes + cost).min(now + LONGEST_SLEEP));
            passes - now
        };
        if wait >= SHORTEST_SLEEP {
            engine.count_slowed();
            sleep_for(wait.min(LONGEST_SLEEP));
        }
    }

    fn hold(&self, engine: &Engine, bytes: usize) -> Result<Passing<'_>> {
        engine.count_held();
        self.held.fetch_add(1, Ordering::AcqRel);
        let passing = self.wait_for_room(engine, bytes);
        self.held.fetch_sub(1, Ordering::AcqRel);
        passing
    }

    /// Waits until there is room, or until nothing is left that could be freed and nobody else
    /// passes: a write may be larger than the budget.
    fn wait_for_room(&self, engine: &Engine, bytes: usize) -> Result<Passing<'_>> {
        let mut turn = self.turn.lock();
        loop {
            let others = self.passing_bytes.load(Ordering::Acquire);
            let alone = others == 0 && engine.state().frozen_count() == 0;
            if alone || engine.memory_pressure(others + bytes) <= 1.0 {
                return Ok(Passing::new(self, bytes));
            }
            if self.released.load(Ordering::Acquire) {
                return Err(Error::Log(mainstay_wal::Error::Closed));
            }
            engine.check()?;
            self.relieved.wait_for(&mut turn, HELD);
        }
    }

    /// Whether it is known how fast checkpoints are.
    pub(super) fn is_measured(&self) -> bool {
        self.drain.load(Ordering::Relaxed) > 0
    }

    /// Notes how long a checkpoint, or a good part of one, took for so many bytes.
    pub(super) fn measured(&self, bytes: u64, took: Duration) {
        if let Some(rate) = u64::try_from(took.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_mul(1024)
            .checked_div(bytes)
        {
            self.drain.store(rate.max(1), Ordering::Relaxed);
        }
    }

    /// Wakes those who are held.
    pub(super) fn relieve(&self) {
        drop(self.turn.lock());
        self.relieved.notify_all();
    }

    /// Lets nobody wait any more.
    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Release);
        self.relieve();
    }

    fn drain_nanos_per_byte(&self) -> f64 {
        match self.drain.load(Ordering::Relaxed) {
            0 => FIRST_NANOS_PER_BYTE,
            rate => rate as f64 / 1024.0,
        }
    }
}

/// A write that was let pass.
#[must_use = "the write has passed when this is dropped"]
pub(super) struct Passing<'a> {
    pressure: &'a Pressure,
    bytes: usize,
}

impl<'a> Passing<'a> {
    fn new(pressure: &'a Pressure, bytes: usize) -> Passing<'a> {
        pressure.passing_bytes.fetch_add(bytes, Ordering::AcqRel);
        Passing { pressure, bytes }
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.pressure.passing_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if self.pressure.held.load(Ordering::Acquire) > 0 {
            self.pressure.relieve();
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the conversion saturates")]
fn saturating(nanos: f64) -> u64 {
    nanos as u64
}

#[expect(clippy::disallowed_methods, reason = "outside of the core: it holds writers back")]
fn sleep_for(duration: Duration) {
    std::thread::sleep(duration);
}
