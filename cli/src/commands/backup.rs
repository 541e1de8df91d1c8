//! `mainstay backup` and `mainstay restore`.

use std::path::PathBuf;

use clap::Args;
use mainstay::{Lsn, RestoreOptions};
use serde_json::json;

use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, grouped, size};

const BACKUP_EXAMPLES: &str = "\
Examples:
  mainstay backup data copies/monday
  mainstay restore copies/monday data-again

The target must not exist yet. The database is opened for it, so no other process may have it open; \
a program that has it open calls `Db::backup` itself, and goes on writing meanwhile.";

/// Arguments of `mainstay backup`.
#[derive(Args, Debug)]
#[command(after_help = BACKUP_EXAMPLES)]
pub(crate) struct BackupArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Directory to write the backup to.
    to: PathBuf,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  mainstay restore copies/monday data-again
  mainstay restore copies/monday data-again --archive archive --to-lsn 120345

With --archive, what `mainstay wal archive` put there is played on top of the backup: all of it, or up to --to-lsn. \
The target must not exist yet. The new database has a life of its own: its log goes on in a new \
epoch.";

/// Arguments of `mainstay restore`.
#[derive(Args, Debug)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// Directory of the backup.
    backup: PathBuf,
    /// Directory of the database to make.
    to: PathBuf,
    /// Directory with archived segments of the log.
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// Stop behind this LSN.
    #[arg(long, value_name = "LSN")]
    to_lsn: Option<u64>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn backup(args: &BackupArgs, output: &mut Output) -> Result<Exit, Failure> {
    let db = database::open_existing(&args.dir)?;
    let report = db.backup(&args.to).map_err(database::failure)?;
    db.close().map_err(database::failure)?;
    if args.json {
        output.json(&json!({
            "start_lsn": report.start_lsn.0,
            "end_lsn": report.end.lsn.0,
            "end_epoch": report.end.epoch.0,
            "entries": report.entries,
            "records": report.records,
            "bytes": report.bytes,
        }))?;
        return Ok(Exit::Done);
    }
    let mut facts = Table::facts();
    facts.fact("restores to", format!("LSN {}", report.end.lsn));
    facts.fact("entries", grouped(report.entries));
    facts.fact("records", grouped(report.records));
    facts.fact("size", size(report.bytes));
    output.table(&facts)?;
    Ok(Exit::Done)
}

pub(crate) fn restore(args: &RestoreArgs, output: &mut Output) -> Result<Exit, Failure> {
    let options = RestoreOptions {
        archive: args.archive.clone(),
        to_lsn: args.to_lsn.map(Lsn),
        ..RestoreOptions::default()
    };
    let report = mainstay::restore(&args.backup, &args.to, options).map_err(database::failure)?;
    if args.json {
        output.json(&json!({
            "restored_lsn": report.restored.lsn.0,
            "epoch": report.epoch.0,
            "entries": report.entries,
            "records": report.records,
        }))?;
        return Ok(Exit::Done);
    }
    let mut facts = Table::facts();
    facts.fact("restored to", format!("LSN {}", report.restored.lsn));
    facts.fact("goes on in", format!("epoch {}", report.epoch));
    facts.fact("entries", grouped(report.entries));
    facts.fact("records", grouped(report.records));
    output.table(&facts)?;
    Ok(Exit::Done)
}
