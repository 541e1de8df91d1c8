//! `mainstay diff`.

use std::path::PathBuf;

use clap::Args;
use mainstay::LogComparison;
use mainstay::wal::{Position, segment};
use serde_json::{Value as Json, json};

use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, Tone};

const EXAMPLES: &str = "\
Examples:
  mainstay diff node-1 node-2
  mainstay diff node-1 node-2 --json | jq .lsn

Compares two logs record by record, and by the running hash over everything before. Ends with 0 if they agree \
wherever both have records (one may end earlier), with 1 if they differ or have no record in common, with 2 if they \
agree up to damage in one of them. Only reads, takes no lock.";

/// Arguments of `mainstay diff`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// Directory of the one database.
    first: PathBuf,
    /// Directory of the other.
    second: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DiffArgs, output: &mut Output) -> Result<Exit, Failure> {
    let found = mainstay::first_difference(&args.first, &args.second).map_err(database::failure)?;
    if args.json {
        output.json(&as_json(&found))?;
    } else {
        print(&found, output)?;
    }
    Ok(match found {
        LogComparison::Equal { .. } | LogComparison::OneIsLonger { .. } => Exit::Done,
        LogComparison::Differ { .. }
        | LogComparison::DifferBefore { .. }
        | LogComparison::NothingInCommon => Exit::No,
        LogComparison::Damaged { .. } => Exit::Corrupt,
    })
}

fn as_json(found: &LogComparison) -> Json {
    match found {
        LogComparison::Equal { end } => json!({ "relation": "same", "last_common_lsn": end.lsn.0 }),
        LogComparison::OneIsLonger { common, a_end, b_end } => json!({
            "relation": if a_end.lsn < b_end.lsn { "first_is_behind" } else { "second_is_behind" },
            "last_common_lsn": common.lsn.0,
            "first_end_lsn": a_end.lsn.0,
            "second_end_lsn": b_end.lsn.0,
        }),
        LogComparison::Differ { lsn, a, b } => json!({
            "relation": "differ",
            "lsn": lsn.0,
            "last_common_lsn": lsn.previous().0,
            "first": { "epoch": a.log_id.epoch.0, "chain": a.chain.to_string() },
            "second": { "epoch": b.log_id.epoch.0, "chain": b.chain.to_string() },
        }),
        LogComparison::DifferBefore { lsn } => {
            json!({ "relation": "differ_before", "before_lsn": lsn.0 })
        }
        LogComparison::NothingInCommon => json!({ "relation": "nothing_in_common" }),
        LogComparison::Damaged { common, a, b } => json!({
            "relation": "damaged",
            "last_common_lsn": common.map(|common| common.lsn.0),
            "first_damage": a.map(place),
            "second_damage": b.map(place),
        }),
    }
}

fn place(at: Position) -> Json {
    json!({ "file": segment::file_name(at.segment), "offset": at.offset })
}

fn print(found: &LogComparison, output: &mut Output) -> Result<(), Failure> {
    match found {
        LogComparison::Equal { end } => {
            let text = format!("the same up to LSN {}, where both end", end.lsn);
            output.verdict(Tone::Good, &text)?;
        }
        LogComparison::OneIsLonger { common, a_end, b_end } => {
            let (which, other, end) = if a_end.lsn < b_end.lsn {
                ("first", "second", b_end.lsn)
            } else {
                ("second", "first", a_end.lsn)
            };
            let text = format!(
                "the same up to LSN {}, where the {which} one ends; the {other} goes on to {end}",
                common.lsn
            );
            output.verdict(Tone::Warning, &text)?;
        }
        LogComparison::Differ { lsn, a, b } => {
            output.verdict(Tone::Bad, &format!("they differ from LSN {lsn} on"))?;
            let mut table = Table::new(&["log", ">epoch", "chain with that record"]);
            for (name, record) in [("first", a), ("second", b)] {
                let epoch = record.log_id.epoch.to_string();
                table.row([name.to_owned(), epoch, record.chain.to_string()]);
            }
            output.table(&table)?;
        }
        LogComparison::DifferBefore { lsn } => {
            let text = format!("they differ before LSN {lsn}, where one of them has no records");
            output.verdict(Tone::Bad, &text)?;
        }
        LogComparison::NothingInCommon => {
            let text = "they hold no record in common: one ends before the other begins";
            output.verdict(Tone::Bad, text)?;
        }
        LogComparison::Damaged { common, a, b } => {
            let end = match common {
                Some(common) => format!("the same up to LSN {}", common.lsn),
                None => "nothing can be compared".to_owned(),
            };
            let places = [("first", a), ("second", b)].into_iter().filter_map(|(which, at)| {
                let at = at.as_ref()?;
                let file = segment::file_name(at.segment);
                Some(format!("the {which} one is damaged in {file} at offset {}", at.offset))
            });
            let places: Vec<_> = places.collect();
            output.verdict(Tone::Bad, &format!("{end}; {}", places.join(", ")))?;
        }
    }
    Ok(())
}
