//! `mainstay export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::args::Place;
use crate::database::{self, View};
use crate::exit::{Exit, Failure};
use crate::output::{Output, json_entry, pair_line};

const EXAMPLES: &str = "\
Examples:
  mainstay export data > data.pairs
  mainstay export data --keyspace users --format ndjson --output users.ndjson
  mainstay export old | mainstay import new - --format pairs

Each format holds every byte of keys and values, and `mainstay import` gives them back:
  pairs    key, tab, value with escapes (\\t \\n \\r \\\\ \\x00)
  ndjson   objects with `key` and `value`, or `key_hex` and `value_hex` where they are not UTF-8
  csv      a header `key,value`, then bytes as they are, quoted (import with --key key --value value)
All of it is one moment of the database. Changes nothing in the directory.";

/// Arguments of `mainstay export`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    place: Place,
    /// Layout of the output.
    #[arg(long, value_enum, default_value_t = ExportFormat::Pairs)]
    format: ExportFormat,
    /// Write to a file instead of the standard output; it must not exist yet.
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Pairs,
    Ndjson,
    Csv,
}

pub(crate) fn run(args: &ExportArgs, output: &mut Output) -> Result<Exit, Failure> {
    let entries = View::open(&args.place)?.iter();
    let Some(path) = &args.output else {
        return write_entries(entries, args.format, |bytes| Ok(output.bytes(bytes)?));
    };
    let to_file = |error: io::Error| Failure::file("write to", path, &error);
    let file = create_new(path)?;
    let mut writer = BufWriter::new(file);
    let exit =
        write_entries(entries, args.format, |bytes| writer.write_all(bytes).map_err(to_file))?;
    writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(to_file)?;
    Ok(exit)
}

fn create_new(path: &Path) -> Result<File, Failure> {
    File::create_new(path).map_err(|error| Failure::file("create", path, &error))
}

fn write_entries<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    entries: impl Iterator<Item = mainstay::Result<(K, V)>>,
    format: ExportFormat,
    mut write: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    if format == ExportFormat::Csv {
        write(b"key,value\n")?;
    }
    for entry in entries {
        let (key, value) = entry.map_err(database::failure)?;
        let (key, value) = (key.as_ref(), value.as_ref());
        let line = match format {
            ExportFormat::Pairs => pair_line(key, value).into_bytes(),
            ExportFormat::Ndjson => json_entry(key, value).to_string().into_bytes(),
            ExportFormat::Csv => [&quoted(key)[..], b",", &quoted(value)].concat(),
        };
        write(&line)?;
        write(b"\n")?;
    }
    Ok(Exit::Done)
}

/// A csv field with quotes around it, those inside doubled.
fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(bytes.len() + 2);
    field.push(b'"');
    for byte in bytes {
        if *byte == b'"' {
            field.push(b'"');
        }
        field.push(*byte);
    }
    field.push(b'"');
    field
}
