//! Keys, values, batches and options at their limits, and past them.

use mainstay::record::{MAX_KEY_BYTES, MAX_RECORD_BYTES};
use mainstay::{Batch, Db, Error, Options, Result, StoreKind};

use crate::{says, small, stores};

/// Refuses, and leaves log and content as they were.
#[track_caller]
fn refuses<T>(db: &Db, what: &str, run: impl FnOnce() -> Result<T>) -> Error {
    let before = (db.stats().unwrap().log.end, db.approximate_len().unwrap());
    let Err(error) = run() else { panic!("{what}: it was taken") };
    assert!(!error.is_indeterminate(), "{what}: {error}");
    assert_eq!((db.stats().unwrap().log.end, db.approximate_len().unwrap()), before, "{what}");
    error
}

#[test]
fn keys_have_1_byte_to_64_kib() {
    assert_eq!(MAX_KEY_BYTES, 64 << 10);
    for store in stores() {
        let directory = tempfile::tempdir().unwrap();
        let db = small(store).open(directory.path()).unwrap();
        let longest = vec![b'k'; MAX_KEY_BYTES];
        db.insert(&longest, "long").unwrap();
        db.insert("k", "short").unwrap();
        db.checkpoint().unwrap();
        for bad in [vec![], vec![b'k'; MAX_KEY_BYTES + 1], vec![b'k'; 1 << 20]] {
            refuse_key(&db, &bad);
        }
        db.close().unwrap();
        let db = Db::open(directory.path()).unwrap();
        assert_eq!(db.get(&longest).unwrap().unwrap(), b"long");
        assert_eq!(db.range::<&[u8]>(&longest[..]..=&longest[..]).unwrap().count(), 1);
        assert_eq!(db.iter().unwrap().count(), 2);
    }
}

fn refuse_key(db: &Db, key: &[u8]) {
    let batch = |fill: &dyn Fn(&mut Batch)| {
        let mut batch = Batch::new();
        batch.insert(db, "beside", "it");
        fill(&mut batch);
        db.write(batch).map(drop)
    };
    let refused = [
        refuses(db, "insert", || db.insert(key, "")),
        refuses(db, "remove", || db.remove(key)),
        refuses(db, "get", || db.get(key)),
        refuses(db, "contains_key", || db.contains_key(key)),
        refuses(db, "compare_and_swap", || db.compare_and_swap(key, None, Some(b""))),
        refuses(db, "fetch_update", || db.fetch_update(key, |_| Some(b"1".to_vec()))),
        refuses(db, "batch, insert", || {
            batch(&|batch| {
                batch.insert(db, key, "");
            })
        }),
        refuses(db, "batch, remove", || {
            batch(&|batch| {
                batch.remove(db, key);
            })
        }),
        refuses(db, "batch, require", || {
            batch(&|batch| {
                batch.require_absent(db, key);
            })
        }),
        refuses(db, "snapshot", || db.snapshot().get(db, key)),
        refuses(db, "transaction, get", || db.transact(|tx| tx.get(db, key))),
        refuses(db, "transaction, insert", || db.transact(|tx| tx.insert(db, key, ""))),
    ];
    for error in &refused {
        let bytes = key.len();
        assert!(matches!(error, Error::KeySize { bytes: found, .. } if *found == bytes), "{error}");
        says(error, &[&format!("{bytes} bytes"), "1 to 65536 bytes"]);
    }
    if key.is_empty() {
        return; // An empty bound is a bound.
    }
    assert_eq!(db.range::<&[u8]>(key..).unwrap().count(), 0, "no key is past the longest");
    let error = refuses(db, "remove_range", || db.remove_range::<&[u8]>(key..));
    assert!(matches!(error, Error::KeySize { .. }), "{error}");
}

#[test]
fn values_have_up_to_16_mib_by_default() {
    for store in stores() {
        let directory = tempfile::tempdir().unwrap();
        let db = Options::new().store(store).open(directory.path()).unwrap();
        let largest = vec![b'v'; 16 << 20];
        db.insert("largest", &largest).unwrap();
        for bytes in [(16 << 20) + 1, 40 << 20] {
            let error = refuses(&db, "value", || db.insert("beyond", vec![0u8; bytes]));
            assert!(
                matches!(error, Error::TooLarge { what: "value", limit_bytes: 16_777_216, .. }),
                "{error}"
            );
            says(&error, &[&bytes.to_string(), "16777216", "max_value_bytes"]);
        }
        db.checkpoint().unwrap();
        db.close().unwrap();
        let db = Db::open(directory.path()).unwrap();
        assert!(db.get("largest").unwrap().unwrap() == *largest);
        assert_eq!(db.get("beyond").unwrap(), None);
    }
}

#[test]
fn values_have_up_to_the_configured_limit() {
    let directory = tempfile::tempdir().unwrap();
    let limit = |bytes| small(StoreKind::Memory).max_value_bytes(bytes).open(directory.path());
    let db = limit(100).unwrap();
    db.insert("a", [1; 100]).unwrap();
    let refused = [
        refuses(&db, "insert", || db.insert("b", [1; 101])),
        refuses(&db, "compare_and_swap", || db.compare_and_swap("a", None, Some(&[1; 101]))),
        refuses(&db, "fetch_update", || db.fetch_update("a", |_| Some(vec![1; 101]))),
        refuses(&db, "transaction", || db.transact(|tx| tx.insert(&db, "b", [1; 101]))),
    ];
    for error in &refused {
        assert!(matches!(error, Error::TooLarge { what: "value", bytes: 101, .. }), "{error}");
        says(error, &["101 bytes", "limit of 100 bytes"]);
    }
    db.close().unwrap();
    // A lower limit is one on writing: what is there stays readable.
    let db = limit(10).unwrap();
    assert_eq!(db.get("a").unwrap().unwrap(), &[1; 100]);
    db.close().unwrap();
    let db = limit(31 << 20).unwrap();
    db.insert("c", vec![1; 31 << 20]).unwrap();
    refuses(&db, "insert", || db.insert("d", vec![1; (31 << 20) + 1]));
    assert_eq!(db.get("c").unwrap().unwrap().len(), 31 << 20);
}

#[test]
fn batches_have_up_to_32_mib() {
    let directory = tempfile::tempdir().unwrap();
    let db = small(StoreKind::Memory).open(directory.path()).unwrap();
    let mut full = Batch::new();
    full.insert(&db, "one", vec![1; 16 << 20]).insert(&db, "two", vec![2; 15 << 20]);
    let before = full.size_bytes();
    full.insert(&db, "odd", vec![3; 500]);
    let overhead = full.size_bytes() - before - 500;
    let rest = MAX_RECORD_BYTES - full.size_bytes() - overhead - 4;
    let mut beyond = full.clone();
    full.insert(&db, "all", vec![4; rest]);
    let spare = MAX_RECORD_BYTES - full.size_bytes();
    assert!(spare < 8, "{spare} bytes are left: the length itself takes some");
    beyond.insert(&db, "all", vec![4; rest + spare + 1]);
    let mut far_beyond = Batch::new();
    for key in ["a", "b", "c", "d"] {
        far_beyond.insert(&db, key, vec![1; 12 << 20]);
    }
    for batch in [beyond, far_beyond] {
        let error = refuses(&db, "batch", || db.write(batch));
        let limit = MAX_RECORD_BYTES as u64;
        assert!(
            matches!(error, Error::TooLarge { what: "batch", limit_bytes, .. } if limit_bytes == limit),
            "{error}"
        );
        says(&error, &["batch", &MAX_RECORD_BYTES.to_string(), "split it"]);
    }
    db.write(full).unwrap().wait().unwrap();
    db.close().unwrap();
    let db = Db::open(directory.path()).unwrap();
    assert_eq!(db.get("all").unwrap().unwrap().len(), rest);
    assert_eq!(db.iter().unwrap().count(), 4);
}

#[test]
fn options_out_of_their_ranges_are_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let cases = [
        (Options::new().memory_bytes(0), "memory_bytes", "1 MiB"),
        (Options::new().memory_bytes((1 << 20) - 1), "memory_bytes", "1048575"),
        (Options::new().store_cache_bytes(0), "store_cache_bytes", "64 KiB"),
        (Options::new().max_value_bytes((31 << 20) + 1), "max_value_bytes", "31 MiB"),
        (Options::new().max_value_bytes(usize::MAX), "max_value_bytes", "31 MiB"),
        (Options::new().segment_bytes(0, 4096), "segment_bytes", "powers of two"),
        (Options::new().segment_bytes(5000, 8192), "segment_bytes", "5000"),
        (Options::new().segment_bytes(2048, 8192), "segment_bytes", "4 KiB"),
        (Options::new().segment_bytes(8192, 4096), "segment_bytes", "not above"),
        (Options::new().segment_bytes(4096, 1 << 31), "segment_bytes", "1 GiB"),
    ];
    for (options, option, remedy) in cases {
        for error in [
            options.clone().open(&path).unwrap_err(),
            options.clone().open_read_only(&path).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Option { option: name, .. } if name == option));
            says(&error, &[option, remedy]);
        }
        assert!(!path.exists(), "{option}");
    }
    let error = "rocks".parse::<StoreKind>().unwrap_err();
    says(&error, &["\"rocks\"", "\"memory\""]);
}
