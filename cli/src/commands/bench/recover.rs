//! `mainstay bench recover`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use mainstay::store::{StorePlace, open_store};
use mainstay::wal::disk::{Disk, FileDisk, FileDiskOptions};
use mainstay::wal::manifest::ManifestFile;
use mainstay::{StoreKind, wal};

use super::read::wrong;
use super::settings::Content;
use crate::bench::limits::CheckedFrames;
use crate::bench::process::{Usage, space_bytes};
use crate::bench::report::{Figure, Report};
use crate::bench::workload::median;
use crate::commands::crash_child::acknowledge;
use crate::crash::{Ack, Outcome, Running, When};
use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  mainstay bench recover                                        a million records, default memory: part is checkpointed
  mainstay bench recover --memory-bytes 4G                      so much memory that all of them stand in the log alone
  mainstay bench recover --memory-bytes 4G --batch 1 --rounds 3

A child writes the records in batches and is killed with SIGKILL as soon as all of them are durable; then the database
is opened and measured. A copy of its Store is opened alone before, to tell how much of the time is the Store's own.";

/// Arguments of `mainstay bench recover`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    content: Content,
    /// Records of one batch.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// How often all of it is done.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Write to this directory, and wait to be killed.
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
}

/// One recovery.
struct Opened {
    took: Duration,
    store_alone: Duration,
    replayed_ops: u64,
    log: wal::LogRecovery,
    limit_rate: f64,
    peak_memory_bytes: Option<u64>,
    space_bytes: u64,
}

pub(crate) fn run(args: &RecoverArgs, output: &mut Output) -> Result<Exit, Failure> {
    if let Some(directory) = &args.child {
        return run_child(args, directory);
    }
    let content = &args.content;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push(round(args)?);
    }
    let mut report = Report::new("recover");
    content.note(&mut report);
    report.setting("batch", args.batch);
    report.setting("rounds", args.rounds);
    let all = |figure: &dyn Fn(&Opened) -> f64| {
        median(&rounds.iter().map(figure).collect::<Vec<_>>()).unwrap_or_default()
    };
    let time = |seconds: f64| Figure::Time(Duration::from_secs_f64(seconds.max(0.0)));
    let open = all(&|round| round.took.as_secs_f64());
    let store = all(&|round| round.store_alone.as_secs_f64());
    let own = all(&|round| (round.took.saturating_sub(round.store_alone)).as_secs_f64());
    report.figure("open_us", "open after SIGKILL", time(open));
    report.figure("store_open_us", "  opening a copy of the Store alone", time(store));
    report.figure("open_without_store_us", "  the difference", time(own));
    let per_second = |ops: f64| Figure::Rate(ops / own.max(1e-9));
    let replayed = all(&|round| round.replayed_ops as f64);
    report.figure(
        "replayed_per_second",
        "records replayed, without the Store",
        per_second(replayed),
    );
    report.figure(
        "limit_per_second",
        "limit: frames read, checked, handed over, as records",
        Figure::Rate(all(&|round| round.limit_rate)),
    );
    if let Some(last) = rounds.last() {
        report.figure("replayed_records", "records replayed", Figure::Count(last.replayed_ops));
        report.figure(
            "scanned_bytes",
            "bytes of log scanned",
            Figure::Bytes(last.log.scanned_bytes),
        );
        report.figure(
            "rewritten_records",
            "writes of the log written again",
            Figure::Count(last.log.rewritten_records),
        );
        report.figure(
            "peak_memory_bytes",
            "most memory (resident)",
            last.peak_memory_bytes.map(Figure::Bytes),
        );
        report.figure("space_bytes", "space on the disk", Figure::Bytes(last.space_bytes));
    }
    content.place.print(&report, output)?;
    Ok(Exit::Done)
}

fn round(args: &RecoverArgs) -> Result<Opened, Failure> {
    let scratch = args.content.place.scratch()?;
    let directory = scratch.path().join("db");
    match Running::start(child(args, scratch.path())?)?.kill(When::AfterFirstAck(Duration::ZERO))? {
        Outcome::Killed(_) => {}
        Outcome::Failed(message) => {
            let message = format!("the child that writes ended by itself: {message}");
            return Err(Failure::Stopped(Exit::No, message));
        }
    }
    let space = |error: std::io::Error| Failure::file("measure the space of", &directory, &error);
    let space_bytes = space_bytes(&directory).map_err(space)?;
    let store_alone = open_copy(args, &directory, &scratch.path().join("copy"))?;
    let limit_rate = limit(args, scratch.path())?;
    let usage = Usage::since_now();
    let started = Instant::now();
    let db = args.content.options().create(false).open(&directory).map_err(database::failure)?;
    let took = started.elapsed();
    let peak_memory_bytes = usage.peak_memory_bytes();
    check_all(args, &db)?;
    let recovery = db.recovery();
    let opened = Opened {
        took,
        store_alone,
        replayed_ops: recovery.replayed_records * u64::from(args.batch),
        log: recovery.log.clone(),
        limit_rate,
        peak_memory_bytes,
        space_bytes,
    };
    db.close().map_err(database::failure)?;
    Ok(opened)
}

/// This program, to write the records.
fn child(args: &RecoverArgs, scratch: &Path) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::Stopped(Exit::Unreadable, format!("cannot find this program itself: {error}"))
    })?;
    let content = &args.content;
    let mut command = Command::new(program);
    command.args(["bench", "recover", "--child"]).arg(scratch);
    let numbers = [
        ("--records", content.records),
        ("--key-bytes", content.sizes.key_bytes as u64),
        ("--value-bytes", content.sizes.value_bytes as u64),
        ("--memory-bytes", content.memory_bytes),
        ("--cache-bytes", content.cache_bytes),
        ("--seed", content.seed),
        ("--batch", u64::from(args.batch)),
    ];
    for (name, number) in numbers {
        command.arg(name).arg(number.to_string());
    }
    command.args(["--store", content.store.name()]);
    command.args(["--distribution", &content.distribution.to_string()]);
    Ok(command)
}

/// How long the child waits to be killed before it gives up.
const CHILD_WAITS: Duration = Duration::from_secs(60);

fn run_child(args: &RecoverArgs, scratch: &Path) -> Result<Exit, Failure> {
    let db = args.content.open(scratch)?;
    args.content.load_all(&db, args.batch as usize)?;
    acknowledge(Ack::Done { writer: 0, index: 0 })?;
    std::thread::sleep(CHILD_WAITS);
    Err(Failure::Stopped(Exit::No, "nobody killed this child".to_owned()))
}

/// How long the Store alone takes to open. It is a copy: opening changes a Store that was not
/// closed.
fn open_copy(args: &RecoverArgs, directory: &Path, copy: &Path) -> Result<Duration, Failure> {
    if args.content.store == StoreKind::Memory {
        return Ok(Duration::ZERO); // its content is part of the same process's memory
    }
    let failed = |error| Failure::file("copy the Store of", directory, &error);
    let disk = FileDisk::open(directory, FileDiskOptions::default()).map_err(failed)?;
    let manifest =
        ManifestFile::open_read_only(&disk).map_err(|error| database::failure(error.into()))?;
    let name = manifest.store_directory.as_str();
    copy_below(&directory.join(name), &copy.join(name)).map_err(failed)?;
    let disk: Arc<dyn Disk> =
        Arc::new(FileDisk::open(copy, FileDiskOptions::default()).map_err(failed)?);
    let place = StorePlace { disk: &disk, root: Some(copy), directory: name };
    let started = Instant::now();
    let store = open_store(args.content.store, place, args.content.cache_bytes, false)
        .map_err(database::failure)?;
    let took = started.elapsed();
    drop(store);
    Ok(took)
}

fn copy_below(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_below(&entry.path(), &target)?,
            false => drop(fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

/// Records per second that could be read, checked and handed over, if nothing else were done.
fn limit(args: &RecoverArgs, directory: &Path) -> Result<f64, Failure> {
    const FILE_BYTES: u64 = 128 << 20;
    const SLICE: Duration = Duration::from_millis(300);
    let sizes = args.content.sizes;
    let payload_bytes = (sizes.key_bytes + sizes.value_bytes) * args.batch as usize;
    let measured = CheckedFrames::new(directory, payload_bytes, FILE_BYTES)
        .and_then(|frames| frames.run(SLICE))
        .map_err(|error| Failure::file("measure the disk of", directory, &error))?;
    Ok(measured.rate() * f64::from(args.batch))
}

/// Every thousandth record is there as it was written, and as many as there should be.
fn check_all(args: &RecoverArgs, db: &mainstay::Db) -> Result<(), Failure> {
    let shape = args.content.shape();
    let values = shape.values();
    for number in (0..shape.records).step_by(1000).chain([shape.records - 1]) {
        let key = shape.key(number);
        let found = db.get(&key).map_err(database::failure)?;
        if found.as_deref() != Some(values.of(number)) {
            return Err(wrong(&key));
        }
    }
    Ok(())
}
