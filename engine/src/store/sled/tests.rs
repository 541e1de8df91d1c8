//! What sled does to us, and what we do about it. That it keeps the contract is shown by
//! `conformance`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::core::Handles;
use super::entry::CHUNK_BYTES;
use super::files::DATA_FILE;
use super::write::{Care, SEGMENT_BYTES};
use super::*;
use crate::store::{StoreKind, StorePlace, destroy, open_store, open_store_read_only};

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
    let foreign = |result: Result<SledStore>| {
        let error = result.unwrap_err();
        assert!(is_damaged(&error) && error.to_string().contains("not a Store"), "{error}");
    };
    foreign(SledStore::open(&path, options()));
    foreign(SledStore::open_read_only(&path, options(), None));
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

#[test]
fn opening_by_name_makes_opens_and_destroys() {
    let directory = tempfile::tempdir().unwrap();
    let disk_options = mainstay_wal::disk::FileDiskOptions::default();
    let disk = mainstay_wal::disk::FileDisk::open(directory.path(), disk_options).unwrap();
    let disk: Arc<dyn mainstay_wal::disk::Disk> = Arc::new(disk);
    let root = Some(directory.path());
    for kind in [StoreKind::Sled, StoreKind::Memory] {
        assert_eq!(kind.to_string().parse::<StoreKind>().unwrap(), kind);
        let place = StorePlace { disk: &disk, root, directory: "store" };
        assert!(is_damaged(&open_store(kind, place, 1 << 20, false).unwrap_err()));
        let store = open_store(kind, place, 1 << 20, true).unwrap();
        assert_eq!(store.kind(), kind.name());
        store.apply(&[insert(1, "value")], Lsn(3)).unwrap();
        store.make_durable().unwrap();
        drop(store);
        assert!(open_store(kind, place, 1 << 20, true).is_err());
        let store = open_store(kind, place, 1 << 20, false).unwrap();
        assert_eq!(store.applied().unwrap(), Lsn(3));
        drop(store);
        let store = open_store_read_only(kind, place, 1 << 20, None).unwrap();
        assert_eq!(store.get(DATA, &key(1)).unwrap(), Some(Value::from("value")));
        drop(store);
        destroy(&*disk, "store").unwrap();
        assert!(!directory.path().join("store").exists());
        destroy(&*disk, "store").unwrap();
    }
    let place = StorePlace { disk: &disk, root: None, directory: "store" };
    let error = open_store(StoreKind::Sled, place, 1 << 20, true).unwrap_err();
    assert!(matches!(error, Error::Option { option: "store", .. }), "{error}");
    assert!("lsm".parse::<StoreKind>().is_err());
}

/// What a power cut in the middle of overwriting leaves, tried many times.
struct PowerCuts {
    directory: TempDir,
    random: oorandom::Rand64,
    care: Care,
    /// What the Store held when it was last synced.
    durable: Vec<u64>,
    /// The version that was written since, if any.
    later: Vec<Option<u64>>,
}

const ENTRIES: u64 = 10_000;

impl PowerCuts {
    fn value(number: u64, version: u64) -> Vec<u8> {
        format!("{number}:{version}:{}", "x".repeat(80)).into_bytes()
    }

    /// Overwrites until the power is cut. Leaves `durable`, what was on the disk for sure, and
    /// `seen`, what was there for programs.
    fn new(seed: u64, care: Care) -> PowerCuts {
        let directory = tempfile::tempdir().unwrap();
        let count = usize::try_from(ENTRIES).unwrap();
        let (durable, later) = (vec![0; count], vec![None; count]);
        let random = oorandom::Rand64::new(seed.into());
        let mut cuts = PowerCuts { directory, random, care, durable, later };
        let path = cuts.path("store");
        let ops: Vec<_> = (0..ENTRIES).map(|n| insert(n, PowerCuts::value(n, 0))).collect();
        let store = SledStore::create_with(&path, options(), care).unwrap();
        store.apply(&ops, Lsn(1)).unwrap();
        store.make_durable().unwrap();
        cuts.synced();
        for version in 1..4 {
            cuts.overwrite(&store, version, 60, ENTRIES);
        }
        store.make_durable().unwrap();
        cuts.synced();
        for version in 4..7 {
            cuts.overwrite(&store, version, 40, 3_300);
        }
        copy_directory(&path, &cuts.path("seen"));
        cuts
    }

    fn overwrite(&mut self, store: &SledStore, version: u64, percent: u64, at_most: u64) {
        let chosen: Vec<u64> =
            (0..ENTRIES).filter(|_| self.random.rand_range(0..100) < percent).collect();
        for number in chosen.into_iter().take(usize::try_from(at_most).unwrap()) {
            let before = store.writer.as_ref().unwrap().lock().unsynced_bytes;
            store.apply(&[insert(number, PowerCuts::value(number, version))], Lsn::ZERO).unwrap();
            self.later[usize::try_from(number).unwrap()] = Some(version);
            if store.writer.as_ref().unwrap().lock().unsynced_bytes < before {
                self.synced();
            }
        }
    }

    fn synced(&mut self) {
        if self.path("durable").exists() {
            fs::remove_dir_all(self.path("durable")).unwrap();
        }
        copy_directory(&self.path("store"), &self.path("durable"));
        for (durable, later) in self.durable.iter_mut().zip(&mut self.later) {
            *durable = later.take().unwrap_or(*durable);
        }
    }

    /// Loses any blocks of what was not synced, and says what became of the entries.
    fn cut(&mut self, block_bytes: usize, kept_percent: u64) -> std::result::Result<(), String> {
        let path = self.path("after");
        copy_directory(&self.path("seen"), &path);
        let durable = fs::read(self.path("durable").join(DATA_FILE)).unwrap();
        let mut data = fs::read(self.path("seen").join(DATA_FILE)).unwrap();
        for (start, block) in (0..).step_by(block_bytes).zip(data.chunks_mut(block_bytes)) {
            if self.random.rand_range(0..100) >= kept_percent {
                let old = durable.get(start..).unwrap_or_default();
                let known = block.len().min(old.len());
                block[..known].copy_from_slice(&old[..known]);
                block[known..].fill(0);
            }
        }
        if self.random.rand_range(0..3) == 0 {
            data.truncate(durable.len());
        }
        fs::write(path.join(DATA_FILE), data).unwrap();
        let checked = self.check(&path);
        fs::remove_dir_all(path).unwrap();
        checked
    }

    fn check(&self, path: &Path) -> std::result::Result<(), String> {
        let store = SledStore::open_with(path, options(), self.care).map_err(|e| e.to_string())?;
        let mut entries = 0;
        for (entry, number) in store
            .range(DATA, Bound::Unbounded, Bound::Unbounded)
            .map_err(|e| e.to_string())?
            .zip(0..)
        {
            let (found, value) = entry.map_err(|error| error.to_string())?;
            let index = usize::try_from(number).unwrap();
            // Any later version is as good, as all since the last sync are written again.
            let versions = self.durable[index]..=self.later[index].unwrap_or(self.durable[index]);
            let known = versions.map(|version| PowerCuts::value(number, version));
            if found != key(number) || !known.into_iter().any(|known| value == known[..]) {
                return Err(format!("in silence: {found:?} is {value:?}"));
            }
            entries += 1;
        }
        if entries < ENTRIES { Err(format!("in silence: {entries} entries")) } else { Ok(()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// How many of some power cuts damage the Store.
fn damaged_by_power_cuts(seeds: std::ops::Range<u64>, care: Care) -> Vec<String> {
    let mut damaged = Vec::new();
    for seed in seeds {
        let mut cuts = PowerCuts::new(seed, care);
        for (block_bytes, kept_percent) in
            [(4096, 0), (4096, 10), (4096, 50), (4096, 97), (512 << 10, 50), (SEGMENT_BYTES, 50)]
        {
            if let Err(damage) = cuts.cut(block_bytes, kept_percent) {
                damaged.push(format!("seed {seed}, blocks of {block_bytes}: {damage}"));
            }
        }
    }
    damaged
}

#[test]
fn a_power_cut_loses_nothing_that_was_durable() {
    let mut damaged = damaged_by_power_cuts(0..1, Care::FULL);
    // The same rule with small segments, of which there are many.
    let segment_bytes = 256 * 1024;
    let care = Care { segment_bytes, unsynced_bytes: 2 * segment_bytes as u64, ..Care::FULL };
    damaged.extend(damaged_by_power_cuts(0..4, care));
    assert!(damaged.is_empty(), "{damaged:#?}");
}

#[test]
fn without_care_power_cuts_do_damage() {
    let (unsynced_bytes, unsynced_reads) = (u64::MAX, u64::MAX);
    let segment_bytes = 256 * 1024;
    let care = Care { anchored: false, segment_bytes, unsynced_bytes, unsynced_reads };
    let damaged = damaged_by_power_cuts(0..4, care);
    assert!(
        damaged.len() > 2,
        "a test that finds no damage here would find none there: {damaged:?}"
    );
}

/// Flips bits of a Store, one at a time. The content must be right, or an error must tell that the
/// Store is damaged, or `applied` that it lost something. Answers how often it was which.
fn flip_bits(path: &Path, expected: &[(Key, Value)], applied: Lsn) -> (u32, u32, u32) {
    let (mut right, mut damaged, mut behind) = (0, 0, 0);
    let copy = path.with_extension("flipped");
    let mut random = oorandom::Rand64::new(5);
    let files = files_below(path);
    let files: Vec<_> = files.iter().filter(|(_, content)| !content.is_empty()).collect();
    for round in 0..60 {
        copy_directory(path, &copy);
        // Most often the data, which is the first; else any of them.
        let place = if round % 4 == 0 { random.rand_range(0..files.len() as u64) } else { 0 };
        let place = usize::try_from(place).unwrap();
        let (file, content) = files.iter().cycle().nth(place + 1).unwrap();
        let mut content = (*content).clone();
        let bit = usize::try_from(random.rand_range(0..content.len() as u64 * 8)).unwrap();
        content[bit / 8] ^= 1 << (bit % 8);
        fs::write(copy.join(file.strip_prefix(path).unwrap()), content).unwrap();
        let what = format!("bit {bit} of {}", file.display());
        let read = SledStore::open(&copy, options()).and_then(|store| {
            let entries = store.range(DATA, Bound::Unbounded, Bound::Unbounded)?;
            Ok((entries.collect::<Result<Vec<_>>>()?, store.applied()?))
        });
        match read {
            Ok((_, found)) if found < applied => behind += 1,
            Ok((entries, _)) => {
                assert!(entries == expected, "{what}: the content is wrong");
                right += 1;
            }
            Err(error) => {
                assert!(is_damaged(&error), "{what}: {error}");
                damaged += 1;
            }
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    (right, damaged, behind)
}

#[test]
fn a_flipped_bit_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = SledStore::create(&path, options()).unwrap();
    for version in 0..3 {
        let ops: Vec<_> = (0..2_000).map(|n| insert(n, PowerCuts::value(n, version))).collect();
        store.apply(&ops, Lsn(version + 1)).unwrap();
        store.make_durable().unwrap();
    }
    drop(store);
    let expected: Vec<_> =
        (0..2_000).map(|n| (key(n), Value::from(PowerCuts::value(n, 2)))).collect();
    let (_, damaged, behind) = flip_bits(&path, &expected, Lsn(3));
    assert!(damaged + behind > 10, "{damaged} damaged, {behind} behind");
    // When it opens sled writes down where everything is, and then misses what it does not find.
    drop(SledStore::open(&path, options()).unwrap());
    let (_, damaged, behind) = flip_bits(&path, &expected, Lsn(3));
    assert!(damaged > 10 && behind == 0, "{damaged} damaged, {behind} behind");
}
