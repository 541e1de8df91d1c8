//! `mainstay bench tail`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use mainstay::wal::disk::{Disk, FileDisk, FileDiskOptions};
use mainstay::wal::manifest::Manifest;
use mainstay::wal::{Bound, DatabaseId, Incarnation, Log, LogOptions, Lsn, Reader};

use super::settings::{Place, at_least_one, seconds, sync_mode, value_bytes};
use crate::bench::limits::{CheckedFrames, Sample};
use crate::bench::report::{Figure, Report};
use crate::bench::workload::{Pairs, Shape, Values, median};
use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  mainstay bench tail
  mainstay bench tail --value-bytes 1k --records 500000 --json

One thread appends records to a log as fast as it takes them while another follows its end; then the log is read from
its beginning several times. The limit, in turn with that, reads frames of the same size from the page cache, checks
each, and hands them to another thread. Bytes are those of frames, 28 each and the value.";

/// Arguments of `mainstay bench tail`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TailArgs {
    #[command(flatten)]
    place: Place,
    /// Length of values, such as 100, 1k or 2M.
    #[arg(long, default_value = "100", value_name = "N", value_parser = value_bytes)]
    value_bytes: usize,
    /// Records to append at most.
    #[arg(long, default_value_t = 2_000_000, value_name = "N", value_parser = at_least_one)]
    records: u64,
    /// Seconds of appending at most.
    #[arg(long, default_value_t = 5.0, value_name = "S", value_parser = seconds)]
    seconds: f64,
    /// How often the log is read from its beginning, in turn with the limit.
    #[arg(long, default_value_t = 7, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// How long a follower waits for more before it looks whether the writer has ended.
const PATIENCE: Duration = Duration::from_millis(100);
/// The reader touches every line of the processor's cache, as the limit's receiver does.
const CACHE_LINE_BYTES: usize = 64;

pub(crate) fn run(args: &TailArgs, output: &mut Output) -> Result<Exit, Failure> {
    let scratch = args.place.scratch()?;
    let log = create(scratch.path())?;
    let (appended, followed) = follow(args, &log)?;
    let first = read_all(&log)?;
    let (bytes, records) = read_in_turn(args, &log, scratch.path(), &first)?;
    let mut report = Report::new("tail");
    report.setting("value_bytes", args.value_bytes);
    report.setting("rounds", args.rounds);
    report.setting("sync_mode", sync_mode(log.stats().direct));
    report.figure("records", "records", Figure::Count(first.count));
    let rates = [
        ("appended_per_second", "appended_bytes_per_second", "appended, all durable", &appended),
        ("followed_per_second", "followed_bytes_per_second", "followed while appended", &followed),
        ("first_read_per_second", "first_read_bytes_per_second", "read for the first time", &first),
    ];
    for (name, bytes_name, words, sample) in rates {
        report.figure(name, words, Figure::Rate(sample.rate()));
        report.figure(bytes_name, "  bytes", Figure::BytesRate(sample.bytes_rate()));
    }
    report.figure("read_per_second", "read again", median(&records).map(Figure::Rate));
    report.figure("read_bytes_per_second", "  bytes", bytes.figure().map(Figure::BytesRate));
    let limit = bytes.reference().map(Figure::BytesRate);
    report.figure("limit_bytes_per_second", "limit: frames read, checked, handed over", limit);
    report.figure("ratio_to_limit", "ratio to the limit", bytes.ratio().map(Figure::Ratio));
    report.series("ratios", bytes.ratios());
    log.close().map_err(|error| database::failure(error.into()))?;
    args.place.print(&report, output)?;
    Ok(Exit::Done)
}

fn create(directory: &Path) -> Result<Log, Failure> {
    let failed = |error| Failure::file("make a log in", directory, &error);
    let disk = FileDisk::open(directory.join("log"), FileDiskOptions::default()).map_err(failed)?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let lock = disk.lock().map_err(failed)?;
    let manifest = Manifest::new(DatabaseId(1), Incarnation(1), "none", "none");
    let created = Log::create(disk, LogOptions::default(), &manifest, Some(lock));
    let log = created.map_err(log_failure)?.log;
    log.spawn_thread().map_err(log_failure)?;
    Ok(log)
}

fn log_failure(error: mainstay::wal::Error) -> Failure {
    database::failure(error.into())
}

/// Appends while another thread follows; gives what each did in how much time.
fn follow(args: &TailArgs, log: &Log) -> Result<(Sample, Sample), Failure> {
    let values = Shape { value_bytes: args.value_bytes, ..Shape::new(1) }.values();
    let mut reader = log.reader(Lsn(1), Bound::Durable).map_err(log_failure)?;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| append(args, log, &values));
        let mut sample = Sample::default();
        loop {
            // Asked before reading: what comes later is read in the next turn.
            let ended = writer.is_finished();
            read_on(&mut reader, &mut sample)?;
            if ended {
                break;
            }
            let _there_is_more = reader.wait(PATIENCE);
        }
        sample.elapsed = started.elapsed();
        match writer.join() {
            Ok(appended) => Ok((appended?, sample)),
            Err(_) => Err(Failure::Stopped(Exit::No, "the writer panicked".to_owned())),
        }
    })
}

fn append(args: &TailArgs, log: &Log, values: &Values) -> Result<Sample, Failure> {
    const BETWEEN_LOOKS: u64 = 256;
    let started = Instant::now();
    let time = Duration::from_secs_f64(args.seconds);
    let before = log.stats().appended_bytes;
    let mut count = 0;
    while count < args.records && (count % BETWEEN_LOOKS != 0 || started.elapsed() < time) {
        log.append(values.of(count)).map_err(log_failure)?;
        count += 1;
    }
    log.sync().map_err(log_failure)?;
    let bytes = log.stats().appended_bytes - before;
    Ok(Sample { count, bytes, elapsed: started.elapsed() })
}

/// Reads up to the end, as it is now.
fn read_on(reader: &mut Reader, sample: &mut Sample) -> Result<(), Failure> {
    let mut touched = 0u8;
    while let Some(run) = reader.read_run().map_err(log_failure)? {
        let frames = run.frames();
        touched = frames.iter().step_by(CACHE_LINE_BYTES).fold(touched, |all, byte| all ^ byte);
        sample.count += run.last().lsn.next().0 - run.first_lsn().0;
        sample.bytes += frames.len() as u64;
    }
    std::hint::black_box(touched);
    Ok(())
}

fn read_all(log: &Log) -> Result<Sample, Failure> {
    let started = Instant::now();
    let mut sample = Sample::default();
    let mut reader = log.reader(Lsn(1), Bound::Durable).map_err(log_failure)?;
    read_on(&mut reader, &mut sample)?;
    Ok(Sample { elapsed: started.elapsed(), ..sample })
}

/// Bytes per second of reading all and of the limit, and records per second, round by round.
fn read_in_turn(
    args: &TailArgs,
    log: &Log,
    directory: &Path,
    first: &Sample,
) -> Result<(Pairs, Vec<f64>), Failure> {
    const MOST_FILE_BYTES: u64 = 256 << 20;
    let disk_failure = |error| Failure::file("measure the disk of", directory, &error);
    let file_bytes = first.bytes.min(MOST_FILE_BYTES);
    let frames =
        CheckedFrames::new(directory, args.value_bytes, file_bytes).map_err(disk_failure)?;
    let (mut pairs, mut records) = (Pairs::default(), Vec::new());
    for _ in 0..args.rounds {
        let read = read_all(log)?;
        if (read.count, read.bytes) != (first.count, first.bytes) {
            let message = format!("{} records were read, {} before", read.count, first.count);
            return Err(Failure::Stopped(Exit::No, message));
        }
        let limit = frames.run(read.elapsed).map_err(disk_failure)?;
        pairs.add(read.bytes_rate(), limit.bytes_rate());
        records.push(read.rate());
    }
    Ok((pairs, records))
}
