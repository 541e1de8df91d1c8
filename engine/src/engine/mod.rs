//! The engine: a log, a state and a Store, put together. No thread and no clock: somebody steps it.
//!
//! [`Db`](crate::Db) is this engine with threads around it; a replicated node is this engine with a protocol around
//! it; the simulator steps it.

mod checkpoint;
mod open;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use mainstay_wal::disk::Disk;
use mainstay_wal::manifest::{Manifest, ManifestFile};
use mainstay_wal::{Log, LogStats, Lsn};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::state::State;
use crate::store::Store;
use crate::subscribe::Shown;
use crate::visibility::Visibility;

pub use checkpoint::CheckpointStep;
pub(crate) use open::{
    FIRST_STORE_DIRECTORY, is_store_directory, lock, next_directory, store_kind,
};
pub use open::{Identity, Rebuilt, Recovery};
pub(crate) use write::Refusal;

/// A database without threads of its own.
///
/// Locks, in the order in which they are taken: `checkpoint`, `append`, `manifest`, then those of the state and of
/// the log.
#[derive(Debug)]
pub struct Engine {
    pub(crate) disk: Arc<dyn Disk>,
    /// The directory in the file system, if it is one.
    pub(crate) root: Option<PathBuf>,
    pub(crate) options: Options,
    pub(crate) log: Log,
    pub(crate) state: Arc<State>,
    pub(crate) store: Arc<dyn Store>,
    manifest: Mutex<(ManifestFile, Manifest)>,
    /// Held while a write is judged, appended and applied.
    pub(crate) append: Mutex<()>,
    /// Whether the cluster decides what is committed. If not, what is durable is.
    replicated: bool,
    visibility: Visibility,
    /// Wakes subscribers.
    pub(crate) shown: Arc<Shown>,
    pub(crate) checkpoint: Mutex<checkpoint::Phase>,
    /// The first failure of the Store: no write is accepted after it.
    failure: Mutex<Option<Error>>,
    recovery: Recovery,
    pub(crate) counters: checkpoint::Counters,
}

impl Engine {
    /// What opening the database found and did.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// The log below.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Figures of the log. A node alone commits what is durable.
    pub(crate) fn log_stats(&self) -> LogStats {
        let mut stats = self.log.stats();
        if !self.replicated {
            stats.commit_lsn = stats.durable_lsn;
        }
        stats
    }

    /// The state: memtables over the Store.
    #[must_use]
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// The Store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What the manifest says at present.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        self.manifest.lock().1.clone()
    }

    /// Runs something while the manifest's file is not being written.
    pub(crate) fn with_manifest_at_rest<T>(&self, run: impl FnOnce() -> T) -> T {
        let _manifest = self.manifest.lock();
        run()
    }

    /// Up to where readers see.
    #[must_use]
    pub fn visible_lsn(&self) -> Lsn {
        self.state.visible_lsn()
    }

    /// Up to where the Store is complete and durable, as the manifest says.
    #[must_use]
    pub fn checkpoint_lsn(&self) -> Lsn {
        self.manifest.lock().1.checkpoint.lsn
    }

    /// Notes that the log is durable up to `durable`, and shows what may be seen.
    pub fn advance(&self, durable: Lsn) {
        self.visibility.durable(durable);
        self.show();
    }

    pub(crate) fn show(&self) {
        let applied = self.state.last_applied_lsn();
        let visible = if self.replicated {
            applied.min(self.log.durable_lsn()).min(self.log.commit_lsn())
        } else {
            self.visibility.visible(applied)
        };
        self.state.set_visible(visible);
        self.shown.notify();
    }

    /// The error that stops writes, if one does.
    pub fn check(&self) -> Result<()> {
        match &*self.failure.lock() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Stops writes for good: the Store cannot take what the log would have to let go.
    pub(crate) fn fail(&self, error: Error) -> Error {
        let mut failure = self.failure.lock();
        if failure.is_none() {
            tracing::error!(%error, "the Store failed: no further write will be accepted");
        }
        failure.get_or_insert(error).clone()
    }

    /// Writes the manifest durably.
    pub(crate) fn write_manifest(&self, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        let mut guard = self.manifest.lock();
        let (file, manifest) = &mut *guard;
        let mut next = manifest.clone();
        change(&mut next);
        file.write(&next)?;
        *manifest = next;
        Ok(())
    }
}
