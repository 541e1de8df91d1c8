//! The budget of memory holds: a counting allocator says so, under sustained loads of ten times the budget.
//!
//! A binary of its own, because the allocator counts for the whole process, one load at a time.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test stops on the first surprise, and starts threads"
)]

mod load;
mod slow_store;

use std::sync::{Arc, Mutex, PoisonError};

use mainstay::Options;
use mainstay::store::testing::DiscardStore;
use peak_alloc::PeakAlloc;

use load::Load;
use slow_store::SlowStore;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Held by the test that runs: the others would count too.
static TURN: Mutex<()> = Mutex::new(());

const MIB: f64 = (1 << 20) as f64;

/// What the budget may be passed by.
const TOLERANCE_PERCENT: usize = 10;

/// Runs loads over databases that `options` open, and holds the most that was allocated at any moment against the
/// budget.
fn hold_against_budget(store: &str, loads: Vec<Load>, options: impl Fn(Options) -> Options) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut beyond = Vec::new();
    for load in loads {
        let directory = tempfile::tempdir().unwrap();
        let value = load.value();
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let options = options(Options::new().memory_bytes(load.budget_bytes));
        let db = options.open(directory.path()).unwrap();
        let report = load.run(&db, &value);
        let peak = ALLOCATED.peak_usage() - before - load.own_bytes();
        let percent = peak * 100 / load.budget_bytes;
        let stats = db.stats().unwrap();
        let line = format!(
            "memory over {store}, {load}: {report} written, {} held, {} slowed; at most {:.1} MiB, \
             {percent} % of the budget",
            stats.held_writes,
            stats.slowed_writes,
            peak as f64 / MIB,
        );
        println!("figure: {line}");
        if percent > 100 + TOLERANCE_PERCENT {
            beyond.push(line);
        }
        // Not only dropped: a checkpoint that is being made would keep its memory a while longer.
        db.close().unwrap();
    }
    assert!(beyond.is_empty(), "{beyond:#?}");
}

#[test]
fn over_a_store_that_discards_memory_stays_within_the_budget() {
    let discard =
        |options: Options| options.own_store("discard", |_, _| Ok(Arc::new(DiscardStore::new())));
    hold_against_budget("a Store that discards", Load::quick(), discard);
}

#[test]
fn over_a_store_that_cannot_keep_up_memory_stays_within_the_budget() {
    let slow =
        |options: Options| options.own_store("discard", |_, _| Ok(Arc::new(SlowStore::default())));
    hold_against_budget("a slow Store that discards", Load::held(), slow);
}
