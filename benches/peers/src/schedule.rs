//! Who measures what and when: round by round, all stores in turn, each in a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::arguments::Arguments;
use crate::machine::Machine;
use crate::peer::{Kind, Result};
use crate::result::{self, Measured, Settings};
use crate::run::{Order, Stage};
use crate::workload::{Work, Workload};

/// The argument by which a process knows that it is to measure.
pub(crate) const ORDER: &str = "--order";

/// How a process says that it was killed, as it was asked to.
const KILLED: i32 = 9;

pub(crate) struct Schedule<'a> {
    pub(crate) arguments: &'a Arguments,
    pub(crate) workloads: Vec<&'static Workload>,
    pub(crate) kinds: Vec<&'static Kind>,
    machine: Machine,
    /// What is below the directory and all ours.
    place: PathBuf,
    /// The directories that several rounds read, by store.
    prepared: BTreeMap<&'static str, PathBuf>,
}

impl<'a> Schedule<'a> {
    pub(crate) fn new(
        arguments: &'a Arguments,
        workloads: Vec<&'static Workload>,
        kinds: Vec<&'static Kind>,
    ) -> Result<Schedule<'a>> {
        let place = arguments.directory.join(format!("mainstay-peers-{}", std::process::id()));
        fs::create_dir_all(&place)?;
        let machine = Machine::of(&place);
        let prepared = BTreeMap::new();
        Ok(Schedule { arguments, workloads, kinds, machine, place, prepared })
    }

    /// Measures everything; results are added to those that there are, and to the file, one by one.
    pub(crate) fn run(&mut self, results: &mut Vec<Measured>) -> Result<()> {
        for workload in self.workloads.clone() {
            let earlier = results.iter().filter(|result| result.workload == workload.name);
            let first = earlier.map(|result| result.round + 1).max().unwrap_or(1);
            for round in first..first + self.arguments.rounds {
                let kinds = self.kinds.clone();
                for kind in kinds.into_iter().filter(|kind| workload.suits(kind)) {
                    let measured = self.measured(workload, kind, round);
                    eprintln!("{}", line(&measured));
                    if let Some(file) = &self.arguments.json {
                        result::append(file, &measured)?;
                    }
                    results.push(measured);
                }
            }
        }
        Ok(())
    }

    fn measured(&mut self, workload: &Workload, kind: &'static Kind, round: u64) -> Measured {
        let outcome = self.measure(workload, kind);
        let (measured, failure) = match outcome {
            Ok(measured) => (measured, None),
            Err(error) => (Measured::default(), Some(error.to_string())),
        };
        Measured {
            workload: workload.name.to_owned(),
            peer: kind.name.to_owned(),
            version: kind.version().to_owned(),
            round,
            durability: kind.durability.to_owned(),
            keeps_durable: kind.keeps_durable,
            failure,
            machine: self.machine.clone(),
            settings: Settings {
                records: self.arguments.records_of(workload),
                seconds: self.arguments.seconds,
                memory_bytes: self.arguments.memory_bytes(),
            },
            ..measured
        }
    }

    fn measure(&mut self, workload: &Workload, kind: &'static Kind) -> Result<Measured> {
        let directory = match workload.work {
            Work::Read { .. } | Work::Scan => self.prepared(workload, kind)?,
            _ => self.fresh(workload.name, kind)?,
        };
        if matches!(workload.work, Work::Reopen) {
            self.order(workload, kind, &directory, Stage::Prepare)?;
        }
        let measured = self.order(workload, kind, &directory, Stage::Measure);
        if self.prepared.get(kind.name) != Some(&directory) {
            fs::remove_dir_all(&directory)?;
        }
        measured?.ok_or_else(|| "it was killed".into())
    }

    fn fresh(&self, name: &str, kind: &Kind) -> Result<PathBuf> {
        let directory = self.place.join(format!("{name}-{}", kind.name));
        fs::create_dir(&directory)?;
        Ok(directory)
    }

    /// The store's directory for reads, filled by the first who asks.
    fn prepared(&mut self, workload: &Workload, kind: &'static Kind) -> Result<PathBuf> {
        if let Some(directory) = self.prepared.get(kind.name) {
            return Ok(directory.clone());
        }
        let directory = self.fresh("read", kind)?;
        if let Err(error) = self.order(workload, kind, &directory, Stage::Prepare) {
            fs::remove_dir_all(&directory)?;
            return Err(error);
        }
        self.prepared.insert(kind.name, directory.clone());
        Ok(directory)
    }

    /// Starts a process and waits for what it found; nothing if it was killed as it should be.
    fn order(
        &self,
        workload: &Workload,
        kind: &Kind,
        directory: &Path,
        stage: Stage,
    ) -> Result<Option<Measured>> {
        let order = Order {
            workload: workload.name.to_owned(),
            peer: kind.name.to_owned(),
            directory: directory.to_owned(),
            stage,
            records: self.arguments.records_of(workload),
            seconds: self.arguments.seconds,
            memory_bytes: self.arguments.memory_bytes(),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ORDER).arg(serde_json::to_string(&order)?);
        let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
        if output.status.success() {
            return Ok(Some(serde_json::from_slice(&output.stdout)?));
        }
        let dies = matches!(workload.work, Work::Reopen) && stage == Stage::Prepare;
        if dies && output.status.signal() == Some(KILLED) {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(format!("{}: {last}", output.status).into())
    }
}

impl Drop for Schedule<'_> {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.place) {
            eprintln!("{} is left: {error}", self.place.display());
        }
    }
}

/// What is said as soon as a result is there.
fn line(measured: &Measured) -> String {
    let name = format!("{} {} {}", measured.round, measured.workload, measured.peer);
    match &measured.failure {
        Some(failure) => format!("{name:<36} failed: {failure}"),
        None => format!(
            "{name:<36} {:>12.0}/s  p99 {:>10.0} us  longest {:>10.0} us",
            measured.records_per_second, measured.p99_us, measured.longest_us
        ),
    }
}
