//! What is kept for old snapshots, what is not, and what is said when it cannot be.

use std::sync::Arc;

use mainstay_wal::Lsn;

use super::store::LooseStore;
use crate::bytes::{Key, Value};
use crate::error::Error;
use crate::keyspace::{KeyspaceId, KeyspaceRef};
use crate::record::{self, RecordOp};
use crate::span::Span;
use crate::state::{CheckpointJob, State, StateOptions};

struct Bench {
    store: Arc<LooseStore>,
    state: Arc<State>,
    default: KeyspaceRef,
}

impl Bench {
    fn new(snapshot_bytes: usize) -> Bench {
        let store = Arc::new(LooseStore::default());
        let options = StateOptions { memtable_bytes: 1 << 20, snapshot_bytes };
        let state = State::open(Arc::<LooseStore>::clone(&store), Lsn::ZERO, options).unwrap();
        let default = state.keyspace_ref(KeyspaceId::DEFAULT, "default");
        Bench { store, state: Arc::new(state), default }
    }

    fn apply(&self, ops: &[RecordOp<'_>]) -> Lsn {
        let lsn = self.state.last_applied_lsn().next();
        self.state.apply(lsn, &record::encode(ops)).unwrap();
        self.state.set_visible(lsn);
        lsn
    }

    fn insert(&self, keyspace: KeyspaceId, key: &str, value: &str) -> Lsn {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        self.apply(&[RecordOp::Insert { keyspace, key, value }])
    }

    fn fill(&self, keyspace: KeyspaceId, keys: u32, value_bytes: usize) {
        for number in 0..keys {
            self.insert(keyspace, &format!("k{number:06}"), &"v".repeat(value_bytes));
        }
    }

    fn begin(&self) -> CheckpointJob {
        assert!(self.state.freeze());
        self.state.begin_checkpoint().unwrap()
    }

    fn checkpoint(&self) {
        let mut job = self.begin();
        while !job.step(100).unwrap() {}
        self.state.finish_checkpoint(job);
    }
}

const USERS: KeyspaceId = KeyspaceId(16);

#[test]
fn a_dropped_keyspace_can_be_read_in_a_snapshot_from_before() {
    let bench = Bench::new(1 << 20);
    bench.apply(&[RecordOp::CreateKeyspace { keyspace: USERS, name: "users" }]);
    bench.fill(USERS, 500, 10);
    bench.checkpoint();
    let users = bench.state.keyspace_ref(USERS, "users");
    let snapshot = bench.state.snapshot();
    bench.apply(&[RecordOp::DropKeyspace { keyspace: USERS }]);
    assert_eq!(bench.state.keyspace_id("users"), None);
    let mut job = bench.begin();
    let mut steps = 0;
    while !job.step(50).unwrap() {
        steps += 1;
    }
    assert!(steps >= 10, "500 entries were looked at in {steps} steps of 50");
    bench.state.finish_checkpoint(job);
    assert!(bench.store.content().keys().all(|(keyspace, _)| *keyspace != USERS));
    let forwards: crate::Result<Vec<_>> = snapshot.iter(&users).collect();
    assert_eq!(forwards.unwrap().len(), 500);
    let backwards: crate::Result<Vec<_>> = snapshot.iter(&users).rev().collect();
    assert_eq!(backwards.unwrap().len(), 500);
    assert_eq!(snapshot.get(&users, "k000007").unwrap().unwrap(), b"vvvvvvvvvv");
    assert!(snapshot.keyspaces().unwrap().contains(&("users".to_string(), USERS)));
    let now = bench.state.snapshot();
    assert_eq!(now.iter(&users).count(), 0);
    assert_eq!(now.keyspaces().unwrap().len(), 1);
    assert!(bench.state.pinned_bytes() > 500 * 17);
    drop(snapshot);
    assert_eq!(bench.state.pinned_bytes(), 0);
}

#[test]
fn past_the_bound_the_oldest_snapshots_are_given_up_and_say_so() {
    let bound = 20_000;
    let bench = Bench::new(bound);
    bench.fill(KeyspaceId::DEFAULT, 1000, 100);
    bench.checkpoint();
    let old = bench.state.snapshot();
    let mut range = old.iter(&bench.default);
    assert!(range.next().unwrap().is_ok());
    let lower = std::ops::Bound::Included(&b"k"[..]);
    let upper = std::ops::Bound::Unbounded;
    bench.apply(&[RecordOp::RemoveRange { keyspace: KeyspaceId::DEFAULT, lower, upper }]);
    let young = bench.state.snapshot();
    let mut job = bench.begin();
    let too_old = |result: crate::Result<()>| match result {
        Err(Error::SnapshotTooOld { lsn }) => lsn == old.lsn(),
        other => panic!("{other:?}"),
    };
    while !job.step(50).unwrap() {
        let pinned = bench.state.pinned_bytes();
        assert!(pinned <= bound, "{pinned} bytes are pinned");
    }
    bench.state.finish_checkpoint(job);
    assert!(too_old(old.get(&bench.default, "k000001").map(drop)));
    // What was read already is given out; the error is the last item, at whichever end.
    let items: Vec<_> = range.by_ref().collect();
    let (last, before) = items.split_last().unwrap();
    assert!(before.iter().all(|item| item.is_ok()));
    assert!(too_old(last.clone().map(drop)));
    assert!(range.next().is_none() && range.next_back().is_none());
    let mut fresh = old.prefix(&bench.default, "k");
    assert!(too_old(fresh.next_back().unwrap().map(drop)));
    assert!(fresh.next().is_none());
    assert!(too_old(old.state_hash().map(drop)));
    assert_eq!(young.iter(&bench.default).count(), 0);
    assert_eq!(bench.state.snapshot_count(), 1);
}

#[test]
fn nothing_is_kept_for_nobody() {
    let bench = Bench::new(1 << 20);
    bench.fill(KeyspaceId::DEFAULT, 50, 10);
    bench.checkpoint();
    bench.fill(KeyspaceId::DEFAULT, 50, 10);
    // It is at the end of the checkpoint: what it needs is in the Store afterwards.
    let snapshot = bench.state.snapshot();
    bench.checkpoint();
    assert_eq!(bench.state.pinned_bytes(), 0);
    assert_eq!(snapshot.iter(&bench.default).count(), 50);
}

#[test]
fn a_job_that_is_given_up_keeps_what_it_has_kept() {
    let bench = Bench::new(1 << 20);
    bench.insert(KeyspaceId::DEFAULT, "a", "old");
    bench.checkpoint();
    let snapshot = bench.state.snapshot();
    bench.insert(KeyspaceId::DEFAULT, "a", "new");
    let mut job = bench.begin();
    bench.store.fail_after_applying(true);
    assert!(matches!(job.step(10), Err(Error::Store { .. })));
    drop(job);
    bench.store.fail_after_applying(false);
    assert_eq!(bench.store.content().len(), 1);
    let read = || snapshot.get(&bench.default, "a").unwrap().unwrap();
    assert_eq!(read(), b"old");
    let mut again = bench.state.begin_checkpoint().unwrap();
    while !again.step(1).unwrap() {}
    bench.state.finish_checkpoint(again);
    assert_eq!(read(), b"old");
    assert_eq!(bench.state.snapshot().get(&bench.default, "a").unwrap().unwrap(), b"new");
}

#[test]
fn an_error_of_the_store_is_the_last_item_of_a_range() {
    let bench = Bench::new(1 << 20);
    bench.fill(KeyspaceId::DEFAULT, 2000, 10);
    bench.checkpoint();
    let snapshot = bench.state.snapshot();
    let mut range = snapshot.iter(&bench.default);
    assert!(range.next_back().unwrap().is_ok());
    bench.store.fail_reads(true);
    let items: Vec<_> = range.by_ref().collect();
    assert!(items.len() < 2000, "{} items", items.len());
    assert!(matches!(items.last(), Some(Err(Error::Store { .. }))));
    assert!(items[..items.len() - 1].iter().all(|item| item.is_ok()));
    bench.store.fail_reads(false);
    assert!(range.next().is_none() && range.next_back().is_none());
    assert!(snapshot.get(&bench.default, "k000001").unwrap().is_some());
}

#[test]
fn a_record_that_makes_no_sense_changes_nothing() {
    let bench = Bench::new(1 << 20);
    bench.insert(KeyspaceId::DEFAULT, "a", "1");
    let before = bench.state.active_bytes();
    let op = RecordOp::Insert { keyspace: KeyspaceId::DEFAULT, key: b"b", value: b"2" };
    let create = RecordOp::CreateKeyspace { keyspace: USERS, name: "users" };
    let mut record = record::encode(&[op, create, op]);
    record.pop();
    let refused = bench.state.apply(Lsn(2), &record);
    assert!(matches!(refused, Err(Error::BadRecord { lsn: Lsn(2), .. })));
    assert_eq!(bench.state.last_applied_lsn(), Lsn(1));
    assert_eq!(bench.state.active_bytes(), before);
    assert_eq!(bench.state.keyspaces().len(), 1);
    assert_eq!(bench.insert(KeyspaceId::DEFAULT, "b", "2"), Lsn(2));
}

#[test]
fn numbers_of_keyspaces_are_never_given_twice() {
    let bench = Bench::new(1 << 20);
    let create = |name: &str| {
        let keyspace = bench.state.allocate_keyspace_id().unwrap();
        bench.apply(&[RecordOp::CreateKeyspace { keyspace, name }]);
        keyspace
    };
    let first = create("one");
    assert_eq!(first, KeyspaceId::FIRST_USER);
    let second = create("two");
    bench.apply(&[RecordOp::DropKeyspace { keyspace: second }]);
    let unused = bench.state.allocate_keyspace_id().unwrap();
    assert!(unused > second);
    bench.checkpoint();
    let store = Arc::<LooseStore>::clone(&bench.store);
    let options = StateOptions { memtable_bytes: 1, snapshot_bytes: 1 };
    let again = State::open(store, bench.state.oldest_base(), options).unwrap();
    assert_eq!(again.keyspace_id("one"), Some(first));
    assert_eq!(again.keyspace_id("two"), None);
    assert!(again.allocate_keyspace_id().unwrap() > second);
    // Taking back the creation of a keyspace does not set its number free in this process.
    let third = bench.state.allocate_keyspace_id().unwrap();
    let lsn = bench.state.last_applied_lsn();
    let op = RecordOp::CreateKeyspace { keyspace: third, name: "three" };
    bench.state.apply(lsn.next(), &record::encode(&[op])).unwrap();
    assert_eq!(bench.state.keyspace_id("three"), Some(third));
    bench.state.truncate_after(lsn).unwrap();
    assert_eq!(bench.state.keyspace_id("three"), None);
    assert!(bench.state.allocate_keyspace_id().unwrap() > third);
}

#[test]
fn a_damaged_catalog_is_reported() {
    let bench = Bench::new(1 << 20);
    bench.store.insert(KeyspaceId::CATALOG, Key::from("users"), Value::from("abc"));
    let store = Arc::<LooseStore>::clone(&bench.store);
    let options = StateOptions { memtable_bytes: 1, snapshot_bytes: 1 };
    let opened = State::open(store, Lsn::ZERO, options);
    assert!(matches!(opened, Err(Error::Store { damaged: true, .. })));
}

#[test]
fn a_state_hash_depends_on_the_content_alone() {
    let bench = Bench::new(1 << 20);
    let empty = bench.state.snapshot().state_hash().unwrap();
    bench.apply(&[RecordOp::CreateKeyspace { keyspace: USERS, name: "users" }]);
    bench.insert(USERS, "ada", "1815");
    bench.insert(KeyspaceId::DEFAULT, "ada", "1815");
    let filled = bench.state.snapshot();
    let hash = filled.state_hash().unwrap();
    assert_eq!((empty, hash), GOLDEN, "the hash of a state may never change");
    bench.checkpoint();
    assert_eq!(filled.state_hash().unwrap(), hash);
    let hashes = [
        bench.insert(KeyspaceId::DEFAULT, "ada", "1816"),
        bench.insert(KeyspaceId::DEFAULT, "adb", "1815"),
        bench.apply(&[RecordOp::Remove { keyspace: KeyspaceId::DEFAULT, key: b"adb" }]),
        bench.apply(&[RecordOp::DropKeyspace { keyspace: USERS }]),
    ]
    .map(|lsn| bench.state.snapshot_at(lsn).unwrap().state_hash().unwrap());
    assert_eq!(hashes[0], hashes[2]);
    assert!(![empty, hash, hashes[1], hashes[3]].contains(&hashes[0]));
    let mut hasher = crate::state::StateHasher::new(&filled).unwrap();
    let steps = std::iter::from_fn(|| match hasher.step(1).unwrap() {
        None => Some(None),
        found => found.map(Some),
    });
    assert_eq!(steps.take(50).flatten().next(), Some(hash));
}

const GOLDEN: (u64, u64) = (15_105_637_339_055_508_976, 15_620_678_119_441_387_716);

#[test]
#[should_panic(expected = "LSN 1 is made visible, but only 0 is applied")]
fn what_is_not_applied_cannot_be_shown() {
    Bench::new(0).state.set_visible(Lsn(1));
}

#[test]
#[should_panic(expected = "the record at 1 comes after that at 1")]
fn records_come_in_order() {
    let bench = Bench::new(0);
    bench.apply(&[]);
    drop(bench.state.apply(Lsn(1), &record::encode(&[])));
}

#[test]
#[should_panic(expected = "the checkpoint up to 3 is finished in the middle")]
fn a_checkpoint_is_not_finished_in_the_middle() {
    let bench = Bench::new(0);
    bench.fill(KeyspaceId::DEFAULT, 3, 1);
    let mut job = bench.begin();
    assert!(!job.step(1).unwrap());
    bench.state.finish_checkpoint(job);
}

#[test]
fn a_checkpoint_waits_until_its_end_is_visible() {
    let bench = Bench::new(0);
    let op = RecordOp::Insert { keyspace: KeyspaceId::DEFAULT, key: b"a", value: b"1" };
    bench.state.apply(Lsn(1), &record::encode(&[op])).unwrap();
    assert!(bench.state.freeze());
    assert!(!bench.state.freeze(), "nothing was applied since");
    assert!(bench.state.begin_checkpoint().is_none());
    bench.state.set_visible(Lsn(1));
    let job = bench.state.begin_checkpoint().unwrap();
    assert!(bench.state.begin_checkpoint().is_none(), "one at a time");
    drop(job);
    assert!(bench.state.begin_checkpoint().is_some());
}

#[test]
fn a_range_reads_on_from_both_ends_until_they_meet() {
    let bench = Bench::new(1 << 20);
    bench.fill(KeyspaceId::DEFAULT, 1500, 1);
    bench.checkpoint();
    bench.fill(KeyspaceId::DEFAULT, 700, 2);
    let mut range = bench.state.snapshot().range_in(KeyspaceId::DEFAULT, Span::all());
    let mut seen = Vec::new();
    while let Some(entry) = if seen.len() % 3 == 0 { range.next_back() } else { range.next() } {
        seen.push(entry.unwrap().0);
    }
    assert!(range.next().is_none() && range.next_back().is_none());
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1500);
}

/// What programs hand from thread to thread. Compiled is passed.
#[test]
fn readers_can_be_handed_to_other_threads() {
    fn handed<T: Send + 'static>() {}
    fn shared<T: Send + Sync + 'static>() {}
    shared::<State>();
    shared::<crate::Snapshot>();
    shared::<crate::Batch>();
    handed::<crate::Range>();
    handed::<crate::TransactionRange>();
    handed::<crate::Transaction>();
}
