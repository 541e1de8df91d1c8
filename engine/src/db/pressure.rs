//! Backpressure: writers are slowed down smoothly as memory fills, and held only at the end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::engine::Engine;
use crate::error::{Error, Result};

/// Below this share of the budget nobody is slowed.
const SLOW_FROM: f64 = 0.5;

/// Shorter delays are saved up: a thread cannot sleep for less.
const SHORTEST_SLEEP_NANOS: u64 = 1_000_000;

/// The longest sleep for one write.
const LONGEST_SLEEP_NANOS: u64 = 50_000_000;

/// How long a held writer sleeps before it looks again, should nobody wake it.
const HELD: Duration = Duration::from_millis(50);

/// What a byte costs until a checkpoint has been measured: 10 MB/s.
const FIRST_NANOS_PER_BYTE: u64 = 100;

/// Slows writers to the speed at which checkpoints free memory.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    /// How long checkpoints take for a byte of memtable, in 1/1024 nanoseconds; 0 until one was
    /// measured.
    drain: AtomicU64,
    /// Delay that writers owe and have not slept yet.
    debt_nanos: AtomicU64,
    released: AtomicBool,
    turn: Mutex<()>,
    relieved: Condvar,
}

impl Pressure {
    /// Lets a write of so many bytes pass, after the delay that the use of memory asks for.
    ///
    /// Held while the budget is used up. Without threads nobody would free memory meanwhile: then
    /// the writer makes the checkpoint itself.
    pub(super) fn admit(&self, engine: &Engine, bytes: usize) -> Result<()> {
        let pressure = engine.memory_pressure();
        if pressure < SLOW_FROM {
            return Ok(());
        }
        engine.check()?;
        if !engine.options.background {
            if pressure >= SLOW_FROM {
                engine.checkpoint()?;
            }
            return Ok(());
        }
        if pressure >= 1.0 {
            self.hold(engine)?;
        }
        self.slow(engine, pressure, bytes);
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "the conversion saturates")]
    fn slow(&self, engine: &Engine, pressure: f64, bytes: usize) {
        // At half of the way the delay is what the checkpoint needs for as many bytes: there both
        // are in balance.
        let share = (pressure.min(1.0) - SLOW_FROM) / (1.0 - SLOW_FROM);
        let nanos = (bytes as f64 * self.drain_nanos_per_byte() * share * 2.0) as u64;
        let owed = self.debt_nanos.fetch_add(nanos, Ordering::Relaxed) + nanos;
        if owed < SHORTEST_SLEEP_NANOS {
            return;
        }
        let sleep = owed.min(LONGEST_SLEEP_NANOS);
        // Another thread may have paid in between: then there is nothing left to sleep for.
        let paid = self
            .debt_nanos
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |debt| debt.checked_sub(sleep));
        if paid.is_ok() {
            engine.count_slowed();
            sleep_for(Duration::from_nanos(sleep));
        }
    }

    fn hold(&self, engine: &Engine) -> Result<()> {
        engine.count_held();
        let mut turn = self.turn.lock();
        while engine.memory_pressure() >= 1.0 {
            if self.released.load(Ordering::Acquire) {
                return Err(Error::Log(mainstay_wal::Error::Closed));
            }
            engine.check()?;
            self.relieved.wait_for(&mut turn, HELD);
        }
        Ok(())
    }

    /// Notes how long a checkpoint took for so many bytes, and wakes those who are held.
    pub(super) fn measured(&self, bytes: u64, took: Duration) {
        if let Some(rate) = u64::try_from(took.as_nanos())
            .unwrap_or(u64::MAX)
            .saturating_mul(1024)
            .checked_div(bytes)
        {
            self.drain.store(rate.max(1), Ordering::Relaxed);
        }
        self.relieve();
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
            0 => FIRST_NANOS_PER_BYTE as f64,
            rate => rate as f64 / 1024.0,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "outside of the core: it holds writers back")]
fn sleep_for(duration: Duration) {
    std::thread::sleep(duration);
}
