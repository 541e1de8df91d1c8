//! The hand-off of group commit: who writes the next group, and who waits for it.
//!
//! One write is in flight at a time. A thread that must wait for its record and finds no write in
//! flight becomes the leader: it writes the group that stands ready, for everybody in it. Meanwhile
//! the next group fills. When the leader is done it appoints one of the next group's waiters and
//! wakes its own group with one call. A group for which nobody waits (tickets, buffered writes) is
//! written by the log's thread.
//!
//! Those who were just woken mostly come back at once with their next record. A leader that would
//! not wait for them would carry half of the writers only, in each of two groups that take turns.
//! So the first who finds no write in flight *gathers*: it sleeps until as many wait for the next
//! group as are known to be about, and the one who completes their number writes it, without any
//! wake-up in between. If they do not come in time, the one who gathers wakes up and writes
//! ([`Writer::patience`]). One writer alone never waits for anybody.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{AtomicU32, Event, Mutex, MutexGuard, Ordering, Wake};

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

/// What a leader does without the lock.
pub(crate) trait Writer<P: Pipeline> {
    /// How long to wait for so many threads that may come; none if it is not worth it.
    fn patience(&self, missing: u32) -> Option<Duration>;
    /// How a wait for others ended: they came in time, or not.
    fn gathered(&self, came: bool);
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
    /// How many threads may come to wait for the next group, those included that wait already. Zero
    /// once somebody has begun to gather or to write. Changed under the lock, as the two below.
    expected: AtomicU32,
    /// With how many waiters the next group is complete; zero if nobody gathers.
    target: AtomicU32,
    /// Tells who gathers now from who has slept through it.
    gathering: AtomicU32,
}

/// Who a thread is that would write.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Role {
    /// It waits for a record, and will come back with another one.
    Waiter,
    /// The log's thread, or whoever closes the log.
    Attendant,
}

impl Role {
    /// How many more come if this one is among those who wait: it was not expected.
    fn extra(self) -> u32 {
        u32::from(self == Role::Attendant)
    }
}

impl<P: Pipeline> GroupCommit<P> {
    pub(crate) fn new(pipeline: P) -> Self {
        GroupCommit {
            pipeline: Mutex::new(pipeline),
            expected: AtomicU32::new(0),
            target: AtomicU32::new(0),
            gathering: AtomicU32::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, P> {
        self.pipeline.lock()
    }

    /// Waits until a record is durable, writing groups if nobody else does.
    pub(crate) fn wait(&self, record: u64, writer: &impl Writer<P>) -> Result<(), P::Error> {
        loop {
            let pipeline = self.lock();
            match pipeline.status(record) {
                Status::Durable => return Ok(()),
                Status::Failed(error) => return Err(error),
                Status::Pending(event) => {
                    if self.take_part(pipeline, &event, Role::Waiter, writer) == Wake::Durable {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Writes the next group if one is ready and nobody else does or is about to. False if there
    /// was nothing to do.
    pub(crate) fn write_next(&self, writer: &impl Writer<P>) -> bool {
        let pipeline = self.lock();
        let Some(next) = pipeline.next_event() else { return false };
        if pipeline.is_writing() || self.target.load(Ordering::Relaxed) > 0 {
            return false;
        }
        self.take_part(pipeline, &next, Role::Attendant, writer);
        true
    }

    /// Writes the next group if it is complete or nobody else would, and else sleeps until the
    /// thread's own group is finished or there may be something to do.
    fn take_part(
        &self,
        pipeline: MutexGuard<'_, P>,
        event: &Event,
        role: Role,
        writer: &impl Writer<P>,
    ) -> Wake {
        if pipeline.is_writing() {
            event.register();
            drop(pipeline);
            // Failures are rare and need their cause: the caller looks it up under the lock.
            return event.wait();
        }
        let target = self.target.load(Ordering::Relaxed);
        let (wanted, gathers) = match target {
            0 => (self.expected.swap(0, Ordering::Relaxed) + role.extra(), true),
            target => (target, false),
        };
        // Full, or somebody stops the log: there is nobody to wait for.
        let next = pipeline.next_event().filter(|next| !next.is_closed());
        let missing = next.map_or(0, |next| wanted.saturating_sub(next.waiters() + 1));
        if missing == 0 {
            if !gathers {
                self.target.store(0, Ordering::Relaxed);
                writer.gathered(true);
            }
            return self.begin_and_lead(pipeline, role, writer);
        }
        if !gathers {
            event.register();
            drop(pipeline);
            return event.wait();
        }
        let Some(patience) = writer.patience(missing) else {
            return self.begin_and_lead(pipeline, role, writer);
        };
        self.target.store(wanted, Ordering::Relaxed);
        let mine = self.gathering.fetch_add(1, Ordering::Relaxed) + 1;
        event.register();
        drop(pipeline);
        let wake = event.wait_for(patience);
        let pipeline = self.lock();
        let gathers = self.gathering.load(Ordering::Relaxed) == mine
            && self.target.load(Ordering::Relaxed) > 0;
        if !gathers {
            return wake; // Somebody completed the group, and writes it or has written it.
        }
        self.target.store(0, Ordering::Relaxed);
        writer.gathered(false);
        self.begin_and_lead(pipeline, role, writer)
    }

    fn begin_and_lead(
        &self,
        mut pipeline: MutexGuard<'_, P>,
        role: Role,
        writer: &impl Writer<P>,
    ) -> Wake {
        // None if the log was stopped meanwhile, or somebody who steps it took the group.
        if let Some(write) = pipeline.begin() {
            drop(pipeline);
            self.lead(write, role, writer);
        }
        Wake::Waited
    }

    fn lead(&self, write: P::Write, role: Role, writer: &impl Writer<P>) {
        let outcome = writer.perform(&write);
        let mut pipeline = self.lock();
        let finished = pipeline.finish(write, outcome);
        let next = pipeline.next_event();
        let woken: u32 = finished.events.iter().map(|event| event.waiters()).sum();
        let waiting = next.as_ref().map_or(0, |next| next.waiters());
        let leader = u32::from(role == Role::Waiter);
        self.expected.store(woken + waiting + leader, Ordering::Relaxed);
        // Appointed under the lock: whoever registers later finds no write in flight and leads by
        // itself.
        let unattended = next.is_some_and(|next| !next.appoint_leader());
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
