//! The rules about ranges and the order of keys.

use std::ops::Bound;

use mainstay_wal::Lsn;

use super::model::Model;
use super::rules::{A, ALL_KEYS, B, Outcome, entries, insert, keys, scan};
use super::{Broken, Subject, require_equal};
use crate::bytes::{Key, Value};
use crate::store::StoreOp;

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

pub(super) fn ordered(subject: &mut dyn Subject) -> Outcome {
    let store = subject.create()?;
    let expected = awkward_keys();
    // Neither in order nor against it.
    let mut shuffled = expected.clone();
    shuffled.sort_by_key(|key| crc32fast::hash(key));
    for key in shuffled {
        store.apply(&[insert(A, key.clone(), key.as_bytes())], Lsn(1))?;
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

pub(super) fn ranges(subject: &mut dyn Subject) -> Outcome {
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

pub(super) fn both_ends(subject: &mut dyn Subject) -> Outcome {
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

pub(super) fn remove_range(subject: &mut dyn Subject) -> Outcome {
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
        store.apply(&ops, Lsn(1))?;
        model.apply(&ops);
        let what = format!("{lower:?} to {upper:?}");
        let removal = [StoreOp::RemoveRange { keyspace: A, lower, upper }];
        store.apply(&removal, Lsn(1))?;
        model.apply(&removal);
        for keyspace in [A, B] {
            let expected = model.range(keyspace, ALL_KEYS.0, ALL_KEYS.1);
            require_equal(&what, &scan(&*store, keyspace)?, &expected)?;
        }
    }
    Ok(())
}
