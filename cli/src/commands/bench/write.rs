//! `mainstay bench write`.

use std::path::Path;

use clap::Args;
use mainstay::{Db, Stats};

use super::settings::{Acknowledged, Workload, sync_mode};
use crate::bench::load::Load;
use crate::bench::process::{Usage, space_bytes};
use crate::bench::report::{Figure, Report};
use crate::bench::workload::{Figures, Pairs};
use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  mainstay bench write                                          one thread, durable, one record at a time
  mainstay bench write --threads 64 --limits                    beside the disk's limit, in 7 rounds in turn
  mainstay bench write --tickets 1000 --seconds 5               one thread with 1,000 writes on their way
  mainstay bench write --batch 100 --limits --json
  mainstay bench write --durability buffered --records 5000000 --seconds 120 --threads 4
  mainstay bench write --durability buffered --distribution zipfian

A call is one write of a batch: from the call to its acknowledgement. The limit is what one thread reaches that only
writes groups and syncs each; a group holds all writes that can be on their way at a time (1 MiB at most, and always
when buffered). With several rounds, limit and workload alternate, and the ratio is the median of the rounds' ratios.";

/// Arguments of `mainstay bench write`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    workload: Workload,
    /// What an acknowledgement means.
    #[arg(long, value_enum, default_value_t)]
    durability: Acknowledged,
    /// Records of one batch.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// Writes of one thread on their way at a time.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tickets: u32,
    /// Measure the disk's limit in turn.
    #[arg(long)]
    limits: bool,
    /// Rounds [default: 7 with --limits, else 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
}

pub(crate) fn run(args: &WriteArgs, output: &mut Output) -> Result<Exit, Failure> {
    let workload = &args.workload;
    let load = Load {
        batch: args.batch as usize,
        tickets: args.tickets as usize,
        ..workload.load(args.durability.durability())
    };
    let scratch = workload.content.place.scratch()?;
    let db = workload.content.open(scratch.path())?;
    let measured = measure(args, &load, &db, scratch.path())?;
    let mut report = Report::new("write");
    workload.note(&mut report);
    report.setting("durability", args.durability.name());
    report.setting("batch", args.batch);
    report.setting("tickets", args.tickets);
    report.setting("rounds", args.rounds());
    report.throughput(&measured.figures);
    if args.limits {
        report.pairs(&measured.pairs, ["limit of the disk", "ratio to the limit"]);
    }
    note_costs(&measured.costs, &load, scratch.path(), &mut report)?;
    db.close().map_err(database::failure)?;
    workload.content.place.print(&report, output)?;
    Ok(Exit::Done)
}

impl WriteArgs {
    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.limits { 7 } else { 1 })
    }
}

struct Measured {
    figures: Figures,
    pairs: Pairs,
    costs: Costs,
}

/// What the work cost beside time.
pub(super) struct Costs {
    pub(super) usage: Usage,
    /// What the limit wrote in between.
    pub(super) limit_bytes: u64,
    pub(super) before: Stats,
    pub(super) after: Stats,
    /// Records written.
    pub(super) written: u64,
}

fn measure(args: &WriteArgs, load: &Load, db: &Db, directory: &Path) -> Result<Measured, Failure> {
    let slice = args.workload.time() / args.rounds();
    let mut limit = match args.limits {
        true => Some(load.limit(db, directory)?),
        false => None,
    };
    let mut keys = load.keys();
    let mut figures = Figures::new(load.window);
    let mut pairs = Pairs::default();
    let usage = Usage::since_now();
    let before = db.stats().map_err(database::failure)?;
    for round in 0..args.rounds() {
        let mut allowed = None;
        if let Some((syncs, records)) = &mut limit {
            let limited = syncs
                .run(slice, load.window)
                .map_err(|error| Failure::file("measure the disk of", directory, &error))?;
            allowed = Some(limited.rate() * *records);
        }
        let done = load.run(db, &mut keys, slice)?;
        if done.operations() == 0 {
            break; // every record is there
        }
        if let Some(allowed) = allowed {
            pairs.add(done.rate(), allowed);
        }
        match round {
            0 => figures = done,
            _ => figures.append(&done),
        }
    }
    let limit_bytes = limit.map_or(0, |(syncs, _)| syncs.written_bytes());
    let after = db.stats().map_err(database::failure)?;
    let costs = Costs { usage, limit_bytes, before, after, written: figures.records() };
    Ok(Measured { figures, pairs, costs })
}

/// Notes what the work cost.
pub(super) fn note_costs(
    costs: &Costs,
    load: &Load,
    directory: &Path,
    report: &mut Report,
) -> Result<(), Failure> {
    let (before, after) = (&costs.before.log, &costs.after.log);
    let syncs = after.syncs - before.syncs;
    report.setting("sync_mode", sync_mode(after.direct));
    report.figure("syncs", "syncs", Figure::Count(syncs));
    let per_sync = (syncs > 0).then(|| Figure::Ratio(costs.written as f64 / syncs as f64));
    report.figure("records_per_sync", "records a sync", per_sync);
    let waited = after.rotations_waited - before.rotations_waited;
    report.figure("rotations_waited", "segments waited for", Figure::Count(waited));
    let since =
        |figure: fn(&Stats) -> u64| Figure::Count(figure(&costs.after) - figure(&costs.before));
    report.figure("checkpoints", "checkpoints", since(|stats| stats.checkpoints));
    report.figure("slowed_writes", "slowed writes", since(|stats| stats.slowed_writes));
    report.figure("held_writes", "held writes", since(|stats| stats.held_writes));
    let peak = costs.usage.peak_memory_bytes().map(Figure::Bytes);
    report.figure("peak_memory_bytes", "most memory (resident)", peak);
    let user_bytes = load.shape.user_bytes(costs.written).max(1) as f64;
    let written = costs.usage.written_bytes();
    let written = written.map(|bytes| bytes.saturating_sub(costs.limit_bytes));
    let per_byte = written.map(|bytes| Figure::Ratio(bytes as f64 / user_bytes));
    report.figure("written_per_byte", "written to the device a byte (/proc/self/io)", per_byte);
    let space = space_bytes(directory)
        .map_err(|error| Failure::file("measure the space of", directory, &error))?;
    report.figure("space_bytes", "space on the disk", Figure::Bytes(space));
    Ok(())
}
