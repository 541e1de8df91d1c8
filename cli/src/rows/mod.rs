//! Rows out of text: what `mainstay import` reads. No I/O but the reader that is given, no
//! database.
//!
//! A row that cannot be used is not an error but a [`Parsed::Rejected`], with its line number, the
//! reason and its text, and reading goes on behind it. Errors are those of the reader alone.

mod delimited;
mod lines;
mod ndjson;
mod text;

#[cfg(test)]
mod tests;

use std::io::{self, Read};

use delimited::DelimitedRows;
use lines::LineSource;
use ndjson::NdjsonRows;
use text::TextRows;

/// How the input is laid out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma separated values (RFC 4180), with a header line unless [`Shape::header`] says
    /// otherwise.
    Csv,
    /// Tab separated values, without quotes.
    Tsv,
    /// One JSON object a line.
    Ndjson,
    /// Plain lines: the key up to the first delimiter, the value behind it.
    Lines,
    /// Lines of key, tab and value with escapes (see [`crate::escape`]): what `mainstay export`
    /// writes.
    Pairs,
}

/// Bounds on what is accepted. What is larger becomes a rejected row.
#[derive(Copy, Clone, Debug)]
pub struct Limits {
    /// Longest key. An empty key is always rejected.
    pub key_bytes: usize,
    /// Longest value.
    pub value_bytes: usize,
    /// Longest row as it stands in the input; bounds the memory that one row can take.
    pub row_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { key_bytes: 65_536, value_bytes: 16 << 20, row_bytes: 32 << 20 }
    }
}

/// How rows become keys and values.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The layout of the input.
    pub format: Format,
    /// What parts the columns; by default a comma for csv and a tab for tsv and lines.
    pub delimiter: Option<u8>,
    /// Whether the first line of csv and tsv names the columns.
    pub header: bool,
    /// The column or field that is the key: its name in the header or in the JSON object, or the
    /// number of a column from 1. By default the first column; for ndjson the field `key` as
    /// `mainstay export` writes it. For lines the only choice is `number`: the line's number,
    /// with leading zeros to twelve digits.
    pub key: Option<String>,
    /// The column or field that is the value. By default the whole row: as a JSON object (as an
    /// array without a header), or, for ndjson, as it stands. Not for lines and pairs.
    pub value: Option<String>,
    /// Bounds on rows.
    pub limits: Limits,
}

impl Shape {
    /// The shape of a format with nothing chosen.
    #[must_use]
    pub fn new(format: Format) -> Shape {
        Shape {
            format,
            delimiter: None,
            header: true,
            key: None,
            value: None,
            limits: Limits::default(),
        }
    }
}

/// A row that can be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its key; within [`Limits`], not empty.
    pub key: Vec<u8>,
    /// Its value; within [`Limits`].
    pub value: Vec<u8>,
}

/// A row that cannot be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Why, in words.
    pub reason: String,
    /// The row as it stands in the input, without its line end; the beginning only if it is longer
    /// than [`Limits::row_bytes`], which the reason then says.
    pub text: Vec<u8>,
}

/// One row of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// It can be stored.
    Row(Row),
    /// It cannot.
    Rejected(Rejected),
}

/// Why reading cannot begin.
#[derive(Debug)]
pub enum ShapeError {
    /// The reader failed.
    Io(io::Error),
    /// The shape does not fit the input: in words, with what there is instead.
    Unfit(String),
}

impl From<io::Error> for ShapeError {
    fn from(error: io::Error) -> ShapeError {
        ShapeError::Io(error)
    }
}

/// The rows of an input, in order. Ends after the first error of the reader.
#[derive(Debug)]
pub struct Rows<R> {
    kind: Kind<R>,
    failed: bool,
}

#[derive(Debug)]
enum Kind<R> {
    Delimited(DelimitedRows<R>),
    Ndjson(NdjsonRows<R>),
    Text(TextRows<R>),
}

impl<R: Read> Rows<R> {
    /// Begins to read; for csv and tsv with a header this reads the header.
    pub fn new(reader: R, shape: &Shape) -> Result<Rows<R>, ShapeError> {
        let source = LineSource::new(reader, shape.limits.row_bytes);
        let kind = match shape.format {
            Format::Csv | Format::Tsv => Kind::Delimited(DelimitedRows::new(source, shape)?),
            Format::Ndjson => Kind::Ndjson(NdjsonRows::new(source, shape)),
            Format::Lines | Format::Pairs => Kind::Text(TextRows::new(source, shape)?),
        };
        Ok(Rows { kind, failed: false })
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = io::Result<Parsed>;

    fn next(&mut self) -> Option<io::Result<Parsed>> {
        if self.failed {
            return None;
        }
        let next = match &mut self.kind {
            Kind::Delimited(rows) => rows.next_row(),
            Kind::Ndjson(rows) => rows.next_row(),
            Kind::Text(rows) => rows.next_row(),
        };
        self.failed = next.is_err();
        next.transpose()
    }
}

/// A row if key and value are within the limits, or else the reason.
fn checked(line: u64, key: Vec<u8>, value: Vec<u8>, limits: &Limits) -> Result<Row, String> {
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    if key.len() > limits.key_bytes {
        return Err(format!("a key of {} bytes; the limit is {}", key.len(), limits.key_bytes));
    }
    if value.len() > limits.value_bytes {
        return Err(format!(
            "a value of {} bytes; the limit is {}",
            value.len(),
            limits.value_bytes
        ));
    }
    Ok(Row { line, key, value })
}
