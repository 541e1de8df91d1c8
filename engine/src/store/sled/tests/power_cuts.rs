//! Power cuts and flipped bits, on copies of real files.

use tempfile::TempDir;

use super::*;

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
