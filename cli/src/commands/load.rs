//! `mainstay load`.

use std::io;

use clap::Args;

use crate::args::Place;
use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::rows::{Format, Parsed, Rows, Shape, ShapeError};

const EXAMPLES: &str = "\
Examples:
  printf 'ada\\t1815\\nalan\\t1912\\n' | mainstay load data
  producer | mainstay load data --keyspace events | consumer-of-acknowledgements

Each line of the standard input is a key, a tab and a value, as they stand. After each, when it is on the disk, \
`ACK <key>` is printed and given out at once: whoever read that line can rely on the entry, whatever happens \
afterwards. A line that cannot be stored is named on the standard error, and the command ends with 1.";

/// Arguments of `mainstay load`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(args: &LoadArgs, output: &mut Output) -> Result<Exit, Failure> {
    let db = database::open(&args.place.dir)?;
    let keyspace = db.keyspace(&args.place.keyspace).map_err(database::failure)?;
    let input = |error: io::Error| {
        Failure::Stopped(Exit::Unreadable, format!("cannot read the standard input: {error}"))
    };
    let rows = Rows::new(io::stdin(), &Shape::new(Format::Lines)).map_err(|error| match error {
        ShapeError::Io(error) => input(error),
        ShapeError::Unfit(reason) => Failure::usage(reason),
    })?;
    let mut exit = Exit::Done;
    for parsed in rows {
        match parsed.map_err(input)? {
            Parsed::Row(row) => {
                keyspace.insert(&row.key, &row.value).map_err(database::failure)?;
                output.bytes(&[b"ACK ", &row.key[..], b"\n"].concat())?;
                output.flush()?;
            }
            Parsed::Rejected(bad) => {
                eprintln!("mainstay: line {}: {}", bad.line, bad.reason);
                exit = Exit::No;
            }
        }
    }
    db.close().map_err(database::failure)?;
    Ok(exit)
}
