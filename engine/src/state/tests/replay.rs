//! Replayed records leave the same state as records that were applied one by one.

use std::ops::Bound;
use std::sync::Arc;

use mainstay_wal::Lsn;
use oorandom::Rand64;

use super::store::LooseStore;
use crate::keyspace::KeyspaceId;
use crate::record::{self, RecordOp};
use crate::state::{Replay, State, StateOptions};

const USERS: KeyspaceId = KeyspaceId(16);

fn state(memtable_bytes: usize) -> Arc<State> {
    let options = StateOptions { memtable_bytes, snapshot_bytes: usize::MAX };
    Arc::new(State::open(Arc::new(LooseStore::default()), Lsn::ZERO, options).unwrap())
}

/// A few keys, so that most are overwritten, some of them twice in a record; now and then a range,
/// or a keyspace, is removed.
fn random_record(random: &mut Rand64, lsn: Lsn) -> Vec<u8> {
    let mut record = Vec::new();
    record::begin(&mut record);
    if lsn == Lsn(1) || random.rand_range(0..50) == 0 {
        let keyspace = USERS;
        record::append(&mut record, &RecordOp::DropKeyspace { keyspace });
        record::append(&mut record, &RecordOp::CreateKeyspace { keyspace, name: "users" });
    }
    for number in 0..random.rand_range(1..6) {
        let keyspace = if random.rand_range(0..2) == 0 { USERS } else { KeyspaceId::DEFAULT };
        let long = "k".repeat(20);
        let key = format!("{}{}", random.rand_range(0..60), if number == 0 { &*long } else { "" });
        let (key, value) = (key.as_bytes(), format!("{lsn} {number}"));
        let upper = format!("{}", random.rand_range(0..60));
        record::append(
            &mut record,
            &match random.rand_range(0..20) {
                0 => RecordOp::RemoveRange {
                    keyspace,
                    lower: Bound::Included(key),
                    upper: Bound::Excluded(upper.as_bytes()),
                },
                1..5 => RecordOp::Remove { keyspace, key },
                _ => RecordOp::Insert { keyspace, key, value: value.as_bytes() },
            },
        );
    }
    record
}

fn freeze_if_full(state: &State) {
    if state.wants_freeze() {
        state.set_visible(state.last_applied_lsn());
        state.freeze();
    }
}

#[test]
fn replayed_records_leave_what_applied_ones_leave() {
    for seed in 0..60 {
        let mut random = Rand64::new(seed);
        let memtable_bytes = [200, 4_000, 1 << 20][(seed % 3) as usize];
        let (applied, replayed) = (state(memtable_bytes), state(memtable_bytes));
        let mut replay = Replay::default();
        for lsn in (1..=400).map(Lsn) {
            let record = random_record(&mut random, lsn);
            applied.apply(lsn, &record).unwrap();
            replayed.replay(&mut replay, lsn, &record).unwrap();
            freeze_if_full(&applied);
            freeze_if_full(&replayed);
        }
        replayed.settle(&mut replay);
        for state in [&applied, &replayed] {
            assert_eq!(state.last_applied_lsn(), Lsn(400));
            state.set_visible(Lsn(400));
        }
        assert_eq!(applied.keyspaces(), replayed.keyspaces());
        let hashes = [&applied, &replayed].map(|state| state.snapshot().state_hash().unwrap());
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
        if applied.frozen_count() + replayed.frozen_count() == 0 {
            assert!(replayed.memtable_bytes() <= applied.memtable_bytes(), "seed {seed}");
        }
        // The Store gets the same from both.
        let stored = [&applied, &replayed].map(|state| {
            state.freeze();
            while let Some(mut job) = state.begin_checkpoint() {
                while !job.step(7).unwrap() {}
                state.finish_checkpoint(job);
            }
            assert_eq!(state.memtable_bytes(), 0);
            state.snapshot().state_hash().unwrap()
        });
        assert_eq!(stored, hashes, "seed {seed}");
    }
}

#[test]
fn a_bad_record_changes_nothing_of_a_replay() {
    let state = state(1 << 20);
    let mut replay = Replay::default();
    let (keyspace, key, value) = (KeyspaceId::DEFAULT, &b"k"[..], &b"v"[..]);
    let good = record::encode(&[RecordOp::Insert { keyspace, key, value }]);
    let bad = [&good[..], &[99]].concat();
    assert!(state.replay(&mut replay, Lsn(1), &bad).is_err());
    state.replay(&mut replay, Lsn(1), &good).unwrap();
    state.settle(&mut replay);
    assert_eq!(state.last_applied_lsn(), Lsn(1));
    assert_eq!(state.newest(keyspace, key).unwrap().1.unwrap(), value);
}
