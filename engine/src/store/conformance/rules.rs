//! The rules, one function each.

use super::changing::{concurrent_readers, iterating_while_changing, random_operations};
use super::model::Model;
use super::ranges::{both_ends, ordered, ranges, remove_range};
use super::{Broken, Subject, require_equal};
use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;
use crate::store::{Store, StoreIter, StoreOp};
use mainstay_wal::Lsn;
use std::ops::Bound;

pub(super) type Outcome = std::result::Result<(), Broken>;

type Rule = fn(&mut dyn Subject) -> Outcome;

pub(super) const ALL: &[(&str, Rule)] = &[
    ("a new Store is empty", new_is_empty),
    ("what was inserted is found, what was removed is not", insert_get_remove),
    ("operations of one call take effect in order", in_order),
    ("keys are in order of their bytes", ordered),
    ("ranges keep to their bounds, from both ends", ranges),
    ("an iterator taken from both ends gives each entry once", both_ends),
    ("keyspaces do not see each other", keyspaces_apart),
    ("removing a range removes what is in it and nothing else", remove_range),
    ("dropping a keyspace removes all of it and nothing else", drop_keyspace),
    ("long keys and large values are kept as they are", large),
    ("the highest applied LSN is remembered", applied),
    ("what was made durable is there when the Store is opened again", reopened),
    ("operations may be applied again", replayed),
    ("an iterator goes on while entries are changed", iterating_while_changing),
    ("readers see each unchanged entry once while others change", concurrent_readers),
    ("random operations give what a simple map gives", random_operations),
    ("it tells what it uses", usage),
];

pub(super) const A: KeyspaceId = KeyspaceId(16);

pub(super) const B: KeyspaceId = KeyspaceId(17);

pub(super) const ALL_KEYS: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

pub(super) fn insert(
    keyspace: KeyspaceId,
    key: impl Into<Key>,
    value: impl Into<Value>,
) -> StoreOp {
    StoreOp::Insert { keyspace, key: key.into(), value: value.into() }
}

pub(super) fn remove(keyspace: KeyspaceId, key: impl Into<Key>) -> StoreOp {
    StoreOp::Remove { keyspace, key: key.into() }
}

pub(super) fn entries(iter: StoreIter) -> std::result::Result<Vec<(Key, Value)>, Broken> {
    Ok(iter.collect::<crate::error::Result<Vec<_>>>()?)
}

pub(super) fn scan(
    store: &dyn Store,
    keyspace: KeyspaceId,
) -> std::result::Result<Vec<(Key, Value)>, Broken> {
    entries(store.range(keyspace, ALL_KEYS.0, ALL_KEYS.1)?)
}

pub(super) fn keys(
    store: &dyn Store,
    keyspace: KeyspaceId,
) -> std::result::Result<Vec<Key>, Broken> {
    Ok(scan(store, keyspace)?.into_iter().map(|(key, _)| key).collect())
}

fn some_keys(texts: &[&str]) -> Vec<Key> {
    texts.iter().map(|text| Key::from(*text)).collect()
}

fn new_is_empty(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    for keyspace in [KeyspaceId::CATALOG, KeyspaceId::DEFAULT, A] {
        require_equal("a key", &store.get(keyspace, b"key")?, &None)?;
        require_equal("all entries", &scan(&*store, keyspace)?, &Vec::new())?;
    }
    require_equal("applied", &store.applied()?, &Lsn::ZERO)?;
    store.apply(&[remove(A, "missing")], Lsn::ZERO)?;
    store.apply(&[StoreOp::DropKeyspace { keyspace: A }], Lsn::ZERO)?;
    store.apply(&[], Lsn::ZERO)?;
    store.make_durable()?;
    drop(store);
    let store = subject.reopen()?;
    require_equal("all entries, reopened", &scan(&*store, A)?, &Vec::new())?;
    require_equal("applied, reopened", &store.applied()?, &Lsn::ZERO)
}

fn insert_get_remove(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    store.apply(&[insert(A, "a", "1"), insert(A, "b", ""), insert(A, "c", "3")], Lsn(1))?;
    require_equal("a", &store.get(A, b"a")?, &Some(Value::from("1")))?;
    require_equal("an empty value", &store.get(A, b"b")?, &Some(Value::from("")))?;
    require_equal("a prefix of a key", &store.get(A, b"")?, &None)?;
    require_equal("a longer key", &store.get(A, b"aa")?, &None)?;
    store.apply(&[insert(A, "a", "one, and longer"), remove(A, "c"), remove(A, "d")], Lsn(2))?;
    require_equal("a, overwritten", &store.get(A, b"a")?, &Some(Value::from("one, and longer")))?;
    require_equal("c, removed", &store.get(A, b"c")?, &None)?;
    require_equal("keys", &keys(&*store, A)?, &some_keys(&["a", "b"]))
}

fn in_order(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    store.apply(&[insert(A, "a", "old"), insert(A, "b", "old"), insert(B, "a", "old")], Lsn(1))?;
    let everything =
        StoreOp::RemoveRange { keyspace: A, lower: Bound::Unbounded, upper: Bound::Unbounded };
    let ops = [
        everything,
        insert(A, "b", "new"),
        insert(A, "c", "first"),
        insert(A, "c", "second"),
        StoreOp::DropKeyspace { keyspace: B },
        insert(B, "b", "new"),
    ];
    store.apply(&ops, Lsn(2))?;
    let expected = [("b", "new"), ("c", "second")].map(|(k, v)| (Key::from(k), Value::from(v)));
    require_equal("after a range removal", &scan(&*store, A)?, &expected.to_vec())?;
    let expected = vec![(Key::from("b"), Value::from("new"))];
    require_equal("after a drop", &scan(&*store, B)?, &expected)
}

fn keyspaces_apart(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    // Numbers that look alike where only some of their bytes are taken.
    let keyspaces = [0, 1, 2, 16, 256, 257, 65_536, 1 << 24, u32::MAX].map(KeyspaceId);
    for keyspace in keyspaces {
        let value = keyspace.to_string();
        store.apply(&[insert(keyspace, "key", value.as_str())], Lsn(1))?;
    }
    for keyspace in keyspaces {
        let expected = vec![(Key::from("key"), Value::from(keyspace.to_string().as_str()))];
        require_equal(format!("keyspace {keyspace}"), &scan(&*store, keyspace)?, &expected)?;
    }
    store.apply(&[remove(keyspaces[4], "key")], Lsn(1))?;
    for keyspace in keyspaces {
        let found = store.get(keyspace, b"key")?.is_some();
        require_equal(format!("keyspace {keyspace}"), &found, &(keyspace != keyspaces[4]))?;
    }
    Ok(())
}

fn drop_keyspace(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let number = |number: u32| Key::from(format!("{number:06}").as_str());
    let ops: Vec<_> = (0..2_000).map(|n| insert(A, number(n), "value")).collect();
    store.apply(&ops, Lsn(1))?;
    store.apply(&[insert(A, "large", vec![1; 50_000]), insert(B, "kept", "value")], Lsn(2))?;
    store.make_durable()?;
    let mut iter = store.range(A, ALL_KEYS.0, ALL_KEYS.1)?;
    iter.next().transpose()?;
    store.apply(&[StoreOp::DropKeyspace { keyspace: A }], Lsn(3))?;
    require_equal("the dropped keyspace", &keys(&*store, A)?, &Vec::new())?;
    require_equal("a key of it", &store.get(A, b"000001")?, &None)?;
    // What an iterator finds that was there before is its own matter; it must end, and without an
    // error.
    let rest = iter.by_ref().take(3_000).collect::<crate::error::Result<Vec<_>>>()?;
    if rest.len() > 2_000 {
        return Err(Broken("an iterator over a dropped keyspace does not end".into()));
    }
    drop(iter);
    require_equal("the other keyspace", &keys(&*store, B)?, &some_keys(&["kept"]))?;
    store.make_durable()?;
    drop(store);
    let store = subject.reopen()?;
    require_equal("the dropped keyspace, reopened", &keys(&*store, A)?, &Vec::new())?;
    require_equal("the other keyspace, reopened", &keys(&*store, B)?, &some_keys(&["kept"]))?;
    // A replay may fill it again.
    store.apply(&[insert(A, "again", "value")], Lsn(4))?;
    require_equal("filled again", &keys(&*store, A)?, &some_keys(&["again"]))
}

/// Bytes that do not repeat soon, so that parts that were swapped are noticed.
pub(super) fn varied(length: usize, seed: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 4);
    let mut counter = 0u32;
    while bytes.len() < length {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(&counter.to_le_bytes());
        bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
        counter += 1;
    }
    bytes.truncate(length);
    bytes
}

fn large(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let mut model = Model::default();
    let mut ops: Vec<_> = (0..40).map(|n| insert(A, varied(65_536, n), "long key")).collect();
    let sizes = [1_023, 1_024, 2_047, 2_048, 2_049, 4_095, 4_096, 4_097, 100_000, 16 << 20];
    for (size, seed) in sizes.into_iter().zip(1_000..) {
        ops.push(insert(A, format!("value {size}").as_str(), varied(size, seed)));
    }
    ops.push(insert(A, varied(65_536, 40), varied(1 << 20, 41)));
    ops.push(insert(A, "becomes small", varied(70_000, 50)));
    ops.push(insert(A, "becomes large", "small"));
    ops.push(insert(A, "is removed", varied(70_000, 51)));
    let later = [
        insert(A, "becomes small", "small"),
        insert(A, "becomes large", varied(70_000, 52)),
        insert(A, "value 100000", varied(99_999, 53)),
        remove(A, "is removed"),
    ];
    for ops in [&ops[..], &later] {
        store.apply(ops, Lsn(1))?;
        model.apply(ops);
        compare(&*store, &model, &[A], "large entries")?;
    }
    store.make_durable()?;
    drop(store);
    compare(&*subject.reopen()?, &model, &[A], "large entries, reopened")
}

/// Compares everything, without printing values that are megabytes.
pub(super) fn compare(
    store: &dyn Store,
    model: &Model,
    keyspaces: &[KeyspaceId],
    what: &str,
) -> Outcome {
    for keyspace in keyspaces {
        let expected = model.range(*keyspace, ALL_KEYS.0, ALL_KEYS.1);
        let found = scan(store, *keyspace)?;
        let place = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        if let Some(place) = place {
            let (found, expected) = (&found[place], &expected[place]);
            let what = format!("{what}: entry {place} of keyspace {keyspace}");
            require_equal(&what, &found.0, &expected.0)?;
            require_equal(what, &found.1, &expected.1)?;
        }
        require_equal(format!("{what}: entries"), &found.len(), &expected.len())?;
        for (key, value) in expected.iter().step_by(1 + expected.len() / 50) {
            let found = store.get(*keyspace, key)?;
            require_equal(format!("{what}: a key alone"), &found.as_ref(), &Some(value))?;
        }
    }
    Ok(())
}

fn applied(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    store.apply(&[insert(A, "a", "1")], Lsn(7))?;
    require_equal("applied", &store.applied()?, &Lsn(7))?;
    store.apply(&[insert(A, "b", "1")], Lsn::ZERO)?;
    require_equal("applied after a piece without an LSN", &store.applied()?, &Lsn(7))?;
    store.apply(&[], Lsn(9))?;
    require_equal("applied without operations", &store.applied()?, &Lsn(9))?;
    require_equal("the piece before that", &keys(&*store, A)?, &some_keys(&["a", "b"]))?;
    store.apply(&[insert(A, "made durable", "1")], Lsn::ZERO)?;
    store.make_durable()?;
    let expected = some_keys(&["a", "b", "made durable"]);
    require_equal("a piece that was made durable", &keys(&*store, A)?, &expected)?;
    store.apply(&[insert(A, "c", "1")], Lsn(8))?;
    require_equal("applied after a lower LSN", &store.applied()?, &Lsn(9))?;
    store.make_durable()?;
    drop(store);
    let store = subject.reopen()?;
    require_equal("applied, reopened", &store.applied()?, &Lsn(9))?;
    store.apply(&[], Lsn(u64::MAX))?;
    store.make_durable()?;
    drop(store);
    require_equal("the highest LSN there is", &subject.reopen()?.applied()?, &Lsn(u64::MAX))
}

fn reopened(subject: &mut dyn Subject) -> Outcome {
    let mut store = subject.create()?;
    let mut model = Model::default();
    for round in 0..6u64 {
        let number = |n: u64| Key::from(format!("{n:06}").as_str());
        let mut ops = vec![StoreOp::RemoveRange {
            keyspace: B,
            lower: Bound::Included(number(round * 100)),
            upper: Bound::Excluded(number(round * 100 + 50)),
        }];
        for n in 0..500 {
            let value = varied(100, u32::try_from(n * (round + 1)).unwrap_or(0));
            ops.push(insert(if n % 2 == 0 { A } else { B }, number(n * (round + 1) % 900), value));
        }
        store.apply(&ops, Lsn(round + 1))?;
        model.apply(&ops);
        store.make_durable()?;
        // A second time has nothing to do.
        store.make_durable()?;
        compare(&*store, &model, &[A, B], "before it was closed")?;
        drop(store);
        store = subject.reopen()?;
        require_equal("applied", &store.applied()?, &Lsn(round + 1))?;
        compare(&*store, &model, &[A, B], "reopened")?;
    }
    Ok(())
}

fn replayed(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let mut model = Model::default();
    let steps = [
        vec![insert(A, "a", "1"), insert(A, "b", varied(9_000, 1)), insert(B, "x", "1")],
        vec![StoreOp::DropKeyspace { keyspace: B }, insert(B, "y", "1"), remove(A, "a")],
        vec![insert(A, "a", "2"), insert(A, "b", varied(9_001, 2))],
        vec![StoreOp::DropKeyspace { keyspace: B }],
    ];
    for (step, lsn) in steps.iter().zip(1..) {
        store.apply(step, Lsn(lsn))?;
        model.apply(step);
    }
    store.make_durable()?;
    drop(store);
    let store = subject.reopen()?;
    // From any place on, over the state that is ahead of it.
    for from in (0..steps.len()).rev() {
        for (step, lsn) in steps.iter().zip(1..).skip(from) {
            store.apply(step, Lsn(lsn))?;
        }
        compare(&*store, &model, &[A, B], &format!("replayed from step {from}"))?;
    }
    require_equal("applied", &store.applied()?, &Lsn(4))
}

fn usage(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let ops: Vec<_> =
        (0..100).map(|n| insert(A, format!("{n:03}").as_str(), varied(10_000, n))).collect();
    store.apply(&ops, Lsn(1))?;
    store.make_durable()?;
    let usage = store.usage()?;
    if usage.disk_bytes < 1_000_000 {
        return Err(Broken(format!("a million bytes are kept, and it tells of {usage:?}")));
    }
    if store.kind().is_empty() {
        return Err(Broken("it has no name".into()));
    }
    Ok(())
}
