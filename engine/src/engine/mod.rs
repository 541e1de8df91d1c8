//! The engine: a log, a state and a Store, put together. No thread and no clock: somebody steps it.
//!
//! [`Db`](crate::Db) is this engine with threads around it; a replicated node is this engine with a protocol around
//! it; the simulator steps it.

mod checkpoint;
mod health;
mod open;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use mainstay_wal::disk::Disk;
use mainstay_wal::manifest::Manifest;
use mainstay_wal::{Log, LogStats, Lsn};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::options::Options;
use crate::state::State;
use crate::store::Store;
use crate::subscribe::Shown;
use crate::visibility::Visibility;

pub use checkpoint::CheckpointStep;
pub(crate) use health::Health;
pub(crate) use open::{FIRST_STORE_DIRECTORY, is_store_directory, lock, next_directory};
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
    pub(crate) health: Arc<Health>,
    /// Held while a write is judged, appended and applied.
    pub(crate) append: Mutex<()>,
    /// Whether the cluster decides what is committed. If not, what is durable is.
    replicated: bool,
    visibility: Visibility,
    /// Wakes subscribers.
    pub(crate) shown: Arc<Shown>,
    pub(crate) checkpoint: Mutex<checkpoint::Phase>,
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
        self.health.manifest()
    }

    /// Runs something while the manifest's file is not being written.
    pub(crate) fn with_manifest_at_rest<T>(&self, run: impl FnOnce() -> T) -> T {
        self.health.with_manifest_at_rest(run)
    }

    /// Up to where readers see.
    #[must_use]
    pub fn visible_lsn(&self) -> Lsn {
        self.state.visible_lsn()
    }

    /// Up to where the Store is complete and durable, as the manifest says.
    #[must_use]
    pub fn checkpoint_lsn(&self) -> Lsn {
        self.health.manifest().checkpoint.lsn
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
        self.health.check()
    }

    /// Stops writes for good: the Store cannot take what the log would have to let go.
    pub(crate) fn fail(&self, error: Error) -> Error {
        self.health.fail(error)
    }

    /// Writes the manifest durably.
    pub(crate) fn write_manifest(&self, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        self.health.write_manifest(change)
    }

    /// Makes everything durable and refuses every later write. The manifest keeps up to where the
    /// log goes, so that nothing of it can go missing unnoticed.
    ///
    /// Errors as of [`Log::close`]; what was acknowledged as durable is durable all the same.
    pub fn close(&self) -> Result<()> {
        self.log.close()?;
        self.advance(self.log.durable_lsn());
        self.note_durable()
    }

    /// Up to where records are durable and will not be taken back.
    fn settled_lsn(&self) -> Lsn {
        let durable = self.log.durable_lsn();
        if self.replicated { durable.min(self.log.commit_lsn()) } else { durable }
    }

    /// Notes in the manifest up to where the log goes, if it does not say so already.
    fn note_durable(&self) -> Result<()> {
        let settled = self.settled_lsn();
        if self.manifest().committed >= settled {
            return Ok(());
        }
        self.write_manifest(|manifest| manifest.committed = settled)
    }
}

#[cfg(test)]
mod tests;
