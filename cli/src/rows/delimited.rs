//! Rows of columns: csv and tsv.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};

use super::lines::{Line, LineEnd, LineSource};
use super::{Format, Limits, Parsed, Rejected, Row, Shape, ShapeError, checked};

/// Reads records of columns.
#[derive(Debug)]
pub(super) struct DelimitedRows<R> {
    records: Records<R>,
    limits: Limits,
    /// The names of the columns, where there is a header.
    header: Option<Vec<Vec<u8>>>,
    /// How many columns a record must have: as many as the header, or as the first record.
    width: Option<usize>,
    /// The key's column, from 0.
    key: usize,
    /// The value's column, from 0; none means the whole row.
    value: Option<usize>,
}

impl<R: Read> DelimitedRows<R> {
    pub(super) fn new(
        source: LineSource<R>,
        shape: &Shape,
    ) -> Result<DelimitedRows<R>, ShapeError> {
        let mut records = Records::new(source, shape);
        let header = if shape.header { header_of(&mut records)? } else { None };
        let names = header.as_deref();
        let key = match &shape.key {
            Some(name) => column(name, names)?,
            None => 0,
        };
        let value = match &shape.value {
            Some(name) => Some(column(name, names)?),
            None => None,
        };
        let width = header.as_ref().map(Vec::len);
        Ok(DelimitedRows { records, limits: shape.limits, header, width, key, value })
    }

    pub(super) fn next_row(&mut self) -> io::Result<Option<Parsed>> {
        let Some(record) = self.records.next_record()? else { return Ok(None) };
        let (line, text) = (record.line, record.text);
        let row = record.fields.and_then(|fields| self.row(line, fields));
        Ok(Some(match row {
            Ok(row) => Parsed::Row(row),
            Err(reason) => Parsed::Rejected(Rejected { line, reason, text }),
        }))
    }

    fn row(&mut self, line: u64, mut fields: Vec<Vec<u8>>) -> Result<Row, String> {
        let width = *self.width.get_or_insert(fields.len());
        if fields.len() != width {
            return Err(format!("{} columns where {width} are expected", fields.len()));
        }
        let missing = |column: usize| format!("there is no column {}", column + 1);
        let value = match self.value {
            Some(column) => fields.get(column).ok_or_else(|| missing(column))?.clone(),
            None => json_row(&fields, self.header.as_deref())?,
        };
        let key = fields.get_mut(self.key).ok_or_else(|| missing(self.key))?;
        checked(line, std::mem::take(key), value, &self.limits)
    }
}

fn header_of<R: Read>(records: &mut Records<R>) -> Result<Option<Vec<Vec<u8>>>, ShapeError> {
    let Some(record) = records.next_record()? else { return Ok(None) };
    match record.fields {
        Ok(fields) => Ok(Some(fields)),
        Err(reason) => Err(ShapeError::Unfit(format!("the header cannot be read: {reason}"))),
    }
}

/// The number of a column from 0: by name, or by its number from 1 if no column has that name.
fn column(name: &str, header: Option<&[Vec<u8>]>) -> Result<usize, ShapeError> {
    let by_name =
        header.and_then(|names| names.iter().position(|candidate| candidate == name.as_bytes()));
    if let Some(position) = by_name {
        return Ok(position);
    }
    let width = header.map_or(usize::MAX, <[_]>::len);
    match name.parse::<usize>() {
        Ok(number) if (1..=width).contains(&number) => Ok(number - 1),
        _ => Err(ShapeError::Unfit(no_such_column(name, header))),
    }
}

fn no_such_column(name: &str, header: Option<&[Vec<u8>]>) -> String {
    match header {
        None => format!("there is no header, so the column must be a number from 1, not {name:?}"),
        Some(names) => {
            let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
            format!("there is no column {name:?}; the header has {}", names.join(", "))
        }
    }
}

/// A row as a JSON object in the order of the columns, or as an array where they have no names.
fn json_row(fields: &[Vec<u8>], header: Option<&[Vec<u8>]>) -> Result<Vec<u8>, String> {
    let mut json = String::new();
    json.push(if header.is_some() { '{' } else { '[' });
    for (position, field) in fields.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        if let Some(name) = header.and_then(|names| names.get(position)) {
            json.push_str(&json_text(name)?);
            json.push(':');
        }
        json.push_str(&json_text(field)?);
    }
    json.push(if header.is_some() { '}' } else { ']' });
    Ok(json.into_bytes())
}

fn json_text(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("not UTF-8, so it cannot be made JSON: {error}"))?;
    serde_json::to_string(text).map_err(|error| error.to_string())
}

/// One record as it stands in the input.
#[derive(Debug)]
struct Record {
    line: u64,
    text: Vec<u8>,
    fields: Result<Vec<Vec<u8>>, String>,
}

/// Puts lines together to records: a quoted field may span lines.
///
/// Invariants:
/// - A record that is not closed within the limit, or at the end of the input, costs its first line
///   alone: the lines behind it are handed back and read as records of their own.
#[derive(Debug)]
struct Records<R> {
    source: LineSource<R>,
    reader: Box<Reader>,
    limit_bytes: usize,
    /// The text of the fields of the record being read, and where each ends.
    output: Vec<u8>,
    ends: Vec<usize>,
}

/// What became of one line given to the reader.
enum Fed {
    /// The record is complete; it has so many fields.
    Complete(usize),
    /// A quote is open.
    Open,
    /// Something stands behind the record's end.
    Bare,
}

impl<R: Read> Records<R> {
    fn new(source: LineSource<R>, shape: &Shape) -> Records<R> {
        let default = if shape.format == Format::Tsv { b'\t' } else { b',' };
        let reader = ReaderBuilder::new()
            .delimiter(shape.delimiter.unwrap_or(default))
            .quoting(shape.format != Format::Tsv)
            .terminator(Terminator::CRLF)
            .build();
        let mut records = Records {
            source,
            reader: Box::new(reader),
            limit_bytes: shape.limits.row_bytes,
            output: vec![0; 4096],
            ends: vec![0; 64],
        };
        records.restart();
        records
    }

    /// Makes the reader expect the beginning of a record.
    fn restart(&mut self) {
        self.reader.reset();
        // A new reader passes over a byte order mark, which is data anywhere but at the beginning
        // of the input, where the lines have lost it already. A blank line makes it a
        // reader that has begun.
        let _blank = self.reader.read_record(b"\n", &mut self.output, &mut self.ends);
    }

    /// The next record that is not a blank line.
    fn next_record(&mut self) -> io::Result<Option<Record>> {
        loop {
            let Some(line) = self.source.next_line()? else { return Ok(None) };
            if line.text.is_empty() {
                continue;
            }
            return self.record_from(line).map(Some);
        }
    }

    fn record_from(&mut self, first: Line) -> io::Result<Record> {
        if let Some(reason) = first.cut_reason() {
            return Ok(Record { line: first.number, text: first.text, fields: Err(reason) });
        }
        let mut place = Place::default();
        let mut bytes = first.text.len();
        let mut lines = vec![first];
        loop {
            let line = &lines[lines.len() - 1];
            match self.feed(line, &mut place) {
                Fed::Complete(count) => return Ok(self.complete(&lines, count)),
                Fed::Bare => {
                    let reason = "a carriage return stands outside of quotes".to_owned();
                    return Ok(self.refused(lines, reason));
                }
                Fed::Open => {}
            }
            let Some(line) = self.source.next_line()? else {
                return Ok(self.refused(lines, "a quote is never closed".to_owned()));
            };
            bytes = bytes.saturating_add(line.text.len()).saturating_add(2);
            let too_long = line.end == LineEnd::Cut || bytes > self.limit_bytes;
            lines.push(line);
            if too_long {
                let reason = format!("a quote is not closed within {} bytes", self.limit_bytes);
                return Ok(self.refused(lines, reason));
            }
        }
    }

    /// Gives the reader one line with its end.
    fn feed(&mut self, line: &Line, place: &mut Place) -> Fed {
        // The end of the input ends a line too; the reader would otherwise take an open quote for a
        // closed one.
        for (part, is_end) in [(line.text.as_slice(), false), (line.end.bytes(), true)] {
            let mut input = part;
            while !input.is_empty() {
                let (result, read, written, ended) = self.reader.read_record(
                    input,
                    &mut self.output[place.output..],
                    &mut self.ends[place.ends..],
                );
                input = &input[read..];
                place.output += written;
                place.ends += ended;
                match result {
                    ReadRecordResult::InputEmpty => break,
                    ReadRecordResult::OutputFull => {
                        let longer = self.output.len().saturating_mul(2);
                        self.output.resize(longer, 0);
                    }
                    ReadRecordResult::OutputEndsFull => {
                        let longer = self.ends.len().saturating_mul(2);
                        self.ends.resize(longer, 0);
                    }
                    ReadRecordResult::Record if is_end => return Fed::Complete(place.ends),
                    ReadRecordResult::Record => return Fed::Bare,
                    ReadRecordResult::End => break,
                }
            }
        }
        Fed::Open
    }

    fn complete(&self, lines: &[Line], count: usize) -> Record {
        let mut fields = Vec::with_capacity(count);
        let mut start = 0;
        for end in &self.ends[..count] {
            fields.push(self.output[start..*end].to_vec());
            start = *end;
        }
        let mut text = Vec::new();
        for (line, is_last) in lines.iter().zip(1..).map(|(line, n)| (line, n == lines.len())) {
            text.extend_from_slice(&line.text);
            if !is_last {
                text.extend_from_slice(line.end.bytes());
            }
        }
        Record { line: lines[0].number, text, fields: Ok(fields) }
    }

    fn refused(&mut self, mut lines: Vec<Line>, reason: String) -> Record {
        self.restart();
        let first = lines.remove(0);
        self.source.hand_back(lines.into_iter());
        Record { line: first.number, text: first.text, fields: Err(reason) }
    }
}

/// How much of the record being read is in the buffers.
#[derive(Default)]
struct Place {
    output: usize,
    ends: usize,
}
