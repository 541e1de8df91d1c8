//! `mainstay inspect`.

use std::path::{Path, PathBuf};

use clap::Args;
use mainstay::wal::manifest::Manifest;
use mainstay::wal::scan::LogScan;
use serde_json::{Value as Json, json};

use crate::database;
use crate::exit::{Exit, Failure};
use crate::log_view::{LogView, exit_of, json_of, words_of};
use crate::output::{Output, Table, counted, grouped, size};

use super::wal::faults;

const EXAMPLES: &str = "\
Examples:
  mainstay inspect data
  mainstay inspect data --json | jq .checkpoint_lsn

Only reads: takes no lock, changes no byte, and tells what can be told of a damaged directory. Ends as \
`mainstay wal verify` does.";

/// Arguments of `mainstay inspect`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &InspectArgs, output: &mut Output) -> Result<Exit, Failure> {
    let view = LogView::open(&args.dir)?;
    let scan = view.scan(&mut |_, _| Ok(())).map_err(|error| database::failure(error.into()))?;
    let verdict = view.verdict(&scan);
    if args.json {
        output.json(&as_json(&view, &scan))?;
        return Ok(exit_of(verdict));
    }
    let mut facts = Table::facts();
    match &view.manifest {
        Ok(manifest) => add_manifest(&mut facts, manifest, &view.dir),
        Err(error) => facts.fact("manifest", error),
    }
    let files = counted(view.segments.segments.len() as u64, ["file", "files"]);
    let bytes: u64 = view.segments.segments.iter().map(|file| file.length_bytes).sum();
    facts.fact("log", format!("{files}, {}", size(bytes)));
    facts.fact(
        "records",
        format!("{}, LSN {} to {}", grouped(scan.records), scan.first_lsn, scan.end.lsn),
    );
    facts.fact("known durable", format!("up to LSN {}", scan.durable_upto));
    facts.fact("chain", scan.end_chain);
    for entry in scan.history.entries() {
        facts.fact(&format!("epoch {}", entry.epoch), format!("from LSN {}", entry.start_lsn));
    }
    facts.fact("state", words_of(verdict));
    output.table(&facts)?;
    if !scan.faults.is_empty() {
        output.line("")?;
        output.table(&faults(&scan.faults))?;
    }
    Ok(exit_of(verdict))
}

fn add_manifest(facts: &mut Table, manifest: &Manifest, dir: &Path) {
    facts.fact("database", manifest.database_id);
    facts.fact("incarnation", manifest.incarnation);
    facts.fact("format", manifest.format_version);
    let bytes = match directory_bytes(&dir.join(&manifest.store_directory)) {
        Some(bytes) => size(bytes),
        None => "cannot be read".to_owned(),
    };
    facts
        .fact("store", format!("{} in {}, {bytes}", manifest.store_kind, manifest.store_directory));
    facts.fact("checkpoint", format!("LSN {}", manifest.checkpoint.lsn));
    if manifest.replicated {
        facts.fact("cluster", format!("{:032x}", manifest.cluster_id));
        facts.fact("promised epoch", manifest.promised_epoch);
    }
}

/// The sum of the lengths of all files below a directory, if it can be read.
fn directory_bytes(dir: &Path) -> Option<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).ok()? {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        bytes += if metadata.is_dir() { directory_bytes(&entry.path())? } else { metadata.len() };
    }
    Some(bytes)
}

fn as_json(view: &LogView, scan: &LogScan) -> Json {
    let manifest = view.manifest.as_ref().ok();
    let epochs = scan.history.entries().iter();
    json!({
        "manifest_error": view.manifest.as_ref().err().map(ToString::to_string),
        "database_id": manifest.map(|manifest| manifest.database_id.to_string()),
        "incarnation": manifest.map(|manifest| manifest.incarnation.to_string()),
        "format_version": manifest.map(|manifest| manifest.format_version),
        "store_kind": manifest.map(|manifest| manifest.store_kind.clone()),
        "store_directory": manifest.map(|manifest| manifest.store_directory.clone()),
        "store_bytes": manifest.and_then(|m| directory_bytes(&view.dir.join(&m.store_directory))),
        "checkpoint_lsn": manifest.map(|manifest| manifest.checkpoint.lsn.0),
        "replicated": manifest.map(|manifest| manifest.replicated),
        "log_files": view.segments.segments.len(),
        "first_lsn": scan.first_lsn.0,
        "last_lsn": scan.end.lsn.0,
        "durable_upto": scan.durable_upto.0,
        "records": scan.records,
        "chain": scan.end_chain.to_string(),
        "epochs": epochs
            .map(|entry| json!({ "epoch": entry.epoch.0, "start_lsn": entry.start_lsn.0 }))
            .collect::<Vec<_>>(),
        "verdict": words_of(view.verdict(scan)),
        "faults": scan.faults.iter().map(json_of).collect::<Vec<_>>(),
    })
}
