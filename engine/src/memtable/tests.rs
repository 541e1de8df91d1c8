//! A memtable against a list of what was written to it.

use proptest::prelude::*;

use super::*;

const KEYSPACE: KeyspaceId = KeyspaceId::DEFAULT;

#[derive(Clone, Debug)]
enum Write {
    Point(u8, bool),
    Range(u8, u8, bool),
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (0..16u8, any::<bool>()).prop_map(|(key, there)| Write::Point(key, there)),
        1 => (0..16u8, 0..17u8, any::<bool>()).prop_map(|(l, u, open)| Write::Range(l, u, open)),
    ]
}

fn span(lower: u8, upper: u8, open: bool) -> Span {
    Span { lower: Key::from(&[lower]), upper: (!open).then(|| Key::from(&[upper])) }
}

fn value(lsn: u64) -> Value {
    Value::from(lsn.to_string().as_str())
}

/// One write a record: LSN 1 is the first.
fn filled(writes: &[Write]) -> Memtable {
    let memtable = Memtable::new(Lsn::ZERO);
    for (lsn, write) in (1..).zip(writes) {
        let change = match write {
            Write::Point(key, there) => Change::Point {
                keyspace: KEYSPACE,
                key: Key::from(&[*key]),
                value: there.then(|| value(lsn)),
            },
            Write::Range(lower, upper, open) => Change::Range {
                keyspace: KEYSPACE,
                span: span(*lower, *upper, *open),
                drops_keyspace: false,
            },
        };
        memtable.write(Lsn(lsn), &mut vec![change], || Lsn::ZERO);
    }
    memtable
}

/// The LSN of the newest write to a key up to `at`, with the value it left.
fn expected(writes: &[Write], key: u8, at: u64) -> Option<(u64, Option<Value>)> {
    let known = (1..=at).zip(writes);
    let touches = |(lsn, write): (u64, &Write)| match write {
        Write::Point(at, there) => (*at == key).then(|| (lsn, there.then(|| value(lsn)))),
        Write::Range(lower, upper, open) => {
            span(*lower, *upper, *open).contains(&[key]).then_some((lsn, None))
        }
    };
    known.filter_map(touches).last()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_version_is_found_at_every_lsn(
        writes in prop::collection::vec(write(), 0..40),
        truncated in any::<prop::sample::Index>(),
    ) {
        let memtable = filled(&writes);
        let last = writes.len() as u64;
        for upto in [last, truncated.index(writes.len() + 1) as u64] {
            memtable.truncate_after(Lsn(upto));
            for (at, key) in (0..=last).flat_map(|at| (0..16).map(move |key| (at, key))) {
                let found = memtable.get(KEYSPACE, &[key], Lsn(at)).version;
                let found = found.map(|version| (version.lsn.0, version.value));
                prop_assert_eq!(found, expected(&writes, key, at.min(upto)), "{} at {}", key, at);
            }
        }
    }

    #[test]
    fn ranges_are_read_alike_from_both_ends(
        writes in prop::collection::vec(write(), 0..40),
        (lower, upper, at, limit) in (0..16u8, 0..17u8, 0..41u64, 1..6usize),
    ) {
        let memtable = filled(&writes);
        let read = |side: Side| {
            let mut rest = span(lower, upper, false);
            let mut keys = Vec::new();
            loop {
                let chunk = memtable.chunk(KEYSPACE, &rest, Lsn(at), side, limit);
                keys.extend(chunk.entries.into_iter().filter_map(|(key, value)| value.map(|_| key)));
                match (chunk.stopped_at, side) {
                    (None, _) => break keys,
                    (Some(key), Side::Front) => rest.lower = span::after(&key),
                    (Some(key), Side::Back) => rest.upper = Some(key),
                }
            }
        };
        let there = |key: &u8| expected(&writes, *key, at).is_some_and(|(_, value)| value.is_some());
        let expected: Vec<_> =
            (lower..upper.max(lower)).filter(there).map(|key| Key::from(&[key])).collect();
        let mut backwards = read(Side::Back);
        backwards.reverse();
        prop_assert_eq!(&read(Side::Front), &expected);
        prop_assert_eq!(&backwards, &expected);
    }

    #[test]
    fn a_change_in_a_range_is_noticed(
        writes in prop::collection::vec(write(), 0..40),
        (lower, upper, since) in (0..16u8, 0..17u8, 0..41u64),
    ) {
        let memtable = filled(&writes);
        let touched = |(lsn, write): &(u64, &Write)| *lsn > since && match write {
            Write::Point(key, _) => span(lower, upper, false).contains(&[*key]),
            Write::Range(l, u, open) => {
                let range = span(*l, *u, *open);
                !range.is_empty() && range.overlaps(&span(lower, upper, false))
            }
        };
        let newest = (1..).zip(&writes).filter(touched).map(|(lsn, _)| Lsn(lsn)).last();
        let found = memtable.changed_since(KEYSPACE, &span(lower, upper, false), Lsn(since));
        if lower < upper {
            prop_assert_eq!(found, newest);
        } else {
            prop_assert_eq!(found, None);
        }
    }

    #[test]
    fn bytes_are_given_back(writes in prop::collection::vec(write(), 0..40), cut in 0..41usize) {
        let memtable = filled(&writes);
        let kept = &writes[..cut.min(writes.len())];
        memtable.truncate_after(Lsn(kept.len() as u64));
        prop_assert_eq!(memtable.bytes(), filled(kept).bytes());
        memtable.truncate_after(Lsn::ZERO);
        prop_assert_eq!(memtable.bytes(), 0);
        prop_assert!(memtable.keyspaces().is_empty());
    }
}

#[test]
fn a_point_wins_over_a_range_of_the_same_record() {
    let memtable = Memtable::new(Lsn::ZERO);
    let key = Key::from("k");
    let mut changes = vec![
        Change::Range { keyspace: KEYSPACE, span: Span::all(), drops_keyspace: false },
        Change::Point { keyspace: KEYSPACE, key, value: Some(value(1)) },
    ];
    memtable.write(Lsn(1), &mut changes, || Lsn::ZERO);
    assert!(changes.is_empty());
    assert_eq!(memtable.get(KEYSPACE, b"k", Lsn(1)).version.unwrap().value, Some(value(1)));
    assert_eq!(memtable.get(KEYSPACE, b"l", Lsn(1)).version.unwrap().value, None);
    assert!(memtable.get(KeyspaceId::SESSIONS, b"l", Lsn(1)).version.is_none());
    let points = memtable.points(KEYSPACE, &Span::all(), 10);
    assert_eq!(points.entries.len(), 1);
}

#[test]
fn what_a_checkpoint_writes_is_the_newest_version_after_the_removals() {
    let memtable = filled(&[
        Write::Point(1, true),
        Write::Point(2, true),
        Write::Point(3, true),
        Write::Range(2, 3, false),
        Write::Range(5, 7, false),
        Write::Point(3, false),
        Write::Point(6, true),
        Write::Range(6, 9, false),
    ]);
    match memtable.removed(KEYSPACE) {
        Removed::Ranges(spans) => {
            assert_eq!(spans, [span(2, 3, false), span(5, 9, false)]);
        }
        other => panic!("{other:?}"),
    }
    let points = memtable.points(KEYSPACE, &Span::all(), 10);
    let points: Vec<_> = points.entries.iter().map(|p| (p.key[0], p.value.is_some())).collect();
    assert_eq!(points, [(1, true), (3, false)]);
}

#[test]
#[should_panic(expected = "LSN 5 in a memtable that starts at 7")]
fn a_version_from_before_the_start_is_a_mistake() {
    Memtable::new(Lsn(7)).write(Lsn(5), &mut Vec::new(), || Lsn::ZERO);
}

#[test]
fn versions_that_nobody_sees_are_removed_where_there_are_many() {
    let memtable = Memtable::new(Lsn::ZERO);
    let write = |lsn: u64, seen: u64| {
        let change =
            Change::Point { keyspace: KEYSPACE, key: Key::from("k"), value: Some(value(lsn)) };
        memtable.write(Lsn(lsn), &mut vec![change], || Lsn(seen));
    };
    (1..=versions::MANY as u64).for_each(|lsn| write(lsn, 0));
    let all = memtable.bytes();
    write(9, 5);
    for at in 1..=9 {
        let known = memtable.get(KEYSPACE, b"k", Lsn(at));
        assert_eq!(known.later, at < 5, "at {at}");
        assert_eq!(known.version.map(|it| it.lsn), (at >= 5).then_some(Lsn(at)), "at {at}");
    }
    assert!(memtable.bytes() < all, "{} of {all}", memtable.bytes());
    (10..100).for_each(|lsn| write(lsn, lsn));
    assert!(memtable.bytes() <= all, "{} of {all}", memtable.bytes());
    memtable.truncate_after(Lsn::ZERO);
    assert_eq!(memtable.bytes(), 0);
}
