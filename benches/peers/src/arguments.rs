//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::workload::{Work, Workload};

/// Runs the same workloads over mainstay and other stores, in turn, and compares them.
///
/// Every measurement has a process and a directory of its own. A round is one measurement of each
/// store; figures are medians over the rounds, and ratios medians of each round's ratios.
#[derive(Debug, Parser)]
#[command(name = "peers")]
pub(crate) struct Arguments {
    /// Which workloads, by name or by how their names begin; all if none are given.
    pub(crate) workloads: Vec<String>,

    /// Which stores, by name.
    #[arg(long, value_delimiter = ',')]
    pub(crate) peers: Vec<String>,

    /// How often everything is measured. With 0 only what stands in the JSON file is told.
    #[arg(long, default_value_t = 7)]
    pub(crate) rounds: u64,

    /// How long each measurement lasts that has no number of records.
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,

    /// Records of a load.
    #[arg(long, default_value_t = 5_000_000)]
    pub(crate) records: u64,

    /// Records of what is read or opened.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) read_records: u64,

    /// Memory for each store, in MiB.
    #[arg(long, default_value_t = 256)]
    pub(crate) memory: u64,

    /// Adds each result to this file, as a line of JSON. What stands in it already counts too, so
    /// that rounds can be added at any time.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,

    /// Writes a report with plots.
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,

    /// Where stores are put while they are measured: the disk that is measured.
    #[arg(long, default_value = ".")]
    pub(crate) directory: PathBuf,
}

impl Arguments {
    pub(crate) fn records_of(&self, workload: &Workload) -> u64 {
        match workload.work {
            Work::Load { .. } | Work::Durable { .. } => self.records,
            _ => self.read_records,
        }
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory << 20
    }
}
