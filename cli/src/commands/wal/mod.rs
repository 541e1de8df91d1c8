//! `mainstay wal`: looks at the log of a database.

mod archive;
mod dump;
mod stats;
mod verify;

use clap::{Args, Subcommand};

pub(crate) use verify::faults;

use crate::exit::{Exit, Failure};
use crate::output::Output;

const AFTER: &str = "\
All of them change no byte of the database. dump, stats and verify take no lock, and show what can be read of a \
damaged directory; while a program writes to the database, its last group may look torn to them.";

/// Arguments of `mainstay wal`.
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(crate) struct WalArgs {
    #[command(subcommand)]
    command: WalCommand,
}

#[derive(Subcommand, Debug)]
enum WalCommand {
    /// Print the records.
    Dump(dump::DumpArgs),
    /// Print sizes and counts of the segments.
    Stats(stats::StatsArgs),
    /// Copy the records into an archive, for restoring to any of them.
    Archive(archive::ArchiveArgs),
    /// Check every byte.
    Verify(verify::VerifyArgs),
}

pub(crate) fn run(args: &WalArgs, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        WalCommand::Archive(args) => archive::run(args, output),
        WalCommand::Dump(args) => dump::run(args, output),
        WalCommand::Stats(args) => stats::run(args, output),
        WalCommand::Verify(args) => verify::run(args, output),
    }
}
