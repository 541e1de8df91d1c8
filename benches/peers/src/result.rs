//! A result: what one store did in one round of one workload.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;

use mainstay_cli::bench::workload::Figures;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::peer::Result;

/// One line of the JSON file. Times are in microseconds where they say so, in seconds otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) workload: String,
    pub(crate) peer: String,
    pub(crate) version: String,
    pub(crate) round: u64,
    /// How the store acknowledges, in words, and whether what it calls durable is.
    pub(crate) durability: String,
    pub(crate) keeps_durable: bool,
    /// Why there are no figures.
    pub(crate) failure: Option<String>,
    pub(crate) records: u64,
    pub(crate) user_bytes: u64,
    pub(crate) elapsed_seconds: f64,
    pub(crate) records_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) longest_us: f64,
    pub(crate) window_seconds: f64,
    /// Records per second of each window.
    pub(crate) windows: Vec<f64>,
    /// How many windows stayed below half of the median one.
    pub(crate) stalled_windows: u64,
    /// The sync at the end.
    pub(crate) sync_seconds: Option<f64>,
    /// Opening what was there.
    pub(crate) open_seconds: Option<f64>,
    /// The most memory that was neither a file nor shared with one.
    pub(crate) peak_anonymous_bytes: u64,
    /// The most memory, mapped files included.
    pub(crate) peak_resident_bytes: u64,
    /// All files, as many blocks as they take.
    pub(crate) space_bytes: u64,
    /// What was given to the disk while the figures were taken.
    pub(crate) written_bytes: u64,
    pub(crate) machine: Machine,
    /// What the program was asked for.
    pub(crate) settings: Settings,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) records: u64,
    pub(crate) seconds: f64,
    pub(crate) memory_bytes: u64,
}

impl Measured {
    pub(crate) fn take(&mut self, figures: &Figures) {
        let micros = |share| figures.latency(share).as_secs_f64() * 1e6;
        self.records = figures.records();
        self.elapsed_seconds = figures.elapsed().as_secs_f64();
        self.records_per_second = figures.rate();
        (self.p50_us, self.p99_us, self.p999_us) = (micros(0.5), micros(0.99), micros(0.999));
        self.longest_us = figures.longest().as_secs_f64() * 1e6;
        self.window_seconds = figures.window().as_secs_f64();
        self.windows = figures.window_rates();
        self.stalled_windows = figures.stalls().stalled as u64;
    }

    pub(crate) fn is_of(&self, workload: &str, peer: &str) -> bool {
        self.workload == workload && self.peer == peer
    }
}

/// The results that stand in a file already; none if there is no file.
pub(crate) fn load(path: &Path) -> Result<Vec<Measured>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let parse = |line: std::io::Result<String>| Ok(serde_json::from_str(&line?)?);
    BufReader::new(file).lines().map(parse).collect()
}

/// Adds a line to a file.
pub(crate) fn append(path: &Path, measured: &Measured) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{}", serde_json::to_string(measured)?)?;
    Ok(())
}
