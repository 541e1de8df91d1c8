//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    backup, bench, completions, crash_child, demo, diff, edit, export, get, inspect, keyspaces,
    load, scan, store, wal,
};
use crate::escape::unescape;
use crate::exit::{EXIT_CODES, Failure};
use crate::import;

const EXAMPLES: &str = "\
Examples:
  mainstay demo                                  see it survive being killed, in under a minute
  mainstay import data people.csv --key name     fill a database from a file
  mainstay get data ada
  mainstay scan data --prefix a --limit 10
";

/// An embeddable, durable key-value store, from the command line.
#[derive(Parser, Debug)]
#[command(name = "mainstay", version, arg_required_else_help = true)]
#[command(after_help = format!("{EXAMPLES}\n{EXIT_CODES}"))]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Import real data, be killed in mid-write several times, and prove that nothing was lost.
    Demo(demo::DemoArgs),
    /// Import a csv, tsv, ndjson or text file.
    Import(import::ImportArgs),
    /// Write out a keyspace so that `import` gives back every byte.
    Export(export::ExportArgs),
    /// Print the value of a key.
    Get(get::GetArgs),
    /// Set the value of a key, durably.
    Insert(edit::InsertArgs),
    /// Remove a key, durably.
    Remove(edit::RemoveArgs),
    /// Print entries in the order of their keys.
    Scan(scan::ScanArgs),
    /// List the keyspaces.
    Keyspaces(keyspaces::KeyspacesArgs),
    /// Write lines of key, tab, value from the standard input, acknowledging each.
    Load(load::LoadArgs),
    /// Show what a database's directory holds, damaged or not.
    Inspect(inspect::InspectArgs),
    /// Look at the log of a database.
    Wal(wal::WalArgs),
    /// Find the first record in which two logs differ.
    Diff(diff::DiffArgs),
    /// Check or rewrite the Store of a database.
    Store(store::StoreArgs),
    /// Copy a database.
    Backup(backup::BackupArgs),
    /// Make a database out of a backup, up to any LSN that the archive reaches.
    Restore(backup::RestoreArgs),
    /// Measure whole workloads, beside what disk and machine allow.
    Bench(bench::BenchArgs),
    /// Print a script that completes this command's words in a shell.
    Completions(completions::CompletionsArgs),
    /// Work until killed: for tests.
    #[command(hide = true)]
    CrashChild(crash_child::CrashChildArgs),
    /// Write the demo's data until killed: for `mainstay demo`.
    #[command(hide = true)]
    DemoChild(demo::DemoChildArgs),
}

/// Which keyspace of which database.
#[derive(Args, Debug)]
pub(crate) struct Place {
    /// Directory of the database.
    pub dir: PathBuf,
    /// Keyspace.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub keyspace: String,
}

/// How keys and values on the command line are written.
#[derive(Args, Copy, Clone, Debug)]
pub(crate) struct Written {
    /// Keys and values on the command line have escapes, as in the output: \t \n \r \\ \x00.
    #[arg(long)]
    pub escaped: bool,
}

impl Written {
    /// The bytes that are meant.
    pub(crate) fn bytes(self, text: &OsString) -> Result<Vec<u8>, Failure> {
        let bytes = text.as_encoded_bytes();
        if !self.escaped {
            return Ok(bytes.to_vec());
        }
        unescape(bytes)
            .map_err(|reason| Failure::usage(format!("{}: {reason}", text.to_string_lossy())))
    }
}
