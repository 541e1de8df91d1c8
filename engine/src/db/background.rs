//! The thread that makes checkpoints.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::Inner;
use crate::engine::{CheckpointStep, Engine};
use crate::error::Result;

/// Wakes the thread, and ends it.
#[derive(Debug, Default)]
pub(super) struct Background {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SignalState {
    raised: bool,
    stopped: bool,
}

impl Background {
    /// Wakes the thread if a memtable is frozen.
    pub(super) fn checkpoint_if_needed(&self, engine: &Engine) {
        if engine.options.background && engine.state().frozen_count() > 0 {
            let mut state = self.signal.state.lock();
            if !state.raised {
                state.raised = true;
                self.signal.changed.notify_one();
            }
        }
    }

    pub(super) fn stop(&self) {
        self.signal.state.lock().stopped = true;
        self.signal.changed.notify_one();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that makes checkpoints panicked");
        }
    }
}

/// Starts the thread. It holds the database only while it works, so that dropping the last clone
/// closes it.
#[expect(clippy::disallowed_methods, reason = "the thread beside the engine, which steps it")]
pub(super) fn spawn(inner: &Arc<Inner>) -> Result<()> {
    let (weak, signal) = (Arc::downgrade(inner), inner.background.signal.clone());
    let spawned = std::thread::Builder::new()
        .name("mainstay-checkpoint".to_owned())
        .spawn(move || run(&weak, &signal))
        .map_err(|error| mainstay_wal::Error::io("spawn a thread for", "checkpoints", error))?;
    *inner.background.thread.lock() = Some(spawned);
    Ok(())
}

fn run(weak: &Weak<Inner>, signal: &Signal) {
    loop {
        let mut state = signal.state.lock();
        signal.changed.wait_while(&mut state, |state| !state.raised && !state.stopped);
        state.raised = false;
        if state.stopped {
            return;
        }
        drop(state);
        let Some(inner) = weak.upgrade() else { return };
        if !work(&inner, signal) {
            return;
        }
    }
}

/// Makes checkpoints until no memtable is frozen. False if the database failed or was closed.
fn work(inner: &Inner, signal: &Signal) -> bool {
    let mut started = now();
    let mut frozen = inner.engine.state().frozen_bytes();
    loop {
        if signal.state.lock().stopped {
            return false;
        }
        match inner.engine.checkpoint_step() {
            Ok(CheckpointStep::Working) => {}
            Ok(CheckpointStep::Done(_)) => {
                let left = inner.engine.state().frozen_bytes();
                let freed = frozen.saturating_sub(left) as u64;
                inner.pressure.measured(freed, now().duration_since(started));
                (started, frozen) = (now(), left);
            }
            Ok(CheckpointStep::Idle) => return true,
            // Logged where it happened, and every later write gets it.
            Err(_) => {
                inner.pressure.relieve();
                return false;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "outside of the core: it measures checkpoints")]
fn now() -> Instant {
    Instant::now()
}
