//! What the benchmarks have in common on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mainstay::{Db, Durability, Options, StoreKind};
use tempfile::TempDir;

use crate::bench::environment::Environment;
use crate::bench::load::Load;
use crate::bench::report::Report;
use crate::bench::workload::{Distribution, Shape};
use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Where to measure, and how to show it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// Measure in a directory below this one, on its disk.
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub directory: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    pub json: bool,
}

impl Place {
    /// A directory of its own, removed when it is dropped.
    pub(crate) fn scratch(&self) -> Result<TempDir, Failure> {
        let made = tempfile::Builder::new().prefix("mainstay-bench-").tempdir_in(&self.directory);
        made.map_err(|error| Failure::file("make a directory in", &self.directory, &error))
    }

    pub(crate) fn print(&self, report: &Report, output: &mut Output) -> Result<(), Failure> {
        report.print(&Environment::of(&self.directory), self.json, output)?;
        output.flush()?;
        Ok(())
    }
}

/// Sizes of keys and values.
#[derive(Args, Copy, Clone, Debug)]
pub(crate) struct Sizes {
    /// Length of keys.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = key_bytes)]
    pub key_bytes: usize,
    /// Length of values, such as 100, 1k or 2M.
    #[arg(long, default_value = "100", value_name = "N", value_parser = value_bytes)]
    pub value_bytes: usize,
}

/// The database that is measured, and what is in it.
#[derive(Args, Clone, Debug)]
pub(crate) struct Content {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub sizes: Sizes,
    /// How many different keys.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = at_least_one)]
    pub records: u64,
    /// Order of the keys.
    #[arg(long, value_enum, default_value_t)]
    pub distribution: Distribution,
    /// The Store.
    #[arg(long, default_value = "sled", value_parser = StoreKind::from_str)]
    pub store: StoreKind,
    /// Memory for writes, as of the database's option; such as 64M.
    #[arg(long, default_value = "256M", value_name = "N", value_parser = bytes)]
    pub memory_bytes: u64,
    /// Memory for the Store's cache.
    #[arg(long, default_value = "64M", value_name = "N", value_parser = bytes)]
    pub cache_bytes: u64,
    /// Seed of keys and values.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What is done with a database, and for how long.
#[derive(Args, Clone, Debug)]
pub(crate) struct Workload {
    #[command(flatten)]
    pub content: Content,
    /// Seconds of work; all rounds together.
    #[arg(long, default_value_t = 10.0, value_name = "S", value_parser = seconds)]
    pub seconds: f64,
    /// Threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// Length of the windows in which throughput is looked at for stalls.
    #[arg(long, default_value_t = 500, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub window_ms: u64,
}

/// [`Durability`] by name.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acknowledged {
    /// It is on the disk.
    #[default]
    Sync,
    /// It is in memory; one sync at the end is counted.
    Buffered,
}

impl Acknowledged {
    pub(crate) fn durability(self) -> Durability {
        match self {
            Acknowledged::Sync => Durability::Sync,
            Acknowledged::Buffered => Durability::Buffered,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Acknowledged::Sync => "sync",
            Acknowledged::Buffered => "buffered",
        }
    }
}

impl Content {
    pub(crate) fn shape(&self) -> Shape {
        Shape {
            records: self.records,
            key_bytes: self.sizes.key_bytes,
            value_bytes: self.sizes.value_bytes,
            distribution: self.distribution,
            seed: self.seed,
        }
    }

    pub(crate) fn options(&self) -> Options {
        let memory = usize::try_from(self.memory_bytes).unwrap_or(usize::MAX);
        Options::new().store(self.store).memory_bytes(memory).store_cache_bytes(self.cache_bytes)
    }

    /// Makes the database.
    pub(crate) fn open(&self, scratch: &Path) -> Result<Db, Failure> {
        self.options().open(scratch.join("db")).map_err(database::failure)
    }

    /// Writes every record once to a new database, by one thread, buffered and in batches.
    pub(crate) fn load_all(&self, db: &Db, batch: usize) -> Result<(), Failure> {
        const LONGEST: Duration = Duration::from_secs(3600);
        let distribution = match self.distribution {
            // The same keys, but each of them.
            Distribution::Zipfian => Distribution::Uniform,
            other => other,
        };
        let load = Load {
            shape: Shape { distribution, ..self.shape() },
            threads: 1,
            batch,
            tickets: 1,
            durability: Durability::Buffered,
            window: Duration::from_secs(1),
        };
        let loaded = load.run(db, &mut load.keys(), LONGEST)?.records();
        if loaded == self.records {
            return Ok(());
        }
        let message = format!("only {loaded} of {} records were loaded in an hour", self.records);
        Err(Failure::Stopped(Exit::No, message))
    }

    /// Notes all of it in a report.
    pub(crate) fn note(&self, report: &mut Report) {
        report.setting("records", self.records);
        report.setting("key_bytes", self.sizes.key_bytes);
        report.setting("value_bytes", self.sizes.value_bytes);
        report.setting("distribution", self.distribution.to_string());
        report.setting("store", self.store.name());
        report.setting("memory_bytes", self.memory_bytes);
        report.setting("cache_bytes", self.cache_bytes);
        report.setting("seed", self.seed);
    }
}

impl Workload {
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// A load with this content, one record at a time.
    pub(crate) fn load(&self, durability: Durability) -> Load {
        Load {
            shape: self.content.shape(),
            threads: usize::from(self.threads),
            batch: 1,
            tickets: 1,
            durability,
            window: Duration::from_millis(self.window_ms),
        }
    }

    /// Notes all of it in a report.
    pub(crate) fn note(&self, report: &mut Report) {
        self.content.note(report);
        report.setting("threads", self.threads);
        report.setting("seconds", self.seconds);
    }
}

/// How a group reaches the disk, in words.
pub(crate) fn sync_mode(direct: bool) -> &'static str {
    if direct { "O_DIRECT+O_DSYNC" } else { "write+fdatasync" }
}

/// A number of bytes, with `k`, `M` or `G` for powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((end, 'k' | 'K')) => (&text[..end], 10),
        Some((end, 'M')) => (&text[..end], 20),
        Some((end, 'G')) => (&text[..end], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too much"))
}

fn bounded(text: &str, least: u64, most: u64) -> Result<usize, String> {
    let number = bytes(text)?;
    if !(least..=most).contains(&number) {
        return Err(format!("must lie between {least} and {most}"));
    }
    usize::try_from(number).map_err(|error| error.to_string())
}

fn key_bytes(text: &str) -> Result<usize, String> {
    bounded(text, Shape::MIN_KEY_BYTES as u64, 65_536)
}

/// The length of a value.
pub(crate) fn value_bytes(text: &str) -> Result<usize, String> {
    bounded(text, 0, 16 << 20)
}

/// A count that is not zero.
pub(crate) fn at_least_one(text: &str) -> Result<u64, String> {
    let number: u64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if number == 0 { Err("must be at least 1".to_owned()) } else { Ok(number) }
}

/// A time that ends: at most a day.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if number > 0.0 && number <= 86_400.0 {
        return Ok(number);
    }
    Err("must lie between 0 and 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_and_refused() {
        assert_eq!(bytes("100"), Ok(100));
        assert_eq!((bytes("4k"), bytes("4K")), (Ok(4096), Ok(4096)));
        assert_eq!((bytes("3M"), bytes("1G")), (Ok(3 << 20), Ok(1 << 30)));
        for wrong in ["", "k", "1T", "-1", "1.5M", "99999999999G"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert!(key_bytes("7").is_err() && value_bytes("17M").is_err());
        assert!(at_least_one("0").is_err());
        assert_eq!(seconds("0.5"), Ok(0.5));
        assert!(["0", "-1", "nan", "inf", "x"].iter().all(|wrong| seconds(wrong).is_err()));
    }
}
