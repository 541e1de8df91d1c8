//! What a transaction sees of ranges, compared with a map.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::Database;
use crate::Batch;

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<u8>, u8),
    Remove(Vec<u8>),
    RemoveRange(Bound<Vec<u8>>, Bound<Vec<u8>>),
    Read(Bound<Vec<u8>>, Bound<Vec<u8>>, Vec<bool>),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(7), Just(255)], 1..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
        2 => key().prop_map(Step::Remove),
        1 => (bound(), bound()).prop_map(|(lower, upper)| Step::RemoveRange(lower, upper)),
        3 => (bound(), bound(), prop::collection::vec(any::<bool>(), 1..40))
            .prop_map(|(lower, upper, sides)| Step::Read(lower, upper, sides)),
    ]
}

fn crosses(lower: &Bound<Vec<u8>>, upper: &Bound<Vec<u8>>) -> bool {
    use Bound::{Excluded, Included, Unbounded};
    match (lower, upper) {
        (Unbounded, _) | (_, Unbounded) => false,
        (Included(lower), Included(upper)) => lower > upper,
        (Included(lower) | Excluded(lower), Included(upper) | Excluded(upper)) => lower >= upper,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_range_in_a_transaction_is_the_range_of_a_map(
        before in prop::collection::btree_map(key(), any::<u8>(), 0..20),
        steps in prop::collection::vec(step(), 1..20),
    ) {
        let db = Database::new();
        let mut batch = Batch::new();
        for (key, value) in &before {
            batch.insert(&db.default, key, [*value]);
        }
        super::Commit::append(&db.committer, batch, &mut || Ok(())).unwrap();
        let mut model: BTreeMap<Vec<u8>, u8> = before;
        let mut tx = db.begin();
        for step in &steps {
            match step {
                Step::Insert(key, value) => {
                    tx.insert(&db.default, key, [*value]).unwrap();
                    model.insert(key.clone(), *value);
                }
                Step::Remove(key) => {
                    tx.remove(&db.default, key).unwrap();
                    model.remove(key);
                }
                Step::RemoveRange(lower, upper) => {
                    tx.remove_range(&db.default, (lower.clone(), upper.clone())).unwrap();
                    if !crosses(lower, upper) {
                        let bounds = (lower.clone(), upper.clone());
                        let keys: Vec<_> = model.range(bounds).map(|(key, _)| key.clone()).collect();
                        model.retain(|key, _| !keys.contains(key));
                    }
                }
                Step::Read(lower, upper, sides) => {
                    let mut range = tx.range(&db.default, (lower.clone(), upper.clone()));
                    let bounds = if crosses(lower, upper) {
                        (Bound::Included(vec![1]), Bound::Excluded(vec![1]))
                    } else {
                        (lower.clone(), upper.clone())
                    };
                    let mut expected = model.range(bounds);
                    for back in sides {
                        let (found, expected) = if *back {
                            (range.next_back(), expected.next_back())
                        } else {
                            (range.next(), expected.next())
                        };
                        let found = found.map(|entry| entry.unwrap());
                        let found = found.map(|(key, value)| (key.to_vec(), value[0]));
                        prop_assert_eq!(found, expected.map(|(key, value)| (key.clone(), *value)));
                    }
                }
            }
        }
        tx.commit().unwrap();
        let snapshot = db.state.snapshot();
        let after: BTreeMap<_, _> = snapshot
            .iter(&db.default)
            .map(|entry| entry.unwrap())
            .map(|(key, value)| (key.to_vec(), value[0]))
            .collect();
        prop_assert_eq!(after, model);
    }
}
