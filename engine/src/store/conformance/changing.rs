//! The rules about what happens side by side, and by chance.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_wal::Lsn;

use super::model::Model;
use super::rules::{A, ALL_KEYS, B, Outcome, compare, entries, insert, remove, varied};
use super::{Broken, Subject, require_equal};
use crate::bytes::{Key, Value};
use crate::store::{Store, StoreOp};

pub(super) fn iterating_while_changing(subject: &mut dyn Subject) -> Outcome {
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
pub(super) fn concurrent_readers(subject: &mut dyn Subject) -> Outcome {
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

pub(super) fn random_operations(subject: &mut dyn Subject) -> Outcome {
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
