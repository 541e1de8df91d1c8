//! `mainstay insert` and `mainstay remove`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::args::{Place, Written};
use crate::database;
use crate::escape::escape;
use crate::exit::{Exit, Failure};

const INSERT_EXAMPLES: &str = "\
Examples:
  mainstay insert data ada 1815
  mainstay insert data --keyspace pictures cat --value-file cat.png
  date | mainstay insert data now --value-file -
  mainstay insert data --escaped '\\x00\\x01' 'two\\nlines'

The database and the keyspace are made if they are missing. When the command returns, the entry is on the disk.";

/// Arguments of `mainstay insert`.
#[derive(Args, Debug)]
#[command(after_help = INSERT_EXAMPLES)]
pub(crate) struct InsertArgs {
    #[command(flatten)]
    place: Place,
    /// Key to set.
    key: OsString,
    /// Its value.
    #[arg(required_unless_present = "value_file", conflicts_with = "value_file")]
    value: Option<OsString>,
    /// Take the value from a file, byte for byte; `-` for the standard input.
    #[arg(long, value_name = "PATH")]
    value_file: Option<PathBuf>,
    #[command(flatten)]
    written: Written,
}

const REMOVE_EXAMPLES: &str = "\
Examples:
  mainstay remove data ada
  mainstay remove data --keyspace users --escaped '\\x00'

Ends with 1 if the key was not there. When the command returns, the key is gone from the disk.";

/// Arguments of `mainstay remove`.
#[derive(Args, Debug)]
#[command(after_help = REMOVE_EXAMPLES)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    place: Place,
    /// Key to remove.
    key: OsString,
    #[command(flatten)]
    written: Written,
}

pub(crate) fn insert(args: &InsertArgs) -> Result<Exit, Failure> {
    let key = args.written.bytes(&args.key)?;
    let value = match (&args.value, &args.value_file) {
        (Some(value), _) => args.written.bytes(value)?,
        (None, Some(path)) => read_value(path)?,
        (None, None) => return Err(Failure::usage("no value was given")),
    };
    let db = database::open(&args.place.dir)?;
    let keyspace = db.keyspace(&args.place.keyspace).map_err(database::failure)?;
    keyspace.insert(&key, &value).map_err(database::failure)?;
    db.close().map_err(database::failure)?;
    Ok(Exit::Done)
}

pub(crate) fn remove(args: &RemoveArgs) -> Result<Exit, Failure> {
    let key = args.written.bytes(&args.key)?;
    let db = database::open_existing(&args.place.dir)?;
    let name = &args.place.keyspace;
    let names = db.keyspaces();
    if !names.contains(name) {
        return Err(database::no_keyspace(name, &names));
    }
    let keyspace = db.keyspace(name).map_err(database::failure)?;
    let was_there = keyspace.contains_key(&key).map_err(database::failure)?;
    if was_there {
        keyspace.remove(&key).map_err(database::failure)?;
    }
    db.close().map_err(database::failure)?;
    if was_there {
        return Ok(Exit::Done);
    }
    Err(Failure::Stopped(Exit::No, format!("there is no key {}", escape(&key))))
}

fn read_value(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path == Path::new("-") {
        let mut value = Vec::new();
        io::stdin().read_to_end(&mut value).map(|_| value)
    } else {
        fs::read(path)
    };
    read.map_err(|error| Failure::file("read", path, &error))
}
