//! `mainstay import`: rows of a file become entries of a keyspace.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::exit::{Exit, Failure};
use crate::output::{Output, Table, Tone, counted, grouped};
use crate::progress::Progress;
use crate::rejects::Rejects;
use crate::rows::{Format, Parsed, Row, Rows, Shape, ShapeError};

/// Rows in this file are told apart up to so many; beyond it repeated keys are no longer counted.
const DISTINCT_KEYS_COUNTED: usize = 4_000_000;
/// A batch is written when it has so many bytes, whatever its number of rows.
const BATCH_BYTES: usize = 4 << 20;

const EXAMPLES: &str = "\
Examples:
  mainstay import data people.csv --key name
  mainstay import data events.ndjson --key id --keyspace events
  mainstay import data UnicodeData.txt --format csv --delimiter ';' --no-header --value 2
  zcat big.tsv.gz | mainstay import data - --format tsv --key 1 --batch 5000
  mainstay export old | mainstay import new - --format pairs

A row that cannot be stored goes, with its line number and the reason, into FILE.rejected (or --rejects), \
and the command ends with 1. A key that occurs again replaces what stood there; this is counted. \
Each batch is one atomic write. When a file cannot be read to its end, the rows before are stored.";

/// Arguments of `mainstay import`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// Directory of the database; created if it is missing.
    pub dir: PathBuf,
    /// File to read; `-` for the standard input.
    pub file: PathBuf,
    /// Layout of the file [default: by the ending of its name: csv, tsv, ndjson, jsonl, txt,
    /// pairs].
    #[arg(long, value_enum)]
    pub format: Option<FormatName>,
    /// Column (name, or number from 1) or field that is the key [default: the first column, or
    /// `key`].
    #[arg(long, value_name = "COLUMN")]
    pub key: Option<String>,
    /// Column or field that is the value [default: the whole row, as JSON].
    #[arg(long, value_name = "COLUMN")]
    pub value: Option<String>,
    /// What parts the columns, a single byte such as `;` [default: a comma for csv, else a tab].
    #[arg(long, value_name = "BYTE", value_parser = parse_delimiter)]
    pub delimiter: Option<u8>,
    /// The first line of csv or tsv is a row, not the names of the columns.
    #[arg(long)]
    pub no_header: bool,
    /// Keyspace to write to; created if it is missing.
    #[arg(long, default_value = "default", value_name = "NAME")]
    pub keyspace: String,
    /// Rows in one atomic write.
    #[arg(long, default_value_t = 1000, value_name = "ROWS", value_parser = parse_count)]
    pub batch: usize,
    /// When a batch counts as written; at the end everything is on the disk either way.
    #[arg(long, value_enum, default_value_t = DurabilityName::Sync)]
    pub durability: DurabilityName,
    /// Where rejected rows go [default: FILE.rejected; stdin.rejected for the standard input].
    #[arg(long, value_name = "PATH")]
    pub rejects: Option<PathBuf>,
    /// Accept up to so many rejected rows (the command then ends with 0), and stop as soon as
    /// there are more.
    #[arg(long, value_name = "COUNT")]
    pub max_rejects: Option<u64>,
    /// Print the summary as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Names of formats on the command line.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// Comma separated values with quotes.
    Csv,
    /// Tab separated values, no quotes.
    Tsv,
    /// One JSON object a line.
    Ndjson,
    /// Key, tab, value, as they stand; a line without a tab is a key with an empty value.
    /// With `--key number` the line's number is the key and the line the value.
    Lines,
    /// Key, tab, value with escapes, as `mainstay export` writes them.
    Pairs,
}

impl FormatName {
    fn format(self) -> Format {
        match self {
            FormatName::Csv => Format::Csv,
            FormatName::Tsv => Format::Tsv,
            FormatName::Ndjson => Format::Ndjson,
            FormatName::Lines => Format::Lines,
            FormatName::Pairs => Format::Pairs,
        }
    }

    fn of_file(path: &Path) -> Option<FormatName> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(FormatName::Csv),
            "tsv" => Some(FormatName::Tsv),
            "ndjson" | "jsonl" => Some(FormatName::Ndjson),
            "txt" => Some(FormatName::Lines),
            "pairs" => Some(FormatName::Pairs),
            _ => None,
        }
    }
}

/// Names of durabilities on the command line.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum DurabilityName {
    /// Each batch is on the disk before the next but few is read.
    Sync,
    /// Nobody waits for a batch, which is on the disk a moment later; at the end all are.
    Buffered,
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [b'\n' | b'\r' | b'"'] => Err("a line end or a quote cannot part columns".to_owned()),
        [byte] => Ok(*byte),
        _ if text == "\\t" => Ok(b'\t'),
        _ => Err("must be a single byte, or \\t".to_owned()),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("must be a number".to_owned()),
    }
}

/// Where rows are written.
pub trait Sink {
    /// Takes the rows as one atomic write. It need not be durable when this returns.
    fn write(&mut self, rows: Vec<Row>) -> Result<(), Failure>;
    /// Returns when everything written is durable.
    fn finish(&mut self) -> Result<(), Failure>;
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows that were stored, repeated ones included.
    pub stored: u64,
    /// Rows that were not.
    pub rejected: u64,
    /// Rows whose key occurred before in the same input.
    pub repeated: u64,
    /// Whether there were too many keys to tell all repeated ones.
    pub repeated_is_a_minimum: bool,
    /// Atomic writes.
    pub batches: u64,
    /// Whether it stopped before the end because of too many rejected rows.
    pub stopped: bool,
}

/// How rows are put into batches, and when to give up.
#[derive(Copy, Clone, Debug)]
pub struct Plan {
    /// Most rows of a batch.
    pub batch: usize,
    /// Stop when more rows than this are rejected.
    pub max_rejects: Option<u64>,
}

/// Counts keys that occur again, in bounded memory: by hashes of 64 bits.
#[derive(Default)]
struct Repeats {
    seen: BTreeSet<u64>,
}

impl Repeats {
    fn is_repeated(&mut self, key: &[u8], summary: &mut Summary) -> bool {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let hash = hasher.finish();
        if self.seen.len() < DISTINCT_KEYS_COUNTED {
            return !self.seen.insert(hash);
        }
        summary.repeated_is_a_minimum = true;
        self.seen.contains(&hash)
    }
}

/// Moves rows to the sink. `rejected` takes the rows that cannot be stored; `every_batch` is told
/// how it goes.
///
/// When it fails after some batches were given to the sink, those are there.
pub fn import_rows<R: Read>(
    rows: Rows<R>,
    plan: Plan,
    sink: &mut dyn Sink,
    rejected: &mut dyn FnMut(&crate::rows::Rejected) -> Result<(), Failure>,
    every_batch: &mut dyn FnMut(&Summary),
) -> Result<Summary, (Summary, Failure)> {
    let mut summary = Summary::default();
    match move_rows(rows, plan, sink, rejected, every_batch, &mut summary) {
        Ok(()) => Ok(summary),
        Err(failure) => Err((summary, failure)),
    }
}

fn move_rows<R: Read>(
    rows: Rows<R>,
    plan: Plan,
    sink: &mut dyn Sink,
    rejected: &mut dyn FnMut(&crate::rows::Rejected) -> Result<(), Failure>,
    every_batch: &mut dyn FnMut(&Summary),
    summary: &mut Summary,
) -> Result<(), Failure> {
    let mut repeats = Repeats::default();
    let mut batch = Vec::new();
    let mut batch_bytes = 0;
    let mut read_failure = None;
    for parsed in rows {
        match parsed {
            Ok(Parsed::Row(row)) => {
                summary.repeated += u64::from(repeats.is_repeated(&row.key, summary));
                batch_bytes += row.key.len() + row.value.len();
                batch.push(row);
            }
            Ok(Parsed::Rejected(bad)) => {
                summary.rejected += 1;
                rejected(&bad)?;
                if plan.max_rejects.is_some_and(|most| summary.rejected > most) {
                    summary.stopped = true;
                    break;
                }
            }
            Err(error) => {
                read_failure = Some(error);
                break;
            }
        }
        if batch.len() >= plan.batch || batch_bytes >= BATCH_BYTES {
            give(sink, std::mem::take(&mut batch), summary)?;
            batch_bytes = 0;
            every_batch(summary);
        }
    }
    if !batch.is_empty() {
        give(sink, batch, summary)?;
    }
    sink.finish()?;
    match read_failure {
        Some(error) => {
            Err(Failure::Stopped(Exit::Unreadable, format!("cannot read the input: {error}")))
        }
        None => Ok(()),
    }
}

fn give(sink: &mut dyn Sink, batch: Vec<Row>, summary: &mut Summary) -> Result<(), Failure> {
    let count = batch.len() as u64;
    sink.write(batch)?;
    summary.stored += count;
    summary.batches += 1;
    Ok(())
}

/// The input of an import, opened, and how long it is if that is known.
fn open_input(file: &Path) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let opened = File::open(file).map_err(|error| Failure::file("open", file, &error))?;
    let metadata = opened.metadata().map_err(|error| Failure::file("read", file, &error))?;
    if metadata.is_dir() {
        let message = format!("{} is a directory, not a file", file.display());
        return Err(Failure::Stopped(Exit::Unreadable, message));
    }
    let length = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(opened), length))
}

impl ImportArgs {
    fn is_standard_input(&self) -> bool {
        self.file == Path::new("-")
    }

    fn shape(&self) -> Result<Shape, Failure> {
        let format = match self.format.or_else(|| FormatName::of_file(&self.file)) {
            Some(name) => name.format(),
            None => {
                return Err(Failure::usage(format!(
                    "the layout of {} is not known by its name; say --format csv, tsv, ndjson, lines or pairs",
                    self.file.display()
                )));
            }
        };
        Ok(Shape {
            delimiter: self.delimiter,
            header: !self.no_header,
            key: self.key.clone(),
            value: self.value.clone(),
            ..Shape::new(format)
        })
    }

    fn rejects_path(&self) -> Result<PathBuf, Failure> {
        let path = match &self.rejects {
            Some(path) => path.clone(),
            None if self.is_standard_input() => PathBuf::from("stdin.rejected"),
            None => {
                let mut name = OsString::from(&self.file);
                name.push(".rejected");
                PathBuf::from(name)
            }
        };
        let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if same(&path, &self.file) {
            return Err(Failure::usage(
                "the rejected rows would replace the file that is imported",
            ));
        }
        Ok(path)
    }
}

/// Runs the import into a sink that is opened when everything else is ready.
pub fn run_into(
    args: &ImportArgs,
    output: &mut Output,
    open_sink: impl FnOnce() -> Result<Box<dyn Sink>, Failure>,
) -> Result<Exit, Failure> {
    let shape = args.shape()?;
    let (input, length) = open_input(&args.file)?;
    let progress = Progress::bytes(length);
    let rows = Rows::new(progress.wrap(input), &shape).map_err(|error| match error {
        ShapeError::Io(error) => Failure::file("read", &args.file, &error),
        ShapeError::Unfit(reason) => Failure::usage(reason),
    })?;
    let mut rejects = Rejects::create(&args.rejects_path()?)?;
    let imported =
        open_sink().map_err(|failure| (Summary::default(), failure)).and_then(|mut sink| {
            let plan = Plan { batch: args.batch, max_rejects: args.max_rejects };
            import_rows(rows, plan, sink.as_mut(), &mut |bad| rejects.add(bad), &mut |summary| {
                progress.say(format!("{} rows", grouped(summary.stored)));
            })
        });
    drop(progress);
    let rejects_path = rejects.finish()?;
    let (summary, failure) = match imported {
        Ok(summary) => (summary, None),
        Err((summary, failure)) => (summary, Some(failure)),
    };
    match &failure {
        // Nothing was read: the failure alone says what there is to say.
        Some(_) if summary == Summary::default() => {}
        _ => report(args, &summary, rejects_path.as_deref(), output)?,
    }
    match failure {
        Some(failure) => Err(failure),
        None if summary.rejected > args.max_rejects.unwrap_or(0) => Ok(Exit::No),
        None => Ok(Exit::Done),
    }
}

fn report(
    args: &ImportArgs,
    summary: &Summary,
    rejects: Option<&Path>,
    output: &mut Output,
) -> Result<(), Failure> {
    if args.json {
        output.json(&serde_json::json!({
            "stored": summary.stored,
            "rejected": summary.rejected,
            "repeated": summary.repeated,
            "repeated_is_a_minimum": summary.repeated_is_a_minimum,
            "batches": summary.batches,
            "stopped": summary.stopped,
            "rejects": rejects.map(|path| path.display().to_string()),
        }))?;
        return Ok(());
    }
    let mut table = Table::facts();
    let rows = counted(summary.stored, ["row", "rows"]);
    let batches = counted(summary.batches, ["batch", "batches"]);
    table.fact("stored", format!("{rows} in {batches}"));
    let at_least = if summary.repeated_is_a_minimum { "at least " } else { "" };
    let repeated = counted(summary.repeated, ["key", "keys"]);
    table.fact("repeated", format!("{at_least}{repeated}, the later row kept"));
    output.table(&table)?;
    if let Some(path) = rejects {
        let count = counted(summary.rejected, ["row", "rows"]);
        let text = format!("rejected  {count}, see {}", path.display());
        output.verdict(Tone::Warning, &text)?;
    }
    if summary.stopped {
        output.verdict(Tone::Bad, "stopped before the end: too many rows were rejected")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collected {
        batches: Vec<Vec<Row>>,
        finished: bool,
    }

    impl Sink for Collected {
        fn write(&mut self, rows: Vec<Row>) -> Result<(), Failure> {
            assert!(!self.finished);
            self.batches.push(rows);
            Ok(())
        }

        fn finish(&mut self) -> Result<(), Failure> {
            self.finished = true;
            Ok(())
        }
    }

    fn import(text: &str, plan: Plan) -> (Collected, Vec<u64>, Summary) {
        let mut sink = Collected::default();
        let mut rejected = Vec::new();
        let rows = Rows::new(text.as_bytes(), &Shape::new(Format::Pairs)).unwrap();
        let summary = import_rows(
            rows,
            plan,
            &mut sink,
            &mut |bad| {
                rejected.push(bad.line);
                Ok(())
            },
            &mut |_| {},
        )
        .unwrap();
        (sink, rejected, summary)
    }

    #[test]
    fn rows_go_into_batches_and_every_one_is_counted() {
        let text = "a\t1\nb\t2\nbad\na\t3\nc\t4\n";
        let (sink, rejected, summary) = import(text, Plan { batch: 2, max_rejects: None });
        assert!(sink.finished);
        let sizes: Vec<_> = sink.batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2]);
        assert_eq!(rejected, [3]);
        let expected =
            Summary { stored: 4, rejected: 1, repeated: 1, batches: 2, ..Summary::default() };
        assert_eq!(summary, expected);
    }

    #[test]
    fn too_many_rejected_rows_stop_it_and_what_was_read_is_stored() {
        let text = "a\t1\nbad\nb\t2\nbad\nc\t3\n";
        let (sink, rejected, summary) = import(text, Plan { batch: 100, max_rejects: Some(1) });
        assert!(summary.stopped);
        assert_eq!(rejected, [2, 4]);
        assert_eq!(sink.batches.concat().len(), 2);
        assert!(sink.finished);
    }

    #[test]
    fn a_batch_is_bounded_in_bytes() {
        let text = format!("a\t{0}\nb\t{0}\nc\tx\n", "v".repeat(BATCH_BYTES));
        let (sink, _, _) = import(&text, Plan { batch: 100, max_rejects: None });
        assert_eq!(sink.batches.len(), 3);
    }

    #[test]
    fn delimiters_are_single_bytes() {
        assert_eq!(parse_delimiter(";"), Ok(b';'));
        assert_eq!(parse_delimiter("\\t"), Ok(b'\t'));
        assert!(parse_delimiter("").is_err() && parse_delimiter("ab").is_err());
        assert!(parse_delimiter("\"").is_err());
    }
}
