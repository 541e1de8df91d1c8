//! Measuring how soon a store is back after its process was killed.

use std::time::Instant;

use mainstay_cli::bench::workload::{Figures, Recorder, Shape};

use super::writes::{finish, in_threads};
use super::{Run, WINDOW};
use crate::machine;
use crate::peer::Result;
use crate::result::Measured;

/// How many records are looked for after opening.
const LOOKED_FOR: u64 = 1000;

/// Writes, syncs, and dies in the middle of everything: this never returns on success.
pub(super) fn prepare(run: &Run<'_>) -> Result<Measured> {
    let shape = Shape::new(run.order.records);
    let peer = run.open(false, 1, shape.user_bytes(1))?;
    in_threads(1, |_| {
        let (mut keys, values) = (shape.keys(0, 1), shape.values());
        while let Some(number) = keys.next_to_load() {
            peer.insert(&shape.key(number), values.of(number))?;
        }
        Ok(Figures::new(WINDOW))
    })?;
    peer.sync()?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
    Err("it outlived SIGKILL".into())
}

/// Opens, and looks whether the records are there.
pub(super) fn measure(run: &Run<'_>) -> Result<Measured> {
    let shape = Shape::new(run.order.records);
    let started = Instant::now();
    let mut recorder = Recorder::new(started, WINDOW);
    let peer = run.open(false, 1, shape.user_bytes(1))?;
    recorder.record(shape.records);
    let open_seconds = started.elapsed().as_secs_f64();
    let step = (shape.records / LOOKED_FOR).max(1);
    for number in (0..shape.records).step_by(usize::try_from(step)?) {
        if peer.get(&shape.key(number))?.is_none() {
            return Err(format!("record {number} was synced and is lost").into());
        }
    }
    let mut measured = finish(run, &shape, &recorder.finish(), machine::written_bytes())?;
    measured.open_seconds = Some(open_seconds);
    Ok(measured)
}
