//! The suite over both stores, and over one with planted defects, each of which it must find.

use std::ops::Bound;
use std::sync::Arc;

use mainstay_wal::Lsn;
use mainstay_wal::disk::{Disk, SimDisk, Survivors};

use super::*;
use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;
use crate::store::{MemoryStore, StoreIter, StoreOp, StoreUsage};

struct Memory(Arc<dyn Disk>);

impl Subject for Memory {
    fn create(&mut self) -> Result<Arc<dyn Store>> {
        crate::store::destroy(&*self.0, "stores/memory")?;
        Ok(Arc::new(MemoryStore::create(self.0.clone(), "stores/memory")?))
    }

    fn reopen(&mut self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new(MemoryStore::open(self.0.clone(), "stores/memory")?))
    }
}

#[test]
fn the_store_in_memory_conforms_on_a_simulated_disk() {
    check(&mut Memory(Arc::new(SimDisk::new(1)))).unwrap();
}

#[test]
fn the_store_in_memory_conforms_on_files() {
    let directory = tempfile::tempdir().unwrap();
    let options = mainstay_wal::disk::FileDiskOptions::default();
    let disk = mainstay_wal::disk::FileDisk::open(directory.path(), options).unwrap();
    check(&mut Memory(Arc::new(disk))).unwrap();
}

/// A Store in a directory of the file system.
#[cfg(any(feature = "sled", feature = "lsm"))]
struct InDirectory<C, O> {
    scratch: tempfile::TempDir,
    number: u32,
    create: C,
    open: O,
}

#[cfg(any(feature = "sled", feature = "lsm"))]
impl<C, O, S: Store + 'static> Subject for InDirectory<C, O>
where
    C: Fn(&std::path::Path) -> Result<S>,
    O: Fn(&std::path::Path) -> Result<S>,
{
    fn create(&mut self) -> Result<Arc<dyn Store>> {
        if self.number > 0 {
            std::fs::remove_dir_all(self.scratch.path().join(self.number.to_string())).unwrap();
        }
        self.number += 1;
        let path = self.scratch.path().join(self.number.to_string());
        Ok(Arc::new((self.create)(&path)?))
    }

    fn reopen(&mut self) -> Result<Arc<dyn Store>> {
        Ok(Arc::new((self.open)(&self.scratch.path().join(self.number.to_string()))?))
    }
}

#[cfg(feature = "sled")]
#[test]
fn the_store_over_sled_conforms() {
    use crate::store::{SledOptions, SledStore};
    let create = |path: &std::path::Path| SledStore::create(path, SledOptions::default());
    let open = |path: &std::path::Path| SledStore::open(path, SledOptions::default());
    let scratch = tempfile::tempdir().unwrap();
    check(&mut InDirectory { scratch, number: 0, create, open }).unwrap();
}

#[cfg(feature = "lsm")]
#[test]
fn the_store_over_lsm_conforms() {
    use crate::store::{LsmOptions, LsmStore};
    let create = |path: &std::path::Path| LsmStore::create(path, LsmOptions::default());
    let open = |path: &std::path::Path| LsmStore::open(path, LsmOptions::default());
    let scratch = tempfile::tempdir().unwrap();
    check(&mut InDirectory { scratch, number: 0, create, open }).unwrap();
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Defect {
    NeverEmpty,
    IgnoresRemovals,
    KeepsTheFirstValue,
    TakesEmptyValuesForNone,
    AppliesBackward,
    ComparesSigned,
    TakesIncludedForExcluded,
    TakesExcludedForIncluded,
    IteratesForwardOnly,
    GivesTheMiddleTwice,
    KnowsOneByteOfKeyspaces,
    RemovesTheUpperBound,
    IgnoresDrops,
    CutsLongKeys,
    CutsLargeValues,
    TakesTheLastLsn,
    ForgetsTheLsn,
    IsNotDurable,
    RefusesDropsOfMissing,
    IteratesByPosition,
    SkipsLateEntries,
    TellsNothing,
}

/// Each defect, and a rule that must find it.
const DEFECTS: &[(Defect, &str)] = &[
    (Defect::NeverEmpty, "a new Store is empty"),
    (Defect::IgnoresRemovals, "what was inserted is found, what was removed is not"),
    (Defect::KeepsTheFirstValue, "what was inserted is found, what was removed is not"),
    (Defect::TakesEmptyValuesForNone, "what was inserted is found, what was removed is not"),
    (Defect::AppliesBackward, "operations of one call take effect in order"),
    (Defect::ComparesSigned, "keys are in order of their bytes"),
    (Defect::TakesIncludedForExcluded, "ranges keep to their bounds, from both ends"),
    (Defect::TakesExcludedForIncluded, "ranges keep to their bounds, from both ends"),
    (Defect::IteratesForwardOnly, "keys are in order of their bytes"),
    (Defect::GivesTheMiddleTwice, "an iterator taken from both ends gives each entry once"),
    (Defect::KnowsOneByteOfKeyspaces, "keyspaces do not see each other"),
    (Defect::RemovesTheUpperBound, "removing a range removes what is in it and nothing else"),
    (Defect::IgnoresDrops, "operations of one call take effect in order"),
    (Defect::CutsLongKeys, "long keys and large values are kept as they are"),
    (Defect::CutsLargeValues, "long keys and large values are kept as they are"),
    (Defect::TakesTheLastLsn, "the highest applied LSN is remembered"),
    (Defect::ForgetsTheLsn, "the highest applied LSN is remembered"),
    (Defect::IsNotDurable, "dropping a keyspace removes all of it and nothing else"),
    (Defect::RefusesDropsOfMissing, "a new Store is empty"),
    (Defect::IteratesByPosition, "an iterator goes on while entries are changed"),
    (Defect::SkipsLateEntries, "an iterator goes on while entries are changed"),
    (Defect::TellsNothing, "it tells what it uses"),
];

#[test]
fn finds_every_planted_defect() {
    for (defect, rule) in DEFECTS {
        let (_, check) = rules::ALL.iter().find(|(name, _)| name == rule).unwrap();
        let found = check(&mut Planted { disk: SimDisk::new(1), defect: *defect });
        assert!(found.is_err(), "{defect:?} was not found");
    }
    let found = check(&mut Planted { disk: SimDisk::new(1), defect: Defect::TellsNothing });
    assert_eq!(found.unwrap_err().rule, "it tells what it uses");
}

#[test]
fn an_error_where_there_must_be_none_is_a_violation() {
    struct Refusing;
    impl Subject for Refusing {
        fn create(&mut self) -> Result<Arc<dyn Store>> {
            Err(Error::ReadOnly)
        }
        fn reopen(&mut self) -> Result<Arc<dyn Store>> {
            Err(Error::ReadOnly)
        }
    }
    let violation = check(&mut Refusing).unwrap_err();
    assert!(violation.to_string().contains("reading only"), "{violation}");
}

struct Planted {
    disk: SimDisk,
    defect: Defect,
}

impl Subject for Planted {
    fn create(&mut self) -> Result<Arc<dyn Store>> {
        self.disk = SimDisk::new(1);
        let inner = MemoryStore::create(Arc::new(self.disk.clone()), "store")?;
        Ok(Arc::new(Defective { inner: Arc::new(inner), defect: self.defect }))
    }

    fn reopen(&mut self) -> Result<Arc<dyn Store>> {
        if self.defect == Defect::IsNotDurable {
            self.disk = self.disk.crash(Survivors::Nothing);
        }
        let inner = MemoryStore::open(Arc::new(self.disk.clone()), "store")?;
        Ok(Arc::new(Defective { inner: Arc::new(inner), defect: self.defect }))
    }
}

#[derive(Debug)]
struct Defective {
    inner: Arc<MemoryStore>,
    defect: Defect,
}

const LAST: KeyspaceId = KeyspaceId(u32::MAX - 1);

impl Defective {
    fn keyspace(&self, keyspace: KeyspaceId) -> KeyspaceId {
        let one_byte = self.defect == Defect::KnowsOneByteOfKeyspaces;
        KeyspaceId(if one_byte { keyspace.0 & 0xff } else { keyspace.0 })
    }

    fn key(&self, key: &[u8]) -> Key {
        match self.defect {
            Defect::CutsLongKeys => Key::from(&key[..key.len().min(65_535)]),
            Defect::ComparesSigned => key.iter().map(|byte| byte ^ 0x80).collect::<Vec<_>>().into(),
            _ => Key::from(key),
        }
    }

    /// What becomes of an operation.
    fn change(&self, op: &StoreOp) -> Option<StoreOp> {
        Some(match op {
            StoreOp::Insert { keyspace, key, value } => {
                let keyspace = self.keyspace(*keyspace);
                let key = self.key(key);
                let kept = match self.defect {
                    Defect::KeepsTheFirstValue => self.inner.get(keyspace, &key).unwrap(),
                    Defect::CutsLargeValues if value.len() > 1 << 20 => {
                        Some(Value::from(&value[..1 << 20]))
                    }
                    _ => None,
                };
                if self.defect == Defect::TakesEmptyValuesForNone && value.is_empty() {
                    return None;
                }
                StoreOp::Insert { keyspace, key, value: kept.unwrap_or_else(|| value.clone()) }
            }
            StoreOp::Remove { .. } if self.defect == Defect::IgnoresRemovals => return None,
            StoreOp::Remove { keyspace, key } => {
                StoreOp::Remove { keyspace: self.keyspace(*keyspace), key: self.key(key) }
            }
            StoreOp::DropKeyspace { .. } if self.defect == Defect::IgnoresDrops => return None,
            StoreOp::DropKeyspace { keyspace } => {
                StoreOp::DropKeyspace { keyspace: self.keyspace(*keyspace) }
            }
            StoreOp::RemoveRange { keyspace, lower, upper: Bound::Excluded(upper) }
                if self.defect == Defect::RemovesTheUpperBound =>
            {
                let upper = Bound::Included(upper.clone());
                StoreOp::RemoveRange { keyspace: *keyspace, lower: lower.clone(), upper }
            }
            other => other.clone(),
        })
    }
}

impl Store for Defective {
    fn kind(&self) -> &'static str {
        "defective"
    }

    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Value>> {
        if self.defect == Defect::NeverEmpty && key == b"key" {
            return Ok(Some(Value::from("there")));
        }
        self.inner.get(self.keyspace(keyspace), &self.key(key))
    }

    fn range(
        &self,
        keyspace: KeyspaceId,
        mut lower: Bound<&[u8]>,
        mut upper: Bound<&[u8]>,
    ) -> Result<StoreIter> {
        let keyspace = self.keyspace(keyspace);
        match (self.defect, lower, upper) {
            (Defect::TakesIncludedForExcluded, Bound::Included(key), _) => {
                lower = Bound::Excluded(key);
            }
            (Defect::TakesExcludedForIncluded, _, Bound::Excluded(key)) => {
                upper = Bound::Included(key);
            }
            _ => {}
        }
        let all = || self.inner.range(keyspace, lower, upper);
        match self.defect {
            Defect::ComparesSigned => {
                let entries: Vec<_> =
                    all()?.map(|entry| entry.map(|(key, value)| (self.key(&key), value))).collect();
                Ok(Box::new(entries.into_iter()))
            }
            Defect::IteratesForwardOnly => Ok(Box::new(Forward(all()?))),
            Defect::GivesTheMiddleTwice => Ok(Box::new(Twice(all()?, all()?))),
            Defect::IteratesByPosition => {
                let (inner, position) = (self.inner.clone(), 0);
                let (lower, upper) = (lower.map(Key::from), upper.map(Key::from));
                Ok(Box::new(ByPosition { inner, keyspace, lower, upper, position, back: 0 }))
            }
            Defect::SkipsLateEntries => {
                let late = all()?.enumerate().filter(|(place, _)| *place != 1_500);
                // A keyspace that nobody uses, so that short ranges are right.
                let entries: Vec<_> = late.map(|(_, entry)| entry).collect();
                assert_ne!(keyspace, LAST);
                Ok(Box::new(entries.into_iter()))
            }
            _ => all(),
        }
    }

    fn apply(&self, ops: &[StoreOp], up_to: Lsn) -> Result<()> {
        let missing = |op: &StoreOp| matches!(op, StoreOp::DropKeyspace { .. });
        if self.defect == Defect::RefusesDropsOfMissing && ops.iter().any(missing) {
            return Err(Error::ReadOnly);
        }
        let mut ops: Vec<StoreOp> = ops.to_vec();
        if self.defect == Defect::AppliesBackward {
            ops.reverse();
        }
        for op in ops {
            if let Some(op) = self.change(&op) {
                self.inner.apply(&[op], Lsn::ZERO)?;
            }
        }
        if self.defect == Defect::TakesTheLastLsn && up_to != Lsn::ZERO {
            let key = Key::from("lsn");
            let value = Value::from(&up_to.0.to_le_bytes());
            self.inner.apply(&[StoreOp::Insert { keyspace: LAST, key, value }], Lsn::ZERO)?;
        }
        self.inner.apply(&[], up_to)
    }

    fn make_durable(&self) -> Result<()> {
        if self.defect == Defect::IsNotDurable { Ok(()) } else { self.inner.make_durable() }
    }

    fn applied(&self) -> Result<Lsn> {
        match self.defect {
            Defect::ForgetsTheLsn => Ok(Lsn::ZERO),
            Defect::TakesTheLastLsn => {
                let last = self.inner.get(LAST, b"lsn")?;
                let bytes = last.map_or([0; 8], |last| last.as_bytes().try_into().unwrap());
                Ok(Lsn(u64::from_le_bytes(bytes)))
            }
            _ => self.inner.applied(),
        }
    }

    fn usage(&self) -> Result<StoreUsage> {
        if self.defect == Defect::TellsNothing {
            return Ok(StoreUsage::default());
        }
        self.inner.usage()
    }
}

type Item = Result<(Key, Value)>;

/// Takes from the front whatever it is asked for.
struct Forward(StoreIter);

impl Iterator for Forward {
    type Item = Item;
    fn next(&mut self) -> Option<Item> {
        self.0.next()
    }
}

impl DoubleEndedIterator for Forward {
    fn next_back(&mut self) -> Option<Item> {
        self.0.next()
    }
}

/// Two iterators that do not know of each other.
struct Twice(StoreIter, StoreIter);

impl Iterator for Twice {
    type Item = Item;
    fn next(&mut self) -> Option<Item> {
        self.0.next()
    }
}

impl DoubleEndedIterator for Twice {
    fn next_back(&mut self) -> Option<Item> {
        self.1.next_back()
    }
}

/// Counts entries instead of remembering the last key.
struct ByPosition {
    inner: Arc<MemoryStore>,
    keyspace: KeyspaceId,
    lower: Bound<Key>,
    upper: Bound<Key>,
    position: usize,
    back: usize,
}

impl ByPosition {
    fn entries(&self) -> Vec<Item> {
        let (lower, upper) = (self.lower.as_ref(), self.upper.as_ref());
        let bounds = (lower.map(Key::as_bytes), upper.map(Key::as_bytes));
        self.inner.range(self.keyspace, bounds.0, bounds.1).unwrap().collect()
    }
}

impl Iterator for ByPosition {
    type Item = Item;
    fn next(&mut self) -> Option<Item> {
        let mut all = self.entries();
        let inside = self.position + self.back < all.len();
        self.position += 1;
        inside.then(|| all.swap_remove(self.position - 1))
    }
}

impl DoubleEndedIterator for ByPosition {
    fn next_back(&mut self) -> Option<Item> {
        let mut all = self.entries();
        let inside = self.position + self.back < all.len();
        self.back += 1;
        inside.then(|| all.swap_remove(all.len() - self.back))
    }
}
