//! `mainstay demo`: the whole promise, shown on real data by real kills.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use mainstay::{Batch, Db, Durability, Ticket};
use oorandom::Rand64;
use tempfile::TempDir;

use crate::crash::{Ack, Killed, Outcome, Running, When};
use crate::database;
use crate::demo::{BATCH_RECORDS, Dataset, Found, WRITERS, check};
use crate::exit::{Exit, Failure};
use crate::import::{Plan, import_rows};
use crate::output::{Output, Table, Tone, grouped, size};
use crate::rows::Rows;

use super::import::KeyspaceSink;

/// The keyspace of the imported table.
const TABLE: &str = "unicode";
/// The keyspace that the child writes to.
const COPIES: &str = "copies";

const EXAMPLES: &str = "\
Examples:
  mainstay demo
  mainstay demo --kills 20 --dir demo-data       keep the database, to look at it afterwards
  mainstay scan demo-data --keyspace unicode --from 0041 --limit 26

The data is the main table of the Unicode Character Database 15.0.0, (c) 1991-2022 Unicode, Inc., under the Unicode \
License V3; it is built into this program. Ends with 1 if anything acknowledged is missing or anything is half there.";

/// Arguments of `mainstay demo`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// Keep the database in this directory, which must not exist yet or be empty [default: a
    /// temporary one].
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How often to kill the writing process.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    kills: u32,
    /// Seed of the moments of the kills [default: the clock].
    #[arg(long)]
    seed: Option<u64>,
}

/// Arguments of the demo's child.
#[derive(Args, Debug)]
pub(crate) struct DemoChildArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// For each writer the batch to begin with.
    #[arg(long, value_delimiter = ',', required = true)]
    from: Vec<u64>,
}

pub(crate) fn run(args: &DemoArgs, output: &mut Output) -> Result<Exit, Failure> {
    let place = Place::new(args.dir.as_deref())?;
    let dataset = Dataset::read()?;
    output.line(format!("database   {}", place.path().display()))?;
    import_table(place.path(), &dataset, output)?;
    let seed = args.seed.unwrap_or_else(seed_of_clock);
    match kill_and_recover(args.kills, seed, place.path(), &dataset, output)? {
        Ok(summary) => {
            let text = format!(
                "OK: {} kills, {} acknowledged records, every one there; no batch half there",
                args.kills,
                grouped(summary.acked_records)
            );
            output.verdict(Tone::Good, &text)?;
            Ok(Exit::Done)
        }
        Err(message) => {
            output.verdict(Tone::Bad, &format!("FAILED: {message}"))?;
            output.line(format!("seed {seed}; the database is kept in {}", place.keep()))?;
            Ok(Exit::No)
        }
    }
}

/// Where the database is.
enum Place {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Place {
    fn new(dir: Option<&Path>) -> Result<Place, Failure> {
        let Some(dir) = dir else {
            let made = tempfile::Builder::new().prefix("mainstay-demo-").tempdir();
            let temporary = std::env::temp_dir();
            return made
                .map(Place::Temporary)
                .map_err(|error| Failure::file("make a directory in", &temporary, &error));
        };
        match std::fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
            Ok(true) => Err(Failure::usage(format!(
                "{} is not empty; the demo wants a directory of its own",
                dir.display()
            ))),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::file("open", dir, &error))
            }
            _ => Ok(Place::Given(dir.to_owned())),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Place::Given(dir) => dir,
            Place::Temporary(dir) => dir.path(),
        }
    }

    /// Does not remove it at the end; says where it is.
    fn keep(self) -> String {
        let path = match self {
            Place::Given(dir) => dir,
            Place::Temporary(dir) => dir.keep(),
        };
        path.display().to_string()
    }
}

fn seed_of_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| now.as_micros().try_into().unwrap_or(1))
}

/// Imports the table as `mainstay import` would, and reads it back.
fn import_table(dir: &Path, dataset: &Dataset, output: &mut Output) -> Result<(), Failure> {
    let started = Instant::now();
    let db = database::open(dir)?;
    let rows = Rows::new(Dataset::text(), &Dataset::shape())
        .map_err(|error| Failure::Stopped(Exit::No, format!("{error:?}")))?;
    let mut sink = KeyspaceSink::new(db, TABLE, Durability::Sync)?;
    let plan = Plan { batch: 500, max_rejects: Some(0) };
    let imported = import_rows(rows, plan, &mut sink, &mut |_| Ok(()), &mut |_| {})
        .map_err(|(_, failure)| failure)?;
    let took = started.elapsed();
    let db = sink.into_db();
    check_table(&db, dataset).map_err(|message| Failure::Stopped(Exit::No, message))?;
    db.close().map_err(database::failure)?;
    output.line(format!(
        "imported   {} rows of the Unicode Character Database in {} ms, read back and compared",
        grouped(imported.stored),
        took.as_millis()
    ))?;
    output.flush()?;
    Ok(())
}

/// Whether the imported table is there, every row of it.
fn check_table(db: &Db, dataset: &Dataset) -> Result<(), String> {
    let words = |error: mainstay::Error| error.to_string();
    let table = db.keyspace(TABLE).map_err(words)?;
    let mut rows: Vec<_> = dataset.rows().iter().map(|row| (&row.key, &row.value)).collect();
    rows.sort();
    let mut entries = table.iter().map_err(words)?;
    for (key, value) in rows {
        match entries.next() {
            Some(entry) => {
                let (found_key, found_value) = entry.map_err(words)?;
                if found_key != key[..] || found_value != value[..] {
                    return Err(format!("the imported row of {} differs", key.escape_ascii()));
                }
            }
            None => return Err(format!("the imported row of {} is missing", key.escape_ascii())),
        }
    }
    if entries.next().is_some() {
        return Err("there are more imported rows than the table has".to_owned());
    }
    Ok(())
}

/// What all kills came to.
struct Summary {
    acked_records: u64,
}

/// The rounds. The inner error says what is wrong with the database.
fn kill_and_recover(
    kills: u32,
    seed: u64,
    dir: &Path,
    dataset: &Dataset,
    output: &mut Output,
) -> Result<Result<Summary, String>, Failure> {
    output.line(format!(
        "killing    a child with {WRITERS} threads that write batches of {BATCH_RECORDS} records, \
         each acknowledged when it is on the disk\n"
    ))?;
    output.flush()?;
    let mut random = Rand64::new(u128::from(seed));
    let mut table = Table::new(&[
        ">kill",
        ">after ms",
        ">acknowledged",
        ">durable records/s",
        ">batches/s",
        ">recovery ms",
        "cut from the tail",
        ">records there",
    ]);
    let mut next = vec![0; WRITERS as usize];
    let mut acked_records = 0;
    for kill in 1..=kills {
        let time = Duration::from_millis(random.rand_range(150..900));
        let killed = match Running::start(child(dir, &next)?)?.kill(When::AfterFirstAck(time))? {
            Outcome::Killed(killed) => killed,
            Outcome::Failed(message) => return Ok(Err(format!("the child ended: {message}"))),
        };
        let acked = acknowledged(&killed, &next);
        let batches: u64 = acked.iter().zip(&next).map(|(acked, next)| acked - next).sum();
        acked_records += batches * BATCH_RECORDS;
        let started = Instant::now();
        let db = database::open(dir)?;
        let recovery = started.elapsed();
        let found = match check_all(&db, dataset, &acked) {
            Ok(found) => found,
            Err(message) => return Ok(Err(format!("after kill {kill}: {message}"))),
        };
        table.row([
            kill.to_string(),
            killed.worked.as_millis().to_string(),
            grouped(batches * BATCH_RECORDS),
            grouped(rate(batches * BATCH_RECORDS, killed.worked)),
            grouped(rate(batches, killed.worked)),
            format!("{:.1}", recovery.as_secs_f64() * 1000.0),
            tail(&db),
            grouped(found.records),
        ]);
        next = found.batches;
        db.close().map_err(database::failure)?;
    }
    output.table(&table)?;
    output.line("")?;
    Ok(Ok(Summary { acked_records }))
}

fn child(dir: &Path, next: &[u64]) -> Result<Command, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::Stopped(Exit::Unreadable, format!("cannot find this program itself: {error}"))
    })?;
    let from: Vec<_> = next.iter().map(u64::to_string).collect();
    let mut command = Command::new(program);
    command.arg("demo-child").arg(dir).arg("--from").arg(from.join(","));
    Ok(command)
}

/// How many batches of each writer are acknowledged, those before this child included.
fn acknowledged(killed: &Killed, next: &[u64]) -> Vec<u64> {
    let mut acked = next.to_vec();
    for ack in &killed.acks {
        if let Ack::Done { writer, index } = ack
            && let Some(count) = acked.get_mut(*writer as usize)
        {
            *count = (*count).max(index + 1);
        }
    }
    acked
}

fn check_all(db: &Db, dataset: &Dataset, acked: &[u64]) -> Result<Found, String> {
    check_table(db, dataset)?;
    let words = |error: mainstay::Error| error.to_string();
    let entries = db.keyspace(COPIES).and_then(|copies| copies.iter()).map_err(words)?;
    check(entries.map(|entry| entry.map_err(words)), dataset, acked)
}

fn tail(db: &Db) -> String {
    match &db.recovery().log.tail_cut {
        None => "nothing".to_owned(),
        Some(cut) => size(cut.bytes),
    }
}

fn rate(count: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}

pub(crate) fn run_child(args: &DemoChildArgs) -> Result<Exit, Failure> {
    let started = Instant::now();
    let dataset = Dataset::read()?;
    let db = database::open(&args.dir)?;
    let micros = started.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
    super::crash_child::acknowledge(Ack::Open { micros })?;
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(&args.from)
            .map(|(writer, first)| {
                let (db, dataset) = (&db, &dataset);
                scope.spawn(move || write_batches(db, dataset, writer, *first))
            })
            .collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    for outcome in outcomes {
        match outcome {
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(())) => {}
            Err(_) => return Err(Failure::Stopped(Exit::No, "a writer panicked".to_owned())),
        }
    }
    Ok(Exit::Done)
}

/// Writes batches for ever, acknowledging each when it is on the disk.
fn write_batches(db: &Db, dataset: &Dataset, writer: u32, first: u64) -> Result<(), Failure> {
    let copies = db.keyspace(COPIES).map_err(database::failure)?;
    for index in first.. {
        let mut batch = Batch::new();
        for slot in 0..BATCH_RECORDS {
            let (key, value) = dataset.record(writer, index, slot);
            batch.insert(&copies, key, value);
        }
        db.write(batch).and_then(Ticket::wait).map_err(database::failure)?;
        super::crash_child::acknowledge(Ack::Done { writer, index })?;
    }
    Ok(())
}
