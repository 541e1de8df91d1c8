//! What a power cut, a failing disk and damage do to a [`MemoryStore`].

mod damage;

use super::*;
use crate::store::destroy;
use mainstay_wal::disk::{SimDisk, Survivors};
use std::collections::BTreeMap;

const DIRECTORY: &str = "store";

const DATA: KeyspaceId = KeyspaceId(20);

const OTHER: KeyspaceId = KeyspaceId(21);

/// Every piece leaves its mark here, and no piece removes one: so a test sees which of them
/// survived.
const MARKS: KeyspaceId = KeyspaceId(22);

type Content = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

#[derive(Clone)]
enum Step {
    /// One call of `apply`, which makes one piece.
    Apply(Vec<StoreOp>),
    MakeDurable,
}

/// Writes enough garbage for some rewrites, and then so many pieces at once that their slots are in
/// several sectors.
fn workload() -> Vec<Step> {
    let mut steps = Vec::new();
    for number in 1..=24u64 {
        let mut ops = Vec::new();
        match number % 8 {
            3 => ops.push(StoreOp::RemoveRange {
                keyspace: DATA,
                lower: Bound::Included(Key::from("k1")),
                upper: Bound::Excluded(Key::from("k3")),
            }),
            5 => ops.push(StoreOp::DropKeyspace { keyspace: OTHER }),
            6 => ops.push(StoreOp::Remove { keyspace: DATA, key: Key::from("k0") }),
            _ => {}
        }
        for (keyspace, size) in [(DATA, 5_000), (OTHER, 40)] {
            ops.push(StoreOp::Insert {
                keyspace,
                key: Key::from(format!("k{}", number % 4).as_str()),
                value: Value::from(vec![u8::try_from(number).unwrap(); size]),
            });
        }
        steps.push(Step::Apply(ops));
        if number % 3 == 0 {
            steps.push(Step::MakeDurable);
        }
    }
    for number in 0..40u8 {
        let key = Key::from(format!("small {}", number % 7).as_str());
        let value = Value::from(vec![number]);
        steps.push(Step::Apply(vec![StoreOp::Insert { keyspace: OTHER, key, value }]));
    }
    steps.push(Step::MakeDurable);
    steps
}

fn model_apply(model: &mut Content, op: &StoreOp) {
    match op {
        StoreOp::Insert { keyspace, key, value } => {
            model.insert((keyspace.0, key.to_vec()), value.to_vec());
        }
        StoreOp::Remove { keyspace, key } => {
            model.remove(&(keyspace.0, key.to_vec()));
        }
        StoreOp::RemoveRange { keyspace, lower, upper } => {
            let range = (lower.clone(), upper.clone());
            model.retain(|(other, key), _| {
                *other != keyspace.0
                    || !std::ops::RangeBounds::contains(&range, &Key::from(key.as_slice()))
            });
        }
        StoreOp::DropKeyspace { keyspace } => model.retain(|(other, _), _| *other != keyspace.0),
    }
}

fn content(store: &MemoryStore) -> Content {
    let mut content = Content::new();
    for keyspace in [DATA, OTHER, MARKS] {
        for entry in store.range(keyspace, Bound::Unbounded, Bound::Unbounded).unwrap() {
            let (key, value) = entry.unwrap();
            content.insert((keyspace.0, key.to_vec()), value.to_vec());
        }
    }
    content
}

/// How far a run came.
#[derive(Clone, Default)]
struct Outcome {
    created: bool,
    /// Pieces that were given to `apply`, the last one perhaps without success. Its first operation
    /// is its mark.
    given: Vec<Vec<StoreOp>>,
    /// How many of them were there when `make_durable` last succeeded.
    durable: usize,
    durable_lsn: Lsn,
    last_lsn: Lsn,
}

impl Outcome {
    fn apply(&mut self, store: &MemoryStore, ops: &[StoreOp]) -> Result<()> {
        self.last_lsn = self.last_lsn.next();
        let key = Key::from(self.last_lsn.to_string().as_str());
        let mut piece = vec![StoreOp::Insert { keyspace: MARKS, key, value: Value::from("") }];
        piece.extend_from_slice(ops);
        self.given.push(piece);
        store.apply(&self.given[self.given.len() - 1], self.last_lsn)
    }

    fn make_durable(&mut self, store: &MemoryStore) -> Result<()> {
        store.make_durable()?;
        self.durable = self.given.len();
        self.durable_lsn = self.last_lsn;
        Ok(())
    }

    /// Checks that `store` holds everything up to the last durable point, and any subset of the
    /// pieces given later; answers that subset.
    fn check_subset(&self, store: &MemoryStore, what: &str) -> Vec<Vec<StoreOp>> {
        let found = content(store);
        let mut expected = Content::new();
        let mut survivors = Vec::new();
        for (index, ops) in self.given.iter().enumerate() {
            let StoreOp::Insert { key: mark, .. } = &ops[0] else { panic!("a piece without mark") };
            let survived = found.contains_key(&(MARKS.0, mark.to_vec()));
            assert!(survived || index >= self.durable, "{what}: durable piece {mark:?} is lost");
            if survived {
                ops.iter().for_each(|op| model_apply(&mut expected, op));
                survivors.push(ops.clone());
            }
        }
        assert!(found == expected, "{what}: the content is not that of the pieces that survived");
        let applied = store.applied().unwrap();
        assert!(applied >= self.durable_lsn && applied <= self.last_lsn, "{what}: {applied}");
        survivors
    }

    /// Does what a checkpoint does after a crash: applies everything since the durable point again.
    fn replay(&mut self, store: &MemoryStore, workload: &[Vec<StoreOp>], what: &str) -> Result<()> {
        self.given = self.check_subset(store, what);
        for ops in &workload[self.durable..] {
            self.apply(store, ops)?;
        }
        self.make_durable(store)
    }
}

fn run(disk: &SimDisk, steps: &[Step]) -> (Outcome, Result<MemoryStore>) {
    let mut outcome = Outcome::default();
    let result = MemoryStore::create(Arc::new(disk.clone()), DIRECTORY);
    let Ok(store) = result else { return (outcome, result) };
    outcome.created = true;
    for step in steps {
        let result = match step {
            Step::Apply(ops) => outcome.apply(&store, ops),
            Step::MakeDurable => outcome.make_durable(&store),
        };
        if let Err(error) = result {
            return (outcome, Err(error));
        }
    }
    (outcome, Ok(store))
}

/// The pieces of a workload, without marks.
fn pieces(steps: &[Step], count: usize) -> Vec<Vec<StoreOp>> {
    let pieces = steps.iter().filter_map(|step| match step {
        Step::Apply(ops) => Some(ops.clone()),
        Step::MakeDurable => None,
    });
    pieces.take(count).collect()
}

/// Checks that the content is that of the first `count` pieces, applied in order.
fn check_whole(store: &MemoryStore, steps: &[Step], count: usize, what: &str) {
    let mut expected = Content::new();
    pieces(steps, count).iter().flatten().for_each(|op| model_apply(&mut expected, op));
    let mut found = content(store);
    found.retain(|(keyspace, _), _| *keyspace != MARKS.0);
    assert!(found == expected, "{what}: the content is wrong");
}

fn policies(seed: u64, random: u64) -> Vec<Survivors> {
    let seeds = (0..random).map(|number| seed + number * 1_000_000);
    let policies = [Survivors::Nothing, Survivors::Everything, Survivors::Prefix { seed }];
    policies.into_iter().chain(seeds.map(|seed| Survivors::RandomSectors { seed })).collect()
}

fn open(disk: &SimDisk) -> Result<MemoryStore> {
    MemoryStore::open(Arc::new(disk.clone()), DIRECTORY)
}

#[test]
fn a_power_cut_leaves_the_durable_state_and_any_subset_of_later_pieces() {
    let steps = workload();
    let disk = SimDisk::new(1);
    let (outcome, store) = run(&disk, &steps);
    check_whole(&store.unwrap(), &steps, outcome.given.len(), "without a crash");
    let operations = disk.operations();
    let (mut states, mut partial) = (0, 0);
    for crash_at in 1..=operations {
        let disk = SimDisk::new(1);
        disk.crash_at(crash_at);
        let (outcome, result) = run(&disk, &steps);
        assert!(result.is_err() && disk.has_crashed(), "operation {crash_at} was not reached");
        for survivors in policies(crash_at, 12) {
            let what = format!("crash at operation {crash_at}, {survivors:?}");
            let disk = disk.crash(survivors);
            let store = match open(&disk) {
                Err(Error::Store { damaged: true, .. }) if !outcome.created => continue,
                result => result.unwrap_or_else(|error| panic!("{what}: {error}")),
            };
            assert_eq!(disk.operations(), 0, "opening wrote to the disk");
            let survived = outcome.check_subset(&store, &what).len();
            partial += usize::from(survived > outcome.durable && survived < outcome.given.len());
            let given = outcome.given.len();
            outcome.clone().replay(&store, &pieces(&steps, given), &what).unwrap();
            check_whole(&open(&disk.crash(Survivors::Nothing)).unwrap(), &steps, given, &what);
            states += 1;
        }
    }
    // The workload must have reached the interesting cases.
    assert!(
        states > 500 && partial > 20,
        "{states} states, {partial} with some of the later pieces"
    );
}

#[test]
fn a_second_power_cut_while_the_first_is_repaired_loses_nothing_durable() {
    let steps = workload();
    let disk = SimDisk::new(2);
    run(&disk, &steps).1.unwrap();
    let operations = disk.operations();
    for crash_at in (1..=operations).step_by(3) {
        let disk = SimDisk::new(2);
        disk.crash_at(crash_at);
        let (outcome, _) = run(&disk, &steps);
        let first = disk.crash(Survivors::RandomSectors { seed: crash_at });
        if !outcome.created {
            continue;
        }
        let given = outcome.given.len();
        for second in 1.. {
            let disk = first.crash(Survivors::Everything);
            disk.crash_at(second);
            let what = format!("crashes at {crash_at} and {second}");
            let mut outcome = outcome.clone();
            let finished =
                outcome.replay(&open(&disk).unwrap(), &pieces(&steps, given), &what).is_ok();
            for survivors in policies(second, 2) {
                let what = format!("{what}, {survivors:?}");
                let store = open(&disk.crash(survivors)).unwrap();
                outcome.check_subset(&store, &what);
            }
            if finished {
                break;
            }
        }
    }
}

#[test]
fn overwriting_does_not_make_the_files_grow_without_bound() {
    let disk = SimDisk::new(6);
    let store = MemoryStore::create(Arc::new(disk.clone()), DIRECTORY).unwrap();
    for round in 0..500u64 {
        let value = Value::from(vec![0; 1_000]);
        let key = Key::from(format!("k{}", round % 10).as_str());
        store.apply(&[StoreOp::Insert { keyspace: DATA, key, value }], Lsn(round + 1)).unwrap();
        store.make_durable().unwrap();
        let usage = store.usage().unwrap();
        assert!(usage.disk_bytes <= REWRITE_FLOOR_BYTES + 2_000, "round {round}: {usage:?}");
        assert!(disk.used_bytes() <= 2 * REWRITE_FLOOR_BYTES, "round {round}: files are left over");
    }
}

#[test]
fn creating_refuses_a_store_and_takes_over_what_an_interrupted_creation_left() {
    let disk = SimDisk::new(9);
    open(&disk).unwrap_err();
    disk.crash_at(3);
    MemoryStore::create(Arc::new(disk.clone()), DIRECTORY).unwrap_err();
    let disk = disk.crash(Survivors::Everything);
    drop(MemoryStore::create(Arc::new(disk.clone()), DIRECTORY).unwrap());
    let error = MemoryStore::create(Arc::new(disk.clone()), DIRECTORY).unwrap_err();
    assert!(matches!(error, Error::Store { damaged: false, .. }), "{error}");
    destroy(&disk, DIRECTORY).unwrap();
    destroy(&disk, DIRECTORY).unwrap();
    let disk = disk.crash(Survivors::Nothing);
    MemoryStore::create(Arc::new(disk), DIRECTORY).unwrap();
}

#[test]
fn opened_for_reading_it_writes_nothing() {
    let disk = SimDisk::new(10);
    let (outcome, store) = run(&disk, &workload()[..2]);
    drop(store.unwrap());
    let operations = disk.operations();
    let store = MemoryStore::open_read_only(Arc::new(disk.clone()), DIRECTORY).unwrap();
    outcome.check_subset(&store, "read-only");
    store.make_durable().unwrap();
    assert!(matches!(store.apply(&outcome.given[0], Lsn(1)), Err(Error::ReadOnly)));
    assert_eq!(disk.operations(), operations);
}
