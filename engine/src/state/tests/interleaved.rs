//! Writes and checkpoints in the middle of reads, at every point where a read asks the Store: what
//! another thread could do, on one thread, and the same each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_wal::Lsn;
use oorandom::Rand64;
use parking_lot::Mutex;

use super::store::LooseStore;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::record::{self, RecordOp};
use crate::span::Span;
use crate::state::{CheckpointJob, State, StateOptions};

const KEYSPACE: KeyspaceId = KeyspaceId::DEFAULT;
const KEYS: u8 = 24;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// Whoever writes, shows, freezes and moves memtables into the Store.
struct Other {
    state: Arc<State>,
    random: Rand64,
    /// What there is after each record; the first stands before all records.
    history: Vec<Entries>,
    job: Option<CheckpointJob>,
}

impl Other {
    fn new(snapshot_bytes: usize, seed: u64) -> (Arc<LooseStore>, Arc<State>, Arc<Mutex<Other>>) {
        let store = Arc::new(LooseStore::default());
        let options = StateOptions { memtable_bytes: 1 << 20, snapshot_bytes };
        let state = State::open(Arc::<LooseStore>::clone(&store), Lsn::ZERO, options).unwrap();
        let state = Arc::new(state);
        let other = Other {
            state: Arc::clone(&state),
            random: Rand64::new(u128::from(seed)),
            history: vec![Entries::new()],
            job: None,
        };
        (store, state, Arc::new(Mutex::new(other)))
    }

    fn work(&mut self, times: u64) {
        for _ in 0..times {
            match self.random.rand_range(0..8) {
                0..=2 => self.write(),
                3 => self.state.set_visible(self.state.last_applied_lsn()),
                4 => drop(self.state.freeze()),
                5..=6 => self.checkpoint_step(),
                _ => {
                    while self.job.is_some() {
                        self.checkpoint_step();
                    }
                }
            }
        }
    }

    fn write(&mut self) {
        let lsn = self.state.last_applied_lsn().next();
        let mut after = self.history[self.history.len() - 1].clone();
        let key = [self.random.rand_range(0..u64::from(KEYS)) as u8];
        let value = lsn.0.to_be_bytes();
        let record = match self.random.rand_range(0..8) {
            0 => {
                let upper = [key[0] + 5];
                after.retain(|other, _| !(&key[..]..&upper[..]).contains(&&other[..]));
                record::encode(&[RecordOp::RemoveRange {
                    keyspace: KEYSPACE,
                    lower: std::ops::Bound::Included(&key),
                    upper: std::ops::Bound::Excluded(&upper),
                }])
            }
            1 => {
                after.remove(&key[..]);
                record::encode(&[RecordOp::Remove { keyspace: KEYSPACE, key: &key }])
            }
            _ => {
                after.insert(key.to_vec(), value.to_vec());
                let op = RecordOp::Insert { keyspace: KEYSPACE, key: &key, value: &value };
                record::encode(&[op])
            }
        };
        self.state.apply(lsn, &record).unwrap();
        self.history.push(after);
    }

    fn checkpoint_step(&mut self) {
        let Some(mut job) = self.job.take().or_else(|| self.state.begin_checkpoint()) else {
            return;
        };
        if job.step(3).unwrap() {
            self.state.finish_checkpoint(job);
        } else {
            self.job = Some(job);
        }
    }

    fn at(&self, lsn: Lsn) -> &Entries {
        &self.history[lsn.0 as usize]
    }
}

/// What may come instead of an answer.
fn answer<T>(result: Result<T>, at: Lsn, refused: &mut usize) -> Option<T> {
    match result {
        Ok(answer) => Some(answer),
        Err(Error::SnapshotTooOld { lsn }) => {
            assert_eq!(lsn, at);
            *refused += 1;
            None
        }
        Err(error) => panic!("at {at}: {error}"),
    }
}

/// Reads of every kind, disturbed. Returns how many were answered and how many were refused.
fn run(snapshot_bytes: usize, seed: u64) -> (usize, usize) {
    let (store, state, other) = Other::new(snapshot_bytes, seed);
    let mut random = Rand64::new(u128::from(seed) << 64);
    let (mut answered, mut refused) = (0, 0);
    other.lock().work(60);
    let disturber = Arc::clone(&other);
    store.meanwhile(move || {
        // Not while it reads itself, for its checkpoint.
        if let Some(mut other) = disturber.try_lock() {
            let times = other.random.rand_range(0..12);
            other.work(times);
        }
    });
    let mut snapshots = Vec::new();
    for _ in 0..30 {
        snapshots.push(state.snapshot());
        let number = random.rand_range(0..snapshots.len() as u64) as usize;
        let snapshot = if random.rand_range(0..3) == 0 {
            snapshots.swap_remove(number)
        } else {
            snapshots[number].clone()
        };
        let at = snapshot.lsn();
        let key = [random.rand_range(0..u64::from(KEYS)) as u8];
        let got = answer(snapshot.get_in(KEYSPACE, &key), at, &mut refused);
        let plain = answer(state.get(KEYSPACE, &key, at), at, &mut refused);
        let expected = other.lock().at(at).get(&key[..]).cloned();
        for found in [got, plain].into_iter().flatten() {
            assert_eq!(found.map(|value| value.to_vec()), expected, "{key:?} at {at}");
            answered += 1;
        }
        let range = snapshot.range_in(KEYSPACE, Span::all());
        let entries: Result<Vec<_>> = if random.rand_range(0..2) == 0 {
            range.collect()
        } else {
            range.rev().collect::<Result<Vec<_>>>().map(|mut entries| {
                entries.reverse();
                entries
            })
        };
        if let Some(entries) = answer(entries, at, &mut refused) {
            let entries = entries.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec()));
            assert_eq!(&entries.collect::<Entries>(), other.lock().at(at), "at {at}");
            answered += 1;
        }
        let before = state.visible_lsn();
        let now = state.get_visible(KEYSPACE, &key).unwrap().map(|value| value.to_vec());
        let after = state.visible_lsn();
        let other = other.lock();
        let possible =
            (before.0..=after.0).any(|lsn| other.at(Lsn(lsn)).get(&key[..]) == now.as_ref());
        assert!(possible, "{now:?} was never there from {before} to {after}");
    }
    store.undisturbed();
    (answered, refused)
}

#[test]
fn reads_are_exact_whatever_happens_in_their_middle() {
    let mut answered = 0;
    for seed in 0..400 {
        answered += run(usize::MAX, seed).0;
    }
    assert!(answered > 400 * 60, "{answered} reads were answered");
}

#[test]
fn a_read_whose_snapshot_is_given_up_in_its_middle_says_so() {
    let (mut answered, mut refused) = (0, 0);
    for seed in 0..400 {
        let (right, without) = run(600 + 10 * seed as usize, 1000 + seed);
        answered += right;
        refused += without;
    }
    assert!(answered > 1000, "{answered} reads were answered");
    assert!(refused > 1000, "{refused} reads were refused");
}
