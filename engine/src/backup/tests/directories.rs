//! Backups between real directories, with threads that write.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::subscribe::ChangeOp;
use crate::{archive_directory, restore};

/// What the log says that a database with one keyspace held at an LSN.
fn replayed(changes: impl Iterator<Item = Result<crate::Change>>, upto: Lsn) -> Content {
    let mut content = Content::new();
    for change in changes {
        let change = change.unwrap();
        for op in change.ops {
            let place = |key: crate::Key| ("default".to_owned(), key.to_vec());
            match op {
                ChangeOp::Insert { key, value, .. } => {
                    content.insert(place(key), value.to_vec());
                }
                ChangeOp::Remove { key, .. } => {
                    content.remove(&place(key));
                }
                other => panic!("{other:?}"),
            }
        }
        if change.lsn == upto {
            return content;
        }
    }
    panic!("the log ends before LSN {upto}")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn backs_up_under_load(store: StoreKind) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let options = Options::new().store(store).memory_bytes(1 << 20).segment_bytes(1 << 16, 1 << 20);
    let db = options.open(path("data")).unwrap();
    let feed = db.subscribe(Lsn::ZERO).unwrap().hold().unwrap();
    for number in 0..20_000u32 {
        db.insert_with(number.to_be_bytes(), [1; 60], Durability::Buffered).unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2u32)
        .map(|thread| {
            let (db, done) = (db.clone(), done.clone());
            std::thread::spawn(move || {
                let mut random = Rand32::new(u64::from(thread));
                while !done.load(Ordering::Relaxed) {
                    let key = random.rand_range(0..30_000).to_be_bytes();
                    if random.rand_range(0..4) == 0 {
                        db.remove(key).unwrap();
                    } else {
                        let value = random.rand_u32().to_be_bytes().repeat(15);
                        db.insert_with(key, value, Durability::Buffered).unwrap();
                    }
                }
            })
        })
        .collect();
    let reports: Vec<_> =
        ["first", "second"].map(|name| (name, db.backup(path(name)).unwrap())).to_vec();
    db.checkpoint().unwrap();
    done.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    db.sync().unwrap();
    let archived = db.archive(path("archive")).unwrap();
    let at_end = content(&db);
    let error = db.backup(path("first")).unwrap_err();
    assert!(matches!(error, Error::Backup { .. }), "{error}");
    let last = reports.last().unwrap().1;
    assert!(last.end.lsn > last.start_lsn, "{last:?}");
    let end = db.visible_lsn();
    db.close().unwrap();
    let changes: Vec<_> = feed.collect();

    for (name, report) in reports {
        let restored = restore(path(name), path("restored"), RestoreOptions::default()).unwrap();
        assert_eq!(restored.restored, report.end);
        let db = Db::open(path("restored")).unwrap();
        assert_eq!(db.stats().unwrap().store, store.name());
        let expected = replayed(changes.iter().cloned(), report.end.lsn);
        assert!(content(&db) == expected, "{name}: {report:?}");
        drop(db);
        std::fs::remove_dir_all(path("restored")).unwrap();
    }
    let options = RestoreOptions {
        archive: Some(path("archive")),
        store: Some(StoreKind::Memory),
        ..RestoreOptions::default()
    };
    let restored = restore(path("second"), path("restored"), options).unwrap();
    assert_eq!((restored.restored.lsn, archived.end.lsn), (end, end));
    let db = Db::open(path("restored")).unwrap();
    assert!(content(&db) == at_end);
    assert_eq!(archive_directory(path("data"), path("archive")).unwrap().records, 0);
    drop(db);
    assert_eq!(names(directory.path()), ["archive", "data", "first", "restored", "second"]);
}

#[test]
fn a_backup_under_load_over_the_store_in_memory() {
    backs_up_under_load(StoreKind::Memory);
}

#[cfg(feature = "sled")]
#[test]
fn a_backup_under_load_over_sled() {
    backs_up_under_load(StoreKind::Sled);
}

#[cfg(feature = "lsm")]
#[test]
fn a_backup_under_load_over_lsm() {
    backs_up_under_load(StoreKind::Lsm);
}

#[test]
fn what_an_interrupted_attempt_left_is_removed_and_a_failed_one_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let db = Options::new().store(StoreKind::Memory).open(path("data")).unwrap();
    db.insert("a", b"1").unwrap();
    let left = path(".copy.partial");
    std::fs::create_dir_all(left.join("content")).unwrap();
    std::fs::write(left.join("content/00000001.entries"), b"half").unwrap();
    std::fs::write(left.join("backup"), b"half").unwrap();
    db.backup(path("copy")).unwrap();
    assert_eq!(names(directory.path()), ["copy", "data"]);

    std::fs::write(path("copy").join("backup"), b"damaged").unwrap();
    let restored = restore(path("copy"), path("target"), RestoreOptions::default());
    assert!(matches!(restored, Err(Error::Backup { .. })), "{restored:?}");
    let missing = restore(path("nowhere"), path("target"), RestoreOptions::default());
    assert!(matches!(missing, Err(Error::Log(mainstay_wal::Error::Io { .. }))), "{missing:?}");
    assert_eq!(names(directory.path()), ["copy", "data"]);
    let error = archive_directory(path("data"), path("archive")).unwrap_err();
    assert!(matches!(error, Error::Log(mainstay_wal::Error::Locked { .. })), "{error}");
}
