//! What sled does to us, and what we do about it. That it keeps the contract is shown by
//! `conformance`.

mod power_cuts;

use super::core::Handles;
use super::entry::CHUNK_BYTES;
use super::files::DATA_FILE;
use super::write::{Care, SEGMENT_BYTES};
use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const DATA: KeyspaceId = KeyspaceId(20);

fn key(number: u64) -> Key {
    Key::from(format!("{number:016x}").as_str())
}

fn insert(number: u64, value: impl Into<Value>) -> StoreOp {
    StoreOp::Insert { keyspace: DATA, key: key(number), value: value.into() }
}

fn options() -> SledOptions {
    SledOptions::default().cache_bytes(8 << 20)
}

fn is_damaged(error: &Error) -> bool {
    matches!(error, Error::Store { damaged: true, .. })
}

fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Log(mainstay_wal::Error::Locked { .. }))
}

/// All files below a directory, with what is in them.
fn files_below(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.insert(path.clone(), Vec::new());
            files.extend(files_below(&path));
        } else {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    files
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_directory(&path, &target);
        } else {
            fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn a_store_that_is_open_is_locked_and_can_be_opened_right_after_it_was_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = SledStore::create(&path, options()).unwrap();
    let error = SledStore::open(&path, options()).unwrap_err();
    assert!(is_locked(&error), "{error}");
    assert!(is_locked(&SledStore::open_read_only(&path, options(), None).unwrap_err()));
    for round in 0..20 {
        store.apply(&[insert(round, "value")], Lsn(round + 1)).unwrap();
        drop(store);
        store = SledStore::open(&path, options()).unwrap();
        assert_eq!(store.get(DATA, &key(round)).unwrap(), Some(Value::from("value")));
    }
    // An iterator keeps it open.
    let iter = store.range(DATA, Bound::Unbounded, Bound::Unbounded).unwrap();
    drop(store);
    assert!(is_locked(&SledStore::open(&path, options()).unwrap_err()));
    assert_eq!(iter.count(), 20);
    SledStore::open(&path, options()).unwrap();
}

#[test]
fn opening_for_reading_changes_no_byte_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = SledStore::create(&path, options()).unwrap();
    let ops: Vec<_> = (0..3_000).map(|n| insert(n, vec![1; 100])).collect();
    store.apply(&ops, Lsn(5)).unwrap();
    store.apply(&[insert(9_999, vec![2; 300_000])], Lsn(6)).unwrap();
    // Keys that make pages larger than sled writes into its log.
    let long = |n: u8| Key::from(vec![n; 65_536]);
    let ops = (0..40).map(|n| StoreOp::Insert {
        keyspace: DATA,
        key: long(n),
        value: Value::from("long"),
    });
    store.apply(&ops.collect::<Vec<_>>(), Lsn(7)).unwrap();
    store.make_durable().unwrap();
    drop(store);
    let before = files_below(directory.path());
    let store = SledStore::open_read_only(&path, options(), Some(scratch.path())).unwrap();
    assert_eq!(store.applied().unwrap(), Lsn(7));
    assert_eq!(store.range(DATA, Bound::Unbounded, Bound::Unbounded).unwrap().count(), 3_041);
    assert_eq!(store.get(DATA, &key(9_999)).unwrap(), Some(Value::from(vec![2; 300_000])));
    assert_eq!(store.get(DATA, &long(39)).unwrap(), Some(Value::from("long")));
    assert!(matches!(store.apply(&[insert(1, "x")], Lsn(8)), Err(Error::ReadOnly)));
    store.make_durable().unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    drop(store);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "the copy was not removed");
    assert!(files_below(directory.path()) == before, "the directory was changed");
}

#[test]
fn what_is_not_there_or_not_ours_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let refused = |expected: fn(&Error) -> bool| {
        let before = files_below(directory.path());
        for error in [
            SledStore::open(&path, options()).unwrap_err(),
            SledStore::open_read_only(&path, options(), Some(directory.path())).unwrap_err(),
        ] {
            assert!(expected(&error), "{error}");
            let text = error.to_string();
            assert!(
                text.contains(path.to_str().unwrap()) || text.contains("mainstay-read"),
                "{text}"
            );
        }
        assert_eq!(files_below(directory.path()).len(), before.len(), "something was left");
    };
    refused(is_damaged);
    fs::create_dir(&path).unwrap();
    refused(is_damaged);
    fs::write(path.join("other"), "something else").unwrap();
    let error = SledStore::create(&path, options()).unwrap_err();
    assert!(matches!(error, Error::Store { damaged: false, .. }), "{error}");
    fs::remove_file(path.join("other")).unwrap();
    // A database of sled's that is not ours.
    drop(::sled::Config::new().path(&path).segment_size(SEGMENT_BYTES).open().unwrap());
    let foreign = |open: &dyn Fn() -> Result<SledStore>| {
        // A thread of sled's may hold its lock for a moment after the drop.
        let error = loop {
            match open().unwrap_err() {
                error if error.to_string().contains("in use") => std::thread::yield_now(),
                error => break error,
            }
        };
        assert!(is_damaged(&error) && error.to_string().contains("not a Store"), "{error}");
    };
    foreign(&|| SledStore::open(&path, options()));
    foreign(&|| SledStore::open_read_only(&path, options(), None));
    fs::remove_dir_all(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    assert!(SledStore::open(&path, options()).is_err());
    assert!(SledStore::create(&path, options()).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"a file");
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = SledStore::create(&path, options()).unwrap();
    store.core.call("test", |handles| Ok(handles.notes.insert(FORMAT, &[2, 0, 0, 0])?)).unwrap();
    drop(store);
    let error = SledStore::open(&path, options()).unwrap_err();
    let unsupported = matches!(
        error,
        Error::Log(mainstay_wal::Error::UnsupportedVersion { found: 2, supported: 1, .. })
    );
    assert!(unsupported, "{error}");
}

#[test]
fn a_panic_of_sleds_becomes_an_error_and_sled_is_not_called_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = SledStore::create(&path, options()).unwrap();
    store.apply(&[insert(1, "value")], Lsn(1)).unwrap();
    let error = store.core.call("test", |_| -> std::result::Result<(), Problem> {
        panic!("this panic belongs to the test")
    });
    let error = error.unwrap_err();
    assert!(is_damaged(&error) && error.to_string().contains("belongs to the test"), "{error}");
    for error in [
        store.get(DATA, &key(1)).unwrap_err(),
        store.apply(&[insert(2, "value")], Lsn(2)).unwrap_err(),
        store.make_durable().unwrap_err(),
        store.range(DATA, Bound::Unbounded, Bound::Unbounded).unwrap().next().unwrap().unwrap_err(),
    ] {
        assert!(is_damaged(&error), "{error}");
    }
    drop(store);
    let store = SledStore::open(&path, options()).unwrap();
    assert_eq!(store.get(DATA, &key(1)).unwrap(), Some(Value::from("value")));
}

#[test]
fn a_value_whose_chunks_are_gone_is_damage_and_not_a_shorter_value() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::create(&directory.path().join("store"), options()).unwrap();
    store.apply(&[insert(1, vec![7; 50_000]), insert(2, vec![8; 50_000])], Lsn(1)).unwrap();
    let chunks = |handles: &Handles| handles.keyspace(DATA).and_then(|trees| trees.chunks);
    let first = |handles: &Handles| -> std::result::Result<_, Problem> {
        let first = chunks(handles).map(|chunks| chunks.first()).transpose()?.flatten();
        Ok(first.map(|(key, _)| key))
    };
    let chunk = store.core.call("test", first).unwrap().unwrap();
    store
        .core
        .call("test", |handles| {
            Ok(chunks(handles)
                .map(|chunks| chunks.insert(chunk.clone(), vec![9; CHUNK_BYTES]))
                .transpose()?)
        })
        .unwrap();
    assert!(is_damaged(&store.get(DATA, &key(1)).unwrap_err()), "a chunk was exchanged");
    store
        .core
        .call("test", |handles| {
            Ok(chunks(handles).map(|chunks| chunks.remove(&chunk)).transpose()?)
        })
        .unwrap();
    assert!(is_damaged(&store.get(DATA, &key(1)).unwrap_err()), "a chunk was removed");
    let mut iter = store.range(DATA, Bound::Unbounded, Bound::Unbounded).unwrap();
    assert!(is_damaged(&iter.next().unwrap().unwrap_err()));
    assert!(iter.next().is_none());
    // A checkpoint repairs it.
    store.apply(&[insert(1, vec![7; 50_000])], Lsn(2)).unwrap();
    assert_eq!(store.get(DATA, &key(1)).unwrap(), Some(Value::from(vec![7; 50_000])));
}

#[test]
fn replaced_large_values_leave_no_chunks_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::create(&directory.path().join("store"), options()).unwrap();
    for round in 0..5 {
        store
            .apply(&[insert(1, vec![round; 50_000]), insert(2, vec![round; 9_000])], Lsn(1))
            .unwrap();
    }
    let chunks = |store: &SledStore| {
        store.core.call("test", |handles| {
            Ok(handles
                .keyspace(DATA)
                .and_then(|trees| trees.chunks)
                .map_or(0, |chunks| chunks.len()))
        })
    };
    assert_eq!(
        chunks(&store).unwrap(),
        50_000usize.div_ceil(CHUNK_BYTES) + 9_000usize.div_ceil(CHUNK_BYTES)
    );
    store.apply(&[insert(1, "small")], Lsn(2)).unwrap();
    store.apply(&[StoreOp::Remove { keyspace: DATA, key: key(2) }], Lsn(2)).unwrap();
    assert_eq!(chunks(&store).unwrap(), 0);
}

#[test]
fn everything_is_synced_before_sled_wrote_two_segments() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = SledStore::create(&path, options()).unwrap();
    let unsynced = || store.writer.as_ref().unwrap().lock().unsynced_bytes;
    let anchored = || store.writer.as_ref().unwrap().lock().anchor.is_some();
    for size in [10, 1_000, 10_000] {
        let (mut highest, mut syncs) = (0, 0);
        for number in 0..6_000_000 / (size + 300) {
            let before = unsynced();
            store.apply(&[insert(number % 1_000, vec![1; size as usize])], Lsn(1)).unwrap();
            syncs += u64::from(unsynced() < before);
            highest = highest.max(unsynced());
            assert!(anchored());
        }
        assert!(highest < 2 * SEGMENT_BYTES as u64 && syncs > 0, "{highest} bytes, {syncs} syncs");
    }
    store.make_durable().unwrap();
    assert!(!anchored() && unsynced() == 0);
    // Many reads while something is not durable: sled must be able to take back memory.
    store.apply(&[insert(1, "value")], Lsn(2)).unwrap();
    assert!(anchored());
    for _ in 0..Care::FULL.unsynced_reads {
        store.get(DATA, &key(1)).unwrap();
    }
    assert!(!anchored());
}

const ENTRIES: u64 = 10_000;
