//! Rows of plain lines, and of lines with escapes.

use std::io::{self, Read};

use super::lines::{Line, LineSource};
use super::{Format, Limits, Parsed, Rejected, Row, Shape, ShapeError, checked};
use crate::escape::unescape;

/// Reads lines of key, delimiter, value.
#[derive(Debug)]
pub(super) struct TextRows<R> {
    source: LineSource<R>,
    limits: Limits,
    delimiter: u8,
    layout: Layout,
}

#[derive(Copy, Clone, Debug)]
enum Layout {
    /// Key and value as they stand.
    Plain,
    /// The key is the line's number, the value the line.
    Numbered,
    /// Key and value escaped.
    Escaped,
}

impl<R: Read> TextRows<R> {
    pub(super) fn new(source: LineSource<R>, shape: &Shape) -> Result<TextRows<R>, ShapeError> {
        let unfit = |reason: &str| Err(ShapeError::Unfit(reason.to_owned()));
        if shape.value.is_some() {
            return unfit("lines have no columns: the value cannot be chosen");
        }
        let layout = match (shape.format, shape.key.as_deref()) {
            (Format::Pairs, None) => Layout::Escaped,
            (_, None) => Layout::Plain,
            (Format::Lines, Some("number")) => Layout::Numbered,
            (Format::Lines, Some(_)) => {
                return unfit("lines have no columns: the key can only be \"number\"");
            }
            (_, Some(_)) => return unfit("the key of this format cannot be chosen"),
        };
        let delimiter = shape.delimiter.unwrap_or(b'\t');
        if matches!(layout, Layout::Escaped) && delimiter != b'\t' {
            return unfit("the delimiter of this format is a tab");
        }
        Ok(TextRows { source, limits: shape.limits, delimiter, layout })
    }

    pub(super) fn next_row(&mut self) -> io::Result<Option<Parsed>> {
        let Some(line) = self.source.next_line()? else { return Ok(None) };
        Ok(Some(match self.row(&line) {
            Ok(row) => Parsed::Row(row),
            Err(reason) => {
                Parsed::Rejected(Rejected { line: line.number, reason, text: line.text })
            }
        }))
    }

    fn row(&self, line: &Line) -> Result<Row, String> {
        if let Some(reason) = line.cut_reason() {
            return Err(reason);
        }
        let text = &line.text;
        let (key, value) = match self.layout {
            Layout::Numbered => (format!("{:012}", line.number).into_bytes(), text.clone()),
            Layout::Plain => {
                let (key, value) = self.split(text).unwrap_or((text, b""));
                (key.to_vec(), value.to_vec())
            }
            Layout::Escaped => {
                let (key, value) = self.split(text).ok_or("no tab stands between key and value")?;
                let key = unescape(key).map_err(|reason| format!("key: {reason}"))?;
                (key, unescape(value).map_err(|reason| format!("value: {reason}"))?)
            }
        };
        checked(line.number, key, value, &self.limits)
    }

    fn split<'a>(&self, text: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        let position = text.iter().position(|byte| *byte == self.delimiter)?;
        Some((&text[..position], &text[position + 1..]))
    }
}
