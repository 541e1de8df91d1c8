//! The simulated disk against plain vectors of bytes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Write { file: usize, offset: u64, length: usize },
    WriteAndSync { file: usize, offset: u64, length: usize },
    Sync { file: usize },
    Grow { file: usize, by: u64 },
    Cut { file: usize, by: u64 },
    Rename { from: usize, to: usize },
    Remove { file: usize },
    SyncDirectory { directory: usize },
}

const NAMES: [&str; 4] = ["a", "b", "log/a", "log/b"];

fn step() -> impl Strategy<Value = Step> {
    let file = 0..NAMES.len();
    // Near block boundaries, and of all sizes up to a few blocks.
    let offset = (0u64..4, 0u64..1100).prop_map(|(block, inside)| block * 4096 + inside);
    let length = prop_oneof![0usize..40, 400usize..1200, 4000usize..9000];
    let place = || (file.clone(), offset.clone(), length.clone());
    prop_oneof![
        6 => place().prop_map(|(file, offset, length)| Step::Write { file, offset, length }),
        4 => place().prop_map(|(file, offset, length)| Step::WriteAndSync { file, offset, length }),
        3 => file.clone().prop_map(|file| Step::Sync { file }),
        1 => (file.clone(), 0u64..9000).prop_map(|(file, by)| Step::Grow { file, by }),
        1 => (file.clone(), 0u64..9000).prop_map(|(file, by)| Step::Cut { file, by }),
        1 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        1 => file.clone().prop_map(|file| Step::Remove { file }),
        1 => (0usize..2).prop_map(|directory| Step::SyncDirectory { directory }),
    ]
}

/// A file as plain bytes: what is seen, and all that a sector of it may show after a crash.
#[derive(Clone, Debug, Default)]
struct Model {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// What was seen since the last sync, the oldest first.
    since: Vec<Vec<u8>>,
}

impl Model {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        write_to(&mut self.seen, offset, bytes);
        self.since.push(self.seen.clone());
    }

    fn write_and_sync(&mut self, offset: u64, bytes: &[u8]) {
        write_to(&mut self.seen, offset, bytes);
        write_to(&mut self.durable, offset, bytes);
        for old in &mut self.since {
            write_to(old, offset, bytes);
        }
    }

    fn sync(&mut self) {
        self.durable = self.seen.clone();
        self.since.clear();
    }

    fn set_length(&mut self, length: u64) {
        self.seen.resize(length as usize, 0);
        self.since.push(self.seen.clone());
    }

    /// Whether every sector is what it once was, and none is harmed that was not written.
    fn check_crashed(&self, found: &[u8]) -> Result<(), TestCaseError> {
        let longest = self.since.iter().map(Vec::len).max().unwrap_or(0);
        prop_assert!(found.len() <= longest.max(self.durable.len()));
        for (place, sector) in found.chunks(512).enumerate() {
            let at = place * 512;
            let mut states = self.since.iter().chain([&self.durable]);
            // A shorter file shows zeros where a longer one has bytes, and the reverse.
            let shown = |state: &Vec<u8>| {
                sector
                    .iter()
                    .enumerate()
                    .all(|(index, byte)| *byte == state.get(at + index).copied().unwrap_or(0))
            };
            prop_assert!(states.any(shown), "sector {place} shows what never was");
        }
        Ok(())
    }
}

fn write_to(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let offset = offset as usize;
    if !new.is_empty() {
        bytes.resize(bytes.len().max(offset + new.len()), 0);
        bytes[offset..offset + new.len()].copy_from_slice(new);
    }
}

type Names = BTreeMap<&'static str, usize>;
type NameChange = Box<dyn Fn(&mut Names)>;

struct Run {
    disk: SimDisk,
    seen: Names,
    durable: Names,
    /// Changes of names with the directories that they are in.
    pending: Vec<(BTreeSet<usize>, NameChange)>,
    files: Vec<(Model, Arc<dyn DiskFile>)>,
    stamp: u8,
}

fn directory_of(name: &str) -> usize {
    usize::from(name.starts_with("log/"))
}

impl Run {
    fn new() -> Run {
        let disk = SimDisk::new(1);
        disk.sync_directory("log").unwrap();
        let (seen, durable) = (BTreeMap::new(), BTreeMap::new());
        Run { disk, seen, durable, pending: Vec::new(), files: Vec::new(), stamp: 0 }
    }

    fn change_names(&mut self, directories: [usize; 2], change: impl Fn(&mut Names) + 'static) {
        change(&mut self.seen);
        self.pending.push((directories.into(), Box::new(change)));
    }

    fn file(&mut self, file: usize) -> &mut (Model, Arc<dyn DiskFile>) {
        let name = NAMES[file];
        let id = match self.seen.get(name) {
            Some(id) => *id,
            None => {
                let id = self.files.len();
                self.files.push((Model::default(), create(&self.disk, name)));
                self.change_names([directory_of(name); 2], move |names| {
                    names.insert(name, id);
                });
                id
            }
        };
        &mut self.files[id]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        // Each write has its own bytes, and one in eight is of zeros.
        self.stamp = self.stamp.wrapping_add(1);
        let stamp = if self.stamp.is_multiple_of(8) { 0 } else { self.stamp };
        vec![stamp; length]
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write { file, offset, length } => {
                let bytes = self.bytes(length);
                let (model, file) = self.file(file);
                file.write_at(offset, &bytes).unwrap();
                model.write(offset, &bytes);
            }
            Step::WriteAndSync { file, offset, length } => {
                let bytes = self.bytes(length);
                let (model, file) = self.file(file);
                file.write_and_sync_at(offset, &bytes).unwrap();
                model.write_and_sync(offset, &bytes);
            }
            Step::Sync { file } => {
                let (model, file) = self.file(file);
                file.sync().unwrap();
                model.sync();
            }
            Step::Grow { file, by } => {
                let (model, file) = self.file(file);
                let length = model.seen.len() as u64 + by;
                file.allocate(length).unwrap();
                model.set_length(length);
            }
            Step::Cut { file, by } => {
                let (model, file) = self.file(file);
                let length = (model.seen.len() as u64).saturating_sub(by);
                file.allocate(length).unwrap();
                // What an unsynced cut and later writes leave is tested by itself.
                file.sync().unwrap();
                model.set_length(length);
                model.sync();
            }
            Step::Rename { from, to } => self.rename(NAMES[from], NAMES[to]),
            Step::Remove { file } => self.remove(NAMES[file]),
            Step::SyncDirectory { directory } => self.sync_directory(directory),
        }
    }

    fn rename(&mut self, from: &'static str, to: &'static str) {
        let result = self.disk.rename(from, to);
        assert_eq!(result.is_ok(), self.seen.contains_key(from));
        if let Some(id) = self.seen.get(from).copied().filter(|_| from != to) {
            self.change_names([directory_of(from), directory_of(to)], move |names| {
                if names.get(from) == Some(&id) {
                    names.remove(from);
                }
                names.insert(to, id);
            });
        }
    }

    fn remove(&mut self, name: &'static str) {
        let result = self.disk.remove(name);
        assert_eq!(result.is_ok(), self.seen.contains_key(name));
        if let Some(id) = self.seen.get(name).copied() {
            self.change_names([directory_of(name); 2], move |names| {
                if names.get(name) == Some(&id) {
                    names.remove(name);
                }
            });
        }
    }

    fn sync_directory(&mut self, directory: usize) {
        self.disk.sync_directory(["", "log"][directory]).unwrap();
        let is_across = |of: &BTreeSet<usize>| of.len() == 2 && of.contains(&directory);
        let across = self.pending.iter().rposition(|(of, _)| is_across(of));
        for (place, (of, change)) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if of.contains(&directory) || across.is_some_and(|across| place < across) {
                change(&mut self.durable);
            } else {
                self.pending.push((of, change));
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let lengths = |disk: &SimDisk| disk.files().into_iter().collect::<BTreeMap<_, _>>();
        let nothing = self.disk.crash(Survivors::Nothing);
        let everything = self.disk.crash(Survivors::Everything);
        prop_assert_eq!(lengths(&everything), lengths(&self.disk));
        prop_assert_eq!(self.disk.files().len(), self.seen.len());
        for (name, id) in &self.seen {
            let seen = Some(&self.files[*id].0.seen);
            prop_assert!(self.disk.read_file(name).as_ref() == seen, "{name} is read wrongly");
            prop_assert!(everything.read_file(name).as_ref() == seen, "{name}: not everything");
        }
        prop_assert_eq!(nothing.files().len(), self.durable.len());
        for (name, id) in &self.durable {
            let durable = Some(&self.files[*id].0.durable);
            prop_assert!(
                nothing.read_file(name).as_ref() == durable,
                "{name}: not what is durable"
            );
        }
        for (model, file) in &self.files {
            let mut bytes = vec![1; model.seen.len() + 1];
            prop_assert_eq!(file.read_at(0, &mut bytes).unwrap(), model.seen.len());
            prop_assert!(bytes[..model.seen.len()] == model.seen[..], "a handle reads wrongly");
        }
        Ok(())
    }

    fn check_crashed(&self, seed: u64) -> Result<(), TestCaseError> {
        for survivors in [Survivors::Prefix { seed }, Survivors::RandomSectors { seed }] {
            let disk = self.disk.crash(survivors);
            for (name, id) in
                self.seen.iter().filter(|(name, id)| self.durable.get(*name) == Some(id))
            {
                // A pending change may have moved it away and back.
                if let Some(found) = disk.read_file(name)
                    && self.pending.is_empty()
                {
                    self.files[*id].0.check_crashed(&found)?;
                }
            }
            // What was found is durable: a second crash changes nothing.
            let again = disk.crash(Survivors::Nothing);
            prop_assert_eq!(again.files(), disk.files());
            for (name, _) in disk.files() {
                prop_assert!(again.read_file(&name) == disk.read_file(&name), "{name} changed");
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn it_is_a_disk_of_plain_bytes_before_and_after_a_crash(
        steps in prop::collection::vec(step(), 1..60),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.check()?;
        run.check_crashed(seed)?;
    }
}
