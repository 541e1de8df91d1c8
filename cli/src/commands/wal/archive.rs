//! `mainstay wal archive`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, counted, size};

const EXAMPLES: &str = "\
Examples:
  mainstay wal archive data archive
  mainstay restore copies/monday data-again --archive archive --to-lsn 120345

Adds the records to the archive that it does not hold yet; the archive is made if it is missing. Run it often \
enough that the log does not let go of records before, or call `Db::archive` in the program that writes. Changes \
nothing in the database, which must not be open elsewhere. A damaged log is archived up to the damage, and the command \
ends with 2.";

/// Arguments of `mainstay wal archive`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ArchiveArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Directory of the archive.
    archive: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ArchiveArgs, output: &mut Output) -> Result<Exit, Failure> {
    let report =
        mainstay::archive_directory(&args.dir, &args.archive).map_err(database::failure)?;
    if args.json {
        output.json(&json!({
            "first_lsn": report.first_lsn.0,
            "last_lsn": report.end.lsn.0,
            "records": report.records,
            "bytes": report.bytes,
            "files": report.files,
        }))?;
        return Ok(Exit::Done);
    }
    let mut facts = Table::facts();
    facts.fact("archive", format!("LSN {} to {}", report.first_lsn, report.end.lsn));
    let records = counted(report.records, ["record", "records"]);
    let files = counted(report.files, ["file", "files"]);
    facts.fact("added", format!("{records}, {} in {files}", size(report.bytes)));
    output.table(&facts)?;
    Ok(Exit::Done)
}
