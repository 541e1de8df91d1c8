//! lsm-tree behind a wall: every call into it is made here, and none of its panics gets out.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lsm_tree::{AbstractTree, AnyTree, Cache, SeqNo, SequenceNumberCounter};

use super::compaction::Compaction;
use crate::error::Result;
use crate::store::directory::Scratch;
use crate::store::wall::Wall;

pub(super) use crate::store::wall::Problem;

/// Reads see the newest version of the tree. What they began with stays for them: they hold it.
pub(super) const NEWEST: SeqNo = SeqNo::MAX;

/// The tree, shared by a Store, its iterators and its thread.
pub(super) struct Core {
    pub(super) wall: Wall,
    pub(super) tree: AnyTree,
    /// Where the tree gets its sequence numbers.
    pub(super) numbers: SequenceNumberCounter,
    pub(super) cache: Arc<Cache>,
    pub(super) compaction: Compaction,
    /// Where the tree is, without what a Store has besides.
    pub(super) tree_path: PathBuf,
    /// Dropped, and so removed, after the tree.
    pub(super) _scratch: Option<Scratch>,
    /// Locked; dropped last.
    pub(super) _lock: File,
}

impl Core {
    /// Calls into lsm-tree.
    pub(super) fn call<T>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&AnyTree) -> std::result::Result<T, Problem>,
    ) -> Result<T> {
        self.wall.call(operation, || call(&self.tree))
    }

    /// Everything before this number is seen by nobody who begins to read now, where there is
    /// something newer.
    pub(super) fn past(&self) -> SeqNo {
        self.numbers.get()
    }

    /// Forgets versions of the tree that nobody can ask for any more. Those who read hold theirs.
    pub(super) fn forget_versions(&self) -> std::result::Result<(), Problem> {
        Ok(self.tree.get_version_history_lock().maintenance(&self.tree_path, self.past())?)
    }
}

impl From<lsm_tree::Error> for Problem {
    fn from(error: lsm_tree::Error) -> Problem {
        let damaged = match &error {
            lsm_tree::Error::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
            ),
            // All others say that something does not stand there as it was written.
            _ => true,
        };
        Problem::Library { reason: error.to_string(), damaged }
    }
}
