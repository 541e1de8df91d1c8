//! `mainstay get`.

use std::ffi::OsString;

use clap::Args;

use crate::args::{Place, Written};
use crate::database::{self, View};
use crate::escape::escape;
use crate::exit::{Exit, Failure};
use crate::output::{Output, json_entry};

const EXAMPLES: &str = "\
Examples:
  mainstay get data ada
  mainstay get data --keyspace users alan --json
  mainstay get data --raw picture > picture.png
  mainstay get data --escaped '\\x00\\xff'

The value is printed with escapes (\\t \\n \\r \\\\ \\x00) and a line end; --raw prints its bytes alone. \
Ends with 1 if the key is not there. Changes nothing in the directory.";

/// Arguments of `mainstay get`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    place: Place,
    /// Key to look up.
    key: OsString,
    #[command(flatten)]
    written: Written,
    /// Print the value's bytes as they are and nothing else.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print a JSON object with key and value.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &GetArgs, output: &mut Output) -> Result<Exit, Failure> {
    let key = args.written.bytes(&args.key)?;
    let view = View::open(&args.place)?;
    let found = view.snapshot.get(&view.keyspace, &key).map_err(database::failure)?;
    let Some(value) = found else {
        let message = format!("there is no key {}", escape(&key));
        return Err(Failure::Stopped(Exit::No, message));
    };
    if args.raw {
        output.bytes(&value)?;
    } else if args.json {
        output.json(&json_entry(&key, &value))?;
    } else {
        output.line(escape(&value))?;
    }
    Ok(Exit::Done)
}
