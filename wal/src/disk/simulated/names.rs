//! The names of the simulated disk's files: those that a crash leaves, those seen, and the changes
//! between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::disk::name::{is_below, parent};

/// Which file a name stands for; it stays the same when the file is renamed.
pub(super) type FileId = u64;

/// Directories and the files in them. The root is not among the directories: it is always there.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<String, FileId>,
    pub(super) directories: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Create { name: String, file: FileId },
    Rename { from: String, to: String, file: FileId },
    Remove { name: String, file: FileId },
    MakeDirectory(String),
    RemoveDirectory(String),
}

/// A change of names that no sync has made durable yet.
#[derive(Clone, Debug)]
pub(super) struct PendingName {
    /// The place among all pending changes of the disk.
    pub(super) sequence: u64,
    pub(super) change: Change,
}

/// The names as seen and as durable.
///
/// # Invariants
///
/// - `pending` is in issue order, and applied to `durable` it gives `seen`.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) seen: Tree,
    pub(super) durable: Tree,
    pub(super) pending: Vec<PendingName>,
}

impl Tree {
    pub(super) fn is_directory(&self, name: &str) -> bool {
        name.is_empty() || self.directories.contains(name)
    }

    /// Finds a file, and says what is wrong where there is none.
    pub(super) fn file(&self, name: &str) -> io::Result<FileId> {
        match self.files.get(name) {
            Some(file) => Ok(*file),
            None if self.is_directory(name) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(self.missing(parent(name))),
        }
    }

    /// Why nothing is below a place: it is missing, or it or something above it is a file.
    pub(super) fn missing(&self, directory: &str) -> io::Error {
        let mut next = directory;
        while !next.is_empty() {
            if self.files.contains_key(next) {
                return io::ErrorKind::NotADirectory.into();
            }
            next = parent(next);
        }
        io::ErrorKind::NotFound.into()
    }

    /// The directories that have to be made so that this one exists, the topmost first.
    pub(super) fn missing_directories(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut missing = Vec::new();
        let mut next = directory;
        while !self.is_directory(next) {
            if self.files.contains_key(next) {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            missing.push(next.to_owned());
            next = parent(next);
        }
        missing.reverse();
        Ok(missing)
    }

    /// What lies directly below a directory.
    pub(super) fn list(&self, directory: &str) -> Vec<String> {
        let below = |name: &&String| parent(name) == directory;
        let last = |name: &String| name.rsplit('/').next().unwrap_or(name).to_owned();
        let files = self.files.keys().filter(below).map(last);
        let mut names: Vec<String> =
            files.chain(self.directories.iter().filter(below).map(last)).collect();
        names.sort_unstable();
        names
    }

    /// Applies a change. One that does not fit, because a change before it was lost, does what it
    /// still can.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { name, file } => {
                if self.is_directory(parent(name)) {
                    self.files.insert(name.clone(), *file);
                }
            }
            Change::Rename { from, to, file } => {
                self.remove(from, *file);
                if self.is_directory(parent(to)) {
                    self.files.insert(to.clone(), *file);
                }
            }
            Change::Remove { name, file } => self.remove(name, *file),
            Change::MakeDirectory(name) => {
                if self.is_directory(parent(name)) {
                    self.directories.insert(name.clone());
                }
            }
            Change::RemoveDirectory(name) => {
                // Only an empty directory can go, so whatever was in it is gone as well.
                self.files.retain(|file, _| !is_below(file, name));
                self.directories.retain(|other| other != name && !is_below(other, name));
            }
        }
    }

    fn remove(&mut self, name: &str, file: FileId) {
        if self.files.get(name) == Some(&file) {
            self.files.remove(name);
        }
    }
}

impl Names {
    /// Makes a change that is seen at once and durable with the next sync of its directory.
    pub(super) fn change(&mut self, sequence: u64, change: Change) {
        self.seen.apply(&change);
        self.pending.push(PendingName { sequence, change });
    }

    /// Makes a directory's own name durable, and those above it.
    pub(super) fn sync_names_up_from(&mut self, directory: &str) {
        // One that was removed and made again is another one, even if both have the same name.
        let is_own = |pending: &PendingName| match &pending.change {
            Change::MakeDirectory(name) | Change::RemoveDirectory(name) => name == directory,
            _ => false,
        };
        if !self.durable.is_directory(directory) || self.pending.iter().any(is_own) {
            // From the top: a name can only be durable in a directory that is.
            self.sync_names_up_from(parent(directory));
            self.sync(parent(directory), usize::MAX);
        }
    }

    /// Makes the pending changes in a directory durable, or the first so many of them. A rename
    /// from one directory to another belongs to both, and takes with it every change before it, as
    /// a file system's own log does; else a file could have two names or none.
    pub(super) fn sync(&mut self, directory: &str, limit: usize) {
        let mut chosen: Vec<bool> = vec![false; self.pending.len()];
        let in_directory = |pending: &PendingName| pending.change.is_in(directory);
        let own = self.pending.iter().enumerate().filter(|(_, pending)| in_directory(pending));
        for (place, pending) in own.take(limit) {
            chosen[place] = true;
            if pending.change.is_across() {
                chosen[..place].fill(true);
            }
        }
        let pending = std::mem::take(&mut self.pending);
        for (pending, chosen) in pending.into_iter().zip(chosen) {
            if chosen {
                self.durable.apply(&pending.change);
            } else {
                self.pending.push(pending);
            }
        }
        // Changes within a directory that is gone for good can matter to nobody.
        let durable = &self.durable;
        let seen = &self.seen;
        self.pending.retain(|pending| {
            let directory = parent(pending.change.name());
            durable.is_directory(directory) || seen.is_directory(directory)
        });
    }
}

impl Change {
    /// What is changed; the new name of what is renamed.
    fn name(&self) -> &str {
        match self {
            Change::Create { name, .. } | Change::Remove { name, .. } => name,
            Change::Rename { to, .. } => to,
            Change::MakeDirectory(name) | Change::RemoveDirectory(name) => name,
        }
    }

    /// Whether a sync of this directory makes it durable.
    fn is_in(&self, directory: &str) -> bool {
        let leaves = matches!(self, Change::Rename { from, .. } if parent(from) == directory);
        leaves || parent(self.name()) == directory
    }

    /// Whether it moves a file from one directory to another.
    fn is_across(&self) -> bool {
        matches!(self, Change::Rename { from, to, .. } if parent(from) != parent(to))
    }
}
