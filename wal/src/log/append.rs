//! Appending, and waiting for what was appended.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Log;
use crate::commit::{Pipeline, Status};
use crate::core::{AppendError, Core};
use crate::error::{Cause, Error, Result};
use crate::frame::payload_checksum;
use crate::ids::{LogId, Lsn};
use crate::prepare::Preparation;
use crate::sync::MutexGuard;

impl Log {
    /// Appends a record and gives its LSN. It is durable once [`Log::wait_durable`] of that LSN has
    /// returned.
    ///
    /// Waits where too much is pending, or where the next segment has to be prepared first. On an
    /// error nothing was appended: [`Error::TooLarge`], [`Error::NoSpace`] (try again when
    /// there is space), [`Error::Poisoned`] and [`Error::Closed`] (reopen).
    pub fn append(&self, payload: &[u8]) -> Result<Lsn> {
        // The checksum is the costly part: computed before the lock is taken.
        let payload_crc = payload_checksum(payload);
        loop {
            let mut core = self.shared.commit.lock();
            match core.append(payload, payload_crc) {
                Ok(lsn) => {
                    self.after_append(core);
                    return Ok(lsn);
                }
                Err(error) => self.overcome(core, error)?,
            }
        }
    }

    /// Appends another log's frames as they are, behind `previous`, which must be the end of this
    /// log.
    ///
    /// Everything is checked first: [`Error::NotContiguous`] and [`Error::BadFrames`] mean that
    /// nothing was appended. [`Error::NoSpace`] and [`Error::Poisoned`] can come after a part
    /// of the frames was appended: [`Log::end`] tells.
    pub fn append_frames(&self, previous: LogId, frames: &[u8]) -> Result<LogId> {
        let (mut previous, mut rest) = (previous, frames);
        loop {
            let mut core = self.shared.commit.lock();
            match core.append_frames(previous, rest) {
                Ok(appended) => {
                    rest = &rest[appended..];
                    previous = core.end;
                    let end = core.end;
                    self.after_append(core);
                    if rest.is_empty() {
                        return Ok(end);
                    }
                }
                Err(error) => self.overcome(core, error)?,
            }
        }
    }

    /// Waits until a record is durable. Writes its group itself if nobody else does. An LSN beyond
    /// the end stands for the end.
    ///
    /// [`Error::Indeterminate`]: the write of its group failed. [`Error::Poisoned`]: an earlier one did, and
    /// the record was never written.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        if lsn <= self.shared.durable_lsn() {
            return Ok(());
        }
        self.shared.commit.wait(lsn.0, &*self.shared)
    }

    /// A ticket for a record that was appended.
    pub fn ticket(&self, lsn: Lsn) -> Ticket {
        Ticket { log: self.clone(), lsn }
    }

    /// Asks the log's thread to make what was appended durable; does not wait.
    pub fn request_sync(&self) {
        let mut core = self.shared.commit.lock();
        if core.has_pending() && !core.sync_requested {
            core.sync_requested = true;
            if !core.is_writing() {
                self.shared.work.raise();
            }
        }
    }

    /// Wakes the log's thread where it must take notice of an append.
    fn after_append(&self, mut core: MutexGuard<'_, Core>) {
        let much = core.pending_bytes() >= core.options.max_group_bytes / 2;
        let notify = core.thread_parked || (much && !core.sync_requested && !core.is_writing());
        core.sync_requested |= much;
        core.thread_parked = false;
        drop(core);
        if notify {
            self.shared.work.raise();
        }
    }

    /// Does what an append needs before it can be tried again.
    fn overcome(&self, core: MutexGuard<'_, Core>, error: AppendError) -> Result<()> {
        drop(core);
        match error {
            AppendError::Refused(error) => Err(error),
            AppendError::Full { wait_for } => self.wait_durable(wait_for),
            AppendError::SegmentNeeded { bytes } => {
                self.shared.commit.lock().stats.rotations_waited += 1;
                self.prepare_segment(bytes).map(|_prepared| ())
            }
        }
    }

    /// Prepares the next segment if none stands ready. True if one was prepared.
    ///
    /// [`Error::NoSpace`]: the disk is full; nothing is lost, and the log goes on until the present segment is full.
    /// Any other failure poisons the log.
    pub fn prepare_segment(&self, at_least_bytes: u64) -> Result<bool> {
        // Who comes second goes on with what the first one has begun, or finds its segment.
        let mut preparation = self.shared.preparing.lock();
        loop {
            match self.prepare_step(&mut preparation, at_least_bytes)? {
                PrepareStep::Working => {}
                PrepareStep::Done => return Ok(true),
                PrepareStep::Idle => return Ok(false),
            }
        }
    }

    /// Does one piece of what [`Log::prepare_segment`] does.
    pub(super) fn prepare_step(
        &self,
        preparation: &mut Option<Preparation>,
        at_least_bytes: u64,
    ) -> Result<PrepareStep> {
        let mut core = self.shared.commit.lock();
        if let Some(error) = core.refusal() {
            return Err(error);
        }
        // One that was begun and is too small is finished all the same, and replaced then.
        if preparation.is_none() {
            *preparation = core.preparation(at_least_bytes);
        }
        drop(core);
        let Some(begun) = preparation else { return Ok(PrepareStep::Idle) };
        let size_bytes = begun.size_bytes();
        let stepped = begun.step();
        match stepped {
            Ok(None) => Ok(PrepareStep::Working),
            Ok(Some(prepared)) => {
                *preparation = None;
                let replaced = self.shared.commit.lock().accept(prepared);
                if let Some(replaced) = replaced {
                    self.remove_segment(replaced.number)?;
                }
                let enough = size_bytes >= at_least_bytes;
                Ok(if enough { PrepareStep::Done } else { PrepareStep::Working })
            }
            Err(error) => {
                *preparation = None;
                let mut core = self.shared.commit.lock();
                core.stats.preparations_failed += 1;
                if error.kind() == std::io::ErrorKind::StorageFull {
                    tracing::warn!("no space to prepare the next segment of the log");
                    return Err(Error::NoSpace { needed_bytes: size_bytes });
                }
                let cause = Cause { operation: "prepare a segment", source: error.into() };
                let stopped = core.stop(cause.clone());
                drop(core);
                self.shared.commit.announce(stopped, &*self.shared);
                Err(Error::Poisoned { cause })
            }
        }
    }
}

/// What a piece of preparing a segment has brought.
pub(super) enum PrepareStep {
    /// One stands ready: there was nothing to do.
    Idle,
    Working,
    Done,
}

/// The promise that a record will be durable: to be waited for, asked, or awaited.
///
/// Dropping it changes nothing: the record becomes durable all the same.
#[derive(Clone, Debug)]
#[must_use = "a record is durable only once its ticket says so"]
pub struct Ticket {
    log: Log,
    lsn: Lsn,
}

impl Ticket {
    /// The record's number.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Waits until the record is durable. Errors as of [`Log::wait_durable`].
    pub fn wait(&self) -> Result<()> {
        self.log.wait_durable(self.lsn)
    }

    /// Whether the outcome is known: durable or failed. Does not wait.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lsn <= self.log.shared.durable_lsn()
            || !matches!(self.log.shared.commit.lock().status(self.lsn.0), Status::Pending(_))
    }
}

/// Needs the log's thread ([`Log::spawn_thread`]), or somebody who steps the log.
impl Future for Ticket {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut core = self.log.shared.commit.lock();
        match core.status(self.lsn.0) {
            Status::Durable => Poll::Ready(Ok(())),
            Status::Failed(error) => Poll::Ready(Err(error)),
            Status::Pending(_) => {
                assert!(core.wake_later(self.lsn, context.waker()), "LSN {} is pending", self.lsn);
                drop(core);
                self.log.request_sync();
                Poll::Pending
            }
        }
    }
}
