//! One measurement: one store, one workload, in a process of its own.

mod reads;
mod reopen;
mod writes;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mainstay_cli::bench::workload::{Figures, Recorder};
use serde::{Deserialize, Serialize};

use crate::machine;
use crate::peer::{self, Kind, Peer, Result};
use crate::result::Measured;
use crate::workload::{Work, Workload};

/// What a process is to measure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) workload: String,
    pub(crate) peer: String,
    pub(crate) directory: PathBuf,
    pub(crate) stage: Stage,
    pub(crate) records: u64,
    pub(crate) seconds: f64,
    pub(crate) memory_bytes: u64,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Fill the directory for what comes.
    Prepare,
    /// Take the figures.
    Measure,
}

/// How much work is done before anything is counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// The windows in which throughput is told.
const WINDOW: Duration = Duration::from_millis(500);

/// A measurement about to be made.
struct Run<'a> {
    order: &'a Order,
    workload: &'static Workload,
    kind: &'static Kind,
}

impl Run<'_> {
    fn directory(&self) -> &Path {
        &self.order.directory
    }

    fn open(&self, durable: bool, outstanding: u64, record_bytes: u64) -> Result<Box<dyn Peer>> {
        let memory = self.workload.memory(self.order.memory_bytes);
        let settings = peer::Settings { durable, memory, outstanding, record_bytes };
        (self.kind.open)(self.directory(), &settings)
    }

    /// Begins soon.
    fn clock(&self) -> Clock {
        let started = Instant::now() + WARM_UP;
        Clock { started, until: started + Duration::from_secs_f64(self.order.seconds) }
    }
}

/// From when to when calls count, in all threads.
#[derive(Copy, Clone, Debug)]
struct Clock {
    started: Instant,
    until: Instant,
}

impl Clock {
    /// Calls `step` until the time is over, and notes each call after the start, with so many
    /// records.
    fn repeat(self, records: u64, mut step: impl FnMut() -> Result<()>) -> Result<Figures> {
        while Instant::now() < self.started {
            step()?;
        }
        let mut recorder = Recorder::new(self.started, WINDOW);
        recorder.begin();
        loop {
            step()?;
            if recorder.record(records) >= self.until {
                return Ok(recorder.finish());
            }
        }
    }
}

/// Carries an order out.
pub(crate) fn carry_out(order: &Order) -> Result<Measured> {
    let workload = Workload::chosen(std::slice::from_ref(&order.workload))?;
    let [workload] = workload[..] else { return Err("not one workload".into()) };
    let run = Run { order, workload, kind: peer::kind(&order.peer)? };
    let (measured, peak) = machine::watched(|| match (workload.work, order.stage) {
        (Work::Durable { writers, batch, value_bytes }, _) => {
            writes::durable(&run, writers, batch, value_bytes)
        }
        (Work::Load { distribution, threads, records }, _) => {
            writes::load(&run, distribution, threads, records.number(order.records))
        }
        (Work::Reopen, Stage::Prepare) => reopen::prepare(&run),
        (Work::Reopen, Stage::Measure) => reopen::measure(&run),
        (_, Stage::Prepare) => reads::prepare(&run),
        (Work::Read { distribution, threads }, Stage::Measure) => {
            reads::points(&run, distribution, threads)
        }
        (Work::Scan, Stage::Measure) => reads::scan(&run),
        (Work::Memtable { threads }, Stage::Measure) => reads::memtable(&run, threads),
        (Work::Mixed { threads }, Stage::Measure) => reads::mixed(&run, threads),
    });
    let mut measured = measured?;
    measured.peak_anonymous_bytes = peak;
    measured.peak_resident_bytes = machine::peak_resident_bytes();
    Ok(measured)
}
