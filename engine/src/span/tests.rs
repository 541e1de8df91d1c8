use proptest::prelude::*;

use super::*;

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(254), Just(255)], 0..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        key().prop_map(Bound::Included),
        key().prop_map(Bound::Excluded),
        Just(Bound::Unbounded)
    ]
}

fn span() -> impl Strategy<Value = Span> {
    (bound(), bound()).prop_map(|bounds| Span::of(&bounds))
}

/// Every key of at most three of these bytes, in order.
fn all_keys() -> Vec<Vec<u8>> {
    let bytes = [0u8, 1, 254, 255];
    let mut keys = vec![Vec::new()];
    for length in 0..3 {
        let of_length: Vec<_> = keys.iter().filter(|key| key.len() == length).cloned().collect();
        for key in of_length {
            keys.extend(bytes.iter().map(|byte| [&key[..], &[*byte]].concat()));
        }
    }
    keys.sort();
    keys
}

proptest! {
    #[test]
    fn a_span_has_the_keys_that_its_bounds_have(lower in bound(), upper in bound()) {
        let span = Span::of(&(lower.clone(), upper.clone()));
        let slices = (lower.as_ref().map(Vec::as_slice), upper.as_ref().map(Vec::as_slice));
        for key in all_keys() {
            let expected = RangeBounds::<[u8]>::contains(&slices, &key[..]);
            prop_assert_eq!(span.contains(&key), expected, "{:?}", key);
            prop_assert_eq!(RangeBounds::<[u8]>::contains(&span.bounds(), &key[..]), expected);
            prop_assert!(!(expected && span.is_empty()));
        }
    }

    #[test]
    fn a_prefix_has_the_keys_that_begin_with_it(prefix in key()) {
        let span = Span::prefix(&prefix);
        for key in all_keys() {
            prop_assert_eq!(span.contains(&key), key.starts_with(&prefix), "{:?}", key);
        }
    }

    #[test]
    fn joined_spans_have_the_same_keys_and_stand_apart(spans in prop::collection::vec(span(), 0..8)) {
        let spans: Vec<_> = spans.into_iter().filter(|span| !span.is_empty()).collect();
        let joined = join(spans.clone());
        for pair in joined.windows(2) {
            prop_assert!(pair[0].upper.as_ref().is_some_and(|upper| *upper < pair[1].lower));
        }
        for key in all_keys() {
            let expected = spans.iter().any(|span| span.contains(&key));
            prop_assert_eq!(covers(&joined, &key).is_some(), expected, "{:?}", key);
        }
    }

    #[test]
    fn spans_that_share_a_key_overlap(one in span(), other in span()) {
        let shared = all_keys().iter().any(|key| one.contains(key) && other.contains(key));
        prop_assert!(!shared || one.overlaps(&other));
        prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
    }
}

#[test]
fn the_longest_keys_stay_within_the_limit_as_bounds() {
    let longest = vec![7; MAX_KEY_BYTES];
    let span = Span::between(Bound::Excluded(&longest), Bound::Included(&longest));
    assert!(span.is_empty());
    assert_eq!(span.bounds(), (Bound::Excluded(&longest[..]), Bound::Included(&longest[..])));
    assert_eq!(Span::all().bounds(), (Bound::Unbounded, Bound::Unbounded));
}
