//! The rules, one function each.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_wal::Lsn;

use super::model::Model;
use super::{Broken, Subject, require_equal};
use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;
use crate::store::{Store, StoreIter, StoreOp};

type Outcome = std::result::Result<(), Broken>;
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

const A: KeyspaceId = KeyspaceId(16);
const B: KeyspaceId = KeyspaceId(17);
const ALL_KEYS: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

fn insert(keyspace: KeyspaceId, key: impl Into<Key>, value: impl Into<Value>) -> StoreOp {
    StoreOp::Insert { keyspace, key: key.into(), value: value.into() }
}

fn remove(keyspace: KeyspaceId, key: impl Into<Key>) -> StoreOp {
    StoreOp::Remove { keyspace, key: key.into() }
}

fn entries(iter: StoreIter) -> std::result::Result<Vec<(Key, Value)>, Broken> {
    Ok(iter.collect::<crate::error::Result<Vec<_>>>()?)
}

fn scan(store: &dyn Store, keyspace: KeyspaceId) -> std::result::Result<Vec<(Key, Value)>, Broken> {
    entries(store.range(keyspace, ALL_KEYS.0, ALL_KEYS.1)?)
}

fn keys(store: &dyn Store, keyspace: KeyspaceId) -> std::result::Result<Vec<Key>, Broken> {
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

/// Keys that are easily put into a wrong order.
fn awkward_keys() -> Vec<Key> {
    let mut keys: Vec<Key> = [
        &b"\0"[..],
        b"\0\0",
        b"\0\x01",
        b"\x01",
        b"A",
        b"a",
        b"a\0",
        b"a\0\0",
        b"a\x01",
        b"aa",
        b"a\xff",
        b"a\xff\xff",
        b"b",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xff\0",
        b"\xff\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ]
    .into_iter()
    .map(Key::from)
    .collect();
    // Enough of them that they do not fit into one page of anything.
    keys.extend((0..200u32).map(|number| Key::from(format!("m{number:05}").as_str())));
    keys.extend((0..200u32).map(|number| Key::from(number.to_be_bytes().as_slice())));
    keys.sort();
    keys.dedup();
    keys
}

fn ordered(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let expected = awkward_keys();
    // Neither in order nor against it.
    let mut shuffled = expected.clone();
    shuffled.sort_by_key(|key| crc32fast::hash(key));
    for key in shuffled {
        store.apply(&[insert(A, key.clone(), key.as_bytes())], Lsn::ZERO)?;
    }
    require_equal("keys", &keys(&*store, A)?, &expected)?;
    let mut reversed = entries(Box::new(store.range(A, ALL_KEYS.0, ALL_KEYS.1)?.rev()))?;
    reversed.reverse();
    require_equal("keys from the end", &reversed, &scan(&*store, A)?)?;
    for key in &expected {
        require_equal(format!("{key:?}"), &store.get(A, key)?, &Some(Value::from(key.as_bytes())))?;
    }
    Ok(())
}

fn ranges(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let mut model = Model::default();
    let ops: Vec<_> = awkward_keys().into_iter().map(|key| insert(A, key, "value")).collect();
    store.apply(&ops, Lsn(1))?;
    model.apply(&ops);
    let keys = awkward_keys();
    // Keys that are there, and some that are not.
    let picked = keys.iter().step_by(29).map(|key| key.to_vec());
    let between = keys.iter().step_by(37).map(|key| [key, &b"\x02"[..]].concat());
    let mut places: Vec<Vec<u8>> = picked.chain(between).chain([b"zzz".to_vec()]).collect();
    places.sort();
    let mut bounds = vec![Bound::Unbounded];
    for place in &places {
        bounds.extend([Bound::Included(place.as_slice()), Bound::Excluded(place.as_slice())]);
    }
    for lower in &bounds {
        for upper in &bounds {
            let expected = model.range(A, *lower, *upper);
            let found = entries(store.range(A, *lower, *upper)?)?;
            require_equal(format!("{lower:?} to {upper:?}"), &found, &expected)?;
            let mut reversed = entries(Box::new(store.range(A, *lower, *upper)?.rev()))?;
            reversed.reverse();
            require_equal(format!("{lower:?} to {upper:?} from the end"), &reversed, &expected)?;
        }
    }
    Ok(())
}

fn both_ends(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let expected: Vec<Key> =
        (0..300u32).map(|number| Key::from(format!("{number:03}").as_str())).collect();
    let ops: Vec<_> = expected.iter().map(|key| insert(A, key.clone(), "value")).collect();
    store.apply(&ops, Lsn(1))?;
    for pattern in 1..16u32 {
        let (mut front, mut back) = (Vec::new(), Vec::new());
        let mut iter = store.range(A, ALL_KEYS.0, ALL_KEYS.1)?;
        for turn in 0.. {
            let forward = pattern >> (turn % 4) & 1 == 1;
            let Some(next) = (if forward { iter.next() } else { iter.next_back() }) else { break };
            if forward {
                front.push(next?.0)
            } else {
                back.push(next?.0)
            }
            if front.len() + back.len() > expected.len() {
                return Err(Broken(format!("pattern {pattern:04b}: more entries than there are")));
            }
        }
        if iter.next().is_some() || iter.next_back().is_some() {
            return Err(Broken(format!("pattern {pattern:04b}: more after the end")));
        }
        front.extend(back.into_iter().rev());
        require_equal(format!("pattern {pattern:04b}"), &front, &expected)?;
    }
    Ok(())
}

fn keyspaces_apart(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    // Numbers that look alike where only some of their bytes are taken.
    let keyspaces = [0, 1, 2, 16, 256, 257, 65_536, 1 << 24, u32::MAX].map(KeyspaceId);
    for keyspace in keyspaces {
        let value = keyspace.to_string();
        store.apply(&[insert(keyspace, "key", value.as_str())], Lsn::ZERO)?;
    }
    for keyspace in keyspaces {
        let expected = vec![(Key::from("key"), Value::from(keyspace.to_string().as_str()))];
        require_equal(format!("keyspace {keyspace}"), &scan(&*store, keyspace)?, &expected)?;
    }
    store.apply(&[remove(keyspaces[4], "key")], Lsn::ZERO)?;
    for keyspace in keyspaces {
        let found = store.get(keyspace, b"key")?.is_some();
        require_equal(format!("keyspace {keyspace}"), &found, &(keyspace != keyspaces[4]))?;
    }
    Ok(())
}

fn remove_range(subject: &mut dyn Subject) -> Outcome {
    let all: Vec<Key> = (0..60u32).map(|n| Key::from(format!("k{n:02}").as_str())).collect();
    let key = |text: &str| Key::from(text);
    let cases = [
        (Bound::Included(key("k10")), Bound::Excluded(key("k20"))),
        (Bound::Excluded(key("k10")), Bound::Included(key("k20"))),
        (Bound::Included(key("k10")), Bound::Included(key("k10"))),
        (Bound::Excluded(key("k10")), Bound::Excluded(key("k11"))),
        (Bound::Unbounded, Bound::Excluded(key("k30"))),
        (Bound::Excluded(key("k30x")), Bound::Unbounded),
        (Bound::Unbounded, Bound::Unbounded),
        // These cross, and so hold nothing.
        (Bound::Included(key("k20")), Bound::Included(key("k10"))),
        (Bound::Excluded(key("k10")), Bound::Excluded(key("k10"))),
        (Bound::Included(key("k10")), Bound::Excluded(key("k10"))),
        (Bound::Excluded(key("k10")), Bound::Included(key("k10"))),
    ];
    let store = subject.create()?;
    for (lower, upper) in cases {
        let mut model = Model::default();
        let mut ops: Vec<_> = all.iter().map(|key| insert(A, key.clone(), "value")).collect();
        ops.push(insert(B, "k15", "value"));
        store.apply(&ops, Lsn::ZERO)?;
        model.apply(&ops);
        let what = format!("{lower:?} to {upper:?}");
        let removal = [StoreOp::RemoveRange { keyspace: A, lower, upper }];
        store.apply(&removal, Lsn::ZERO)?;
        model.apply(&removal);
        for keyspace in [A, B] {
            let expected = model.range(keyspace, ALL_KEYS.0, ALL_KEYS.1);
            require_equal(&what, &scan(&*store, keyspace)?, &expected)?;
        }
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
fn varied(length: usize, seed: u32) -> Vec<u8> {
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
fn compare(store: &dyn Store, model: &Model, keyspaces: &[KeyspaceId], what: &str) -> Outcome {
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

fn iterating_while_changing(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let number = |number: u32| Key::from(format!("{number:05}").as_str());
    let ops: Vec<_> = (0..3_000).map(|n| insert(A, number(n), "old")).collect();
    store.apply(&ops, Lsn(1))?;
    let mut iter = store.range(A, ALL_KEYS.0, ALL_KEYS.1)?;
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for step in 0u32.. {
        let next = if step % 3 == 2 { iter.next_back() } else { iter.next() };
        let Some(next) = next else { break };
        if step % 3 == 2 {
            back.push(next?.0)
        } else {
            front.push(next?.0)
        }
        // Odd ones go, and others come between, elsewhere; even ones stay.
        let place = step * 7 % 3_000 / 2 * 2 + 1;
        let change = if step % 2 == 0 {
            remove(A, number(place))
        } else {
            insert(A, [number(place).as_bytes(), b"x"].concat(), "new")
        };
        store.apply(&[change], Lsn::ZERO)?;
        if step > 20_000 {
            return Err(Broken("the iterator does not end".into()));
        }
    }
    front.extend(back.into_iter().rev());
    if let Some(pair) = front.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(Broken(format!("{:?} before {:?}", pair[0], pair[1])));
    }
    front.retain(|key| key.len() == 5 && key[4] % 2 == 0);
    let expected: Vec<Key> = (0..3_000).step_by(2).map(number).collect();
    require_equal("entries that were not changed", &front, &expected)
}

#[expect(
    clippy::disallowed_methods,
    reason = "what threads do beside each other is what is checked"
)]
fn concurrent_readers(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let number = |number: u32| Key::from(format!("{number:05}").as_str());
    // Every third entry stays; those between come and go.
    let kept: Vec<Key> = (0..3_000).step_by(3).map(number).collect();
    let ops: Vec<_> = kept.iter().map(|key| insert(A, key.clone(), varied(60, 1))).collect();
    store.apply(&ops, Lsn(1))?;
    let done = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (store, done, kept) = (store.clone(), done.clone(), kept.as_slice());
                scope.spawn(move || read_until(&*store, &done, kept, reader == 2))
            })
            .collect();
        let written = (0..40u32).try_for_each(|round| {
            let changes = (0..3_000).filter(|n| n % 3 == 1 + round % 2);
            let ops: Vec<_> = if round % 4 < 2 {
                let value = |n| varied(20 + (n as usize * 7) % 3_000, round);
                changes.map(|n| insert(A, number(n), value(n))).collect()
            } else {
                changes.map(|n| remove(A, number(n))).collect()
            };
            ops.chunks(97).try_for_each(|ops| store.apply(ops, Lsn::ZERO))?;
            store.make_durable()
        });
        done.store(true, Ordering::Release);
        for reader in readers {
            reader.join().map_err(|_| Broken("a reader panicked".into()))??;
        }
        Ok(written?)
    })
}

/// Reads until `done`, and once after it.
fn read_until(store: &dyn Store, done: &AtomicBool, kept: &[Key], backward: bool) -> Outcome {
    loop {
        let last = done.load(Ordering::Acquire);
        let iter = store.range(A, ALL_KEYS.0, ALL_KEYS.1)?;
        let mut found = if backward {
            let mut found = entries(Box::new(iter.rev()))?;
            found.reverse();
            found
        } else {
            entries(iter)?
        };
        if let Some(pair) = found.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(Broken(format!("{:?} before {:?}", pair[0].0, pair[1].0)));
        }
        found.retain(|(key, _)| kept.binary_search(key).is_ok());
        let keys: Vec<Key> = found.iter().map(|(key, _)| key.clone()).collect();
        if keys != kept {
            let missing = kept.iter().find(|key| keys.binary_search(key).is_err());
            return Err(Broken(format!("entry {missing:?}, which never changes, was not seen")));
        }
        let expected = Value::from(varied(60, 1));
        if let Some((key, value)) = found.iter().find(|(_, value)| *value != expected) {
            return Err(Broken(format!("{key:?}, which never changes, is {value:?}")));
        }
        for key in kept.iter().step_by(100) {
            require_equal(format!("{key:?}"), &store.get(A, key)?.as_ref(), &Some(&expected))?;
        }
        if last {
            return Ok(());
        }
    }
}

/// A small generator with a fixed stream.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        // SplitMix64, whose output is good in every bit.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(limit)).unwrap_or(0)
    }

    fn key(&mut self) -> Key {
        let length = 1 + self.below(3);
        let bytes: Vec<u8> =
            (0..length).map(|_| [0, b'a', b'b', 0xff][self.below(4) as usize]).collect();
        Key::from(bytes)
    }

    fn bound(&mut self) -> Bound<Key> {
        match self.below(5) {
            0 => Bound::Unbounded,
            1 | 2 => Bound::Included(self.key()),
            _ => Bound::Excluded(self.key()),
        }
    }

    fn op(&mut self) -> StoreOp {
        let keyspace = if self.below(3) == 0 { B } else { A };
        match self.below(60) {
            0 => StoreOp::DropKeyspace { keyspace },
            1..4 => StoreOp::RemoveRange { keyspace, lower: self.bound(), upper: self.bound() },
            4..20 => remove(keyspace, self.key()),
            other => {
                let size = if other == 59 { self.below(20_000) } else { self.below(40) };
                let seed = self.below(u32::MAX);
                insert(keyspace, self.key(), varied(size as usize, seed))
            }
        }
    }
}

fn random_operations(subject: &mut dyn Subject) -> Outcome {
    for seed in 0..6 {
        let mut chance = Chance(seed);
        let mut store = subject.create()?;
        let mut model = Model::default();
        for step in 0..400u64 {
            let what = format!("seed {seed} step {step}");
            let ops: Vec<_> = (0..1 + chance.below(12)).map(|_| chance.op()).collect();
            store.apply(&ops, Lsn(step + 1))?;
            model.apply(&ops);
            let keyspace = if chance.below(3) == 0 { B } else { A };
            let key = chance.key();
            let what_key = format!("{what}: {key:?}");
            require_equal(what_key, &store.get(keyspace, &key)?, &model.get(keyspace, &key))?;
            let (lower, upper) = (chance.bound(), chance.bound());
            let (lower, upper) =
                (lower.as_ref().map(Key::as_bytes), upper.as_ref().map(Key::as_bytes));
            let found = entries(store.range(keyspace, lower, upper)?)?;
            let expected = model.range(keyspace, lower, upper);
            require_equal(format!("{what}: {lower:?} to {upper:?}"), &found, &expected)?;
            match chance.below(40) {
                0 => {
                    store.make_durable()?;
                    drop(store);
                    store = subject.reopen()?;
                    require_equal(format!("{what}: applied"), &store.applied()?, &Lsn(step + 1))?;
                }
                1..4 => store.make_durable()?,
                _ => {}
            }
            if step % 40 == 0 {
                compare(&*store, &model, &[A, B], &what)?;
            }
        }
        compare(&*store, &model, &[A, B], &format!("seed {seed} at the end"))?;
    }
    Ok(())
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
