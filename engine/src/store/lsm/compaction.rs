//! The thread that merges runs, so that there are few of them to read and little of what was
//! replaced stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use lsm_tree::AbstractTree;
use lsm_tree::compaction::{CompactionFilter, Factory, ItemAccessor, Leveled, Verdict, filter};
use parking_lot::{Condvar, Mutex};

use super::KIND;
use super::core::{Core, Problem};
use crate::error::{Error, Result};
use crate::store::failed;

/// How many runs there may be on top of the levels before those who write wait.
const MAX_RUNS: usize = 16;

/// What the thread and those who write know of each other.
#[derive(Default)]
pub(super) struct Compaction {
    state: Mutex<State>,
    changed: Condvar,
    /// Seen by a merge within a few entries.
    pub(super) stopped: Arc<AtomicBool>,
}

/// # Invariants
///
/// - While `raised` there may be something to merge that the thread has not looked at; while
///   `working`, it merges.
/// - Once `error` is there, nothing is written any more, and the thread has ended.
#[derive(Default)]
struct State {
    raised: bool,
    working: bool,
    error: Option<Error>,
}

impl Compaction {
    /// Wakes the thread: there are new runs.
    pub(super) fn raise(&self) {
        self.state.lock().raised = true;
        self.changed.notify_all();
    }

    /// Waits while there are too many runs and the thread makes them fewer.
    pub(super) fn wait(&self, core: &Core) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if let Some(error) = &state.error {
                return Err(error.clone());
            }
            let runs = core.call("count its runs", |tree| Ok(tree.l0_run_count()))?;
            if runs < MAX_RUNS || !state.is_busy() {
                return Ok(());
            }
            self.changed.wait(&mut state);
        }
    }

    /// Ends the thread, which gives up what it is doing.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // Taken so that the thread cannot miss the call between looking and waiting.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Whether the thread works or is about to.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.state.lock().is_busy()
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }
}

impl State {
    fn is_busy(&self) -> bool {
        self.error.is_none() && (self.raised || self.working)
    }
}

/// Starts the thread of a Store.
#[expect(clippy::disallowed_methods, reason = "merging takes seconds; nobody must wait for it")]
pub(super) fn spawn(core: &Arc<Core>) -> Result<JoinHandle<()>> {
    let core = core.clone();
    std::thread::Builder::new()
        .name("mainstay-lsm".to_owned())
        .spawn(move || run(&core))
        .map_err(|error| failed(KIND, "start its thread", error))
}

fn run(core: &Core) {
    let compaction = &core.compaction;
    loop {
        let mut state = compaction.state.lock();
        compaction
            .changed
            .wait_while(&mut state, |state| !state.raised && !compaction.is_stopped());
        if compaction.is_stopped() {
            return;
        }
        (state.raised, state.working) = (false, true);
        drop(state);
        let merged = merge(core);
        let mut state = compaction.state.lock();
        state.working = false;
        match merged {
            // There may be more.
            Ok(true) => state.raised = true,
            Ok(false) => {}
            // A merge that was given up ends with an error too.
            Err(_) if compaction.is_stopped() => return,
            Err(error) => {
                tracing::error!(%error, "the lsm Store cannot merge its runs; it is only read now");
                state.error = Some(error);
                compaction.changed.notify_all();
                return;
            }
        }
        drop(state);
        compaction.changed.notify_all();
    }
}

/// Does the most urgent merge. False if there was nothing to do.
pub(super) fn merge(core: &Core) -> Result<bool> {
    core.call("merge its runs", |tree| {
        let before = tree.current_version().id();
        tree.compact(Arc::new(Leveled::default()), core.past())?;
        Ok::<_, Problem>(tree.current_version().id() != before)
    })
}

/// Looks at every entry of a merge, so as to end it when the Store is closed.
pub(super) struct Brake(pub(super) Arc<AtomicBool>);

impl Factory for Brake {
    fn name(&self) -> &str {
        "brake"
    }

    fn make_filter(&self, _: &filter::Context) -> Box<dyn CompactionFilter> {
        Box::new(Brake(self.0.clone()))
    }
}

impl CompactionFilter for Brake {
    fn filter_item(
        &mut self,
        _: ItemAccessor<'_>,
        _: &filter::Context,
    ) -> lsm_tree::Result<Verdict> {
        if self.0.load(Ordering::Relaxed) {
            return Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into());
        }
        Ok(Verdict::Keep)
    }
}
