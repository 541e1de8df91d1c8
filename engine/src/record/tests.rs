use proptest::prelude::*;

use super::*;

const LSN: Lsn = Lsn(7);

#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Insert(u32, Vec<u8>, Vec<u8>),
    Remove(u32, Vec<u8>),
    RemoveRange(u32, Bound<Vec<u8>>, Bound<Vec<u8>>),
    Create(u32, String),
    Drop(u32),
}

impl Owned {
    fn op(&self) -> RecordOp<'_> {
        match self {
            Owned::Insert(id, key, value) => {
                RecordOp::Insert { keyspace: KeyspaceId(*id), key, value }
            }
            Owned::Remove(id, key) => RecordOp::Remove { keyspace: KeyspaceId(*id), key },
            Owned::RemoveRange(id, lower, upper) => RecordOp::RemoveRange {
                keyspace: KeyspaceId(*id),
                lower: lower.as_ref().map(Vec::as_slice),
                upper: upper.as_ref().map(Vec::as_slice),
            },
            Owned::Create(id, name) => RecordOp::CreateKeyspace { keyspace: KeyspaceId(*id), name },
            Owned::Drop(id) => RecordOp::DropKeyspace { keyspace: KeyspaceId(*id) },
        }
    }
}

fn bytes(lengths: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), lengths)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![
        bytes(0..9).prop_map(Bound::Included),
        bytes(0..9).prop_map(Bound::Excluded),
        Just(Bound::Unbounded),
    ]
}

fn change() -> impl Strategy<Value = Owned> {
    let id = 1..u32::MAX;
    prop_oneof![
        (id.clone(), bytes(1..20), bytes(0..40)).prop_map(|(i, k, v)| Owned::Insert(i, k, v)),
        (id.clone(), bytes(1..20)).prop_map(|(i, k)| Owned::Remove(i, k)),
        (id.clone(), bound(), bound()).prop_map(|(i, l, u)| Owned::RemoveRange(i, l, u)),
        (16..u32::MAX, "[a-zäß€]{1,20}").prop_map(|(i, name)| Owned::Create(i, name)),
        id.prop_map(Owned::Drop),
    ]
}

fn read_all(record: &[u8]) -> Result<Vec<RecordOp<'_>>> {
    decode(LSN, record)?.collect()
}

fn fault_of(record: &[u8]) -> &'static str {
    match read_all(record) {
        Err(Error::BadRecord { lsn: LSN, reason }) => reason,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_encoded_is_decoded(changes in prop::collection::vec(change(), 0..12)) {
        let ops: Vec<_> = changes.iter().map(Owned::op).collect();
        let record = encode(&ops);
        let sizes: usize = ops.iter().map(RecordOp::encoded_bytes).sum();
        prop_assert_eq!(record.len(), 1 + sizes);
        prop_assert_eq!(read_all(&record).unwrap(), ops);
    }

    #[test]
    fn a_record_cut_short_is_refused_or_lacks_whole_changes(
        changes in prop::collection::vec(change(), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let ops: Vec<_> = changes.iter().map(Owned::op).collect();
        let record = encode(&ops);
        let cut = cut.index(record.len());
        if let Ok(read) = read_all(&record[..cut]) {
            prop_assert_eq!(&read[..], &ops[..read.len()]);
            prop_assert_eq!(encode(&read).len(), cut);
        }
    }

    #[test]
    fn whatever_can_be_decoded_encodes_to_the_same_bytes(
        mut record in bytes(0..60),
        kinds in prop::collection::vec((any::<prop::sample::Index>(), 0..6u8), 0..8),
    ) {
        // Small numbers everywhere make it likely that something can be decoded.
        record.iter_mut().for_each(|byte| *byte %= 4);
        for (place, kind) in kinds {
            if !record.is_empty() {
                let place = place.index(record.len());
                record[place] = kind;
            }
        }
        if let Ok(ops) = read_all(&record) {
            prop_assert_eq!(encode(&ops), record);
        }
    }

    #[test]
    fn any_change_of_a_byte_is_decoded_without_a_panic(
        changes in prop::collection::vec(change(), 1..6),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let ops: Vec<_> = changes.iter().map(Owned::op).collect();
        let mut record = encode(&ops);
        let place = place.index(record.len());
        record[place] = byte;
        if let Ok(read) = read_all(&record) {
            prop_assert_eq!(encode(&read), record);
        }
    }
}

#[test]
fn the_bytes_of_version_1_stay_as_they_are() {
    let id = KeyspaceId(0x0403_0201);
    let ops = [
        RecordOp::Insert { keyspace: KeyspaceId::DEFAULT, key: b"k", value: b"v1" },
        RecordOp::RemoveRange {
            keyspace: KeyspaceId(16),
            lower: Bound::Included(b"a"),
            upper: Bound::Excluded(b"b"),
        },
        RecordOp::Remove { keyspace: id, key: b"gone" },
        RecordOp::RemoveRange {
            keyspace: id,
            lower: Bound::Unbounded,
            upper: Bound::Included(b"zz"),
        },
        RecordOp::CreateKeyspace { keyspace: id, name: "users" },
        RecordOp::DropKeyspace { keyspace: id },
    ];
    let golden = [
        "01",
        "0101000000", /* insert */
        "01000000",
        "02000000",
        "6b",
        "7631",
        "0310000000", /* remove range */
        "010100000061",
        "020100000062",
        "0201020304", /* remove */
        "04000000",
        "676f6e65",
        "0301020304", /* remove range */
        "0300000000",
        "01020000007a7a",
        "0401020304", /* create keyspace */
        "05000000",
        "7573657273",
        "0501020304", /* drop keyspace */
    ];
    let hex: String = encode(&ops).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden.concat());
}

#[test]
fn a_record_without_changes_does_nothing() {
    assert_eq!(read_all(&encode(&[])).unwrap(), []);
    assert_eq!(encode(&[]), [1]);
}

#[test]
fn each_fault_is_named() {
    assert_eq!(fault_of(&[]), "it is empty");
    assert_eq!(fault_of(&[0]), "its format is not known");
    assert_eq!(fault_of(&[2, 5, 1, 0, 0, 0]), "its format is not known");
    assert_eq!(fault_of(&[1, 0, 1, 0, 0, 0]), "a change of a kind that is not known");
    assert_eq!(fault_of(&[1, 6, 1, 0, 0, 0]), "a change of a kind that is not known");
    assert_eq!(fault_of(&[1, 5, 0, 0, 0, 0]), "a change of the catalog itself");
    assert_eq!(fault_of(&[1, 5, 1, 0, 0]), "it ends too early");
    let default = KeyspaceId::DEFAULT;
    let fault = |op: RecordOp<'_>| fault_of(&encode(&[op]));
    assert_eq!(fault(RecordOp::Remove { keyspace: default, key: b"" }), "a key is empty");
    let long = vec![b'k'; MAX_KEY_BYTES + 1];
    let key = &long[..];
    assert_eq!(
        fault(RecordOp::Insert { keyspace: default, key, value: b"" }),
        "a key is longer than the limit"
    );
    let lower = Bound::Included(key);
    assert_eq!(
        fault(RecordOp::RemoveRange { keyspace: default, lower, upper: Bound::Unbounded }),
        "a bound is longer than any key"
    );
    let create = |keyspace, name| fault(RecordOp::CreateKeyspace { keyspace, name });
    assert_eq!(create(default, "a"), "a new keyspace has a reserved number");
    let unnameable = "a new keyspace has a name that it cannot have";
    for name in ["", "default", "mainstay.x", &"n".repeat(256)] {
        assert_eq!(create(KeyspaceId(16), name), unnameable, "{name:?}");
    }
    let mut not_text = encode(&[RecordOp::CreateKeyspace { keyspace: KeyspaceId(16), name: "n" }]);
    not_text[10] = 0xff;
    assert_eq!(fault_of(&not_text), "the name of a keyspace is not UTF-8");
    let open = [1, 3, 1, 0, 0, 0, 3, 1, 0, 0, 0, b'k', 3, 0, 0, 0, 0];
    assert_eq!(fault_of(&open), "an open bound has a key");
    let kind = [1, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
    assert_eq!(fault_of(&kind), "a bound of a kind that is not known");
}

#[test]
fn the_longest_key_is_allowed() {
    let key = vec![b'k'; MAX_KEY_BYTES];
    let op = RecordOp::Remove { keyspace: KeyspaceId::DEFAULT, key: &key };
    assert_eq!(read_all(&encode(&[op])).unwrap(), [op]);
}

#[test]
fn a_length_that_claims_too_much_is_refused() {
    let huge = u32::MAX.to_le_bytes();
    let record = [&[1, 1, 1, 0, 0, 0, 1, 0, 0, 0][..], &huge, b"k"].concat();
    assert_eq!(fault_of(&record), "it ends too early");
}

#[test]
fn nothing_comes_after_a_fault() {
    let mut ops = decode(LSN, &[1, 9, 1, 0, 0, 0, 5, 1, 0, 0, 0]).unwrap();
    assert!(ops.next().unwrap().is_err());
    assert!(ops.next().is_none());
}
