//! Names of keyspaces, and handles that do not fit.

use mainstay::{Batch, Error, MAX_NAME_BYTES, StoreKind};

use crate::{says, small};

#[test]
fn names_of_keyspaces_have_1_to_255_bytes_and_are_not_reserved() {
    let directory = tempfile::tempdir().unwrap();
    let db = small(StoreKind::Memory).open(directory.path()).unwrap();
    let longest = "n".repeat(MAX_NAME_BYTES);
    db.keyspace(&longest).unwrap().insert("k", "v").unwrap();
    let before = (db.keyspaces(), db.stats().unwrap().log.end);
    let too_long = "n".repeat(MAX_NAME_BYTES + 1);
    for (name, reason) in
        [("", "empty"), (too_long.as_str(), "255 bytes"), ("mainstay.own", "reserved")]
    {
        for error in [db.keyspace(name).unwrap_err(), db.drop_keyspace(name).unwrap_err()] {
            assert!(matches!(&error, Error::KeyspaceName { name: found, .. } if found == name));
            says(&error, &[name, reason]);
        }
    }
    let error = db.drop_keyspace("default").unwrap_err();
    says(&error, &["\"default\"", "remove_range"]);
    assert_eq!((db.keyspaces(), db.stats().unwrap().log.end), before);
    db.close().unwrap();
    let db = small(StoreKind::Memory).open(directory.path()).unwrap();
    assert_eq!(db.keyspace(&longest).unwrap().get("k").unwrap().unwrap(), b"v");
}

#[test]
fn handles_of_a_dropped_keyspace_or_another_database_are_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = small(StoreKind::Memory).open(one.path()).unwrap();
    let elsewhere = small(StoreKind::Memory).open(other.path()).unwrap();
    let dropped = db.keyspace("dropped").unwrap();
    dropped.insert("k", "v").unwrap();
    assert!(db.drop_keyspace("dropped").unwrap());
    db.keyspace("dropped").unwrap().insert("new", "one").unwrap();
    let foreign = elsewhere.keyspace("foreign").unwrap();
    let before = db.stats().unwrap().log.end;
    let batch_with = |keyspace: &mainstay::Keyspace| {
        let mut batch = Batch::new();
        batch.insert(&db, "beside", "it").insert(keyspace, "k", "v");
        db.write(batch).map(drop).unwrap_err()
    };
    let refused = [
        (dropped.insert("k", "v").unwrap_err(), "\"dropped\""),
        (dropped.get("k").unwrap_err(), "\"dropped\""),
        (batch_with(&dropped), "\"dropped\""),
        (batch_with(&foreign), "\"foreign\""),
        (db.snapshot().get(&foreign, "k").unwrap_err(), "\"foreign\""),
        (db.transact(|tx| tx.get(&foreign, "k")).unwrap_err(), "\"foreign\""),
    ];
    for (error, name) in &refused {
        assert!(matches!(error, Error::NoSuchKeyspace { .. }), "{error}");
        says(error, &[name, "handle from this database"]);
    }
    assert_eq!(db.stats().unwrap().log.end, before);
    assert_eq!(db.get("beside").unwrap(), None);
    assert_eq!(db.keyspace("dropped").unwrap().iter().unwrap().count(), 1);
}
