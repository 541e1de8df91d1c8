use mainstay_wal::Lsn;

use super::*;

fn keyspace(database: u64, id: u32) -> KeyspaceRef {
    KeyspaceRef::new(database, KeyspaceId(id), "users")
}

fn check(batch: &Batch) -> Result<()> {
    batch.check(100, 1, |id| id.0 != 99)
}

#[test]
fn the_record_is_what_was_asked_for() {
    let (one, two) = (keyspace(1, 16), keyspace(1, 17));
    let mut batch = Batch::new();
    batch
        .insert(&one, "a", "1")
        .remove(&two, "b")
        .require(&one, "c", Some(b"old"))
        .remove_range(&two, "d".."f")
        .remove_prefix(&one, "p")
        .require_absent(&two, "g");
    assert_eq!(batch.len(), 4);
    assert_eq!(batch.size_bytes(), batch.record().len());
    check(&batch).unwrap();
    let ops: Result<Vec<_>> = record::decode(Lsn(1), batch.record()).unwrap().collect();
    let (id1, id2) = (one.id(), two.id());
    let expected = [
        RecordOp::Insert { keyspace: id1, key: b"a", value: b"1" },
        RecordOp::Remove { keyspace: id2, key: b"b" },
        RecordOp::RemoveRange {
            keyspace: id2,
            lower: Bound::Included(b"d"),
            upper: Bound::Excluded(b"f"),
        },
        RecordOp::RemoveRange {
            keyspace: id1,
            lower: Bound::Included(b"p"),
            upper: Bound::Excluded(b"q"),
        },
    ];
    assert_eq!(ops.unwrap(), expected);
    let required: Vec<_> = batch.preconditions().iter().map(|it| (it.position, &*it.key)).collect();
    assert_eq!(required, [(2, &b"c"[..]), (5, &b"g"[..])]);
    assert_eq!(batch.preconditions()[0].expected.as_deref(), Some(&b"old"[..]));
    assert_eq!(batch.preconditions()[1].expected, None);
}

#[test]
fn what_is_too_large_is_remembered_until_the_write() {
    let users = keyspace(1, 16);
    let long = vec![b'k'; MAX_KEY_BYTES + 1];
    let key_size = |batch: &mut Batch, bytes| match check(batch) {
        Err(Error::KeySize { bytes: found, limit_bytes: MAX_KEY_BYTES }) => {
            assert_eq!(found, bytes)
        }
        other => panic!("{other:?}"),
    };
    key_size(Batch::new().insert(&users, "", "v"), 0);
    key_size(Batch::new().insert(&users, &long, "v").insert(&users, "", "v"), long.len());
    key_size(Batch::new().remove(&users, &long), long.len());
    key_size(Batch::new().remove_range(&users, &long[..]..), long.len());
    key_size(Batch::new().remove_range(&users, ..=&long[..]), long.len());
    key_size(Batch::new().require_absent(&users, &long), long.len());
    let mut batch = Batch::new();
    batch.insert(&users, "k", vec![0; 101]);
    match check(&batch) {
        Err(Error::TooLarge { what: "value", bytes: 101, limit_bytes: 100 }) => {}
        other => panic!("{other:?}"),
    }
    let mut batch = Batch::new();
    let half = vec![0; MAX_RECORD_BYTES / 2];
    batch.insert(&users, "a", &half).insert(&users, "b", &half).insert(&users, "c", "1");
    assert_eq!(batch.len(), 2);
    match batch.check(usize::MAX, 1, |_| true) {
        Err(Error::TooLarge { what: "batch", bytes, limit_bytes }) => assert!(bytes > limit_bytes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keyspaces_of_others_and_dropped_ones_are_refused() {
    for stranger in [keyspace(2, 16), keyspace(1, 99)] {
        let refused = |batch: &mut Batch| matches!(check(batch), Err(Error::NoSuchKeyspace { .. }));
        assert!(refused(Batch::new().insert(&keyspace(1, 16), "a", "1").remove(&stranger, "a")));
        assert!(refused(Batch::new().require_absent(&stranger, "a")));
    }
}

#[test]
fn a_cleared_batch_is_as_good_as_new() {
    let users = keyspace(1, 16);
    let mut batch = Batch::with_capacity(1000);
    batch.insert(&users, "", "v").insert(&keyspace(2, 16), "k", "v").require_absent(&users, "k");
    batch.clear();
    assert!(batch.is_empty());
    check(&batch).unwrap();
    assert_eq!(batch.record(), record::encode(&[]));
    assert!(batch.preconditions().is_empty());
}
