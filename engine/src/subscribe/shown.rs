//! Waking who waits for something more to see.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Wakes subscribers when something more is shown, and costs little when there are none.
///
/// No wake-up is lost: a subscriber counts itself in, then looks; whoever shows something shows it,
/// then looks at the count. The two fences see to it that at least one of them sees the other.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    waiting: AtomicUsize,
    closed: AtomicBool,
    generation: Mutex<u64>,
    changed: Condvar,
}

impl Shown {
    /// Something more is visible or durable, or the log has failed.
    pub(crate) fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            *self.generation.lock() += 1;
            self.changed.notify_all();
        }
    }

    /// Nothing more will be shown.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.notify();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn wait_for(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        Waiting { shown: self }
    }

    pub(super) fn generation(&self) -> u64 {
        *self.generation.lock()
    }

    pub(super) fn wait(&self, seen: u64, timeout: Duration) {
        let mut generation = self.generation.lock();
        self.changed.wait_while_for(&mut generation, |now| *now == seen, timeout);
    }
}

/// Counted in until it is dropped.
pub(super) struct Waiting<'a> {
    shown: &'a Shown,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shown.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
