//! Work on all cores, counted; and how a failure says how to repeat it.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Counts by name.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        *self.counts.entry(what).or_default() += count;
    }

    pub(crate) fn count(&self, what: &'static str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    fn merge(&mut self, other: Tally) {
        for (what, count) in other.counts {
            self.add(what, count);
        }
    }
}

/// How many times as many seeds as usual are tried.
pub(crate) fn depth() -> u64 {
    number("MAINSTAY_CRASH_DEPTH").unwrap_or(1).max(1)
}

/// A number in the environment.
pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Does every piece of work, on all cores, and prints what was counted. The first failure ends it.
pub(crate) fn on_all_cores(
    test: &str,
    pieces: u64,
    work: impl Fn(u64, &mut Tally) + Sync,
) -> Tally {
    let started = Instant::now();
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Tally::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let worker = || {
        let mut tally = Tally::default();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces || failed.load(Ordering::Relaxed) {
                break;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| work(piece, &mut tally)));
            if let Err(panic) = outcome {
                failed.store(true, Ordering::Relaxed);
                resume_unwind(panic);
            }
        }
        total.lock().unwrap().merge(tally);
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                resume_unwind(panic);
            }
        }
    });
    let tally = total.into_inner().unwrap();
    let counts: Vec<_> = tally.counts.iter().map(|(what, n)| format!("{n} {what}")).collect();
    say(&format!("{test}: {} in {:.1} s", counts.join(", "), started.elapsed().as_secs_f64()));
    tally
}

/// Says something that is seen although the test passes.
pub(crate) fn say(line: &str) {
    // Not println!, which is only shown when the test fails.
    let _seen_or_not = writeln!(std::io::stderr(), "{line}");
}

/// Runs one case; on a failure says what it was and how to repeat it.
pub(crate) fn case(describe: impl Fn() -> String, run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        say(&format!("FAILED: {}", describe()));
        resume_unwind(panic);
    }
}
