//! `mainstay wal stats`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use mainstay::wal::scan::{LogScan, SegmentFile, SegmentState, Unused};
use mainstay::wal::{SegmentNumber, segment};
use serde_json::{Value as Json, json};

use crate::database;
use crate::exit::{Exit, Failure};
use crate::log_view::{LogView, words_of};
use crate::output::{Output, Table, grouped, size};

const EXAMPLES: &str = "\
Examples:
  mainstay wal stats data
  mainstay wal stats data --json | jq '.segments | length'";

/// Arguments of `mainstay wal stats`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatsArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// What a segment holds.
#[derive(Copy, Clone, Debug, Default)]
struct Contents {
    groups: u64,
    records: u64,
    frame_bytes: u64,
}

pub(crate) fn run(args: &StatsArgs, output: &mut Output) -> Result<Exit, Failure> {
    let view = LogView::open(&args.dir)?;
    let mut contents: BTreeMap<SegmentNumber, Contents> = BTreeMap::new();
    let scan = view
        .scan(&mut |extent, group| {
            let segment = contents.entry(extent.header.number).or_default();
            segment.groups += 1;
            segment.records += group.records();
            segment.frame_bytes += group.frames.len() as u64;
            Ok(())
        })
        .map_err(|error| database::failure(error.into()))?;
    if args.json {
        output.json(&as_json(&view, &scan, &contents))?;
    } else {
        print(&view, &scan, &contents, output)?;
    }
    Ok(Exit::Done)
}

/// The state of a file in a word.
fn word(state: &SegmentState) -> &'static str {
    match state {
        SegmentState::Live(_) => "live",
        SegmentState::Dead(_) => "dead",
        SegmentState::Unused(Unused::Blank) => "prepared",
        SegmentState::Unused(Unused::Recycled(_)) => "recycled",
        SegmentState::Damaged(_) => "damaged",
    }
}

fn as_json(view: &LogView, scan: &LogScan, contents: &BTreeMap<SegmentNumber, Contents>) -> Json {
    let segment = |file: &SegmentFile| {
        let held = contents.get(&file.number).copied().unwrap_or_default();
        let mut object = json!({
            "file": segment::file_name(file.number),
            "state": word(&file.state),
            "length_bytes": file.length_bytes,
            "records": held.records,
            "groups": held.groups,
            "frame_bytes": held.frame_bytes,
        });
        if let SegmentState::Live(header) = &file.state {
            object["first_lsn"] = json!(header.first_lsn.0);
            object["epoch"] = json!(header.epoch.0);
            object["block_bytes"] = json!(header.block_bytes);
        }
        object
    };
    json!({
        "first_lsn": scan.first_lsn.0,
        "last_lsn": scan.end.lsn.0,
        "durable_upto": scan.durable_upto.0,
        "records": scan.records,
        "groups": scan.groups,
        "frame_bytes": scan.frame_bytes,
        "file_bytes": file_bytes(view),
        "verdict": words_of(view.verdict(scan)),
        "segments": view.segments.segments.iter().map(segment).collect::<Vec<_>>(),
        "other_files": view.segments.others,
    })
}

fn file_bytes(view: &LogView) -> u64 {
    view.segments.segments.iter().map(|file| file.length_bytes).sum()
}

fn print(
    view: &LogView,
    scan: &LogScan,
    contents: &BTreeMap<SegmentNumber, Contents>,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut table = Table::new(&[
        "file",
        "state",
        ">size",
        ">first LSN",
        ">records",
        ">groups",
        ">bytes in frames",
    ]);
    for file in &view.segments.segments {
        let held = contents.get(&file.number).copied().unwrap_or_default();
        let first_lsn = match &file.state {
            SegmentState::Live(header) => header.first_lsn.to_string(),
            _ => "-".to_owned(),
        };
        table.row([
            segment::file_name(file.number),
            word(&file.state).to_owned(),
            size(file.length_bytes),
            first_lsn,
            grouped(held.records),
            grouped(held.groups),
            grouped(held.frame_bytes),
        ]);
    }
    output.table(&table)?;
    output.line("")?;
    let mut facts = Table::facts();
    facts.fact(
        "records",
        format!("{}, LSN {} to {}", grouped(scan.records), scan.first_lsn, scan.end.lsn),
    );
    facts.fact("records per group", tenths(scan.records, scan.groups));
    facts.fact("bytes per record", tenths(scan.frame_bytes, scan.records));
    facts.fact("files", size(file_bytes(view)));
    facts.fact("state", words_of(view.verdict(scan)));
    output.table(&facts)?;
    Ok(())
}

/// A quotient with one digit behind the point.
fn tenths(dividend: u64, divisor: u64) -> String {
    match dividend.saturating_mul(10).checked_div(divisor) {
        None => "-".to_owned(),
        Some(tenths) => format!("{}.{}", grouped(tenths / 10), tenths % 10),
    }
}
