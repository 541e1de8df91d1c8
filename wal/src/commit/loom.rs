//! The hand-off under the model checker: every interleaving of a few threads.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --package mainstay-wal --release --lib commit::loom`

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::{Finished, GroupCommit, Pipeline, Status, Writer};
use crate::sync::Event;

/// A log that consists of nothing but numbers.
struct Numbers {
    end: u64,
    durable: u64,
    failed_from: Option<u64>,
    groups: VecDeque<(u64, Arc<Event>)>,
    in_flight: Option<(u64, Arc<Event>)>,
    /// A planted bug: nobody is appointed to write the next group.
    forgets_successor: bool,
}

impl Numbers {
    fn new(forgets_successor: bool) -> Numbers {
        let groups = VecDeque::new();
        let (failed_from, in_flight) = (None, None);
        Numbers { end: 0, durable: 0, failed_from, groups, in_flight, forgets_successor }
    }

    /// Appends to the open group; groups have at most two records, so that several wait.
    fn append(&mut self) -> u64 {
        self.end += 1;
        let open = self.groups.back_mut().filter(|(last, _)| last % 2 == 1);
        match open {
            Some((last, _)) => *last = self.end,
            None => self.groups.push_back((self.end, Arc::new(Event::new()))),
        }
        self.end
    }
}

impl Pipeline for Numbers {
    type Write = u64;
    type Outcome = bool;
    type Error = ();

    fn is_writing(&self) -> bool {
        self.in_flight.is_some()
    }

    fn begin(&mut self) -> Option<u64> {
        if self.in_flight.is_some() || self.failed_from.is_some() {
            return None;
        }
        self.in_flight = Some(self.groups.pop_front()?);
        self.in_flight.as_ref().map(|(last, _)| *last)
    }

    fn finish(&mut self, _write: u64, succeeded: bool) -> Finished {
        let (last, event) = self.in_flight.take().unwrap();
        let mut events = vec![event];
        if succeeded {
            assert!(last > self.durable, "{last} was durable before");
            self.durable = last;
        } else {
            self.failed_from = Some(self.durable + 1);
            events.extend(self.groups.drain(..).map(|(_, event)| event));
        }
        Finished { failed: !succeeded, events, wakers: Vec::new() }
    }

    fn status(&self, record: u64) -> Status<()> {
        if record <= self.durable {
            return Status::Durable;
        }
        if self.failed_from.is_some() {
            return Status::Failed(());
        }
        let pending = self.in_flight.iter().chain(&self.groups);
        let (_, event) = pending.into_iter().find(|(last, _)| *last >= record).unwrap();
        Status::Pending(event.clone())
    }

    fn next_event(&self) -> Option<Arc<Event>> {
        let next = self.groups.front().filter(|_| !self.forgets_successor);
        next.map(|(_, event)| event.clone())
    }
}

struct Disk {
    fails: bool,
    in_flight: AtomicUsize,
}

impl Disk {
    fn new(fails: bool) -> Disk {
        Disk { fails, in_flight: AtomicUsize::new(0) }
    }
}

impl Writer<Numbers> for Disk {
    fn perform(&self, _write: &u64) -> bool {
        assert_eq!(self.in_flight.fetch_add(1, Ordering::SeqCst), 0, "two writes in flight");
        thread::yield_now();
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        !self.fails
    }

    fn patience(&self, _missing: u32) -> Option<Duration> {
        Some(Duration::from_micros(1))
    }

    fn gathered(&self, _came: bool) {}

    fn finished(&self) {}

    fn unattended(&self) {}
}

fn run(threads: usize, appends: usize, fails: bool, forgets_successor: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let shared =
            Arc::new((GroupCommit::new(Numbers::new(forgets_successor)), Disk::new(fails)));
        let work = move |shared: &(GroupCommit<Numbers>, Disk)| {
            let (commit, disk) = shared;
            for _ in 0..appends {
                let record = commit.lock().append();
                let outcome = commit.wait(record, disk);
                let durable = commit.lock().durable;
                match outcome {
                    Ok(()) => assert!(durable >= record, "{record} acknowledged at {durable}"),
                    Err(()) => assert!(fails && durable < record),
                }
            }
        };
        let others: Vec<_> = (1..threads)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || work(&shared))
            })
            .collect();
        work(&shared);
        for other in others {
            other.join().unwrap();
        }
    });
}

#[test]
fn two_threads_never_sleep_for_ever_and_are_woken_only_when_durable() {
    run(2, 2, false, false);
}

#[test]
fn three_threads_never_sleep_for_ever_and_are_woken_only_when_durable() {
    run(3, 1, false, false);
}

#[test]
fn a_failed_write_wakes_everybody() {
    run(3, 1, true, false);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_leader_that_appoints_nobody_is_caught() {
    run(3, 1, false, true);
}
