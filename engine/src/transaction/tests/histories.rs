//! Random transactions side by side; what they saw and did must be possible one after the other.

use std::collections::BTreeSet;
use std::thread;

use oorandom::Rand64;
use parking_lot::Mutex;

use super::history::{self, Done, Fault, Number};
use super::*;

const KEYS: Number = 12;

fn key(number: Number) -> [u8; 8] {
    number.to_be_bytes()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// A transaction on its way, with what it saw.
struct Running {
    tx: Transaction<Committer>,
    done: Done,
}

impl Running {
    fn begin(db: &Database) -> Running {
        let tx = db.begin();
        let done = Done { snapshot: tx.lsn().0, ..Done::default() };
        Running { tx, done }
    }

    /// One random step. `value` was never written before.
    fn step(&mut self, db: &Database, random: &mut Rand64, value: u64) {
        let at = random.rand_range(0..KEYS);
        match random.rand_range(0..10) {
            0..=2 => {
                let own = self.done.writes.contains_key(&at);
                let found = self.tx.get(&db.default, key(at)).unwrap().map(|value| number(&value));
                if own {
                    assert_eq!(found, self.done.writes[&at]);
                } else {
                    self.done.gets.push((at, found));
                }
            }
            3..=4 => self.scan(db, random, at),
            5..=7 => {
                self.tx.insert(&db.default, key(at), value.to_be_bytes()).unwrap();
                self.done.writes.insert(at, Some(value));
            }
            8 => {
                self.tx.remove(&db.default, key(at)).unwrap();
                self.done.writes.insert(at, None);
            }
            _ => {
                let upper = (at + random.rand_range(0..4)).min(KEYS);
                self.tx.remove_range(&db.default, key(at)..key(upper)).unwrap();
                self.done.writes.extend((at..upper).map(|at| (at, None)));
            }
        }
    }

    /// Reads part of a range and notes what it has learnt of keys that it did not write itself.
    fn scan(&mut self, db: &Database, random: &mut Rand64, lower: Number) {
        let upper = lower + random.rand_range(0..KEYS);
        let count = random.rand_range(0..6) as usize;
        let back = random.rand_range(0..2) == 1;
        let range = self.tx.range(&db.default, key(lower)..key(upper));
        let read = |entry: Result<(Key, Value)>| {
            let (key, value) = entry.unwrap();
            (number(&key), number(&value))
        };
        let found: Vec<_> = if back {
            range.rev().take(count).map(read).collect()
        } else {
            range.take(count).map(read).collect()
        };
        let whole = found.len() < count;
        let (lower, upper) = match found.last() {
            _ if whole => (lower, upper),
            Some((last, _)) if back => (*last, upper),
            Some((last, _)) => (lower, last + 1),
            None => return,
        };
        let own: BTreeSet<_> = self.done.writes.keys().copied().collect();
        for (at, value) in &found {
            if own.contains(at) {
                assert_eq!(self.done.writes[at], Some(*value));
            }
        }
        for at in (lower..upper).filter(|at| !own.contains(at)) {
            let here: Vec<_> = found.iter().filter(|(key, _)| *key == at).copied().collect();
            self.done.scans.push((at..at + 1, here));
        }
    }

    /// Commits, and gives back what was done unless it was refused. Without `checks` it is written
    /// whatever it read: there is snapshot isolation at best, which the checker must notice.
    fn commit(self, checks: bool) -> Option<Done> {
        let Running { tx, mut done } = self;
        let result = if checks || tx.writes.is_empty() {
            tx.commit()
        } else {
            tx.committer.append(tx.writes.batch(), &mut || Ok(()))
        };
        match result {
            Ok(lsn) => {
                done.position = lsn.0;
                Some(done)
            }
            Err(Error::Conflict { .. } | Error::TransactionTooOld { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Up to five transactions side by side on one thread. Returns the history and how many were
/// refused.
fn run_interleaved(seed: u64, checks: bool) -> (Vec<Done>, usize) {
    let db = Database::new();
    let mut random = Rand64::new(u128::from(seed));
    let mut running: Vec<Running> = Vec::new();
    let (mut history, mut refused) = (Vec::new(), 0);
    for step in 0..400 {
        if running.len() < 5 && random.rand_range(0..3) == 0 {
            running.push(Running::begin(&db));
        }
        if running.is_empty() {
            continue;
        }
        let one = random.rand_range(0..running.len() as u64) as usize;
        if random.rand_range(0..5) == 0 {
            match running.swap_remove(one).commit(checks) {
                Some(done) => history.push(done),
                None => refused += 1,
            }
        } else {
            running[one].step(&db, &mut random, step);
        }
        if random.rand_range(0..60) == 0 {
            db.checkpoint();
        }
    }
    (history, refused)
}

#[test]
fn random_histories_can_be_put_in_a_row() {
    let (mut committed, mut refused) = (0, 0);
    for seed in 0..1500 {
        let (history, conflicts) = run_interleaved(seed, true);
        assert_eq!(history::check(&history), Ok(()), "seed {seed}: {history:#?}");
        committed += history.len();
        refused += conflicts;
    }
    assert!(committed > 20_000, "{committed} committed");
    assert!(refused > 2_000, "{refused} refused");
}

#[test]
fn without_the_checks_the_same_histories_cannot() {
    let cycles = (0..100).filter(|seed| {
        let (history, _) = run_interleaved(*seed, false);
        matches!(history::check(&history), Err(Fault::Cycle(_)))
    });
    let cycles = cycles.count();
    assert!(cycles > 50, "only {cycles} of 100 have a cycle");
}

#[test]
fn histories_of_threads_can_be_put_in_a_row() {
    let db = Database::new();
    let history = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..4u64 {
            let (db, history) = (&db, &history);
            scope.spawn(move || {
                let mut random = Rand64::new(u128::from(number));
                for round in 0..1500 {
                    let mut running = Running::begin(db);
                    for step in 0..random.rand_range(1..7) {
                        running.step(db, &mut random, (round * 4 + number) * 8 + step);
                    }
                    history.lock().extend(running.commit(true));
                    if round % 200 == 17 * number {
                        // One checkpoint at a time: another thread's is none of ours.
                        db.checkpoint();
                    }
                }
            });
        }
    });
    let history = history.into_inner();
    assert!(history.len() > 1000, "{} committed", history.len());
    assert_eq!(history::check(&history), Ok(()));
}
