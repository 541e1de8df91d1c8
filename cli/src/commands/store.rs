//! `mainstay store`: looks at the Store under a database, and writes it anew.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mainstay::VerifyFault;
use serde_json::{Value as Json, json};

use crate::database;
use crate::exit::{Exit, Failure};
use crate::log_view::{exit_of, json_of, words_of};
use crate::output::{Output, Table, Tone, grouped, json_bytes, size};

/// Arguments of `mainstay store`.
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand, Debug)]
enum StoreCommand {
    /// Read everything, log and Store, and compare the one with the other.
    Verify(VerifyArgs),
    /// Write the Store anew, compactly.
    Rebuild(RebuildArgs),
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  mainstay store verify data
  mainstay store verify data --json | jq .faults

Reads the manifest, every record of the log and every entry of the Store, and compares the last change of each \
key in the log with what the Store holds. Changes no byte.

Exit codes:
  0  everything is as it was written
  1  the log has a torn tail, which is cut when the database is opened
  2  something that was durable is damaged, or Store and log disagree
  3  something cannot be read at all";

/// Arguments of `mainstay store verify`.
#[derive(Args, Debug)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

const REBUILD_EXAMPLES: &str = "\
Examples:
  mainstay store rebuild data
  mainstay store rebuild data --json

sled leaks space on overwrites; this copies what it holds into a new Store, which then takes its place. Needs the \
space of both for a while. A crash leaves the old one or the new one in use, both whole. The database must \
not be open elsewhere. A Store that is damaged is rebuilt from the log when the database is opened, if the log \
reaches back to its beginning.";

/// Arguments of `mainstay store rebuild`.
#[derive(Args, Debug)]
#[command(after_help = REBUILD_EXAMPLES)]
pub(crate) struct RebuildArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &StoreArgs, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        StoreCommand::Verify(args) => verify(args, output),
        StoreCommand::Rebuild(args) => rebuild(args, output),
    }
}

fn verify(args: &VerifyArgs, output: &mut Output) -> Result<Exit, Failure> {
    let report = mainstay::verify_directory(&args.dir).map_err(database::failure)?;
    let verdict = report.verdict();
    if args.json {
        output.json(&json!({
            "verdict": words_of(verdict),
            "first_lsn": report.first_lsn.0,
            "last_lsn": report.end.lsn.0,
            "checkpoint_lsn": report.checkpoint_lsn.0,
            "records": report.records,
            "store_kind": report.store_kind,
            "store_applied_lsn": report.store_applied_lsn.0,
            "entries": report.entries,
            "compared_keys": report.compared_keys,
            "faults": report.faults.iter().map(fault_json).collect::<Vec<_>>(),
        }))?;
        return Ok(exit_of(verdict));
    }
    let mut facts = Table::facts();
    let lsns = format!("{} to {}", report.first_lsn, report.end.lsn);
    facts.fact("log", format!("{} records, LSN {lsns}", grouped(report.records)));
    facts.fact("checkpoint", format!("LSN {}", report.checkpoint_lsn));
    let applied = report.store_applied_lsn;
    facts.fact("store", format!("{}, complete up to LSN {applied} at least", report.store_kind));
    facts.fact("entries", grouped(report.entries));
    facts.fact("compared", format!("{} keys", grouped(report.compared_keys)));
    output.table(&facts)?;
    output.line("")?;
    for fault in &report.faults {
        output.line(fault.to_string())?;
    }
    let tone = if report.is_clean() { Tone::Good } else { Tone::Bad };
    output.verdict(tone, words_of(verdict))?;
    Ok(exit_of(verdict))
}

fn fault_json(fault: &VerifyFault) -> Json {
    let mut object = serde_json::Map::new();
    object.insert("reason".to_owned(), json!(fault.to_string()));
    match fault {
        VerifyFault::Log(fault) => return json_of(fault),
        VerifyFault::Mismatch { key, lsn, .. } => {
            object.insert("kind".to_owned(), json!("mismatch"));
            object.insert("lsn".to_owned(), json!(lsn.0));
            json_bytes(&mut object, "key", key);
        }
        VerifyFault::Record { lsn, .. } => {
            object.insert("kind".to_owned(), json!("record"));
            object.insert("lsn".to_owned(), json!(lsn.0));
        }
        VerifyFault::Manifest { .. } => {
            object.insert("kind".to_owned(), json!("manifest"));
        }
        VerifyFault::Store { .. } => {
            object.insert("kind".to_owned(), json!("store"));
        }
        // Kinds that later versions add still have their reason.
        _ => {}
    }
    Json::Object(object)
}

fn rebuild(args: &RebuildArgs, output: &mut Output) -> Result<Exit, Failure> {
    let report = mainstay::rebuild_store(&args.dir).map_err(database::failure)?;
    if args.json {
        output.json(&json!({
            "entries": report.entries,
            "before_bytes": report.before_bytes,
            "after_bytes": report.after_bytes,
            "store_directory": report.store_directory,
        }))?;
        return Ok(Exit::Done);
    }
    let mut facts = Table::facts();
    facts.fact("entries", grouped(report.entries));
    facts.fact("before", size(report.before_bytes));
    facts.fact("now", size(report.after_bytes));
    facts.fact("directory", &report.store_directory);
    output.table(&facts)?;
    Ok(Exit::Done)
}
