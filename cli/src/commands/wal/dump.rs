//! `mainstay wal dump`.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;

use clap::Args;
use mainstay::KeyspaceId;
use mainstay::record::{self, RecordOp};
use mainstay::wal::frame::{Frame, Frames};
use mainstay::wal::scan::ScannedGroup;
use mainstay::wal::{Error, Lsn, Position, segment};
use serde_json::{Value as Json, json};

use crate::database;
use crate::escape::{escape, hex};
use crate::exit::{Exit, Failure};
use crate::log_view::{LogView, exit_of};
use crate::output::{Output, json_bytes};

const EXAMPLES: &str = "\
Examples:
  mainstay wal dump data --limit 20
  mainstay wal dump data --from 1000 --to 1010 --values
  mainstay wal dump data --json | jq 'select(.ops[].key == \"ada\")'

A line is LSN, epoch, segment, offset, bytes, and the changes in the record. With --values they are shown \
with their values, else with the values' lengths. Records behind damage are shown too, as far as they can be found; \
the damage itself goes to the standard error, and the command ends as `mainstay wal verify` does.";

/// Arguments of `mainstay wal dump`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DumpArgs {
    /// Directory of the database.
    dir: PathBuf,
    /// First LSN.
    #[arg(long, default_value_t = 1, value_name = "LSN")]
    from: u64,
    /// Last LSN.
    #[arg(long, value_name = "LSN")]
    to: Option<u64>,
    /// Stop after so many records.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Print values, not only their lengths.
    #[arg(long)]
    values: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DumpArgs, output: &mut Output) -> Result<Exit, Failure> {
    let view = LogView::open(&args.dir)?;
    let mut dump = Dump { args, output, names: BTreeMap::new(), printed: 0, failure: None };
    let scanned = view.scan(&mut |_, group| match dump.group(group) {
        ControlFlow::Continue(()) => Ok(()),
        // Nothing but this ends a scan early: it says that enough was printed.
        ControlFlow::Break(()) => Err(Error::Closed),
    });
    if let Some(failure) = dump.failure {
        return Err(failure);
    }
    match scanned {
        Err(Error::Closed) => Ok(Exit::Done),
        Err(error) => Err(database::failure(error.into())),
        Ok(scan) => {
            for fault in &scan.faults {
                eprintln!("mainstay: {fault}");
            }
            Ok(exit_of(view.verdict(&scan)))
        }
    }
}

struct Dump<'a> {
    args: &'a DumpArgs,
    output: &'a mut Output,
    /// Names of keyspaces that were created in the records so far.
    names: BTreeMap<KeyspaceId, String>,
    printed: u64,
    failure: Option<Failure>,
}

impl Dump<'_> {
    fn group(&mut self, group: &ScannedGroup<'_>) -> ControlFlow<()> {
        let start = group.frames_position();
        let mut offset = start.offset;
        for frame in Frames::new(group.frames).map_while(Result::ok) {
            let position = Position { offset, ..start };
            offset += frame.bytes() as u64;
            self.learn(&frame);
            let Lsn(lsn) = frame.header.lsn;
            let enough = self.args.limit.is_some_and(|limit| self.printed >= limit);
            if enough || self.args.to.is_some_and(|to| lsn > to) {
                return ControlFlow::Break(());
            }
            if lsn < self.args.from {
                continue;
            }
            self.printed += 1;
            if let Err(failure) = self.print(&frame, position) {
                self.failure = Some(failure);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn learn(&mut self, frame: &Frame<'_>) {
        let Ok(ops) = record::decode(frame.header.lsn, frame.payload) else { return };
        for op in ops.flatten() {
            if let RecordOp::CreateKeyspace { keyspace, name } = op {
                self.names.insert(keyspace, name.to_owned());
            }
        }
    }

    fn print(&mut self, frame: &Frame<'_>, position: Position) -> Result<(), Failure> {
        let header = &frame.header;
        let ops = record::decode(header.lsn, frame.payload)
            .and_then(|ops| ops.collect::<Result<Vec<_>, _>>());
        if self.args.json {
            let mut object = json!({
                "lsn": header.lsn.0,
                "epoch": header.epoch.0,
                "file": segment::file_name(position.segment),
                "offset": position.offset,
                "bytes": frame.bytes(),
            });
            match &ops {
                Ok(ops) => object["ops"] = ops.iter().map(|op| self.json(op)).collect(),
                Err(error) => {
                    object["error"] = json!(error.to_string());
                    object["payload_hex"] = json!(hex(frame.payload));
                }
            }
            self.output.json(&object)?;
            return Ok(());
        }
        let text = match &ops {
            Ok(ops) if ops.is_empty() => "nothing".to_owned(),
            Ok(ops) => ops.iter().map(|op| self.words(op)).collect::<Vec<_>>().join("; "),
            Err(error) => format!("{error}: {}", escape(frame.payload)),
        };
        self.output.line(format!(
            "{:>10} {:>4} {:>6} {:>9} {:>7}  {text}",
            header.lsn.0,
            header.epoch.0,
            position.segment.0,
            position.offset,
            frame.bytes()
        ))?;
        Ok(())
    }

    fn name(&self, keyspace: KeyspaceId) -> String {
        match self.names.get(&keyspace) {
            Some(name) => name.clone(),
            None if keyspace == KeyspaceId::DEFAULT => "default".to_owned(),
            None => format!("#{keyspace}"),
        }
    }

    fn words(&self, op: &RecordOp<'_>) -> String {
        let name = self.name(op.keyspace());
        match op {
            RecordOp::Insert { key, value, .. } if self.args.values => {
                format!("insert {name} {} = {}", escape(key), escape(value))
            }
            RecordOp::Insert { key, value, .. } => {
                format!("insert {name} {} ({} bytes)", escape(key), value.len())
            }
            RecordOp::Remove { key, .. } => format!("remove {name} {}", escape(key)),
            RecordOp::RemoveRange { lower, upper, .. } => {
                format!("remove {name} {}..{}", bound(lower), bound(upper))
            }
            RecordOp::CreateKeyspace { keyspace, .. } => {
                format!("create keyspace {name} (#{keyspace})")
            }
            RecordOp::DropKeyspace { keyspace } => format!("drop keyspace {name} (#{keyspace})"),
        }
    }

    fn json(&self, op: &RecordOp<'_>) -> Json {
        let mut object = serde_json::Map::new();
        object.insert("keyspace".to_owned(), json!(self.name(op.keyspace())));
        let mut kind = |kind: &str| object.insert("op".to_owned(), json!(kind));
        match op {
            RecordOp::Insert { key, value, .. } => {
                kind("insert");
                json_bytes(&mut object, "key", key);
                if self.args.values {
                    json_bytes(&mut object, "value", value);
                } else {
                    object.insert("value_bytes".to_owned(), json!(value.len()));
                }
            }
            RecordOp::Remove { key, .. } => {
                kind("remove");
                json_bytes(&mut object, "key", key);
            }
            RecordOp::RemoveRange { lower, upper, .. } => {
                kind("remove_range");
                json_bound(&mut object, "lower", lower);
                json_bound(&mut object, "upper", upper);
            }
            RecordOp::CreateKeyspace { .. } => {
                kind("create_keyspace");
            }
            RecordOp::DropKeyspace { .. } => {
                kind("drop_keyspace");
            }
        }
        Json::Object(object)
    }
}

/// A bound in words: with `=` where the key itself belongs to the range.
fn bound(bound: &Bound<&[u8]>) -> String {
    match bound {
        Bound::Included(key) => format!("={}", escape(key)),
        Bound::Excluded(key) => escape(key),
        Bound::Unbounded => String::new(),
    }
}

fn json_bound(object: &mut serde_json::Map<String, Json>, name: &str, bound: &Bound<&[u8]>) {
    let (key, included) = match bound {
        Bound::Included(key) => (key, true),
        Bound::Excluded(key) => (key, false),
        Bound::Unbounded => return,
    };
    json_bytes(object, name, key);
    object.insert(format!("{name}_included"), json!(included));
}
