//! Opening for reading changes no byte, no name and no time of the directory.

use mainstay::{Db, Error, ReadOnlyDb, StoreKind};

use crate::content::{copy, unchanged};
use crate::{says, small, stores};

const ENTRIES: u32 = 2000;

fn fill(db: &Db) {
    let other = db.keyspace("other").unwrap();
    let write = |from: u32, to: u32| {
        let mut batch = mainstay::Batch::new();
        for number in from..to {
            batch.insert(db, number.to_be_bytes(), vec![number as u8; 300]);
            batch.insert(&other, number.to_be_bytes(), "");
        }
        batch.insert(&other, "large", vec![1; 100_000]);
        db.write(batch).unwrap().wait().unwrap();
    };
    write(0, ENTRIES / 2);
    db.checkpoint().unwrap();
    write(ENTRIES / 2, ENTRIES);
    other.remove("large").unwrap();
}

/// Reads in every way there is.
fn read(db: &ReadOnlyDb) {
    assert_eq!(db.keyspaces(), ["default", "other"]);
    let (default, other) = (db.keyspace("default").unwrap(), db.keyspace("other").unwrap());
    let error = db.keyspace("missing").unwrap_err();
    assert!(matches!(error, Error::NoSuchKeyspace { .. }), "{error}");
    says(&error, &["\"missing\""]);
    let snapshot = db.snapshot();
    for number in 0..ENTRIES {
        let key = number.to_be_bytes();
        assert_eq!(snapshot.get(&default, key).unwrap().unwrap()[..], [number as u8; 300]);
        assert!(snapshot.contains_key(&other, key).unwrap());
    }
    assert_eq!(snapshot.get(&other, "large").unwrap(), None);
    assert_eq!(snapshot.iter(&default).filter(Result::is_ok).count(), ENTRIES as usize);
    assert_eq!(snapshot.iter(&other).rev().filter(Result::is_ok).count(), ENTRIES as usize);
    let (from, to) = (5u32.to_be_bytes(), 1500u32.to_be_bytes());
    assert_eq!(snapshot.range(&default, from..to).count(), 1495);
    assert_eq!(snapshot.first(&default).unwrap().unwrap().0, &0u32.to_be_bytes());
    assert!(db.log().stats().end.lsn.0 > 0);
    assert!(matches!(db.log().append(b"x"), Err(mainstay::wal::Error::Closed)));
}

#[test]
fn reading_a_database_changes_nothing_of_its_directory() {
    for store in stores() {
        let directory = tempfile::tempdir().unwrap();
        let (open, closed) = (directory.path().join("open"), directory.path().join("closed"));
        let db = small(store).background(false).open(&open).unwrap();
        fill(&db);
        // As a crash leaves it: nothing was closed. sled's own files belong to a whole Store.
        if store == StoreKind::Memory {
            copy(&open, &closed);
            unchanged(&closed, || read(&Db::open_read_only(&closed).unwrap()));
            std::fs::remove_dir_all(&closed).unwrap();
        }
        db.close().unwrap();
        unchanged(&open, || {
            let first = Db::open_read_only(&open).unwrap();
            read(&first);
            read(&Db::open_read_only(&open).unwrap());
            read(&first);
        });
        let db = Db::open(&open).unwrap();
        assert_eq!(db.iter().unwrap().count(), ENTRIES as usize);
    }
}
