//! Readers on several threads, while records are applied and memtables move into the Store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use mainstay_wal::Lsn;

use super::store::LooseStore;
use crate::error::Error;
use crate::keyspace::KeyspaceId;
use crate::range::Range;
use crate::record::{self, RecordOp};
use crate::span::Span;
use crate::state::{State, StateOptions};

const KEYS: u64 = 40;
const RECORDS: u64 = 6000;

/// What every record writes: which keys there are is a function of the LSN alone, and so is each
/// value. A range is removed now and then; key 0 is there from the first record on.
fn record_at(lsn: Lsn) -> Vec<u8> {
    let mut record = Vec::new();
    record::begin(&mut record);
    let keyspace = KeyspaceId::DEFAULT;
    if lsn.0.is_multiple_of(11) {
        let (lower, upper) = ((lsn.0 / 11) % KEYS + 1, (lsn.0 / 11) % KEYS + 9);
        record::append(
            &mut record,
            &RecordOp::RemoveRange {
                keyspace,
                lower: std::ops::Bound::Included(&lower.to_be_bytes()),
                upper: std::ops::Bound::Excluded(&upper.to_be_bytes()),
            },
        );
    }
    for key in keys_at(lsn) {
        let value = lsn.0.to_be_bytes();
        let key = key.to_be_bytes();
        record::append(&mut record, &RecordOp::Insert { keyspace, key: &key, value: &value });
    }
    record
}

fn keys_at(lsn: Lsn) -> [u64; 3] {
    [0, lsn.0 * 7 % KEYS, lsn.0 * 13 % KEYS]
}

/// The LSN of each key's value at `at`; 0 where there is none.
fn expected_at(at: Lsn) -> Vec<u64> {
    let mut values = vec![0; KEYS as usize];
    // Every key is written within KEYS records, and a removal is looked at again within 11.
    for lsn in at.0.saturating_sub(KEYS * 12)..=at.0 {
        if lsn == 0 {
            continue;
        }
        if lsn.is_multiple_of(11) {
            let lower = (lsn / 11) % KEYS + 1;
            (lower..(lower + 8).min(KEYS)).for_each(|key| values[key as usize] = 0);
        }
        keys_at(Lsn(lsn)).into_iter().for_each(|key| values[key as usize] = lsn);
    }
    values
}

fn check(range: Range, at: Lsn, backwards: bool) {
    let entries: Result<Vec<_>, Error> =
        if backwards { range.rev().collect() } else { range.collect() };
    let mut entries = entries.unwrap();
    if backwards {
        entries.reverse();
    }
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let found: Vec<_> = entries.iter().map(|(key, value)| (number(key), number(value))).collect();
    let expected: Vec<_> =
        (0..KEYS).zip(expected_at(at)).filter(|(_, value)| *value != 0).collect();
    assert_eq!(found, expected, "at {at}");
}

fn read(state: &Arc<State>, writing: &AtomicBool, seed: u64) -> u64 {
    let mut random = oorandom::Rand64::new(u128::from(seed));
    let mut held = Vec::new();
    let mut reads = 0;
    while writing.load(Ordering::Relaxed) || reads < 200 {
        let snapshot = state.snapshot();
        let at = snapshot.lsn();
        match random.rand_range(0..4) {
            0 => check(snapshot.range_in(KeyspaceId::DEFAULT, Span::all()), at, reads % 2 == 0),
            1 => {
                let expected = expected_at(at);
                let key = random.rand_range(0..KEYS);
                let found = snapshot.get_in(KeyspaceId::DEFAULT, &key.to_be_bytes()).unwrap();
                let found = found.map_or(0, |v| u64::from_be_bytes(v[..].try_into().unwrap()));
                assert_eq!(found, expected[key as usize], "key {key} at {at}");
            }
            2 => {
                // A plain read sees at least what was visible before it, and no more than
                // afterwards.
                let before = state.visible_lsn();
                let value = state.get_visible(KeyspaceId::DEFAULT, &0u64.to_be_bytes()).unwrap();
                let after = state.visible_lsn();
                let seen = value.map_or(0, |v| u64::from_be_bytes(v[..].try_into().unwrap()));
                assert!(before.0 <= seen && seen <= after.0, "{before} <= {seen} <= {after}");
            }
            _ => held.push(snapshot),
        }
        if held.len() > 6 {
            let old = held.swap_remove(random.rand_range(0..6) as usize);
            check(old.range_in(KeyspaceId::DEFAULT, Span::all()), old.lsn(), reads % 2 == 0);
        }
        reads += 1;
    }
    reads
}

#[test]
fn readers_miss_nothing_while_memtables_move_into_the_store() {
    let store = Arc::new(LooseStore::default());
    let options = StateOptions { memtable_bytes: 1 << 12, snapshot_bytes: usize::MAX };
    let state = Arc::new(State::open(store, Lsn::ZERO, options).unwrap());
    let writing = AtomicBool::new(true);
    let checkpoints = AtomicU64::new(0);
    thread::scope(|scope| {
        for seed in 0..4 {
            let (state, writing) = (&state, &writing);
            scope.spawn(move || read(state, writing, seed));
        }
        scope.spawn(|| {
            while writing.load(Ordering::Relaxed) || state.frozen_count() > 0 {
                match state.begin_checkpoint() {
                    Some(mut job) => {
                        while !job.step(5).unwrap() {}
                        state.finish_checkpoint(job);
                        checkpoints.fetch_add(1, Ordering::Relaxed);
                    }
                    None => thread::yield_now(),
                }
            }
        });
        for lsn in (1..=RECORDS).map(Lsn) {
            state.apply(lsn, &record_at(lsn)).unwrap();
            if lsn.0 % 3 != 0 || lsn.0 == RECORDS {
                state.set_visible(lsn);
            }
            if state.wants_freeze() {
                state.freeze();
                while state.frozen_count() > 3 {
                    thread::yield_now();
                }
            }
        }
        writing.store(false, Ordering::Relaxed);
    });
    assert!(checkpoints.load(Ordering::Relaxed) > 20, "{checkpoints:?} checkpoints");
    assert_eq!(state.snapshot_count(), 0);
    assert_eq!(state.pinned_bytes(), 0);
    let last = state.snapshot();
    assert_eq!(last.lsn(), Lsn(RECORDS));
    check(last.range_in(KeyspaceId::DEFAULT, Span::all()), last.lsn(), false);
}
