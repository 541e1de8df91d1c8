//! `mainstay scan`.

use std::ffi::OsString;
use std::ops::Bound;

use clap::Args;

use crate::args::{Place, Written};
use crate::database::{self, View};
use crate::escape::escape;
use crate::exit::{Exit, Failure};
use crate::output::{Output, json_bytes, json_entry, pair_line};

const EXAMPLES: &str = "\
Examples:
  mainstay scan data --limit 10
  mainstay scan data --prefix user/ --keys-only
  mainstay scan data --from 0041 --to 005B
  mainstay scan data --reverse --limit 1          the last entry
  mainstay scan data --json | jq .key

A line is key, tab, value with escapes (\\t \\n \\r \\\\ \\x00). With --json an entry is an object with `key` and \
`value`, or `key_hex` and `value_hex` where they are not UTF-8. All of it is read at one moment of the \
database. Changes nothing in the directory.";

/// Arguments of `mainstay scan`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ScanArgs {
    #[command(flatten)]
    place: Place,
    /// Only keys that begin with this.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["from", "to"])]
    prefix: Option<OsString>,
    /// Only this key and those after it.
    #[arg(long, value_name = "KEY")]
    from: Option<OsString>,
    /// Only keys before this one.
    #[arg(long, value_name = "KEY")]
    to: Option<OsString>,
    /// From the last key to the first.
    #[arg(long)]
    reverse: bool,
    /// Stop after so many entries.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print keys without values.
    #[arg(long)]
    keys_only: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    written: Written,
}

pub(crate) fn run(args: &ScanArgs, output: &mut Output) -> Result<Exit, Failure> {
    let bytes =
        |text: &Option<OsString>| text.as_ref().map(|text| args.written.bytes(text)).transpose();
    let (prefix, from, to) = (bytes(&args.prefix)?, bytes(&args.from)?, bytes(&args.to)?);
    if let (Some(from), Some(to)) = (&from, &to)
        && from > to
    {
        return Err(Failure::usage("--from is a key behind --to"));
    }
    let View { snapshot, keyspace } = View::open(&args.place)?;
    let mut entries = match prefix {
        Some(prefix) => snapshot.prefix(&keyspace, &prefix),
        None => {
            let from = from.map_or(Bound::Unbounded, Bound::Included);
            snapshot.range(&keyspace, (from, to.map_or(Bound::Unbounded, Bound::Excluded)))
        }
    };
    let limit = args.limit.unwrap_or(usize::MAX);
    for _ in 0..limit {
        let next = if args.reverse { entries.next_back() } else { entries.next() };
        let Some(entry) = next else { break };
        let (key, value) = entry.map_err(database::failure)?;
        print_entry(args, &key, &value, output)?;
    }
    Ok(Exit::Done)
}

fn print_entry(
    args: &ScanArgs,
    key: &[u8],
    value: &[u8],
    output: &mut Output,
) -> Result<(), Failure> {
    match (args.json, args.keys_only) {
        (true, true) => {
            let mut object = serde_json::Map::new();
            json_bytes(&mut object, "key", key);
            output.json(&serde_json::Value::Object(object))?;
        }
        (true, false) => output.json(&json_entry(key, value))?,
        (false, true) => output.line(escape(key))?,
        (false, false) => output.line(pair_line(key, value))?,
    }
    Ok(())
}
