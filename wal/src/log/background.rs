//! The log's thread: it does what nobody waits for.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::append::PrepareStep;
use super::{Log, Shared};
use crate::error::{Error, Result};
use crate::ids::Lsn;

/// How long a record for which nobody waits may stay in memory, and how long the log must be idle
/// before it says so on the disk.
const TICK: Duration = Duration::from_millis(10);

/// How many ticks to let pass before trying again to prepare a segment on a full disk.
const TICKS_BETWEEN_PREPARATIONS: u32 = 100;

/// Wakes the log's thread. The thread holds this and not the log, so that a log that everybody
/// dropped ends.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct SignalState {
    raised: bool,
    stopped: bool,
}

impl Signal {
    pub(super) fn raise(&self) {
        self.state.lock().raised = true;
        self.changed.notify_one();
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    /// Sleeps until it is raised, or a tick has passed where one is asked for. False if the thread
    /// must end.
    fn wait(&self, tick: bool) -> bool {
        let mut state = self.state.lock();
        let sleeping = |state: &mut SignalState| !state.raised && !state.stopped;
        if tick {
            self.changed.wait_while_for(&mut state, sleeping, TICK);
        } else {
            self.changed.wait_while(&mut state, sleeping);
        }
        state.raised = false;
        !state.stopped
    }
}

/// What the thread saw at its last tick, to find out what stood still since.
#[derive(Default)]
struct Seen {
    first_pending: Option<Lsn>,
    durable: Lsn,
    preparation_failed: u32,
}

impl Log {
    /// Starts the thread that writes what nobody waits for. It ends with [`Log::close`], or when
    /// the last clone of the log is dropped. Later calls do nothing.
    #[expect(clippy::disallowed_methods, reason = "the thread beside the core, which steps it")]
    pub fn spawn_thread(&self) -> Result<()> {
        if self.shared.has_thread.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let shared = Arc::downgrade(&self.shared);
        let signal = self.shared.work.clone();
        let spawned = std::thread::Builder::new()
            .name("mainstay-log".to_owned())
            .spawn(move || run(&shared, &signal));
        match spawned {
            Ok(thread) => {
                *self.shared.thread.lock() = Some(thread);
                Ok(())
            }
            Err(error) => Err(Error::io("spawn a thread for", "the log", error)),
        }
    }

    pub(super) fn stop_thread(&self) {
        self.shared.work.stop();
        let thread = self.shared.thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the log's thread panicked");
        }
    }
}

fn run(shared: &Weak<Shared>, signal: &Signal) {
    let mut seen = Seen::default();
    let mut tick = true;
    while signal.wait(tick) {
        let Some(shared) = shared.upgrade() else { return };
        tick = look(&Log { shared }, &mut seen);
    }
}

/// Does what there is to do. True if the thread must look again after a tick.
fn look(log: &Log, seen: &mut Seen) -> bool {
    let mut core = log.shared.commit.lock();
    let first_pending = core.first_pending();
    let stood_still = first_pending.is_some() && first_pending == seen.first_pending;
    let write = core.sync_requested || stood_still;
    let idle = core.is_quiet() && core.durable.lsn == seen.durable;
    let unproven = core.proven_lsn < core.durable.lsn && core.poison.is_none();
    let unprepared = core.prepared.is_none() && core.refusal().is_none();
    seen.first_pending = first_pending;
    seen.durable = core.durable.lsn;
    let active = first_pending.is_some() || unproven || !core.is_quiet() || unprepared;
    core.thread_parked = !active;
    drop(core);
    if write {
        // One group at a time: between them, whoever waits may lead.
        let wrote = log.shared.commit.write_next(&*log.shared);
        // Whoever writes now looks after the rest when it is done.
        if wrote && log.shared.commit.lock().sync_requested {
            log.shared.work.raise();
        }
    } else if idle
        && unproven
        && let Some(proof) = log.begin_proof()
    {
        let outcome = proof.perform();
        log.finish_group(proof, outcome);
        // Who came meanwhile saw a write in flight, and waits for its writer to go on.
        log.shared.commit.write_next(&*log.shared);
    }
    if unprepared && prepare(log, seen) {
        log.shared.work.raise();
    }
    active
}

/// Does a piece of preparing the next segment. True if there is more to do.
fn prepare(log: &Log, seen: &mut Seen) -> bool {
    if seen.preparation_failed > 0 {
        seen.preparation_failed -= 1;
        return false;
    }
    // Somebody who waits for a segment prepares it already.
    let Some(mut preparation) = log.shared.preparing.try_lock() else { return false };
    match log.prepare_step(&mut preparation, 0) {
        Ok(step) => matches!(step, PrepareStep::Working),
        // What fails here is counted in the log's figures, and fails again where it matters: when
        // the present segment is full.
        Err(error) => {
            tracing::warn!(%error, "the next segment of the log could not be prepared");
            seen.preparation_failed = TICKS_BETWEEN_PREPARATIONS;
            false
        }
    }
}
