//! The hand-off of group commit: who writes the next group, and who waits for it.
//!
//! One write is in flight at a time. A thread that must wait for its record and finds no write in
//! flight becomes the leader: it writes the group that stands ready, for everybody in it. Meanwhile
//! the next group fills. When the leader is done it appoints one of the next group's waiters and
//! wakes its own group with one call. A group for which nobody waits (tickets, buffered writes) is
//! written by the log's thread.

use std::sync::Arc;

use crate::sync::{Event, Mutex, MutexGuard, Wake};

/// What stands behind the hand-off: the queue of groups, as far as it must know it.
pub(crate) trait Pipeline {
    /// A group that is being written, outside of the lock.
    type Write;
    /// How its write ended.
    type Outcome;
    /// What a failed record's waiter gets.
    type Error;

    /// Whether a write is in flight.
    fn is_writing(&self) -> bool;
    /// Takes the next group to be written. None if nothing is ready, or one is in flight.
    fn begin(&mut self) -> Option<Self::Write>;
    /// Notes how the write ended; gives what must be woken and called outside of the lock.
    fn finish(&mut self, write: Self::Write, outcome: Self::Outcome) -> Finished;
    /// The state of a record.
    fn status(&self, record: u64) -> Status<Self::Error>;
    /// The event of the group that will be written next, if one is ready.
    fn next_event(&self) -> Option<Arc<Event>>;
}

/// The state of a record.
pub(crate) enum Status<E> {
    Durable,
    Failed(E),
    /// In a group that is in flight or waits to be written.
    Pending(Arc<Event>),
}

/// What finishing a group leaves to be done outside of the lock, in this order: tell of the durable
/// records, then wake those who waited for them.
#[derive(Default)]
pub(crate) struct Finished {
    pub(crate) failed: bool,
    pub(crate) events: Vec<Arc<Event>>,
    pub(crate) wakers: Vec<std::task::Waker>,
}

/// The two things that a leader does without the lock.
pub(crate) trait Writer<P: Pipeline> {
    /// Writes and syncs a group.
    fn perform(&self, write: &P::Write) -> P::Outcome;
    /// A group was finished; called before its waiters wake.
    fn finished(&self);
    /// A group is ready for which no thread waits.
    fn unattended(&self);
}

/// The lock around the pipeline, and the hand-off.
#[derive(Debug)]
pub(crate) struct GroupCommit<P> {
    pipeline: Mutex<P>,
}

impl<P: Pipeline> GroupCommit<P> {
    pub(crate) fn new(pipeline: P) -> Self {
        GroupCommit { pipeline: Mutex::new(pipeline) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, P> {
        self.pipeline.lock()
    }

    /// Waits until a record is durable, writing groups if nobody else does.
    pub(crate) fn wait(&self, record: u64, writer: &impl Writer<P>) -> Result<(), P::Error> {
        loop {
            let mut pipeline = self.lock();
            match pipeline.status(record) {
                Status::Durable => return Ok(()),
                Status::Failed(error) => return Err(error),
                Status::Pending(event) => {
                    if !pipeline.is_writing()
                        && let Some(write) = pipeline.begin()
                    {
                        drop(pipeline);
                        self.lead(write, writer);
                        continue;
                    }
                    event.register();
                    drop(pipeline);
                    match event.wait() {
                        Wake::Durable => return Ok(()),
                        // Failures are rare and need their cause: look it up under the lock.
                        Wake::Failed | Wake::Lead => {}
                    }
                }
            }
        }
    }

    /// Writes the next group if one is ready and none is in flight. False if there was nothing to
    /// do.
    pub(crate) fn write_next(&self, writer: &impl Writer<P>) -> bool {
        let write = self.lock().begin();
        match write {
            Some(write) => {
                self.lead(write, writer);
                true
            }
            None => false,
        }
    }

    fn lead(&self, write: P::Write, writer: &impl Writer<P>) {
        let outcome = writer.perform(&write);
        let mut pipeline = self.lock();
        let finished = pipeline.finish(write, outcome);
        // Appointed under the lock: whoever registers later finds no write in flight and leads by
        // itself.
        let unattended = pipeline.next_event().is_some_and(|next| !next.appoint_leader());
        drop(pipeline);
        self.announce(finished, writer);
        if unattended {
            writer.unattended();
        }
    }

    /// Tells of a finished group: first the writer, then the waiters.
    pub(crate) fn announce(&self, finished: Finished, writer: &impl Writer<P>) {
        writer.finished();
        for event in finished.events {
            event.finish(finished.failed);
        }
        for waker in finished.wakers {
            waker.wake();
        }
    }
}

#[cfg(all(test, loom))]
mod loom;
