//! What lsm-tree does to us, and what we do about it. That it keeps the contract is shown by
//! `conformance`.

mod damage;
mod long_keys;

use super::compaction::merge;
use super::core::Problem;
use super::*;
use crate::bytes::Key;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const DATA: KeyspaceId = KeyspaceId(20);

const ALL: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Unbounded);

fn key(number: u64) -> Key {
    Key::from(format!("{number:016x}").as_str())
}

fn insert(number: u64, value: impl Into<Value>) -> StoreOp {
    StoreOp::Insert { keyspace: DATA, key: key(number), value: value.into() }
}

fn options() -> LsmOptions {
    LsmOptions::default().cache_bytes(8 << 20)
}

fn is_damaged(error: &Error) -> bool {
    matches!(error, Error::Store { damaged: true, .. })
}

fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Log(mainstay_wal::Error::Locked { .. }))
}

/// Files with what is in them, and directories.
type Files = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn files_below(directory: &Path) -> Files {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.insert(path.clone(), None);
            files.extend(files_below(&path));
        } else {
            files.insert(path.clone(), Some(fs::read(path).unwrap()));
        }
    }
    files
}

/// Makes a directory what `files` says.
fn restore(directory: &Path, files: &Files) {
    for path in files_below(directory).keys().rev() {
        if path.is_dir() { fs::remove_dir(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    for (path, bytes) in files {
        match bytes {
            None => fs::create_dir(path).unwrap(),
            Some(bytes) => fs::write(path, bytes).unwrap(),
        }
    }
}

/// Waits until the thread has nothing left to merge.
fn settle(store: &LsmStore) {
    while store.core.compaction.is_busy() {
        std::thread::yield_now();
    }
}

fn entries(store: &LsmStore) -> Vec<(Key, Value)> {
    store.range(DATA, ALL.0, ALL.1).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_store_that_is_open_is_locked_and_can_be_opened_right_after_it_was_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = LsmStore::create(&path, options()).unwrap();
    let error = LsmStore::open(&path, options()).unwrap_err();
    assert!(is_locked(&error), "{error}");
    assert!(is_locked(&LsmStore::open_read_only(&path, options(), None).unwrap_err()));
    for round in 0..20 {
        store.apply(&[insert(round, "value")], Lsn(round + 1)).unwrap();
        drop(store);
        store = LsmStore::open(&path, options()).unwrap();
        assert_eq!(store.get(DATA, &key(round)).unwrap(), Some(Value::from("value")));
    }
    // An iterator keeps it open, and what it began with.
    let iter = store.range(DATA, ALL.0, ALL.1).unwrap();
    store.apply(&[insert(99, "value")], Lsn(99)).unwrap();
    drop(store);
    assert!(is_locked(&LsmStore::open(&path, options()).unwrap_err()));
    assert_eq!(iter.count(), 20);
    assert_eq!(entries(&LsmStore::open(&path, options()).unwrap()).len(), 21);
}

#[test]
fn opening_for_reading_changes_no_byte_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = LsmStore::create(&path, options()).unwrap();
    for round in 0..6 {
        let ops: Vec<_> = (0..3_000).map(|n| insert(n, vec![round; 100])).collect();
        store.apply(&ops, Lsn(5)).unwrap();
    }
    store.apply(&[insert(9_999, vec![2; 300_000])], Lsn(6)).unwrap();
    store.make_durable().unwrap();
    drop(store);
    // What a crash leaves: lsm-tree removes it when it opens.
    fs::write(path.join(TREE).join(TABLES).join("9999"), "half of a table").unwrap();
    fs::write(path.join(TREE).join("v9999"), "half of a version").unwrap();
    fs::write(path.join(TREE).join(".tmp9999"), "half of a name").unwrap();
    let before = files_below(directory.path());
    let store = LsmStore::open_read_only(&path, options(), Some(scratch.path())).unwrap();
    assert_eq!(store.applied().unwrap(), Lsn(6));
    assert_eq!(entries(&store).len(), 3_001);
    assert_eq!(store.get(DATA, &key(9_999)).unwrap(), Some(Value::from(vec![2; 300_000])));
    assert!(matches!(store.apply(&[insert(1, "x")], Lsn(8)), Err(Error::ReadOnly)));
    store.make_durable().unwrap();
    assert!(store.usage().unwrap().disk_bytes > 300_000);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    drop(store);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "the mirror was not removed");
    assert!(files_below(directory.path()) == before, "the directory was changed");
    let store = LsmStore::open(&path, options()).unwrap();
    assert_eq!(entries(&store).len(), 3_001);
    let files = files_below(&path.join(TREE));
    assert!(!files.keys().any(|path| path.to_string_lossy().ends_with("9999")));
}

#[test]
fn what_is_not_there_or_not_ours_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let refused = || {
        let before = files_below(directory.path());
        for error in [
            LsmStore::open(&path, options()).unwrap_err(),
            LsmStore::open_read_only(&path, options(), Some(directory.path())).unwrap_err(),
        ] {
            assert!(is_damaged(&error), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
        assert!(files_below(directory.path()) == before, "something was changed");
    };
    refused();
    fs::create_dir(&path).unwrap();
    refused();
    fs::write(path.join("other"), "something else").unwrap();
    let error = LsmStore::create(&path, options()).unwrap_err();
    assert!(matches!(error, Error::Store { damaged: false, .. }), "{error}");
    fs::remove_file(path.join("other")).unwrap();
    fs::write(path.join(notes::FILE), vec![0; 1536]).unwrap();
    refused();
    fs::remove_dir_all(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    assert!(LsmStore::open(&path, options()).is_err());
    assert!(LsmStore::create(&path, options()).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"a file");
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    drop(LsmStore::create(&path, options()).unwrap());
    let mut notes = fs::read(path.join(notes::FILE)).unwrap();
    notes[8] = 2;
    let crc = crc32fast::hash(&notes[..28]);
    notes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(path.join(notes::FILE), notes).unwrap();
    let error = LsmStore::open(&path, options()).unwrap_err();
    let unsupported = matches!(
        error,
        Error::Log(mainstay_wal::Error::UnsupportedVersion { found: 2, supported: 1, .. })
    );
    assert!(unsupported, "{error}");
}

#[test]
fn a_panic_of_lsm_trees_becomes_an_error_and_it_is_not_called_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = LsmStore::create(&path, options()).unwrap();
    store.apply(&[insert(1, "value")], Lsn(1)).unwrap();
    let mut iter = store.range(DATA, ALL.0, ALL.1).unwrap();
    let error = store.core.call("test", |_| -> std::result::Result<(), Problem> {
        panic!("this panic belongs to the test")
    });
    let error = error.unwrap_err();
    assert!(is_damaged(&error) && error.to_string().contains("belongs to the test"), "{error}");
    for error in [
        store.get(DATA, &key(1)).unwrap_err(),
        store.apply(&[insert(2, "value")], Lsn(2)).unwrap_err(),
        store.make_durable().unwrap_err(),
        store.range(DATA, ALL.0, ALL.1).err().unwrap(),
        iter.next().unwrap().unwrap_err(),
    ] {
        assert!(matches!(error, Error::Store { .. }), "{error}");
    }
    assert!(iter.next().is_none());
    drop((store, iter));
    let store = LsmStore::open(&path, options()).unwrap();
    assert_eq!(store.get(DATA, &key(1)).unwrap(), Some(Value::from("value")));
}

#[test]
fn pieces_of_a_checkpoint_are_one_run_and_so_are_many_keyspaces() {
    let directory = tempfile::tempdir().unwrap();
    let store = LsmStore::create(&directory.path().join("store"), options()).unwrap();
    for piece in 0..20u64 {
        let keyspace = |n: u64| KeyspaceId(20 + u32::try_from((piece * 100 + n) / 500).unwrap());
        let ops: Vec<_> = (0..100)
            .map(|n| StoreOp::Insert {
                keyspace: keyspace(n),
                key: key(piece * 100 + n),
                value: Value::from("value"),
            })
            .collect();
        store.apply(&ops, Lsn::ZERO).unwrap();
    }
    let tables = || store.core.call("test", |tree| Ok(tree.table_count())).unwrap();
    assert_eq!(tables(), 0);
    store.apply(&[], Lsn(7)).unwrap();
    assert_eq!(tables(), 1);
    for keyspace in 20..24 {
        assert_eq!(store.range(KeyspaceId(keyspace), ALL.0, ALL.1).unwrap().count(), 500);
    }
}

#[test]
fn runs_are_merged_and_what_was_replaced_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = LsmStore::create(&path, options()).unwrap();
    let rounds = 60u64;
    for round in 0..rounds {
        // Not to the right of one another, so that runs overlap.
        let ops: Vec<_> =
            (0..1_000).map(|n| insert(n * 7 + round % 3, vec![round as u8; 500])).collect();
        store.apply(&ops, Lsn(round + 1)).unwrap();
        let runs = store.core.call("test", |tree| Ok(tree.l0_run_count())).unwrap();
        assert!(runs <= 17, "{runs} runs");
    }
    settle(&store);
    store.make_durable().unwrap();
    // Three thousand entries of 516 bytes, and a few runs that wait for the next merge.
    let usage = store.usage().unwrap();
    assert!(usage.disk_bytes < 8 * 3_000 * 516, "{usage:?}");
    let versions = files_below(&path.join(TREE));
    let versions = versions.keys().filter(|path| path.file_name().unwrap() != "current").count();
    assert!(versions < 20, "{versions} files are left");
    drop(store);
    let found = entries(&LsmStore::open(&path, options()).unwrap());
    let mut model = BTreeMap::new();
    for round in 0..rounds {
        model.extend((0..1_000).map(|n| (key(n * 7 + round % 3), round as u8)));
    }
    let found: BTreeMap<Key, u8> = found.into_iter().map(|(key, value)| (key, value[0])).collect();
    assert_eq!(found, model);
}

#[test]
fn what_was_removed_does_not_come_back_with_merges() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let mut store = LsmStore::create(&path, options()).unwrap();
    for round in 0..12u64 {
        let fill: Vec<_> = (0..800).map(|n| insert(n, vec![round as u8; 300])).collect();
        store.apply(&fill, Lsn(1)).unwrap();
        let removal = match round % 3 {
            0 => StoreOp::DropKeyspace { keyspace: DATA },
            _ => StoreOp::RemoveRange {
                keyspace: DATA,
                lower: Bound::Included(key(100)),
                upper: Bound::Unbounded,
            },
        };
        store.apply(&[removal], Lsn(1)).unwrap();
        let left = if round % 3 == 0 { 0 } else { 100 };
        assert_eq!(entries(&store).len(), left);
        settle(&store);
        assert_eq!(entries(&store).len(), left);
        if round % 4 == 3 {
            store.make_durable().unwrap();
            drop(store);
            store = LsmStore::open(&path, options()).unwrap();
            assert_eq!(entries(&store).len(), left);
        }
    }
}

#[test]
fn a_merge_that_is_given_up_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = LsmStore::create(&path, options()).unwrap();
    settle(&store);
    store.core.compaction.stop();
    // The thread ends; what it would merge is left.
    for round in 0..5u64 {
        let ops: Vec<_> = (0..1_000).map(|n| insert(n, vec![round as u8; 100])).collect();
        store.apply(&ops, Lsn(round + 1)).unwrap();
    }
    while merge(&store.core).is_ok_and(|merged| merged) {}
    merge(&store.core).unwrap_err();
    let expected: Vec<_> = (0..1_000).map(|n| (key(n), Value::from(vec![4; 100]))).collect();
    assert!(entries(&store) == expected);
    store.make_durable().unwrap();
    drop(store);
    let store = LsmStore::open(&path, options()).unwrap();
    settle(&store);
    assert!(entries(&store) == expected);
    assert_eq!(store.applied().unwrap(), Lsn(5));
}
