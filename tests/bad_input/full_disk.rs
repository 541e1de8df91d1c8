//! A full disk, a real one: nothing acknowledged is lost, reads go on, and with space writes do too.

use std::fs;
use std::path::Path;

use mainstay::wal::Error as Log;
use mainstay::{Db, Error, ErrorKind, Options, StoreKind};

use crate::mount::{Mounted, mount_or_skip};
use crate::{says, stores};

const VALUE_BYTES: usize = 4000;

/// What is removed to make space.
fn ballast(mounted: &Mounted) -> std::path::PathBuf {
    mounted.path().join("ballast")
}

/// Space for the log alone: no checkpoint comes in between.
fn all_in_the_log(store: StoreKind) -> Options {
    let options = Options::new().store(store).segment_bytes(64 << 10, 256 << 10);
    options.memory_bytes(256 << 20).store_cache_bytes(1 << 20)
}

/// Checkpoints all the time.
fn much_in_the_store(store: StoreKind) -> Options {
    all_in_the_log(store).memory_bytes(1 << 20)
}

fn value(number: u32) -> Vec<u8> {
    vec![number as u8; VALUE_BYTES]
}

/// Writes durably until that is refused. Gives the error; `acknowledged` counts on.
fn fill(db: &Db, acknowledged: &mut u32) -> Error {
    for _ in 0..1_000_000 {
        match db.insert(acknowledged.to_be_bytes(), value(*acknowledged)) {
            Ok(_) => *acknowledged += 1,
            Err(error) => return error,
        }
    }
    panic!("the disk is larger than it should be");
}

/// Every acknowledged record is there, and nothing that was refused.
#[track_caller]
fn has_all(db: &Db, acknowledged: u32) {
    for number in 0..acknowledged {
        let found = db.get(number.to_be_bytes()).unwrap();
        assert!(found.is_some_and(|found| *found == value(number)), "{number} of {acknowledged}");
    }
}

#[track_caller]
fn has_exactly(db: &Db, acknowledged: u32) {
    has_all(db, acknowledged);
    assert_eq!(db.iter().unwrap().count(), acknowledged as usize);
}

fn prepare(test: &str, bytes: u64, ballast_bytes: usize) -> Option<Mounted> {
    let mounted = mount_or_skip(test, bytes)?;
    fs::write(ballast(&mounted), vec![1u8; ballast_bytes]).unwrap();
    Some(mounted)
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_without_reopening() {
    for store in stores() {
        let Some(mounted) = prepare("a full disk", 24 << 20, 4 << 20) else { return };
        let path = mounted.path().join("data");
        let db = all_in_the_log(store).open(&path).unwrap();
        let mut acknowledged = 0;
        for _ in 0..3 {
            let error = fill(&db, &mut acknowledged);
            assert!(matches!(error, Error::Log(Log::NoSpace { .. })), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Retry);
            says(&error, &["no space left", "free space and try again"]);
            assert!(!db.stats().unwrap().log.poisoned);
            has_exactly(&db, acknowledged);
        }
        let full = acknowledged;
        fs::remove_file(ballast(&mounted)).unwrap();
        let error = fill(&db, &mut acknowledged);
        assert!(matches!(error, Error::Log(Log::NoSpace { .. })), "{error:?}");
        assert!(acknowledged > full + 500, "{full} records, then {acknowledged}");
        has_exactly(&db, acknowledged);
        db.close().unwrap();
        reopens_full_and_freed(&mounted, &path, store, acknowledged);
    }
}

/// Opening on the full disk works, or is a typed error that changes nothing for the worse.
fn reopens_full_and_freed(mounted: &Mounted, path: &Path, store: StoreKind, mut acknowledged: u32) {
    match all_in_the_log(store).open(path) {
        Ok(db) => {
            has_exactly(&db, acknowledged);
            drop(db);
        }
        Err(error) => is_lack_of_space(&error),
    }
    mounted.remount("size=512m");
    let db = all_in_the_log(store).open(path).unwrap();
    has_exactly(&db, acknowledged);
    for _ in 0..100 {
        db.insert(acknowledged.to_be_bytes(), value(acknowledged)).unwrap();
        acknowledged += 1;
    }
    db.checkpoint().unwrap();
    has_exactly(&db, acknowledged);
    db.close().unwrap();
    let db = Db::open(path).unwrap();
    has_exactly(&db, acknowledged);
}

/// What a disk without space may answer, by log or Store.
#[track_caller]
fn is_lack_of_space(error: &Error) {
    let typed = match error {
        Error::Log(Log::NoSpace { .. } | Log::Io { .. } | Log::Poisoned { .. }) => true,
        Error::Log(Log::Indeterminate { .. }) => true,
        Error::Store { damaged, .. } => !damaged,
        _ => false,
    };
    assert!(typed, "{error:?}");
    let text = error.to_string().to_lowercase();
    assert!(text.contains("space") || text.contains("storage full"), "{text}");
}

/// As [`has_all`]; but once sled could not write it answers nothing until it is opened again, and says why.
#[track_caller]
fn has_all_or_says_why(db: &Db, acknowledged: u32) {
    for number in 0..acknowledged {
        match db.get(number.to_be_bytes()) {
            Ok(found) => assert!(found.is_some_and(|found| *found == value(number)), "{number}"),
            Err(error) => {
                assert_eq!(db.stats().unwrap().store, "sled", "{error}");
                is_lack_of_space(&error);
            }
        }
    }
}

#[test]
fn a_full_disk_under_the_store_loses_nothing_acknowledged() {
    for store in stores() {
        let Some(mounted) = prepare("a full disk under the Store", 48 << 20, 16 << 20) else {
            return;
        };
        let path = mounted.path().join("data");
        let db = much_in_the_store(store).open(&path).unwrap();
        let mut acknowledged = 0;
        let error = fill(&db, &mut acknowledged);
        is_lack_of_space(&error);
        has_all_or_says_why(&db, acknowledged);
        // Refused again, and still there: whichever of log and Store it was.
        is_lack_of_space(&fill(&db, &mut acknowledged));
        has_all_or_says_why(&db, acknowledged);
        drop(db);
        match much_in_the_store(store).open(&path) {
            Ok(db) => has_all_or_says_why(&db, acknowledged),
            Err(error) => is_lack_of_space(&error),
        }
        // The Store needs as much again to take what the log holds.
        mounted.remount("size=512m");
        let db = much_in_the_store(store).open(&path).unwrap();
        assert_eq!(db.recovery().rebuilt, None);
        has_all(&db, acknowledged);
        db.insert("after", "it").unwrap();
        db.close().unwrap();
        let db = Db::open(&path).unwrap();
        has_all(&db, acknowledged);
        assert_eq!(db.get("after").unwrap().unwrap(), b"it");
    }
}
