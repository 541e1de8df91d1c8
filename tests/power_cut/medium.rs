//! The medium under the file system: what it shows while there is power, and what is left of it
//! after a cut.
//!
//! It is as unkind as the rules allow. A file keeps what `fsync` or `fdatasync` covered and what
//! was written with `O_DSYNC`; a directory keeps the names that an `fsync` of the directory itself
//! covered. Everything else is *unsynced*, and [`Survivors`] says how much of it is still there
//! after the cut. `sync_file_range` never reaches a file system as a sync, so it makes nothing
//! durable here, as on real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use fuser::Errno;
use oorandom::Rand64;

use super::content::{File, What, below, to_index};

/// The root directory, in every life of the medium.
pub(crate) const ROOT: u64 = 1;
/// Larger files are refused, so that a wild length in a test cannot take all memory.
const FILE_LIMIT_BYTES: u64 = 1 << 30;

pub(crate) type Outcome<T> = Result<T, Errno>;

/// How much of what was not synced outlives a power cut.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Survivors {
    /// Nothing of it.
    Nothing,
    /// All of it: the cache happened to be written out just before.
    Everything,
    /// What was issued before some moment, over all files and directories; the last write torn at a
    /// sector.
    Prefix,
    /// Any subset: of the sectors of each file, of the length changes, of the changes of names.
    Sectors,
}

impl Survivors {
    pub(crate) const ALL: [Survivors; 4] =
        [Survivors::Nothing, Survivors::Prefix, Survivors::Sectors, Survivors::Everything];
}

/// What the medium was asked to do, for the controls.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) writes: u64,
    pub(crate) synced_writes: u64,
    pub(crate) file_syncs: u64,
    pub(crate) directory_syncs: u64,
    pub(crate) cuts: u64,
}

#[derive(Debug)]
struct NameChange {
    sequence: u64,
    what: Renamed,
}

#[derive(Debug, Clone)]
enum Renamed {
    Insert {
        name: OsString,
        node: u64,
    },
    Remove {
        name: OsString,
    },
    /// Within one directory this is one step: both or neither.
    Rename {
        from: OsString,
        to: OsString,
        node: u64,
    },
}

impl Renamed {
    fn apply(&self, names: &mut BTreeMap<OsString, u64>) {
        match self {
            Renamed::Insert { name, node } => {
                names.insert(name.clone(), *node);
            }
            Renamed::Remove { name } => {
                names.remove(name);
            }
            Renamed::Rename { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Directory {
    seen: BTreeMap<OsString, u64>,
    durable: BTreeMap<OsString, u64>,
    changes: Vec<NameChange>,
}

impl Directory {
    fn change(&mut self, sequence: u64, what: Renamed) {
        what.apply(&mut self.seen);
        self.changes.push(NameChange { sequence, what });
    }

    fn surviving(&self, keep: impl FnMut(&NameChange) -> bool) -> BTreeMap<OsString, u64> {
        let mut keep = keep;
        let mut names = self.durable.clone();
        for change in &self.changes {
            if keep(change) {
                change.what.apply(&mut names);
            }
        }
        names
    }
}

#[derive(Debug)]
enum Node {
    File(File),
    Directory(Directory),
}

/// What `stat` shows of a node.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) node: u64,
    pub(crate) is_directory: bool,
    pub(crate) length: u64,
}

/// Files and directories in memory, each with what is durable of it.
///
/// # Invariants
///
/// - A node number is never used twice, over all lives: a handle from before a cut reaches nothing
///   after it.
/// - While it is stopped every call fails with `EIO` and changes nothing.
#[derive(Debug)]
pub(crate) struct Medium {
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    sequence: u64,
    is_stopped: bool,
    /// Everything stops in the middle of the change after so many more.
    changes_left: Option<u64>,
    counts: Counts,
}

impl Medium {
    pub(crate) fn new() -> Medium {
        let nodes = BTreeMap::from([(ROOT, Node::Directory(Directory::default()))]);
        let (next_node, sequence) = (ROOT + 1, 0);
        let (is_stopped, changes_left, counts) = (false, None, Counts::default());
        Medium { nodes, next_node, sequence, is_stopped, changes_left, counts }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Lets `changes` more requests that change something pass. In the middle of the next one
    /// everything stops: it and every later request fails, until [`Medium::resume`] or
    /// [`Medium::restore`].
    pub(crate) fn stop_after(&mut self, changes: u64) {
        self.changes_left = Some(changes);
    }

    /// Stops now.
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
        self.changes_left = None;
    }

    /// Goes on where everything stopped, as after the end of a process: what was unsynced is seen,
    /// and unsynced.
    pub(crate) fn resume(&mut self) {
        assert!(self.is_stopped, "nothing was stopped");
        self.is_stopped = false;
    }

    /// Goes on as after a power cut: what is left by `survivors` is all there is, and all of it is
    /// durable.
    pub(crate) fn restore(&mut self, survivors: Survivors, seed: u64) {
        assert!(self.is_stopped, "nothing was stopped");
        self.counts.cuts += 1;
        let random = &mut Rand64::new(u128::from(seed));
        let (limit, torn_sectors) = self.some_moment(random);
        let mut old = std::mem::take(&mut self.nodes);
        let mut numbers = BTreeMap::from([(ROOT, ROOT)]);
        let mut pending = vec![ROOT];
        while let Some(number) = pending.pop() {
            let Some(node) = old.remove(&number) else { continue };
            let node = match node {
                Node::File(file) => Node::File(File::holding(match survivors {
                    Survivors::Nothing => file.surviving_prefix(0, 0),
                    Survivors::Everything => file.seen,
                    Survivors::Prefix => file.surviving_prefix(limit, torn_sectors),
                    Survivors::Sectors => file.surviving_sectors(random),
                })),
                Node::Directory(directory) => {
                    let mut names = directory.surviving(|change| match survivors {
                        Survivors::Nothing => false,
                        Survivors::Everything => true,
                        Survivors::Prefix => change.sequence < limit,
                        Survivors::Sectors => below(random, 2) == 0,
                    });
                    for child in names.values_mut() {
                        *child = *numbers.entry(*child).or_insert_with(|| {
                            pending.push(*child);
                            self.next_node += 1;
                            self.next_node - 1
                        });
                    }
                    let durable = names.clone();
                    Node::Directory(Directory { seen: names, durable, changes: Vec::new() })
                }
            };
            self.nodes.insert(numbers[&number], node);
        }
        self.is_stopped = false;
    }

    /// A moment among those of the unsynced changes, and how many sectors of the change at it
    /// survive.
    fn some_moment(&self, random: &mut Rand64) -> (u64, usize) {
        let mut moments = BTreeSet::new();
        for node in self.nodes.values() {
            match node {
                Node::File(file) => moments.extend(file.changes.iter().map(|c| c.sequence)),
                Node::Directory(names) => moments.extend(names.changes.iter().map(|c| c.sequence)),
            }
        }
        let limit = moments.iter().nth(below(random, moments.len() + 1)).copied();
        (limit.unwrap_or(self.sequence + 1), below(random, 9))
    }

    /// Counts one request that changes something, and says whether everything stops in the middle
    /// of it.
    fn spend(&mut self) -> bool {
        self.sequence += 1;
        match &mut self.changes_left {
            Some(0) => {
                self.stop();
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn check_running(&self) -> Outcome<()> {
        if self.is_stopped { Err(Errno::EIO) } else { Ok(()) }
    }

    fn file(&mut self, node: u64) -> Outcome<&mut File> {
        self.check_running()?;
        match self.nodes.get_mut(&node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(Errno::EISDIR),
            None => Err(Errno::EIO),
        }
    }

    fn directory(&mut self, node: u64) -> Outcome<&mut Directory> {
        self.check_running()?;
        match self.nodes.get_mut(&node) {
            Some(Node::Directory(directory)) => Ok(directory),
            Some(Node::File(_)) => Err(Errno::ENOTDIR),
            None => Err(Errno::EIO),
        }
    }

    fn child(&mut self, parent: u64, name: &OsStr) -> Outcome<u64> {
        self.directory(parent)?.seen.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub(crate) fn lookup(&mut self, parent: u64, name: &OsStr) -> Outcome<Attributes> {
        let node = self.child(parent, name)?;
        self.attributes(node)
    }

    pub(crate) fn attributes(&self, node: u64) -> Outcome<Attributes> {
        self.check_running()?;
        let (is_directory, length) = match self.nodes.get(&node) {
            Some(Node::File(file)) => (false, file.seen.len() as u64),
            Some(Node::Directory(directory)) => (true, directory.seen.len() as u64),
            None => return Err(Errno::EIO),
        };
        Ok(Attributes { node, is_directory, length })
    }

    /// The names in a directory, with what they stand for.
    pub(crate) fn names(&mut self, node: u64) -> Outcome<Vec<(OsString, Attributes)>> {
        let names = self.directory(node)?.seen.clone();
        names.into_iter().map(|(name, child)| Ok((name, self.attributes(child)?))).collect()
    }

    /// Makes an empty file or directory.
    pub(crate) fn create(
        &mut self,
        parent: u64,
        name: &OsStr,
        is_directory: bool,
    ) -> Outcome<Attributes> {
        match self.child(parent, name) {
            Err(errno) if errno == Errno::ENOENT => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Err(Errno::EEXIST),
        }
        let is_last = self.spend();
        let (node, sequence) = (self.next_node, self.sequence);
        self.next_node += 1;
        let empty = if is_directory {
            Node::Directory(Directory::default())
        } else {
            Node::File(File::default())
        };
        self.nodes.insert(node, empty);
        self.change_names(parent, sequence, Renamed::Insert { name: name.to_owned(), node });
        if is_last { Err(Errno::EIO) } else { self.attributes(node) }
    }

    pub(crate) fn remove(&mut self, parent: u64, name: &OsStr, directory: bool) -> Outcome<()> {
        let node = self.child(parent, name)?;
        let attributes = self.attributes(node)?;
        match (attributes.is_directory, directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (true, true) if attributes.length > 0 => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        let is_last = self.spend();
        let sequence = self.sequence;
        self.change_names(parent, sequence, Renamed::Remove { name: name.to_owned() });
        if is_last { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Gives `name` in `parent` the place `to_name` in `to_parent`. Between two directories these
    /// are two changes, and each becomes durable with its own directory.
    pub(crate) fn rename(
        &mut self,
        (parent, name): (u64, &OsStr),
        (to_parent, to_name): (u64, &OsStr),
        may_replace: bool,
    ) -> Outcome<()> {
        let node = self.child(parent, name)?;
        match self.child(to_parent, to_name) {
            Err(errno) if errno == Errno::ENOENT => {}
            Err(errno) => return Err(errno),
            Ok(_) if !may_replace => return Err(Errno::EEXIST),
            Ok(replaced) => {
                let replaced = self.attributes(replaced)?;
                match (self.attributes(node)?.is_directory, replaced.is_directory) {
                    (true, false) => return Err(Errno::ENOTDIR),
                    (false, true) => return Err(Errno::EISDIR),
                    (true, true) if replaced.length > 0 => return Err(Errno::ENOTEMPTY),
                    _ => {}
                }
            }
        }
        let is_last = self.spend();
        let (from, to) = (name.to_owned(), to_name.to_owned());
        let sequence = self.sequence;
        if parent == to_parent {
            self.change_names(parent, sequence, Renamed::Rename { from, to, node });
        } else {
            self.change_names(to_parent, sequence, Renamed::Insert { name: to, node });
            self.sequence += 1;
            self.change_names(parent, sequence + 1, Renamed::Remove { name: from });
        }
        if is_last { Err(Errno::EIO) } else { Ok(()) }
    }

    /// The change in flight at the stop is recorded too: it may be among the survivors.
    fn change_names(&mut self, parent: u64, sequence: u64, what: Renamed) {
        if let Some(Node::Directory(directory)) = self.nodes.get_mut(&parent) {
            directory.change(sequence, what);
        }
    }

    pub(crate) fn read(&mut self, node: u64, start: u64, length: usize) -> Outcome<&[u8]> {
        let content = &self.file(node)?.seen;
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(content.len());
        Ok(&content[start..content.len().min(start.saturating_add(length))])
    }

    /// Writes; with `sync` what was written, and the length that it needs, is durable on return.
    pub(crate) fn write(&mut self, node: u64, start: u64, bytes: &[u8], sync: bool) -> Outcome<()> {
        self.file(node)?;
        let end = start.saturating_add(bytes.len() as u64);
        if end > FILE_LIMIT_BYTES {
            return Err(Errno::EFBIG);
        }
        let what = What::Write { start: to_index(start), bytes: bytes.to_vec() };
        self.counts.writes += 1;
        self.counts.synced_writes += u64::from(sync);
        self.change_content(node, sync, what)
    }

    pub(crate) fn set_length(&mut self, node: u64, length: u64) -> Outcome<()> {
        let from = self.file(node)?.seen.len();
        if length > FILE_LIMIT_BYTES {
            return Err(Errno::EFBIG);
        }
        if from == to_index(length) {
            return Ok(());
        }
        self.change_content(node, false, What::Length { from, to: to_index(length) })
    }

    fn change_content(&mut self, node: u64, durable: bool, what: What) -> Outcome<()> {
        let is_last = self.spend();
        let sequence = self.sequence;
        if let Some(Node::File(file)) = self.nodes.get_mut(&node) {
            file.change(sequence, durable && !is_last, what);
        }
        if is_last { Err(Errno::EIO) } else { Ok(()) }
    }

    pub(crate) fn sync(&mut self, node: u64) -> Outcome<()> {
        self.file(node)?;
        if self.spend() {
            return Err(Errno::EIO);
        }
        self.counts.file_syncs += 1;
        self.file(node)?.sync();
        Ok(())
    }

    pub(crate) fn sync_directory(&mut self, node: u64) -> Outcome<()> {
        self.directory(node)?;
        if self.spend() {
            return Err(Errno::EIO);
        }
        self.counts.directory_syncs += 1;
        let directory = self.directory(node)?;
        directory.changes.clear();
        directory.durable = directory.seen.clone();
        Ok(())
    }
}
