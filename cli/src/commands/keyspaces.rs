//! `mainstay keyspaces`.

use std::path::PathBuf;

use clap::Args;

use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  mainstay keyspaces data
  mainstay keyspaces data --json

Changes nothing in the directory.";

/// Arguments of `mainstay keyspaces`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeyspacesArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Print a JSON array of names.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &KeyspacesArgs, output: &mut Output) -> Result<Exit, Failure> {
    let db = database::open_read_only(&args.dir)?;
    let names = db.keyspaces();
    if args.json {
        output.json(&serde_json::json!(names))?;
        return Ok(Exit::Done);
    }
    for name in names {
        output.line(name)?;
    }
    Ok(Exit::Done)
}
