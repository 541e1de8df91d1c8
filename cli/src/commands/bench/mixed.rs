//! `mainstay bench mixed`.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use mainstay::{Db, Durability, Stats};

use super::read::{LOADED_BATCH, wrong};
use super::settings::{Acknowledged, Workload};
use super::write::{Costs, note_costs};
use crate::bench::load::{Load, in_threads};
use crate::bench::process::Usage;
use crate::bench::report::{Figure, Report};
use crate::bench::workload::{Figures, Keys, Recorder, Values};
use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  mainstay bench mixed --distribution zipfian --durability buffered --threads 2
  mainstay bench mixed --read-share 0.95 --durability sync --threads 16

First all records are loaded and a checkpoint is made, which is not measured. Then each thread reads or overwrites one
key after another. What is read is compared with what was written.";

/// Arguments of `mainstay bench mixed`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MixedArgs {
    #[command(flatten)]
    workload: Workload,
    /// What an acknowledgement means.
    #[arg(long, value_enum, default_value_t)]
    durability: Acknowledged,
    /// Share of the calls that read; the others overwrite.
    #[arg(long, default_value_t = 0.5, value_name = "R", value_parser = share)]
    read_share: f64,
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("must lie in 0 to 1".to_owned()) }
}

pub(crate) fn run(args: &MixedArgs, output: &mut Output) -> Result<Exit, Failure> {
    let workload = &args.workload;
    let load = workload.load(args.durability.durability());
    let scratch = workload.content.place.scratch()?;
    let db = workload.content.open(scratch.path())?;
    workload.content.load_all(&db, LOADED_BATCH)?;
    db.checkpoint().map_err(database::failure)?;
    let usage = Usage::since_now();
    let before = db.stats().map_err(database::failure)?;
    let mix = Mix {
        load: &load,
        db: &db,
        values: load.shape.values(),
        read_share: args.read_share,
        reads: Mutex::new(Figures::new(load.window)),
        writes: Mutex::new(Figures::new(load.window)),
    };
    let (figures, reads, writes) = mix.run(workload)?;
    let after: Stats = db.stats().map_err(database::failure)?;
    let mut report = Report::new("mixed");
    workload.note(&mut report);
    report.setting("durability", args.durability.name());
    report.setting("read_share", args.read_share);
    report.throughput(&figures);
    for (names, words, part) in [
        (["reads", "read_p50_us", "read_p99_us", "read_max_us"], READS, &reads),
        (["writes", "write_p50_us", "write_p99_us", "write_max_us"], WRITES, &writes),
    ] {
        report.figure(names[0], words[0], Figure::Count(part.operations()));
        report.figure(names[1], words[1], Figure::Time(part.latency(0.5)));
        report.figure(names[2], words[2], Figure::Time(part.latency(0.99)));
        report.figure(names[3], words[3], Figure::Time(part.longest()));
    }
    let costs = Costs { usage, limit_bytes: 0, before, after, written: writes.records() };
    note_costs(&costs, &load, scratch.path(), &mut report)?;
    db.close().map_err(database::failure)?;
    workload.content.place.print(&report, output)?;
    Ok(Exit::Done)
}

const READS: [&str; 4] = ["reads", "  p50", "  p99", "  longest"];
const WRITES: [&str; 4] = ["writes", "  p50", "  p99", "  longest"];

struct Mix<'a> {
    load: &'a Load,
    db: &'a Db,
    values: Values,
    read_share: f64,
    reads: Mutex<Figures>,
    writes: Mutex<Figures>,
}

impl Mix<'_> {
    /// The figures of all calls, of the reads and of the writes.
    fn run(self, workload: &Workload) -> Result<(Figures, Figures, Figures), Failure> {
        let time = workload.time();
        let work = |keys: &mut Keys, started: Instant| self.work(keys, started, started + time);
        let (mut figures, started) = in_threads(&mut self.load.keys(), work)?;
        if self.load.durability == Durability::Buffered {
            self.db.sync().map_err(database::failure)?;
            figures.extend_to(started.elapsed());
        }
        let inner =
            |part: Mutex<Figures>| part.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((figures, inner(self.reads), inner(self.writes)))
    }

    fn work(
        &self,
        keys: &mut Keys,
        started: Instant,
        deadline: Instant,
    ) -> Result<Figures, Failure> {
        let recorder = || Recorder::new(started, self.load.window);
        let (mut all, mut reads, mut writes) = (recorder(), recorder(), recorder());
        let mut key = vec![0; self.load.shape.key_bytes];
        let mut began = Instant::now();
        all.begin();
        while began < deadline {
            let number = keys.next_number();
            self.load.shape.write_key(number, &mut key);
            let value = self.values.of(number);
            let part = if keys.draw() < self.read_share {
                let found = self.db.get(&key).map_err(database::failure)?;
                if found.as_deref() != Some(value) {
                    return Err(wrong(&key));
                }
                &mut reads
            } else {
                let written = self.db.insert_with(&key, value, self.load.durability);
                written.map_err(database::failure)?;
                &mut writes
            };
            let ended = all.record(1);
            part.record_between(began, ended, 1);
            began = ended;
        }
        for (shared, part) in [(&self.reads, reads), (&self.writes, writes)] {
            shared.lock().unwrap_or_else(PoisonError::into_inner).merge(&part.finish());
        }
        Ok(all.finish())
    }
}
