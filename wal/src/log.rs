//! A log that any number of threads share.

pub(crate) mod append;
mod background;
mod gathering;
mod maintenance;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::commit::{GroupCommit, Pipeline, Writer};
use crate::core::{Core, GroupWrite};
use crate::disk::DiskLock;
use crate::error::{Error, Result};
use crate::history::EpochHistory;
use crate::ids::{Chain, DatabaseId, Epoch, LogId, Lsn};
use crate::prepare::Preparation;
use crate::stats::LogStats;
use gathering::Gathering;

pub use maintenance::{Dropped, Hold};

/// What is called when records become durable, before their waiters wake.
pub type DurableListener = Box<dyn Fn(Lsn) + Send + Sync>;

/// A write-ahead log.
///
/// Works without any thread of its own: whoever waits for a record writes its group, for everybody
/// in it. [`Log::spawn_thread`] adds one that writes what nobody waits for, prepares segments ahead
/// of need, and tells the disk up to where the log is durable when it falls idle. A simulation
/// leaves it out and steps the log itself, with [`Log::begin_group`] and [`Log::finish_group`].
///
/// Cheap to clone: all clones are the same log.
#[derive(Clone)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) commit: GroupCommit<Core>,
    durable: Arc<AtomicU64>,
    work: Arc<background::Signal>,
    pub(crate) progress: Progress,
    listener: OnceLock<DurableListener>,
    gathering: Gathering,
    preparing: Mutex<Option<Preparation>>,
    has_thread: AtomicBool,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Given up only when the last clone is gone.
    _lock: Option<Box<dyn DiskLock>>,
}

/// Wakes readers that follow the end of the log.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    generation: Mutex<u64>,
    changed: Condvar,
}

impl Progress {
    pub(crate) fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    fn advance(&self) {
        *self.generation.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until something became durable or committed since `seen`, at most `timeout`.
    pub(crate) fn wait(&self, seen: u64, timeout: std::time::Duration) {
        let mut generation = self.generation.lock();
        self.changed.wait_while_for(&mut generation, |now| *now == seen, timeout);
    }
}

impl Shared {
    /// The newest durable record, without taking the lock.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// Wakes readers that wait for more.
    fn progress_made(&self) {
        self.progress.advance();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let core = self.shared.commit.lock();
        f.debug_struct("Log").field("end", &core.end).field("durable", &core.durable).finish()
    }
}

impl Writer<Core> for Shared {
    fn patience(&self, missing: u32) -> Option<Duration> {
        self.gathering.patience(missing)
    }

    fn gathered(&self, came: bool) {
        self.gathering.ended(came);
    }

    fn perform(&self, write: &GroupWrite) -> io::Result<()> {
        self.gathering.timed(|| write.perform())
    }

    fn finished(&self) {
        if let Some(listener) = self.listener.get() {
            listener(self.durable_lsn());
        }
        self.progress.advance();
    }

    fn unattended(&self) {
        if self.commit.lock().sync_requested {
            self.work.raise();
        }
    }
}

/// A log that everybody dropped still makes durable what was appended; only [`Log::close`] can tell
/// of errors.
impl Drop for Shared {
    fn drop(&mut self) {
        self.work.stop();
        while self.commit.write_next(&*self) {}
        let proof = self.commit.lock().begin_proof();
        if let Some(proof) = proof {
            let outcome = proof.perform();
            if let Err(error) = &outcome {
                tracing::error!(%error, "the log could not be closed cleanly");
            }
            drop(self.commit.lock().finish(proof, outcome));
        }
    }
}

impl Log {
    pub(crate) fn new(core: Core, lock: Option<Box<dyn DiskLock>>) -> Log {
        let shared = Shared {
            durable: core.durable_published(),
            commit: GroupCommit::new(core),
            work: Arc::default(),
            progress: Progress::default(),
            listener: OnceLock::new(),
            gathering: Gathering::default(),
            preparing: Mutex::new(None),
            has_thread: AtomicBool::new(false),
            thread: Mutex::new(None),
            _lock: lock,
        };
        Log { shared: Arc::new(shared) }
    }

    /// Sets what is called when records become durable. False if it was set before.
    pub fn set_durable_listener(&self, listener: DurableListener) -> bool {
        self.shared.listener.set(listener).is_ok()
    }

    /// The newest record.
    #[must_use]
    pub fn end(&self) -> LogId {
        self.shared.commit.lock().end
    }

    /// The newest record, with the chain over the log up to it.
    #[must_use]
    pub fn end_and_chain(&self) -> (LogId, Chain) {
        let core = self.shared.commit.lock();
        (core.end, core.end_chain)
    }

    /// The oldest record that is still there, or the first that will be.
    #[must_use]
    pub fn first_lsn(&self) -> Lsn {
        self.shared.commit.lock().segments.first_lsn()
    }

    /// The newest durable record.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.durable_lsn()
    }

    /// The newest durable record, with its epoch.
    #[must_use]
    pub fn durable(&self) -> LogId {
        self.shared.commit.lock().durable
    }

    /// The newest record known to be committed.
    #[must_use]
    pub fn commit_lsn(&self) -> Lsn {
        self.shared.commit.lock().commit_lsn
    }

    /// Which database the log belongs to.
    #[must_use]
    pub fn database_id(&self) -> DatabaseId {
        self.shared.commit.lock().database_id
    }

    /// Where each epoch of this log began.
    #[must_use]
    pub fn history(&self) -> EpochHistory {
        self.shared.commit.lock().history.clone()
    }

    /// The epoch that the next record appended here gets.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared.commit.lock().epoch
    }

    /// Records appended from now on bear this epoch.
    ///
    /// Fails with [`Error::StaleEpoch`] if the log has records of a higher one; nothing is changed
    /// then.
    pub fn begin_epoch(&self, epoch: Epoch) -> Result<()> {
        let mut core = self.shared.commit.lock();
        let last = core.end.epoch;
        if epoch < last || epoch == Epoch::ZERO {
            return Err(Error::StaleEpoch { epoch, last });
        }
        core.epoch = epoch;
        Ok(())
    }

    /// Notes up to where the log is committed; it is written along with later groups. Never moves
    /// back.
    pub fn set_commit_lsn(&self, lsn: Lsn) {
        let mut core = self.shared.commit.lock();
        let end = core.end.lsn;
        core.commit_lsn = core.commit_lsn.max(lsn.min(end));
        drop(core);
        self.shared.progress.advance();
    }

    /// Figures, and where the log stands.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let core = self.shared.commit.lock();
        let prepared_bytes = core.prepared.as_ref().map_or(0, |prepared| prepared.size_bytes);
        let segment_bytes: u64 = core.segments.iter().map(|one| one.header.size_bytes).sum();
        LogStats {
            prepared: core.prepared.is_some(),
            segments: core.segments.len() as u64,
            disk_bytes: segment_bytes + prepared_bytes,
            first_lsn: core.segments.first_lsn(),
            end: core.end,
            durable_lsn: core.durable.lsn,
            commit_lsn: core.commit_lsn,
            epoch: core.epoch,
            direct: core.segments.last().is_some_and(|last| last.file.is_direct()),
            poisoned: core.poison.is_some(),
            pending_bytes: core.pending_bytes() as u64,
            ..core.stats.clone()
        }
    }

    /// The error that every later append will get, if the log is poisoned or closed.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        self.shared.commit.lock().refusal()
    }

    /// Takes the next group to be written, for whoever steps the log without threads. None if
    /// nothing waits or a write is in flight already.
    #[must_use]
    pub fn begin_group(&self) -> Option<GroupWrite> {
        self.shared.commit.lock().begin()
    }

    /// Takes an empty group that makes the disk say up to where the log is durable. None if it says
    /// so already, or something waits to be written.
    #[must_use]
    pub fn begin_proof(&self) -> Option<GroupWrite> {
        self.shared.commit.lock().begin_proof()
    }

    /// Gives back what [`Log::begin_group`] or [`Log::begin_proof`] gave, with how its write ended.
    /// An error poisons the log.
    pub fn finish_group(&self, write: GroupWrite, outcome: io::Result<()>) {
        let finished = self.shared.commit.lock().finish(write, outcome);
        self.shared.commit.announce(finished, &*self.shared);
    }

    /// Makes everything appended so far durable.
    ///
    /// Errors as of [`Log::wait_durable`].
    pub fn sync(&self) -> Result<()> {
        let end = self.end();
        self.wait_durable(end.lsn)
    }

    /// Makes everything durable, says so on the disk, and refuses every later append. Idempotent.
    ///
    /// An error means that the log was poisoned before, or is now; what was acknowledged is durable
    /// all the same.
    pub fn close(&self) -> Result<()> {
        let synced = self.sync();
        self.shared.commit.lock().closed = true;
        self.stop_thread();
        // Appended between the sync and the closing: small, and nobody else will write it.
        let synced = synced.and_then(|()| self.sync());
        if let Some(write) = self.begin_proof() {
            let outcome = write.perform();
            self.finish_group(write, outcome);
        }
        match synced {
            Ok(()) => match &self.shared.commit.lock().poison {
                Some(poison) => Err(Error::Poisoned { cause: poison.cause.clone() }),
                None => Ok(()),
            },
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
