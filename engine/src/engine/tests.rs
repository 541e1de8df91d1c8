//! A Store that turns out to be damaged while the database is open.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_wal::disk::SimDisk;
use mainstay_wal::manifest::ManifestFile;

use crate::{Db, Error, ErrorKind, Options, rebuild_store_on};

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

fn content(db: &Db) -> Content {
    db.iter()
        .unwrap()
        .map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap())
        .collect()
}

/// In small segments, so that a checkpoint lets go of the log; or in one that reaches back.
fn options(reaches_back: bool) -> Options {
    let options = Options::new().memory_bytes(1 << 20).background(false);
    let segment_bytes = if reaches_back { 16 << 20 } else { 8192 };
    options.segment_bytes(segment_bytes, segment_bytes)
}

/// Part of it in the Store, part in the log.
fn fill(db: &Db) {
    for number in 0..3000 {
        db.insert_with(format!("{number:05}"), [7; 100], crate::Durability::Buffered).unwrap();
    }
    db.checkpoint().unwrap();
    db.insert("later", "value").unwrap();
}

fn is_damaged(error: &Error) -> bool {
    let is_damaged = matches!(error, Error::Store { damaged: true, .. });
    assert_eq!(is_damaged && error.kind() == ErrorKind::Corrupt, is_damaged);
    is_damaged
}

/// What everybody is told from then on, and what the manifest keeps.
fn check_known(db: &Db, found: &Error) {
    assert!(is_damaged(found), "{found:?}");
    assert!(found.to_string().contains("open it again"), "{found}");
    let refused = db.insert("another", "value").unwrap_err();
    assert!(is_damaged(&refused), "{refused:?}");
    assert!(is_damaged(&db.checkpoint().unwrap_err()));
    assert_eq!(db.get("later").unwrap().as_deref(), Some(&b"value"[..]), "it is in memory");
    assert!(db.inner().engine.manifest().store_damaged);
}

#[cfg(feature = "sled")]
mod sled {
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::*;
    use crate::{RestoreOptions, archive_directory, restore};

    /// Makes a database, and destroys what sled has on the disk while it is open.
    fn damaged(dir: &Path, reaches_back: bool) -> (Db, Content) {
        let db = options(reaches_back).open(dir).unwrap();
        fill(&db);
        let before = content(&db);
        db.backup(dir.with_extension("backup")).unwrap();
        db.insert("after", "the backup").unwrap();
        db.close().unwrap();
        let db = options(reaches_back).open(dir).unwrap();
        let data = dir.join("store-1/db");
        let file = std::fs::OpenOptions::new().read(true).write(true).open(data).unwrap();
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for byte in bytes.iter_mut().skip(512).step_by(64).filter(|byte| **byte != 0) {
            *byte ^= 1;
        }
        file.write_all_at(&bytes, 0).unwrap();
        (db, before)
    }

    #[test]
    fn damage_met_by_a_reader_is_kept_and_the_next_opening_rebuilds() {
        for scan in [false, true] {
            let scratch = tempfile::tempdir().unwrap();
            let dir = scratch.path().join("database");
            let (db, mut before) = damaged(&dir, true);
            let found = if scan {
                db.iter().unwrap().find_map(Result::err)
            } else {
                (0..3000).find_map(|number| db.get(format!("{number:05}")).err())
            };
            check_known(&db, &found.unwrap());
            assert!(is_damaged(&db.close().unwrap_err()));
            let db = options(true).open(&dir).unwrap();
            let rebuilt = db.recovery().rebuilt.clone().unwrap();
            assert_eq!((&*rebuilt.left_in, dir.join("store-1").exists()), ("store-1", true));
            before.insert(b"after".to_vec(), b"the backup".to_vec());
            assert_eq!(content(&db), before);
            db.insert("another", "value").unwrap();
            db.checkpoint().unwrap();
            db.close().unwrap();
            let db = options(true).open(&dir).unwrap();
            assert!(db.recovery().rebuilt.is_none());
            assert_eq!(content(&db).len(), before.len() + 1);
        }
    }

    #[test]
    fn where_the_log_does_not_reach_back_a_backup_and_the_log_do() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("database");
        let (db, mut before) = damaged(&dir, false);
        let found = db.iter().unwrap().find_map(Result::err).unwrap();
        check_known(&db, &found);
        drop(db);
        for _ in 0..2 {
            let error = options(false).open(&dir).unwrap_err();
            assert!(matches!(error, Error::CannotRebuild { .. }), "{error:?}");
            assert!(error.to_string().contains("restore a backup"), "{error}");
        }
        // What is not damaged can be saved.
        match Db::open_read_only(&dir) {
            Ok(db) => {
                let snapshot = db.snapshot();
                let later = snapshot.get(&db.keyspace("default").unwrap(), "later").unwrap();
                assert_eq!(later.as_deref(), Some(&b"value"[..]));
            }
            Err(error) => assert!(is_damaged(&error), "{error:?}"),
        }
        // With the log behind it, the backup is everything.
        let (archive, restored) = (scratch.path().join("archive"), scratch.path().join("restored"));
        archive_directory(&dir, &archive).unwrap();
        let options = RestoreOptions { archive: Some(archive), ..RestoreOptions::default() };
        restore(dir.with_extension("backup"), &restored, options).unwrap();
        before.insert(b"after".to_vec(), b"the backup".to_vec());
        assert_eq!(content(&Db::open(&restored).unwrap()), before);
    }
}

#[test]
fn damage_to_the_files_of_a_store_in_memory_is_met_by_the_next_opening() {
    for reaches_back in [true, false] {
        let disk = SimDisk::new(1);
        let open = || options(reaches_back).open_on(Arc::new(disk.clone()));
        let db = open().unwrap();
        fill(&db);
        disk.flip_bit("store-1/pieces-0000000000000001", 5000, 3).unwrap();
        // It reads its files only when it is opened.
        let before = content(&db);
        db.close().unwrap();
        match open() {
            Ok(db) => {
                assert!(reaches_back && db.recovery().rebuilt.is_some());
                assert_eq!(content(&db), before);
            }
            Err(error) => {
                assert!(!reaches_back, "{error}");
                assert!(matches!(error, Error::CannotRebuild { .. }), "{error:?}");
            }
        }
    }
}

#[test]
fn what_was_found_is_kept_until_the_store_is_another() {
    for reaches_back in [true, false] {
        let disk = SimDisk::new(1);
        let open = || options(reaches_back).open_on(Arc::new(disk.clone()));
        let db = open().unwrap();
        fill(&db);
        let before = content(&db);
        let found = crate::store::damaged("memory", "be read", "for this test");
        let engine = &db.inner().engine;
        engine.health.note_damage("store-1", &found);
        check_known(&db, &found);
        drop(db);
        assert!(ManifestFile::open_read_only(&disk).unwrap().store_damaged);
        if !reaches_back {
            let error = open().unwrap_err();
            assert!(matches!(error, Error::CannotRebuild { .. }), "{error:?}");
            // All of it can be read, so it can be copied.
            rebuild_store_on(Arc::new(disk.clone()), None).unwrap();
        }
        let db = open().unwrap();
        assert_eq!(db.recovery().rebuilt.is_some(), reaches_back);
        assert!(!db.inner().engine.manifest().store_damaged);
        assert_eq!(content(&db), before);
    }
}

#[test]
fn a_log_that_ends_before_what_the_manifest_knows_is_corrupt() {
    let disk = SimDisk::new(1);
    let open = || options(true).open_on(Arc::new(disk.clone()));
    let db = open().unwrap();
    db.insert("a", "1").unwrap();
    db.close().unwrap();
    let log = "log/0000000000000001.log";
    let content = disk.read_file(log).unwrap();
    let mut lost = content.clone();
    lost[4096..].fill(0);
    disk.write_file(log, &lost).unwrap();
    let error = open().unwrap_err();
    assert!(matches!(error, Error::Log(mainstay_wal::Error::Corrupt { .. })), "{error:?}");
    disk.write_file(log, &content).unwrap();
    assert_eq!(open().unwrap().get("a").unwrap().as_deref(), Some(&b"1"[..]));
}
