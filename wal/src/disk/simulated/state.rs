//! All that a simulated disk knows, behind one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::content::Content;
use super::fault::{Call, Effect, Fault, SimulatedCrash};
use super::file::{FileState, Pending};
use super::names::{Change, FileId, Names, Tree};
use super::random::Generator;
use super::{Operation, SimStats, Survivors};
use crate::disk::name::parent;

/// Files longer than this are refused, as by real file systems.
const FILE_LIMIT_BYTES: u64 = i64::MAX as u64;

/// The state of a simulated disk.
///
/// # Invariants
///
/// - Every file that `names` or a handle refers to is in `files`.
/// - `sequence` is above the number of every pending change.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) seed: u64,
    pub(super) names: Names,
    pub(super) files: BTreeMap<FileId, FileState>,
    next_file: FileId,
    sequence: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) locked: bool,
    pub(super) stats: SimStats,
    pub(super) recorded: Option<Vec<Operation>>,
}

/// What becomes of a call.
pub(super) enum Outcome {
    Happens,
    /// The crash comes while it runs: what it changes is pending.
    Crashes,
    Fails(Effect, io::Error),
}

impl State {
    pub(super) fn new(seed: u64) -> State {
        State {
            seed,
            names: Names::default(),
            files: BTreeMap::new(),
            next_file: 1,
            sequence: 1,
            faults: Vec::new(),
            crash_at: None,
            crashed: false,
            capacity_bytes: None,
            locked: false,
            stats: SimStats::default(),
            recorded: None,
        }
    }

    /// Counts a read, and answers for it if it is to fail.
    pub(super) fn begin_read(&mut self, call: Call, name: &str) -> io::Result<()> {
        self.check_not_crashed()?;
        self.stats.reads += 1;
        match self.fault(call, self.stats.reads, name) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Counts an operation, and says what becomes of it.
    pub(super) fn begin(&mut self, operation: Operation) -> io::Result<Outcome> {
        self.check_not_crashed()?;
        self.stats.operations += 1;
        let (number, call) = (self.stats.operations, operation.call);
        assert!(!call.is_read(), "{call} is not an operation");
        let fault = self.fault(call, number, &operation.name);
        if let Some(recorded) = &mut self.recorded {
            recorded.push(Operation { number, ..operation });
        }
        if self.crash_at.is_some_and(|crash_at| number >= crash_at) {
            self.crashed = true;
            return Ok(Outcome::Crashes);
        }
        Ok(match fault {
            Some((effect, error)) => Outcome::Fails(effect, error),
            None => Outcome::Happens,
        })
    }

    fn fault(&mut self, call: Call, number: u64, name: &str) -> Option<(Effect, io::Error)> {
        let at = self.faults.iter().position(|fault| fault.hits(call, number, name))?;
        let fault = &self.faults[at];
        let hit = (fault.happens(), fault.error(call, name));
        if !fault.is_for_good() {
            self.faults.remove(at);
        }
        Some(hit)
    }

    pub(super) fn check_not_crashed(&self) -> io::Result<()> {
        if self.crashed { Err(crash_error()) } else { Ok(()) }
    }

    /// The chances of the operation that runs.
    pub(super) fn chance(&self) -> Generator {
        Generator::new(self.seed, self.stats.operations)
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn add_file(&mut self, file: FileState) -> FileId {
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(id, file);
        id
    }

    /// The file behind a handle or a name.
    pub(super) fn file(&mut self, id: FileId) -> &mut FileState {
        assert!(self.files.contains_key(&id), "no file {id} on the simulated disk");
        self.files.entry(id).or_default()
    }

    pub(super) fn change_name(&mut self, change: Change) {
        let sequence = self.next_sequence();
        self.names.change(sequence, change);
    }

    /// Makes directories, the topmost first. They are durable at once, as is everything beside
    /// them; unless the power goes meanwhile: then they are pending.
    pub(super) fn make_directories(&mut self, missing: Vec<String>, crashes: bool) {
        for directory in missing {
            let above = parent(&directory).to_owned();
            self.change_name(Change::MakeDirectory(directory));
            if !crashes {
                self.names.sync_names_up_from(&above);
                self.names.sync(&above, usize::MAX);
            }
        }
    }

    /// Whether a file may grow so that so many bytes from `offset` lie in it. A write that has no
    /// room is refused before it counts as an operation.
    pub(super) fn check_space(&self, id: FileId, offset: u64, count: u64) -> io::Result<()> {
        self.check_not_crashed()?;
        let length = offset.saturating_add(count);
        if length > FILE_LIMIT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let Some(capacity) = self.capacity_bytes else { return Ok(()) };
        let before = self.files.get(&id).map_or(0, |file| file.seen().length());
        let needed = (self.used_bytes() - before).saturating_add(length);
        if length > before && needed > capacity {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("simulated disk of {capacity} bytes is full: {needed} needed"),
            ));
        }
        Ok(())
    }

    /// The lengths of all files that have a name or an open handle.
    pub(super) fn used_bytes(&self) -> u64 {
        let named: BTreeSet<FileId> = self.names.seen.files.values().copied().collect();
        let lives = |id: &FileId, file: &FileState| file.handles > 0 || named.contains(id);
        let lengths = self.files.iter().filter(|(id, file)| lives(id, file));
        lengths.fold(0, |sum: u64, (_, file)| sum.saturating_add(file.seen().length()))
    }

    /// Lets go of files that nobody can reach any more, not even after a crash.
    pub(super) fn drop_unreachable(&mut self) {
        let mut reachable: BTreeSet<FileId> = self.names.seen.files.values().copied().collect();
        reachable.extend(self.names.durable.files.values());
        for pending in &self.names.pending {
            if let Change::Create { file, .. } | Change::Rename { file, .. } = &pending.change {
                reachable.insert(*file);
            }
        }
        self.files.retain(|id, file| file.handles > 0 || reachable.contains(id));
    }

    /// The disk that a new process finds, with nothing lost.
    pub(super) fn fork(&self) -> State {
        let mut fork = State {
            names: self.names.clone(),
            files: self.files.clone(),
            next_file: self.next_file,
            sequence: self.sequence,
            capacity_bytes: self.capacity_bytes,
            ..State::new(self.seed)
        };
        for file in fork.files.values_mut() {
            file.handles = 0;
        }
        fork.drop_unreachable();
        fork
    }

    /// The disk that is found after a power cut.
    pub(super) fn crash(&self, survivors: Survivors) -> State {
        let mut names = self.names.durable.clone();
        let mut contents = BTreeMap::new();
        match survivors {
            Survivors::Nothing => {}
            Survivors::Everything => {
                self.survive(u64::MAX, &mut names, &mut contents);
            }
            Survivors::Prefix { seed } => {
                let steps = self.names.pending.len() as u64 + self.pending_steps();
                let kept = Generator::new(self.seed, seed).up_to(steps);
                self.survive(kept, &mut names, &mut contents);
            }
            Survivors::RandomSectors { seed } | Survivors::LoseBlocks { seed } => {
                let mut random = Generator::new(self.seed, seed);
                for pending in &self.names.pending {
                    if random.coin() {
                        names.apply(&pending.change);
                    }
                }
                let lose_blocks = matches!(survivors, Survivors::LoseBlocks { .. });
                for (id, file) in self.files.iter().filter(|(_, file)| !file.pending().is_empty()) {
                    contents.insert(*id, file.some_sectors(&mut random, lose_blocks));
                }
            }
        }
        let mut found = State {
            next_file: self.next_file,
            sequence: self.sequence,
            capacity_bytes: self.capacity_bytes,
            ..State::new(self.seed)
        };
        for id in names.files.values() {
            let content = contents.remove(id);
            let durable = || self.files.get(id).map(|file| file.durable().clone());
            let content = content.or_else(durable).unwrap_or_default();
            found.files.insert(*id, FileState::with_content(content));
        }
        found.names = Names { seen: names.clone(), durable: names, pending: Vec::new() };
        found
    }

    fn pending_steps(&self) -> u64 {
        let pending = self.files.values().flat_map(|file| file.pending());
        pending.map(|pending| pending.steps()).sum()
    }

    /// Applies the first so many steps of what is pending, names and contents in issue order.
    fn survive(&self, steps: u64, names: &mut Tree, contents: &mut BTreeMap<FileId, Content>) {
        let mut left = steps;
        let mut next_name = self.names.pending.iter().peekable();
        let mut changes: Vec<(FileId, &Pending)> = Vec::new();
        for (id, file) in &self.files {
            changes.extend(file.pending().iter().map(|pending| (*id, pending)));
        }
        changes.sort_by_key(|(_, pending)| pending.sequence);
        for (id, pending) in changes {
            while let Some(name) = next_name.next_if(|name| name.sequence < pending.sequence) {
                if left == 0 {
                    return;
                }
                names.apply(&name.change);
                left -= 1;
            }
            if left == 0 {
                return;
            }
            let durable = || self.files.get(&id).map(|file| file.durable().clone());
            let content = contents.entry(id).or_insert_with(|| durable().unwrap_or_default());
            pending.apply(left, content);
            left = left.saturating_sub(pending.steps());
        }
        for name in next_name.take(usize::try_from(left).unwrap_or(usize::MAX)) {
            names.apply(&name.change);
        }
    }
}

/// What every call after a simulated crash answers.
pub(super) fn crash_error() -> io::Error {
    io::Error::other(SimulatedCrash)
}
