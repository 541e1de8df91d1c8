//! The database against an ordered map, with crashes, snapshots and transactions among the operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_wal::disk::{SimDisk, Survivors};
use proptest::prelude::*;

use crate::{Batch, Db, Durability, Options, Snapshot};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, u8, bool),
    Remove(u8),
    Batch(Vec<(u8, Option<u8>)>),
    RemoveRange(u8, u8),
    Swap(u8, u8, u8),
    Transaction(Vec<(u8, u8)>, bool),
    Snapshot,
    CheckSnapshot(usize),
    Checkpoint,
    Sync,
    Reopen,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..24u8;
    prop_oneof![
        6 => (key(), any::<u8>(), any::<bool>()).prop_map(|(k, v, b)| Step::Insert(k, v, b)),
        2 => key().prop_map(Step::Remove),
        3 => prop::collection::vec((key(), prop::option::of(any::<u8>())), 0..6)
            .prop_map(Step::Batch),
        1 => (key(), key()).prop_map(|(one, other)| Step::RemoveRange(one, other)),
        2 => (key(), 0..4u8, any::<u8>()).prop_map(|(k, e, n)| Step::Swap(k, e, n)),
        2 => (prop::collection::vec((key(), any::<u8>()), 0..5), any::<bool>())
            .prop_map(|(writes, commit)| Step::Transaction(writes, commit)),
        2 => Just(Step::Snapshot),
        3 => any::<usize>().prop_map(Step::CheckSnapshot),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

fn value(byte: u8) -> Vec<u8> {
    vec![byte; usize::from(byte) % 40]
}

fn open(disk: &SimDisk) -> Db {
    let options = Options::new().background(false).segment_bytes(4096, 8192);
    options.open_on(Arc::new(disk.clone())).unwrap()
}

/// A database, what it should hold, and every state since the last one that a crash must keep.
struct Model {
    disk: SimDisk,
    db: Db,
    map: Map,
    /// States after writes that a crash may or may not take back, oldest first; the first is durable.
    possible: Vec<Map>,
    snapshots: Vec<(Snapshot, Map)>,
}

impl Model {
    fn new() -> Model {
        let disk = SimDisk::new(1);
        let (db, map) = (open(&disk), Map::new());
        Model { disk, db, possible: vec![map.clone()], map, snapshots: Vec::new() }
    }

    fn written(&mut self, durable: bool) {
        if durable {
            self.possible.clear();
        }
        self.possible.push(self.map.clone());
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Insert(key, byte, buffered) => {
                let durability = if buffered { Durability::Buffered } else { Durability::Sync };
                self.db.insert_with([key], value(byte), durability).unwrap();
                self.map.insert(vec![key], value(byte));
                self.written(!buffered);
            }
            Step::Remove(key) => {
                self.db.remove([key]).unwrap();
                self.map.remove(&vec![key]);
                self.written(true);
            }
            Step::Batch(changes) => self.batch(&changes),
            Step::RemoveRange(one, other) => {
                let (low, high) = (one.min(other), one.max(other));
                self.db.remove_range([low]..[high]).unwrap();
                self.map.retain(|key, _| key[0] < low || key[0] >= high);
                self.written(true);
            }
            Step::Swap(key, expected, new) => {
                let (expected, new) = (value(expected), value(new));
                let swapped = self.db.compare_and_swap([key], Some(&expected), Some(&new));
                assert_eq!(swapped.is_ok(), self.map.get(&vec![key]) == Some(&expected));
                if swapped.is_ok() {
                    self.map.insert(vec![key], new);
                    self.written(true);
                }
            }
            Step::Transaction(writes, commit) => self.transaction(&writes, commit),
            Step::Snapshot => self.snapshots.push((self.db.snapshot(), self.map.clone())),
            Step::CheckSnapshot(which) if !self.snapshots.is_empty() => {
                let which = which % self.snapshots.len();
                let (snapshot, map) = self.snapshots.swap_remove(which);
                assert_eq!(entries(&snapshot, &self.db), map);
            }
            Step::CheckSnapshot(_) => {}
            Step::Checkpoint => {
                self.db.checkpoint().unwrap();
                self.written(true);
            }
            Step::Sync => {
                self.db.sync().unwrap();
                self.written(true);
            }
            Step::Reopen => self.reopen(None),
            Step::Crash(seed) => self.reopen(Some(seed)),
        }
    }

    fn batch(&mut self, changes: &[(u8, Option<u8>)]) {
        let mut batch = Batch::new();
        for (key, change) in changes {
            match change {
                Some(byte) => batch.insert(&self.db, [*key], value(*byte)),
                None => batch.remove(&self.db, [*key]),
            };
            match change {
                Some(byte) => self.map.insert(vec![*key], value(*byte)),
                None => self.map.remove(&vec![*key]),
            };
        }
        self.db.write(batch).unwrap().wait().unwrap();
        self.written(true);
    }

    fn transaction(&mut self, writes: &[(u8, u8)], commit: bool) {
        let mut tx = self.db.transaction();
        let mut map = self.map.clone();
        for (key, byte) in writes {
            assert_eq!(
                tx.get(&self.db, [*key]).unwrap().as_deref(),
                map.get(&vec![*key]).map(|v| &v[..])
            );
            tx.insert(&self.db, [*key], value(*byte)).unwrap();
            map.insert(vec![*key], value(*byte));
        }
        let seen: Vec<_> = tx.iter(&self.db).map(Result::unwrap).collect();
        assert_eq!(seen.len(), map.len());
        if commit {
            tx.commit().unwrap().wait().unwrap();
            self.map = map;
            self.written(!writes.is_empty());
        }
    }

    fn reopen(&mut self, crash: Option<u64>) {
        self.snapshots.clear();
        let old = match crash {
            Some(seed) => {
                let disk = self.disk.crash(Survivors::RandomSectors { seed });
                std::mem::replace(&mut self.disk, disk)
            }
            None => self.disk.clone(),
        };
        // Closed after the crash was taken: what it writes then is no part of what is opened.
        let closed = std::mem::replace(&mut self.db, open(&SimDisk::new(2)));
        closed.close().unwrap();
        drop(old);
        self.db = open(&self.disk);
        let found: Map = self
            .db
            .iter()
            .unwrap()
            .map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap())
            .collect();
        match crash {
            Some(_) => assert!(self.possible.contains(&found), "{found:?} was never a state"),
            None => assert_eq!(found, self.map),
        }
        self.map = found;
        self.written(true);
    }

    fn check(&self) {
        let range: Vec<_> = self.db.range([3u8]..[17]).unwrap().rev().map(Result::unwrap).collect();
        let wanted: Vec<_> = self.map.range(vec![3]..vec![17]).rev().collect();
        assert_eq!(range.len(), wanted.len());
        for ((key, value), (wanted_key, wanted_value)) in range.iter().zip(wanted) {
            assert_eq!((&key[..], &value[..]), (&wanted_key[..], &wanted_value[..]));
        }
        for key in 0..24u8 {
            let found = self.db.get([key]).unwrap();
            assert_eq!(found.as_deref(), self.map.get(&vec![key]).map(|value| &value[..]));
        }
    }
}

fn entries(snapshot: &Snapshot, db: &Db) -> Map {
    let entry = |(key, value): (crate::Key, crate::Value)| (key.to_vec(), value.to_vec());
    snapshot.iter(db).map(|found| entry(found.unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_database_is_an_ordered_map(steps in prop::collection::vec(step(), 1..80)) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
            model.check();
        }
        for which in 0..model.snapshots.len() {
            model.apply(Step::CheckSnapshot(which));
        }
    }
}
