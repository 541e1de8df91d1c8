//! `mainstay bench`: whole workloads beside what disk and machine allow.

mod limits;
mod mixed;
mod read;
mod recover;
mod settings;
mod tail;
mod write;

use clap::{Args, Subcommand};

use crate::exit::{Exit, Failure};
use crate::output::Output;

const AFTER: &str = "\
Each makes a directory of its own below --directory, on whose disk it measures, and removes it at the end. Build with
--release, and let the machine do nothing else. Figures of a shared machine vary: compare medians of rounds that were
run in turn (--limits), not single runs.";

/// Arguments of `mainstay bench`.
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand, Debug)]
enum BenchCommand {
    /// What disk and machine allow: syncs, reads, checksums, copies, hand-overs.
    Limits(limits::LimitsArgs),
    /// Write records.
    Write(write::WriteArgs),
    /// Read records, one by one or in order.
    Read(read::ReadArgs),
    /// Read and overwrite records.
    Mixed(mixed::MixedArgs),
    /// Open a database after a crash.
    Recover(recover::RecoverArgs),
    /// Follow and read a log.
    Tail(tail::TailArgs),
}

pub(crate) fn run(args: &BenchArgs, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        BenchCommand::Limits(args) => limits::run(args, output),
        BenchCommand::Write(args) => write::run(args, output),
        BenchCommand::Read(args) => read::run(args, output),
        BenchCommand::Mixed(args) => mixed::run(args, output),
        BenchCommand::Recover(args) => recover::run(args, output),
        BenchCommand::Tail(args) => tail::run(args, output),
    }
}
