//! Keys that are longer than what lsm-tree takes.

use super::super::key::CUT_BYTES;
use super::*;

/// Keys around the cut: equal up to it, or not.
fn long(first: u8, length: usize, last: u8) -> Key {
    let mut bytes = vec![first; length];
    *bytes.last_mut().unwrap() = last;
    Key::from(bytes)
}

fn all_keys() -> Vec<Key> {
    let lengths = [CUT_BYTES - 1, CUT_BYTES, CUT_BYTES + 1, CUT_BYTES + 2, 65_535, 65_536];
    let mut keys: Vec<Key> = Vec::new();
    for first in [b'a', b'b'] {
        for length in lengths {
            keys.extend([b'0', first, b'z'].map(|last| long(first, length, last)));
        }
    }
    keys.extend(["a", "b", "c"].map(Key::from));
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn long_keys_are_kept_apart_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = LsmStore::create(&path, options()).unwrap();
    let keys = all_keys();
    let mut random = oorandom::Rand64::new(7);
    let mut model = BTreeMap::new();
    for step in 0..60u64 {
        let mut draw = |below: usize| random.rand_range(0..below as u64) as usize;
        let mut ops = Vec::new();
        if step % 4 == 3 {
            let (from, to) = (draw(keys.len()), draw(keys.len()));
            let (lower, upper) = (Bound::Excluded(&keys[from]), Bound::Included(&keys[to]));
            if from < to {
                model.retain(|key: &Key, _| *key <= keys[from] || *key > keys[to]);
            }
            let (lower, upper) = (lower.cloned(), upper.cloned());
            ops.push(StoreOp::RemoveRange { keyspace: DATA, lower, upper });
        }
        for _ in 0..8 {
            let key = keys[draw(keys.len())].clone();
            if draw(3) == 0 {
                model.remove(&key);
                ops.push(StoreOp::Remove { keyspace: DATA, key });
            } else {
                let value = Value::from(vec![step as u8; draw(300)]);
                model.insert(key.clone(), value.clone());
                ops.push(StoreOp::Insert { keyspace: DATA, key, value });
            }
        }
        store.apply(&ops, Lsn(step + 1)).unwrap();
        let expected: Vec<(Key, Value)> = model.clone().into_iter().collect();
        assert!(entries(&store) == expected, "step {step}");
        for key in &keys {
            assert!(store.get(DATA, key).unwrap().as_ref() == model.get(key), "step {step}");
        }
        let (from, to) = (draw(keys.len()), draw(keys.len()));
        if from <= to {
            let bounds = (Bound::Excluded(&*keys[from]), Bound::Included(&*keys[to]));
            let inside = |(key, _): &(Key, Value)| *key > keys[from] && *key <= keys[to];
            let expected: Vec<_> = expected.into_iter().filter(inside).collect();
            let found = store.range(DATA, bounds.0, bounds.1).unwrap();
            assert!(found.map(Result::unwrap).eq(expected.iter().cloned()), "step {step}");
            let found = store.range(DATA, bounds.0, bounds.1).unwrap().rev();
            assert!(found.map(Result::unwrap).eq(expected.iter().rev().cloned()), "step {step}");
            let mut iter = store.range(DATA, bounds.0, bounds.1).unwrap();
            let (mut front, mut back) = (Vec::new(), Vec::new());
            while let Some(next) = if draw(2) == 0 { iter.next() } else { None } {
                front.push(next.unwrap());
                back.extend(iter.next_back().map(Result::unwrap));
            }
            front.extend(iter.map(Result::unwrap));
            front.extend(back.into_iter().rev());
            assert!(front == expected, "step {step}, from both ends");
        }
        if step % 20 == 19 {
            store.make_durable().unwrap();
            drop(store);
            store = LsmStore::open(&path, options()).unwrap();
        }
    }
}
