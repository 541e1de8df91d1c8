//! `mainstay bench limits`.

use std::io;
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::settings::{Place, Sizes, seconds, sync_mode};
use crate::bench::limits::{
    CheckedFrames, GroupSyncs, Sample, SequentialReads, checksums, hand_overs, memory_copies,
};
use crate::bench::report::{Figure, Report};
use crate::bench::workload::{Figures, median};
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  mainstay bench limits
  mainstay bench limits --value-bytes 1k --directory /var/lib --json

Groups are written one after another as the log does it: each with one direct, synchronous write into blocks that hold
zeros already, beginning where the last one ended. All figures are medians over the rounds.";

/// Read for the limit of sequential reads, and of frames.
const FILE_BYTES: u64 = 128 << 20;

/// Arguments of `mainstay bench limits`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LimitsArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    sizes: Sizes,
    /// Rounds; each measures everything once.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Seconds; all rounds together.
    #[arg(long, default_value_t = 10.0, value_name = "S", value_parser = seconds)]
    seconds: f64,
}

/// The sizes of the groups that are measured besides one record: name and words in the report.
const GROUPS: [(usize, &str, &str, &str); 3] = [
    (64 << 10, "group_64k_us", "group_64k_bytes_per_second", "group of 64 KiB, written and synced"),
    (256 << 10, "group_256k_us", "group_256k_bytes_per_second", "group of 256 KiB"),
    (1 << 20, "group_1m_us", "group_1m_bytes_per_second", "group of 1 MiB"),
];

/// Bytes around key and value: headers of group and frame, and the record's own.
const AROUND_BYTES: usize = 64 + 28 + 16;

pub(crate) fn run(args: &LimitsArgs, output: &mut Output) -> Result<Exit, Failure> {
    let scratch = args.place.scratch()?;
    let report = measure(args, scratch.path())
        .map_err(|error| Failure::file("measure the disk of", scratch.path(), &error))?;
    args.place.print(&report, output)?;
    Ok(Exit::Done)
}

/// Everything that was measured, round by round.
#[derive(Default)]
struct Rounds {
    record: Vec<Figures>,
    groups: [Vec<Figures>; 3],
    first_reads: Vec<Sample>,
    later_reads: Vec<Sample>,
    checksums: Vec<Sample>,
    large_checksums: Vec<Sample>,
    copies: Vec<Sample>,
    hand_overs: Vec<Sample>,
    frames: Vec<Sample>,
}

fn measure(args: &LimitsArgs, directory: &Path) -> io::Result<Report> {
    let Sizes { key_bytes, value_bytes } = args.sizes;
    // Nine things a round, some of which take as long as they take.
    let slice = Duration::from_secs_f64(args.seconds / f64::from(args.rounds) / 9.0);
    let mut record = GroupSyncs::new(directory, AROUND_BYTES + key_bytes + value_bytes)?;
    let mut groups = Vec::new();
    for (bytes, ..) in GROUPS {
        groups.push(GroupSyncs::new(directory, bytes)?);
    }
    let frames = CheckedFrames::new(directory, value_bytes, FILE_BYTES)?;
    let mut rounds = Rounds::default();
    for _ in 0..args.rounds {
        rounds.record.push(record.run(slice, slice)?);
        for (syncs, measured) in groups.iter_mut().zip(&mut rounds.groups) {
            measured.push(syncs.run(slice, slice)?);
        }
        // Made anew: what was read once is in the page cache.
        let mut reads = SequentialReads::new(directory, FILE_BYTES)?;
        rounds.first_reads.push(reads.pass()?);
        rounds.later_reads.push(reads.pass()?);
        rounds.checksums.push(checksums(value_bytes.max(1), slice));
        rounds.large_checksums.push(checksums(1 << 20, slice));
        rounds.copies.push(memory_copies(slice));
        rounds.hand_overs.push(hand_overs(slice));
        rounds.frames.push(frames.run(slice)?);
    }
    let mut report = Report::new("limits");
    report.setting("key_bytes", key_bytes);
    report.setting("value_bytes", value_bytes);
    report.setting("rounds", args.rounds);
    report.setting("sync_mode", sync_mode(record.is_direct()));
    note(&rounds, &mut report);
    Ok(report)
}

fn note(rounds: &Rounds, report: &mut Report) {
    let syncs = |figures: &[Figures]| of(figures, Figures::rate);
    let one = syncs(&rounds.record);
    report.figure("record_us", "one record, written and synced", period(one));
    report.figure("record_p99_us", "  its p99", of(&rounds.record, p99).map(time));
    report.figure("records_per_second", "  one writer", one.map(Figure::Rate));
    for (threads, name, words) in [
        (16.0, "records_per_second_16", "  16 writers, all in one group"),
        (64.0, "records_per_second_64", "  64 writers, all in one group"),
    ] {
        report.figure(name, words, one.map(|rate| Figure::Rate(rate * threads)));
    }
    for ((bytes, name, rate_name, words), figures) in GROUPS.into_iter().zip(&rounds.groups) {
        let rate = syncs(figures);
        report.figure(name, words, period(rate));
        let bytes_rate = rate.map(|rate| Figure::BytesRate(rate * bytes as f64));
        report.figure(rate_name, "  bytes", bytes_rate);
    }
    let bytes = |samples: &[Sample]| of(samples, Sample::bytes_rate).map(Figure::BytesRate);
    for (name, words, samples) in [
        ("first_read_bytes_per_second", "sequential read, first time", &rounds.first_reads),
        ("read_bytes_per_second", "sequential read, from the page cache", &rounds.later_reads),
        ("checksum_bytes_per_second", "checksums of values", &rounds.checksums),
        ("checksum_1m_bytes_per_second", "checksums of 1 MiB", &rounds.large_checksums),
        ("copy_bytes_per_second", "copy of 64 MiB in memory", &rounds.copies),
    ] {
        report.figure(name, words, bytes(samples));
    }
    let trips = of(&rounds.hand_overs, Sample::rate);
    report.figure("hand_over_us", "to a sleeping thread and back", period(trips));
    let words = "frames of a value read, checked, handed over";
    report.figure("frames_bytes_per_second", words, bytes(&rounds.frames));
    let records = of(&rounds.frames, Sample::rate).map(Figure::Rate);
    report.figure("frames_per_second", "  frames", records);
}

fn of<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> Option<f64> {
    median(&rounds.iter().map(figure).collect::<Vec<_>>())
}

fn p99(figures: &Figures) -> f64 {
    figures.latency(0.99).as_secs_f64()
}

fn time(seconds: f64) -> Figure {
    Figure::Time(Duration::from_secs_f64(seconds))
}

/// How long one of so many a second takes.
fn period(rate: Option<f64>) -> Option<Figure> {
    rate.filter(|rate| *rate > 0.0).map(|rate| time(1.0 / rate))
}
