//! `mainstay wal verify`.

use std::path::PathBuf;

use clap::Args;
use mainstay::wal::scan::{Fault, LogScan, Verdict};
use mainstay::wal::{Lsn, manifest, segment};
use serde_json::{Value as Json, json};

use crate::database;
use crate::exit::{Exit, Failure};
use crate::log_view::{LogView, exit_of, json_of, words_of};
use crate::output::{Output, Table, Tone, grouped, size};

const EXAMPLES: &str = "\
Examples:
  mainstay wal verify data
  mainstay wal verify data --json | jq '.faults[0]'

Exit codes:
  0  clean: every byte is what was written
  1  the last write was cut off (torn tail); opening the database cuts it, nothing acknowledged is lost
  2  corrupt: something that was durable is damaged; restore a backup
  3  something cannot be read at all";

/// Arguments of `mainstay wal verify`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &VerifyArgs, output: &mut Output) -> Result<Exit, Failure> {
    let view = LogView::open(&args.dir)?;
    let scan = view.scan(&mut |_, _| Ok(())).map_err(|error| database::failure(error.into()))?;
    let verdict = view.verdict(&scan);
    if args.json {
        output.json(&as_json(&view, &scan, verdict))?;
    } else {
        print(&view, &scan, verdict, output)?;
    }
    Ok(exit_of(verdict))
}

fn as_json(view: &LogView, scan: &LogScan, verdict: Verdict) -> Json {
    json!({
        "verdict": words_of(verdict),
        "first_lsn": scan.first_lsn.0,
        "last_lsn": scan.end.lsn.0,
        "durable_upto": scan.durable_upto.0,
        "chain": scan.end_chain.to_string(),
        "records": scan.records,
        "groups": scan.groups,
        "frame_bytes": scan.frame_bytes,
        "manifest": view.manifest.as_ref().err().map(ToString::to_string),
        "faults": scan.faults.iter().map(json_of).collect::<Vec<_>>(),
    })
}

fn print(
    view: &LogView,
    scan: &LogScan,
    verdict: Verdict,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut facts = Table::facts();
    facts.fact(
        "records",
        format!("{}, LSN {} to {}", grouped(scan.records), scan.first_lsn, scan.end.lsn),
    );
    facts.fact("groups", grouped(scan.groups));
    facts.fact("bytes", size(scan.frame_bytes));
    facts.fact("chain", scan.end_chain);
    output.table(&facts)?;
    if let Err(error) = &view.manifest {
        output.line(format!("\n{}: {error}", manifest::FILE_NAME))?;
    }
    if !scan.faults.is_empty() {
        output.line("")?;
        output.table(&faults(&scan.faults))?;
    }
    let tone = match verdict {
        Verdict::Clean => Tone::Good,
        Verdict::TornTail => Tone::Warning,
        _ => Tone::Bad,
    };
    output.line("")?;
    output.verdict(tone, words_of(verdict))?;
    Ok(())
}

/// The faults, one a line.
pub(crate) fn faults(faults: &[Fault]) -> Table {
    let mut table = Table::new(&["file", ">offset", ">LSN", "kind", "expected", "found", "reason"]);
    for fault in faults {
        let position = fault.position();
        let lsn = |lsn: Lsn| if lsn == Lsn::ZERO { "-".to_owned() } else { lsn.to_string() };
        let (lsn, sums, reason) = match fault {
            Fault::TornTail { lsn: at, bytes, .. } => {
                (lsn(*at), None, format!("{bytes} bytes of a write that was cut off"))
            }
            Fault::Corrupt { lsn: at, reason, checksums, .. } => {
                (lsn(*at), *checksums, reason.clone())
            }
            Fault::Unreadable { error, .. } => ("-".to_owned(), None, error.to_string()),
            other => ("-".to_owned(), None, other.to_string()),
        };
        let sum = |value: Option<u32>| value.map_or("-".to_owned(), |sum| format!("{sum:08x}"));
        table.row([
            segment::file_name(position.segment),
            position.offset.to_string(),
            lsn,
            words_of(fault.verdict()).to_owned(),
            sum(sums.map(|sums| sums.expected)),
            sum(sums.map(|sums| sums.found)),
            reason,
        ]);
    }
    table
}
