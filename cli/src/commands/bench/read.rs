//! `mainstay bench read`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use mainstay::{Db, Durability};

use super::settings::Workload;
use crate::bench::load::{Load, in_threads};
use crate::bench::process::{Usage, space_bytes};
use crate::bench::report::{Figure, Report};
use crate::bench::workload::{Figures, Keys, Pairs, Recorder, Shape, Values};
use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  mainstay bench read                                           random keys, from the Store
  mainstay bench read --distribution zipfian --threads 2
  mainstay bench read --source memtable --limits                beside a BTreeMap behind a lock, in turn
  mainstay bench read --operation scan

First all records are loaded (which is not measured), and a tenth of the time is spent reading to warm caches. A call
is one read; of a scan, 1,000 entries. Every value is compared with what was written.";

/// Arguments of `mainstay bench read`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    workload: Workload,
    /// Where the records are.
    #[arg(long, value_enum, default_value_t)]
    source: Source,
    /// What is done.
    #[arg(long, value_enum, default_value_t)]
    operation: Operation,
    /// Measure a BTreeMap behind a lock with the same content in turn; for `get`.
    #[arg(long)]
    limits: bool,
    /// Rounds [default: 7 with --limits, else 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
}

/// Where the records are that are read.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Source {
    /// In the Store, after a checkpoint.
    #[default]
    Store,
    /// In memory, before any checkpoint; --memory-bytes is raised to what that needs.
    Memtable,
}

/// How records are read.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Operation {
    /// One key at a time.
    #[default]
    Get,
    /// All of them in order, again and again.
    Scan,
}

/// Records of a batch where nothing is measured.
pub(super) const LOADED_BATCH: usize = 100;
/// Entries that are one call of a scan.
const SCANNED: usize = 1000;
/// A memtable takes at most so much a record beside key and value.
const AROUND_BYTES: u64 = 256;
/// A checkpoint begins when one of the memtables, which share a part of the memory, is full.
const MEMORY_PER_MEMTABLE: u64 = 6;

pub(crate) fn run(args: &ReadArgs, output: &mut Output) -> Result<Exit, Failure> {
    if args.limits && args.operation == Operation::Scan {
        return Err(Failure::usage("--limits has nothing to compare a scan with"));
    }
    let mut workload = args.workload.clone();
    if args.source == Source::Memtable {
        let content = &mut workload.content;
        let record = (content.sizes.key_bytes + content.sizes.value_bytes) as u64 + AROUND_BYTES;
        let needed = content.records.saturating_mul(record * MEMORY_PER_MEMTABLE);
        content.memory_bytes = content.memory_bytes.max(needed);
    }
    let scratch = workload.content.place.scratch()?;
    let db = workload.content.open(scratch.path())?;
    workload.content.load_all(&db, LOADED_BATCH)?;
    if args.source == Source::Store {
        db.checkpoint().map_err(database::failure)?;
    }
    let checkpoints = db.stats().map_err(database::failure)?.checkpoints;
    if args.source == Source::Memtable && checkpoints > 0 {
        let message = "the records did not stay in memory; take fewer of them";
        return Err(Failure::Stopped(Exit::No, message.to_owned()));
    }
    let usage = Usage::since_now();
    let (figures, pairs) = measure(args, &workload, &db)?;
    let mut report = Report::new("read");
    workload.note(&mut report);
    report.setting("source", format!("{:?}", args.source).to_lowercase());
    report.setting("operation", format!("{:?}", args.operation).to_lowercase());
    report.throughput(&figures);
    if args.limits {
        report.pairs(&pairs, ["a BTreeMap behind a lock", "ratio to it"]);
    }
    let peak = usage.peak_memory_bytes().map(Figure::Bytes);
    report.figure("peak_memory_bytes", "most memory (resident)", peak);
    let space = space_bytes(scratch.path())
        .map_err(|error| Failure::file("measure the space of", scratch.path(), &error))?;
    report.figure("space_bytes", "space on the disk", Figure::Bytes(space));
    db.close().map_err(database::failure)?;
    workload.content.place.print(&report, output)?;
    Ok(Exit::Done)
}

fn measure(args: &ReadArgs, workload: &Workload, db: &Db) -> Result<(Figures, Pairs), Failure> {
    let load = workload.load(Durability::Buffered);
    let (shape, values) = (&load.shape, &load.shape.values());
    let rounds = args.rounds.unwrap_or(if args.limits { 7 } else { 1 });
    let slice = workload.time() / rounds;
    let map = args.limits.then(|| Mutex::new(map_of(shape, values)));
    let mut keys = load.keys();
    let mut figures = Figures::new(load.window);
    let mut pairs = Pairs::default();
    let reader = Reader { load: &load, values };
    let read = |keys: &mut Vec<Keys>, time: Duration| match args.operation {
        Operation::Get => reader.get_all(keys, time, |key| {
            Ok(db.get(key).map_err(database::failure)?.map(|value| value.to_vec()))
        }),
        Operation::Scan => reader.scan_all(keys, time, db),
    };
    read(&mut keys, workload.time() / 10)?;
    for _ in 0..rounds {
        let reference = match &map {
            None => None,
            Some(map) => Some(reader.get_all(&mut keys, slice, |key| {
                Ok(map.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
            })?),
        };
        let done = read(&mut keys, slice)?;
        if let Some(reference) = reference {
            pairs.add(done.rate(), reference.rate());
        }
        figures.append(&done);
    }
    Ok((figures, pairs))
}

fn map_of(shape: &Shape, values: &Values) -> BTreeMap<Vec<u8>, Vec<u8>> {
    (0..shape.records).map(|number| (shape.key(number), values.of(number).to_vec())).collect()
}

/// Reads, and compares what it finds.
struct Reader<'a> {
    load: &'a Load,
    values: &'a Values,
}

impl Reader<'_> {
    fn get_all(
        &self,
        keys: &mut [Keys],
        time: Duration,
        get: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, Failure> + Sync,
    ) -> Result<Figures, Failure> {
        let (figures, _) = in_threads(keys, |keys, started| {
            let mut recorder = Recorder::new(started, self.load.window);
            let mut key = vec![0; self.load.shape.key_bytes];
            recorder.begin();
            loop {
                let number = keys.next_number();
                self.load.shape.write_key(number, &mut key);
                if get(&key)?.as_deref() != Some(self.values.of(number)) {
                    return Err(wrong(&key));
                }
                if recorder.record(1) >= started + time {
                    return Ok(recorder.finish());
                }
            }
        })?;
        Ok(figures)
    }

    fn scan_all(&self, keys: &mut [Keys], time: Duration, db: &Db) -> Result<Figures, Failure> {
        let (figures, _) = in_threads(keys, |_, started| {
            let mut recorder = Recorder::new(started, self.load.window);
            loop {
                if !self.scan_once(db, &mut recorder, started + time)? {
                    return Ok(recorder.finish());
                }
            }
        })?;
        Ok(figures)
    }

    /// False if the time was up before the end.
    fn scan_once(
        &self,
        db: &Db,
        recorder: &mut Recorder,
        deadline: Instant,
    ) -> Result<bool, Failure> {
        let mut entries = db.iter().map_err(database::failure)?;
        let mut seen = 0;
        loop {
            let before = seen;
            for entry in entries.by_ref().take(SCANNED) {
                let (key, value) = entry.map_err(database::failure)?;
                if value.len() != self.load.shape.value_bytes {
                    return Err(wrong(&key));
                }
                seen += 1;
            }
            let now = recorder.record(seen - before);
            if seen - before < SCANNED as u64 {
                let all = self.load.shape.records;
                let message = format!("a scan found {seen} of {all} records");
                let complete = seen == all;
                return match complete {
                    true => Ok(now < deadline),
                    false => Err(Failure::Stopped(Exit::No, message)),
                };
            }
            if now >= deadline {
                return Ok(false);
            }
        }
    }
}

/// What was read is not what was written.
pub(super) fn wrong(key: &[u8]) -> Failure {
    let message = format!("the value of {} is not what was written", key.escape_ascii());
    Failure::Stopped(Exit::No, message)
}
