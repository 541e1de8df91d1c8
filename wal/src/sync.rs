//! Locks, atomics and the event of a group: the real ones, or those of the model checker `loom`.

use std::time::Duration;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(not(loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom_mutex::{Mutex, MutexGuard};

#[cfg(loom)]
mod loom_mutex {
    pub(crate) use loom::sync::MutexGuard;

    /// The face of parking_lot's mutex over that of loom.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            match self.0.lock() {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            }
        }
    }
}

/// What a waiter learns from its [`Event`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The group is durable.
    Durable,
    /// The group failed; its cause stands in the pipeline.
    Failed,
    /// The disk is free and this waiter shall write the next group.
    Lead,
    /// Nothing that the event tells: look again.
    Waited,
}

const WAITING: u32 = 0;
const LEAD: u32 = 1;
const DURABLE: u32 = 2;
const FAILED: u32 = 3;

/// One event a group, on which any number of threads wait and which one call finishes.
///
/// Waiters sleep on the state word itself (a futex), so finishing is one system call whatever their
/// number, and nobody takes a mutex again after waking.
#[derive(Debug)]
pub(crate) struct Event {
    state: AtomicU32,
    waiters: AtomicU32,
    /// 1 once nothing more will be added to the group.
    closed: AtomicU32,
    sleep: Sleep,
}

impl Event {
    pub(crate) fn new() -> Event {
        Event {
            state: AtomicU32::new(WAITING),
            waiters: AtomicU32::new(0),
            closed: AtomicU32::new(0),
            sleep: Sleep::new(),
        }
    }

    /// Announces a waiter. Called under the lock under which leaders are appointed, so that a
    /// leader that looks for somebody to follow it sees everybody who will wait.
    pub(crate) fn register(&self) {
        self.waiters.fetch_add(1, Ordering::Relaxed);
    }

    /// How many wait, or are about to.
    pub(crate) fn waiters(&self) -> u32 {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Notes that the group is full: nobody who comes later will wait for it.
    pub(crate) fn close(&self) {
        self.closed.store(1, Ordering::Relaxed);
    }

    /// Whether the group is full.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed) == 1
    }

    /// Sleeps until the group is finished or this waiter must lead. Takes back the registration.
    pub(crate) fn wait(&self) -> Wake {
        let wake = loop {
            if let Some(wake) = self.look() {
                break wake;
            }
            self.sleep.wait(&self.state, WAITING, None);
        };
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        wake
    }

    /// As [`Event::wait`] for the one who gathers waiters, and so for a time only: then it says
    /// [`Wake::Waited`]. It is not appointed, since it leads in any case.
    pub(crate) fn wait_for(&self, longest: Duration) -> Wake {
        // Returns at once if the state is another one already.
        self.sleep.wait(&self.state, WAITING, Some(longest));
        let mut wake = self.look();
        if wake == Some(Wake::Lead) {
            self.sleep.wait(&self.state, WAITING, Some(longest));
            wake = self.look().filter(|wake| *wake != Wake::Lead);
        }
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        wake.unwrap_or(Wake::Waited)
    }

    /// What the state says to a waiter, who takes the lead if it is offered.
    fn look(&self) -> Option<Wake> {
        loop {
            match self.state.load(Ordering::Acquire) {
                DURABLE => return Some(Wake::Durable),
                FAILED => return Some(Wake::Failed),
                LEAD => {
                    let taken = self.state.compare_exchange(
                        LEAD,
                        WAITING,
                        Ordering::AcqRel,
                        Ordering::Acquire,
                    );
                    if taken.is_ok() {
                        return Some(Wake::Lead);
                    }
                }
                _ => return None,
            }
        }
    }

    /// Makes one of the waiters the leader. False if nobody waits.
    pub(crate) fn appoint_leader(&self) -> bool {
        if self.waiters.load(Ordering::Relaxed) == 0 {
            return false;
        }
        // A group that is finished meanwhile stays finished: its waiters have nothing left to lead
        // for.
        let appointed =
            self.state.compare_exchange(WAITING, LEAD, Ordering::AcqRel, Ordering::Acquire);
        if appointed.is_ok() {
            self.sleep.wake_one(&self.state);
        }
        true
    }

    /// Wakes all waiters, for good.
    pub(crate) fn finish(&self, failed: bool) {
        self.state.store(if failed { FAILED } else { DURABLE }, Ordering::Release);
        self.sleep.wake_all(&self.state);
    }
}

#[cfg(all(target_os = "linux", not(loom)))]
mod sleeping {
    use std::time::Duration;

    use rustix::thread::futex;

    use super::AtomicU32;

    /// Sleeps in the kernel on the state word.
    #[derive(Debug)]
    pub(crate) struct Sleep;

    impl Sleep {
        pub(crate) fn new() -> Sleep {
            Sleep
        }

        pub(crate) fn wait(&self, state: &AtomicU32, seen: u32, longest: Option<Duration>) {
            let longest = longest.and_then(|longest| futex::Timespec::try_from(longest).ok());
            // Errors mean that the word changed meanwhile, a signal came or the time is over: the
            // caller looks again in any case.
            let _looked_at_again =
                futex::wait(state, futex::Flags::PRIVATE, seen, longest.as_ref());
        }

        pub(crate) fn wake_one(&self, state: &AtomicU32) {
            let _woken = futex::wake(state, futex::Flags::PRIVATE, 1);
        }

        pub(crate) fn wake_all(&self, state: &AtomicU32) {
            let _woken = futex::wake(state, futex::Flags::PRIVATE, i32::MAX as u32);
        }
    }
}

#[cfg(any(not(target_os = "linux"), loom))]
mod sleeping {
    #[cfg(loom)]
    use loom::sync::{Condvar, Mutex};
    #[cfg(not(loom))]
    use std::sync::{Condvar, Mutex};

    use std::time::Duration;

    use super::{AtomicU32, Ordering};

    /// Sleeps on a condition variable, where there is no futex.
    #[derive(Debug)]
    pub(crate) struct Sleep {
        lock: Mutex<()>,
        changed: Condvar,
    }

    impl Sleep {
        pub(crate) fn new() -> Sleep {
            Sleep { lock: Mutex::new(()), changed: Condvar::new() }
        }

        pub(crate) fn wait(&self, state: &AtomicU32, seen: u32, longest: Option<Duration>) {
            let Ok(guard) = self.lock.lock() else { return };
            // The state is read under the lock that the waker takes, so a change is never slept
            // through.
            if state.load(Ordering::Acquire) != seen {
                return;
            }
            match longest {
                None => drop(self.changed.wait(guard)),
                // The model checker has no time: it is over at once, or what is raced against it
                // comes first.
                #[cfg(loom)]
                Some(_) => drop(guard),
                #[cfg(not(loom))]
                Some(longest) => drop(self.changed.wait_timeout(guard, longest)),
            }
        }

        pub(crate) fn wake_one(&self, _state: &AtomicU32) {
            drop(self.lock.lock());
            self.changed.notify_one();
        }

        pub(crate) fn wake_all(&self, _state: &AtomicU32) {
            drop(self.lock.lock());
            self.changed.notify_all();
        }
    }
}

use sleeping::Sleep;
