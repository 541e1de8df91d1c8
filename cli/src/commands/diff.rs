//! `mainstay diff`.

use std::path::PathBuf;

use clap::Args;
use mainstay::wal::{Lsn, Position};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::log_view::{LogView, RecordPlace, RecordWalk};
use crate::output::{Output, Table, Tone};

const EXAMPLES: &str = "\
Examples:
  mainstay diff node-1 node-2
  mainstay diff node-1 node-2 --json | jq .lsn

Compares two logs record by record, by epoch, length and checksums, and by the running hash over everything before.
Ends with 0 if they agree wherever both have records (one may end earlier), with 1 if they differ or
have no record in common. Only reads.";

/// Arguments of `mainstay diff`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// Directory of the one database.
    left: PathBuf,
    /// Directory of the other.
    right: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// How two logs compare.
enum Relation {
    /// The same records to the same end.
    Same,
    /// The left one ends earlier; up to there they agree.
    LeftIsBehind,
    /// The right one ends earlier; up to there they agree.
    RightIsBehind,
    /// They differ at this record.
    Differ(Box<(RecordPlace, RecordPlace)>),
    /// They differ already before the first record that both hold.
    DifferBefore(Lsn),
    /// One ends before the other begins.
    NothingInCommon,
}

pub(crate) fn run(args: &DiffArgs, output: &mut Output) -> Result<Exit, Failure> {
    let (left, right) = (LogView::open(&args.left)?, LogView::open(&args.right)?);
    let (relation, last_common) = compare(&left, &right)?;
    if args.json {
        print_json(&relation, last_common, output)?;
    } else {
        print(&relation, last_common, output)?;
    }
    Ok(match relation {
        Relation::Same | Relation::LeftIsBehind | Relation::RightIsBehind => Exit::Done,
        Relation::Differ(_) | Relation::DifferBefore(_) | Relation::NothingInCommon => Exit::No,
    })
}

/// Compares, and says which was the last record that both hold alike.
fn compare(left: &LogView, right: &LogView) -> Result<(Relation, Lsn), Failure> {
    let (mut left, mut right) = (RecordWalk::new(left)?, RecordWalk::new(right)?);
    let start = left.first_lsn.max(right.first_lsn);
    let (left_chain, left_record) = walk_to(&mut left, start)?;
    let (right_chain, right_record) = walk_to(&mut right, start)?;
    let (Some(left_chain), Some(right_chain)) = (left_chain, right_chain) else {
        return Ok((Relation::NothingInCommon, Lsn::ZERO));
    };
    if left_chain != right_chain {
        return Ok((Relation::DifferBefore(start), Lsn::ZERO));
    }
    let mut last_common = start.previous();
    let (mut left_record, mut right_record) = (left_record, right_record);
    loop {
        let relation = match (left_record, right_record) {
            (None, None) => Relation::Same,
            (None, Some(_)) => Relation::LeftIsBehind,
            (Some(_), None) => Relation::RightIsBehind,
            (Some(one), Some(other)) if one.header != other.header => {
                Relation::Differ(Box::new((one, other)))
            }
            (Some(one), Some(_)) => {
                last_common = one.header.lsn;
                left_record = left.next()?;
                right_record = right.next()?;
                continue;
            }
        };
        return Ok((relation, last_common));
    }
}

/// Passes over records below `start`. Gives the chain before `start`, if the log reaches so far,
/// and the record.
fn walk_to(
    walk: &mut RecordWalk<'_>,
    start: Lsn,
) -> Result<(Option<mainstay::wal::Chain>, Option<RecordPlace>), Failure> {
    let (mut chain, mut next) = (walk.chain_before, walk.first_lsn);
    loop {
        let record = walk.next()?;
        match record {
            Some(record) if record.header.lsn < start => {
                chain = record.chain;
                next = record.header.lsn.next();
            }
            Some(record) => return Ok((Some(chain), Some(record))),
            None => return Ok(((next >= start).then_some(chain), None)),
        }
    }
}

fn print(relation: &Relation, last_common: Lsn, output: &mut Output) -> Result<(), Failure> {
    match relation {
        Relation::Same => {
            output.verdict(
                Tone::Good,
                &format!("the same up to LSN {last_common}, where both end"),
            )?;
        }
        Relation::LeftIsBehind => output.verdict(
            Tone::Warning,
            &format!("the same up to LSN {last_common}, where the first one ends"),
        )?,
        Relation::RightIsBehind => output.verdict(
            Tone::Warning,
            &format!("the same up to LSN {last_common}, where the second one ends"),
        )?,
        Relation::Differ(records) => {
            let (one, other) = records.as_ref();
            output.verdict(Tone::Bad, &format!("they differ from LSN {} on", one.header.lsn))?;
            let mut table = Table::new(&[
                "log",
                ">epoch",
                ">segment",
                ">offset",
                ">bytes",
                "checksum of the payload",
            ]);
            for (name, record) in [("first", one), ("second", other)] {
                let RecordPlace { header, position: Position { segment, offset }, .. } = record;
                table.row([
                    name.to_owned(),
                    header.epoch.to_string(),
                    segment.to_string(),
                    offset.to_string(),
                    header.frame_bytes().to_string(),
                    format!("{:08x}", header.payload_crc),
                ]);
            }
            output.table(&table)?;
        }
        Relation::DifferBefore(lsn) => output.verdict(
            Tone::Bad,
            &format!("they differ before LSN {lsn}, the first record that both hold"),
        )?,
        Relation::NothingInCommon => {
            output.verdict(
                Tone::Bad,
                "they hold no record in common: one ends before the other begins",
            )?;
        }
    }
    Ok(())
}

fn print_json(relation: &Relation, last_common: Lsn, output: &mut Output) -> Result<(), Failure> {
    let (name, lsn) = match relation {
        Relation::Same => ("same", None),
        Relation::LeftIsBehind => ("first_is_behind", None),
        Relation::RightIsBehind => ("second_is_behind", None),
        Relation::Differ(records) => ("differ", Some(records.0.header.lsn.0)),
        Relation::DifferBefore(_) => ("differ_before", None),
        Relation::NothingInCommon => ("nothing_in_common", None),
    };
    output.json(&json!({ "relation": name, "lsn": lsn, "last_common_lsn": last_common.0 }))?;
    Ok(())
}
