//! Transactions over a state without a log: what a committer does is a lock and an `apply`.

mod histories;
mod history;
mod overlay;

use std::ops::Bound;
use std::sync::Arc;

use mainstay_wal::Lsn;
use parking_lot::Mutex;

use super::*;
use crate::state::StateOptions;
use crate::state::tests::store::LooseStore;

/// Appends to nowhere and applies.
#[derive(Clone, Debug)]
struct Committer {
    state: Arc<State>,
    appending: Arc<Mutex<()>>,
}

impl Commit for Committer {
    type Done = Lsn;

    fn append(&self, batch: Batch, check: &mut dyn FnMut() -> Result<()>) -> Result<Lsn> {
        let _appending = self.appending.lock();
        check()?;
        batch.check(1 << 20, self.state.number(), |id| self.state.has_keyspace(id))?;
        let lsn = self.state.last_applied_lsn().next();
        self.state.apply(lsn, batch.record())?;
        self.state.set_visible(lsn);
        Ok(lsn)
    }

    fn nothing_written(&self, at: Lsn) -> Result<Lsn> {
        Ok(at)
    }
}

#[derive(Debug)]
struct Database {
    state: Arc<State>,
    committer: Committer,
    default: KeyspaceRef,
}

impl Database {
    fn new() -> Database {
        let options = StateOptions { memtable_bytes: 1 << 16, snapshot_bytes: usize::MAX };
        let store = Arc::new(LooseStore::default());
        let state = Arc::new(State::open(store, Lsn::ZERO, options).unwrap());
        let default = state.keyspace_ref(crate::KeyspaceId::DEFAULT, "default");
        let committer = Committer { state: Arc::clone(&state), appending: Arc::default() };
        Database { state, committer, default }
    }

    fn begin(&self) -> Transaction<Committer> {
        Transaction::begin(&self.state, self.committer.clone())
    }

    fn insert(&self, key: &str, value: &str) -> Lsn {
        let mut batch = Batch::new();
        batch.insert(&self.default, key, value);
        self.committer.append(batch, &mut || Ok(())).unwrap()
    }

    fn checkpoint(&self) {
        self.state.freeze();
        while let Some(mut job) = self.state.begin_checkpoint() {
            while !job.step(100).unwrap() {}
            self.state.finish_checkpoint(job);
        }
    }
}

fn assert_conflict(result: Result<Lsn>, with: Lsn) {
    match result {
        Err(Error::Conflict { lsn }) => assert_eq!(lsn, with),
        other => panic!("{other:?}, not a conflict with {with}"),
    }
}

#[test]
fn a_transaction_sees_its_own_writes_and_nobody_elses() {
    let db = Database::new();
    db.insert("a", "1");
    let mut tx = db.begin();
    tx.insert(&db.default, "b", "2").unwrap();
    tx.remove(&db.default, "a").unwrap();
    let other = db.insert("c", "3");
    assert_eq!(tx.get(&db.default, "a").unwrap(), None);
    assert_eq!(tx.get(&db.default, "b").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(db.state.get_visible(db.default.id(), b"b").unwrap(), None);
    let lsn = tx.commit().unwrap();
    assert_eq!(lsn, other.next());
    assert_eq!(db.state.get_visible(db.default.id(), b"b").unwrap().unwrap(), b"2");
    assert_eq!(db.state.get_visible(db.default.id(), b"a").unwrap(), None);
}

#[test]
fn dropped_it_leaves_no_trace() {
    let db = Database::new();
    let mut tx = db.begin();
    tx.insert(&db.default, "a", "1").unwrap();
    drop(tx);
    assert_eq!(db.state.last_applied_lsn(), Lsn::ZERO);
    assert_eq!(db.state.snapshot_count(), 0);
}

#[test]
fn a_lost_update_is_refused() {
    let db = Database::new();
    db.insert("n", "1");
    let (mut one, mut two) = (db.begin(), db.begin());
    for tx in [&mut one, &mut two] {
        let value = tx.get(&db.default, "n").unwrap().unwrap();
        tx.insert(&db.default, "n", [&value[..], b"+1"].concat()).unwrap();
    }
    let first = one.commit().unwrap();
    assert_conflict(two.commit(), first);
}

#[test]
fn a_write_skew_is_refused() {
    let db = Database::new();
    db.insert("ada", "on call");
    db.insert("alan", "on call");
    let (mut one, mut two) = (db.begin(), db.begin());
    for (tx, leaves) in [(&mut one, "ada"), (&mut two, "alan")] {
        let there = tx.iter(&db.default).count();
        assert_eq!(there, 2);
        tx.remove(&db.default, leaves).unwrap();
    }
    let first = one.commit().unwrap();
    assert_conflict(two.commit(), first);
}

#[test]
fn a_phantom_is_refused() {
    let db = Database::new();
    db.insert("room1/0900", "ada");
    let (mut one, mut two) = (db.begin(), db.begin());
    for (tx, who) in [(&mut one, "alan"), (&mut two, "grace")] {
        assert_eq!(tx.prefix(&db.default, "room2/").count(), 0);
        tx.insert(&db.default, format!("room2/0900/{who}"), who).unwrap();
    }
    let first = one.commit().unwrap();
    assert_conflict(two.commit(), first);
}

#[test]
fn a_range_that_others_remove_is_a_conflict() {
    let db = Database::new();
    db.insert("a", "1");
    db.insert("b", "1");
    for read_key in [true, false] {
        let mut tx = db.begin();
        if read_key {
            tx.get(&db.default, "b").unwrap();
        } else {
            assert!(tx.range::<&str, _>(&db.default, "b"..).next().is_some());
        }
        tx.insert(&db.default, "x", "1").unwrap();
        let mut other = db.begin();
        other.remove_range(&db.default, "a".."z").unwrap();
        let lsn = other.commit().unwrap();
        assert_conflict(tx.commit(), lsn);
        db.insert("b", "2");
    }
}

#[test]
fn blind_writes_never_conflict() {
    let db = Database::new();
    let (mut one, mut two) = (db.begin(), db.begin());
    one.insert(&db.default, "n", "1").unwrap();
    two.insert(&db.default, "n", "2").unwrap();
    one.commit().unwrap();
    two.commit().unwrap();
    assert_eq!(db.state.get_visible(db.default.id(), b"n").unwrap().unwrap(), b"2");
}

#[test]
fn only_what_was_read_of_a_range_counts() {
    let read = |back: bool, count: usize, write: &str| {
        let db = Database::new();
        for key in ["b", "d", "f", "h"] {
            db.insert(key, "1");
        }
        let mut tx = db.begin();
        let mut range = tx.range::<&str, _>(&db.default, "a".."i");
        for _ in 0..count {
            assert!(if back { range.next_back() } else { range.next() }.is_some());
        }
        tx.insert(&db.default, "x", "1").unwrap();
        db.insert(write, "2");
        tx.commit().is_ok()
    };
    assert!(read(false, 0, "b"), "nothing was read");
    assert!(read(false, 2, "dd"));
    assert!(read(false, 2, "f"));
    assert!(!read(false, 2, "d"), "the last key that was given out");
    assert!(!read(false, 2, "a"), "a phantom before the first key");
    assert!(!read(false, 2, "c"), "a phantom between");
    assert!(read(true, 1, "g"));
    assert!(!read(true, 1, "hh"), "a phantom behind the last key");
    assert!(!read(true, 1, "h"));
}

#[test]
fn a_read_of_what_was_written_here_is_no_read() {
    let db = Database::new();
    let mut tx = db.begin();
    tx.insert(&db.default, "a", "1").unwrap();
    tx.get(&db.default, "a").unwrap();
    tx.remove_range(&db.default, "m".."p").unwrap();
    tx.get(&db.default, "n").unwrap();
    db.insert("a", "2");
    db.insert("n", "2");
    tx.commit().unwrap();
}

#[test]
fn a_transaction_that_only_reads_always_commits() {
    let db = Database::new();
    let at = db.insert("a", "1");
    let tx = db.begin();
    tx.get(&db.default, "a").unwrap();
    db.insert("a", "2");
    assert_eq!(tx.commit().unwrap(), at);
}

#[test]
fn one_that_began_before_the_oldest_memtable_is_too_old() {
    let db = Database::new();
    let began = db.insert("a", "1");
    let mut tx = db.begin();
    tx.get(&db.default, "a").unwrap();
    tx.insert(&db.default, "b", "1").unwrap();
    db.insert("c", "1");
    db.checkpoint();
    match tx.commit() {
        Err(Error::TransactionTooOld { began: lsn }) => assert_eq!(lsn, began),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_comes_between_the_two_checks_is_found() {
    // The committer writes once more after the first check, before it takes the lock.
    #[derive(Debug)]
    struct Late<'a>(&'a Database, &'a str, usize);
    impl Commit for Late<'_> {
        type Done = Lsn;

        fn append(&self, batch: Batch, check: &mut dyn FnMut() -> Result<()>) -> Result<Lsn> {
            for _ in 0..self.2 {
                self.0.insert("elsewhere", "1");
            }
            if !self.1.is_empty() {
                self.0.insert(self.1, "late");
            }
            self.0.committer.append(batch, check)
        }

        fn nothing_written(&self, at: Lsn) -> Result<Lsn> {
            Ok(at)
        }
    }
    let db = Database::new();
    // More than is remembered: then the whole is compared again.
    for many in [0, 3, 10_000] {
        for (late, conflicts) in [("", false), ("a", true), ("b", false), ("m", true)] {
            let mut tx = Transaction::begin(&db.state, Late(&db, late, many));
            tx.get(&db.default, "a").unwrap();
            assert_eq!(tx.range::<&str, _>(&db.default, "l".."k\u{ff}").count(), 0);
            let all: Vec<_> = tx.range::<&str, _>(&db.default, "l".."n").collect();
            assert!(all.len() <= 1);
            tx.insert(&db.default, "x", "1").unwrap();
            match tx.commit() {
                Ok(_) => assert!(!conflicts, "{late} was missed after {many} others"),
                Err(Error::Conflict { lsn }) => {
                    assert!(conflicts, "{late} is no conflict");
                    assert_eq!(lsn, db.state.last_applied_lsn());
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn very_many_reads_are_taken_together_and_still_found() {
    let db = Database::new();
    let mut tx = db.begin();
    for number in 0..25_000 {
        tx.get(&db.default, format!("k{number:05}")).unwrap();
    }
    for number in 0..25_000 {
        let key = format!("r{number:05}");
        assert!(tx.range::<&str, _>(&db.default, &*key..=&*key).next().is_none());
    }
    tx.insert(&db.default, "x", "1").unwrap();
    let hit = db.insert("k00007", "1");
    assert_conflict(tx.commit(), hit);
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let db = Database::new();
    let other = Database::new();
    let mut tx = db.begin();
    let long = vec![b'k'; crate::record::MAX_KEY_BYTES + 1];
    assert!(matches!(tx.insert(&db.default, "", "v"), Err(Error::KeySize { bytes: 0, .. })));
    assert!(matches!(tx.insert(&db.default, &long, "v"), Err(Error::KeySize { .. })));
    assert!(matches!(tx.remove(&db.default, &long), Err(Error::KeySize { .. })));
    let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(&long), Bound::Unbounded);
    let removed = tx.remove_range::<&[u8], _>(&db.default, bounds);
    assert!(matches!(removed, Err(Error::KeySize { .. })));
    let foreign = |result: Result<()>| matches!(result, Err(Error::NoSuchKeyspace { .. }));
    assert!(foreign(tx.insert(&other.default, "a", "v")));
    assert!(foreign(tx.get(&other.default, "a").map(drop)));
    let mut range = tx.iter(&other.default);
    assert!(foreign(range.next().unwrap().map(drop)));
    assert!(range.next().is_none());
    let half = vec![0; MAX_RECORD_BYTES / 2];
    tx.insert(&db.default, "half", &half).unwrap();
    assert!(matches!(tx.insert(&db.default, "half2", &half), Err(Error::TooLarge { .. })));
    assert_eq!(tx.get(&db.default, "half2").unwrap(), None);
}

#[test]
fn the_longest_keys_can_bound_a_range() {
    let db = Database::new();
    let long = vec![b'k'; crate::record::MAX_KEY_BYTES];
    let mut batch = Batch::new();
    batch.insert(&db.default, &long, "v").insert(&db.default, "l", "v");
    db.committer.append(batch, &mut || Ok(())).unwrap();
    let mut tx = db.begin();
    let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Included(&long));
    tx.remove_range::<&[u8], _>(&db.default, bounds).unwrap();
    tx.commit().unwrap();
    db.checkpoint();
    let snapshot = db.state.snapshot();
    let keys: Vec<_> = snapshot.iter(&db.default).map(|entry| entry.unwrap().0).collect();
    assert_eq!(keys, [Key::from("l")]);
}
