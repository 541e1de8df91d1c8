//! Rows of one JSON object a line.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use serde_json::value::RawValue;

use super::lines::{Line, LineSource};
use super::{Limits, Parsed, Rejected, Row, Shape, checked};
use crate::escape::unhex;

/// Reads JSON objects. Numbers are taken as they are written, so a long one loses no digit.
#[derive(Debug)]
pub(super) struct NdjsonRows<R> {
    source: LineSource<R>,
    limits: Limits,
    key: Option<String>,
    value: Option<String>,
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

impl<R: Read> NdjsonRows<R> {
    pub(super) fn new(source: LineSource<R>, shape: &Shape) -> NdjsonRows<R> {
        let (key, value) = (shape.key.clone(), shape.value.clone());
        NdjsonRows { source, limits: shape.limits, key, value }
    }

    pub(super) fn next_row(&mut self) -> io::Result<Option<Parsed>> {
        loop {
            let Some(line) = self.source.next_line()? else { return Ok(None) };
            if line.is_blank() {
                continue;
            }
            return Ok(Some(match self.row(&line) {
                Ok(row) => Parsed::Row(row),
                Err(reason) => {
                    Parsed::Rejected(Rejected { line: line.number, reason, text: line.text })
                }
            }));
        }
    }

    fn row(&self, line: &Line) -> Result<Row, String> {
        if let Some(reason) = line.cut_reason() {
            return Err(reason);
        }
        let fields: Fields<'_> = serde_json::from_slice(&line.text)
            .map_err(|error| format!("not a JSON object: {}", words(&error)))?;
        let key = match &self.key {
            Some(name) => key_text(&fields, name)?,
            None => exported(&fields, "key")?,
        };
        let value = match (&self.value, &self.key) {
            (Some(name), _) => field(&fields, name)?,
            // A key was chosen but no value: the row is the value.
            (None, Some(_)) => line.text.trim_ascii().to_vec(),
            (None, None) => exported(&fields, "value")?,
        };
        checked(line.number, key, value, &self.limits)
    }
}

/// A field that `mainstay export` wrote: as text, or as hexadecimal digits under `<name>_hex`.
fn exported(fields: &Fields<'_>, name: &str) -> Result<Vec<u8>, String> {
    let hex_name = format!("{name}_hex");
    match (fields.contains_key(name), fields.contains_key(&hex_name)) {
        (true, false) => field(fields, name),
        (false, true) => {
            unhex(&field(fields, &hex_name)?).map_err(|reason| format!("{hex_name}: {reason}"))
        }
        (true, true) => Err(format!("both fields {name} and {hex_name} are there")),
        (false, false) => Err(format!("there is no field {name} and no field {hex_name}")),
    }
}

/// A field that can be a key: text, a number, true or false.
fn key_text(fields: &Fields<'_>, name: &str) -> Result<Vec<u8>, String> {
    match fields.get(name).map(|raw| raw.get()) {
        Some(raw) if raw.starts_with(['{', '[']) || raw == "null" => {
            Err(format!("field {name} is not text or a number, so it cannot be a key"))
        }
        _ => field(fields, name),
    }
}

/// The text of a field that is a string, the JSON of one that is not.
fn field(fields: &Fields<'_>, name: &str) -> Result<Vec<u8>, String> {
    let raw = fields.get(name).ok_or_else(|| format!("there is no field {name}"))?.get();
    if raw.starts_with('"') {
        let text: Cow<'_, str> = serde_json::from_str(raw)
            .map_err(|error| format!("field {name}: {}", words(&error)))?;
        return Ok(text.into_owned().into_bytes());
    }
    Ok(raw.as_bytes().to_vec())
}

/// The error with its column alone: its line is always the first, of a row that may stand anywhere.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let reason = text.split(" at line ").next().unwrap_or(&text);
    match error.column() {
        0 => reason.to_owned(),
        column => format!("{reason} at column {column}"),
    }
}
