//! How long to wait for the writers that were just woken, before the next group is written.
//!
//! Waiting for all `n` writers costs the time in which they come, and makes one group of `n` out of
//! two of `n / 2` that take turns: it pays as long as they come within less than a write takes. So
//! that is how long they are waited for. Where writers do not come back (each had one thing to
//! write), it is tried ever more rarely.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nobody is waited for longer, however slow the disk is.
const LONGEST: Duration = Duration::from_millis(2);
/// How many chances are let pass at most after a wait that was in vain.
const MOST_SKIPPED: u32 = 64;

/// Times the writes, and says how long to wait before them.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// What a write takes: a running mean in nanoseconds; zero before the first.
    write_nanos: AtomicU64,
    /// How many chances are still let pass.
    skipped: AtomicU32,
    /// How many are let pass after the next wait that is in vain.
    penalty: AtomicU32,
}

impl Gathering {
    /// Runs a write and notes how long it took.
    #[expect(clippy::disallowed_methods, reason = "how long a write takes on this disk")]
    pub(super) fn timed<T>(&self, write: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = write();
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mean = match self.write_nanos.load(Ordering::Relaxed) {
            0 => nanos,
            mean => (mean / 8).saturating_mul(7).saturating_add(nanos / 8),
        };
        self.write_nanos.store(mean, Ordering::Relaxed);
        outcome
    }

    /// How long to wait for writers that are expected; none if that was in vain lately.
    pub(super) fn patience(&self, missing: u32) -> Option<Duration> {
        debug_assert!(missing > 0, "waiting for nobody");
        let skipped = self.skipped.load(Ordering::Relaxed);
        if skipped > 0 {
            self.skipped.store(skipped - 1, Ordering::Relaxed);
            return None;
        }
        let write = Duration::from_nanos(self.write_nanos.load(Ordering::Relaxed));
        (!write.is_zero()).then(|| write.min(LONGEST))
    }

    /// Notes whether those who were waited for came in time.
    pub(super) fn ended(&self, came: bool) {
        let penalty = if came { 0 } else { self.penalty.load(Ordering::Relaxed) * 2 + 1 };
        self.penalty.store(penalty.min(MOST_SKIPPED), Ordering::Relaxed);
        self.skipped.store(penalty.min(MOST_SKIPPED), Ordering::Relaxed);
    }
}
