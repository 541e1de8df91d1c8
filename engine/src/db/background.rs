//! The thread that makes checkpoints.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Shared, now};
use crate::engine::{CheckpointStep, Engine};
use crate::error::Result;

/// How much of the first checkpoint is measured.
const FIRST_MEASURED: Duration = Duration::from_millis(200);

/// Wakes the thread, and ends it.
#[derive(Debug, Default)]
pub(super) struct Background {
    signal: Arc<Signal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Signal {
    /// Whether there is something that the thread has not looked at yet. Writes that find it set
    /// need do nothing: the thread looks after it has cleared this.
    raised: AtomicBool,
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            // The thread is either before its look at `raised`, or waits to be notified.
            drop(self.stopped.lock());
            self.changed.notify_one();
        }
    }

    fn stop(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_one();
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }

    /// Sleeps until it is raised. False if the thread must end.
    fn wait(&self) -> bool {
        let mut stopped = self.stopped.lock();
        loop {
            if *stopped {
                return false;
            }
            if self.raised.swap(false, Ordering::AcqRel) {
                return true;
            }
            self.changed.wait(&mut stopped);
        }
    }
}

impl Background {
    /// Wakes the thread if a memtable is frozen.
    pub(super) fn checkpoint_if_needed(&self, engine: &Engine) {
        if engine.options.background && engine.state().frozen_count() > 0 {
            self.signal.raise();
        }
    }

    pub(super) fn stop(&self) {
        self.signal.stop();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that makes checkpoints panicked");
        }
    }
}

/// Starts the thread. It holds the database only while it works: the one who drops the last handle
/// stops it, and waits for it.
#[expect(clippy::disallowed_methods, reason = "the thread beside the engine, which steps it")]
pub(super) fn spawn(shared: &Arc<Shared>) -> Result<()> {
    let (weak, signal) = (Arc::downgrade(shared), shared.background.signal.clone());
    let spawned = std::thread::Builder::new()
        .name("mainstay-checkpoint".to_owned())
        .spawn(move || run(&weak, &signal))
        .map_err(|error| mainstay_wal::Error::io("spawn a thread for", "checkpoints", error))?;
    *shared.background.thread.lock() = Some(spawned);
    Ok(())
}

fn run(weak: &Weak<Shared>, signal: &Signal) {
    while signal.wait() {
        let Some(shared) = weak.upgrade() else { return };
        if !work(&shared, signal) {
            return;
        }
    }
}

/// Makes checkpoints until no memtable is frozen. False if the database failed or was closed.
fn work(shared: &Shared, signal: &Signal) -> bool {
    let mut started = now();
    let mut moved = shared.engine.checkpointed_bytes();
    loop {
        if signal.is_stopped() {
            return false;
        }
        match shared.engine.checkpoint_step() {
            Ok(CheckpointStep::Working) if shared.pressure.is_measured() => {}
            Ok(CheckpointStep::Working) => {
                // Until the first one is complete, its beginning must do.
                let took = now().duration_since(started);
                if took >= FIRST_MEASURED {
                    shared.pressure.measured(shared.engine.moved_bytes() as u64, took);
                }
            }
            Ok(CheckpointStep::Done(_)) => {
                let all = shared.engine.checkpointed_bytes();
                shared.pressure.measured(all - moved, now().duration_since(started));
                shared.pressure.relieve();
                (started, moved) = (now(), all);
            }
            Ok(CheckpointStep::Idle) => return true,
            // Logged where it happened, and every later write gets it.
            Err(_) => {
                shared.pressure.relieve();
                return false;
            }
        }
    }
}
