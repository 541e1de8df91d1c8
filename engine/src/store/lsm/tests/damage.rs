//! Flipped bits, and files that are not of the same time.

use super::*;

/// A Store with several runs and levels, and what it holds.
fn filled(path: &Path) -> BTreeMap<Key, Value> {
    let store = LsmStore::create(path, options()).unwrap();
    let mut model = BTreeMap::new();
    for round in 0..7u64 {
        let ops: Vec<_> = (0..40)
            .map(|n| {
                let value = Value::from(vec![(n * 3 + round) as u8; 60]);
                model.insert(key(n * 5 + round % 2), value.clone());
                insert(n * 5 + round % 2, value)
            })
            .collect();
        store.apply(&ops, Lsn(round + 1)).unwrap();
        if round == 4 {
            settle(&store);
        }
    }
    settle(&store);
    store.make_durable().unwrap();
    model
}

/// Opens and reads everything: right, or an error that says damage.
fn judge(path: &Path, model: &BTreeMap<Key, Value>) -> std::result::Result<bool, String> {
    let damage = |error: Error| match &error {
        // A newer format, as far as anyone can tell.
        Error::Log(mainstay_wal::Error::UnsupportedVersion { .. }) => Ok(false),
        error if is_damaged(error) => Ok(false),
        error => Err(format!("not damage: {error}")),
    };
    let store = match LsmStore::open(path, options()) {
        Ok(store) => store,
        Err(error) => return damage(error),
    };
    // As the engine does, which knows up to where the Store was complete.
    if store.applied().map_err(|error| error.to_string())? < Lsn(7) {
        return Ok(false);
    }
    let mut whole = true;
    for (key, value) in model {
        match store.get(DATA, key) {
            Ok(found) if found.as_ref() == Some(value) => {}
            Ok(found) => return Err(format!("{key:?} is {found:?}")),
            Err(error) => whole &= damage(error)?,
        }
    }
    let mut found = BTreeMap::new();
    for entry in store.range(DATA, ALL.0, ALL.1).unwrap() {
        match entry {
            Ok((key, value)) => {
                found.insert(key, value);
            }
            Err(error) => return damage(error),
        }
    }
    if found != *model {
        return Err("a scan found something else".into());
    }
    Ok(whole)
}

#[test]
fn a_flipped_bit_is_damage_or_harmless_and_never_wrong_data() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let model = filled(&path);
    let good = files_below(directory.path());
    let mut random = oorandom::Rand64::new(1);
    let (mut flips, mut found) = (0, 0);
    for (file, bytes) in good.iter().filter_map(|(file, bytes)| Some((file, bytes.as_ref()?))) {
        // All bytes of what tells where everything is, some of the tables.
        let step = 1 + bytes.len() / 400;
        for at in (0..bytes.len()).step_by(step) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << random.rand_range(0..8);
            fs::write(file, &bytes).unwrap();
            let judged = judge(&path, &model);
            let place = format!("{} at {at}", file.strip_prefix(&path).unwrap().display());
            found += u32::from(!judged.unwrap_or_else(|error| panic!("{place}: {error}")));
            flips += 1;
            restore(directory.path(), &good);
        }
    }
    assert!(flips > 1_000 && found > flips / 2, "{found} of {flips} were found");
    println!(
        "figure: lsm: {found} of {flips} flipped bits are found as damage, the rest is harmless"
    );
    assert!(judge(&path, &model).unwrap(), "the good one is whole");
}

#[test]
fn files_that_are_cut_or_gone_are_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let model = filled(&path);
    let good = files_below(directory.path());
    for (file, bytes) in good.iter().filter_map(|(file, bytes)| Some((file, bytes.as_ref()?))) {
        for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            fs::write(file, &bytes[..length]).unwrap();
            assert_eq!(judge(&path, &model), Ok(false), "{} cut to {length}", file.display());
            restore(directory.path(), &good);
        }
        fs::remove_file(file).unwrap();
        assert_eq!(judge(&path, &model), Ok(false), "{} removed", file.display());
        restore(directory.path(), &good);
    }
}

#[test]
fn a_tree_that_is_older_than_the_notes_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = LsmStore::create(&path, options()).unwrap();
    store.apply(&[insert(1, "old")], Lsn(1)).unwrap();
    store.make_durable().unwrap();
    drop(store);
    let mut old = files_below(directory.path());
    let store = LsmStore::open(&path, options()).unwrap();
    store.apply(&[insert(1, "new")], Lsn(2)).unwrap();
    store.make_durable().unwrap();
    drop(store);
    let notes = path.join(notes::FILE);
    old.insert(notes.clone(), Some(fs::read(&notes).unwrap()));
    restore(directory.path(), &old);
    let error = LsmStore::open(&path, options()).unwrap_err();
    assert!(is_damaged(&error) && error.to_string().contains("version"), "{error}");
}

#[test]
fn damage_that_a_merge_finds_is_told_to_whoever_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = LsmStore::create(&path, options()).unwrap();
    let ops: Vec<_> = (0..500).map(|n| insert(n, vec![1; 100])).collect();
    store.apply(&ops, Lsn(1)).unwrap();
    settle(&store);
    let tables = files_below(&path.join(TREE).join(TABLES));
    for (table, bytes) in tables {
        let mut bytes = bytes.unwrap();
        bytes[10_000] ^= 1;
        fs::write(table, bytes).unwrap();
    }
    let mut told = None;
    for round in 2..40 {
        if let Err(error) = store.apply(&ops, Lsn(round)) {
            told = Some(error);
            break;
        }
        settle(&store);
    }
    let error = told.expect("a merge reads all that it merges");
    assert!(is_damaged(&error), "{error}");
    assert!(store.make_durable().is_err());
}
