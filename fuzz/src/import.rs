//! The parsers of what users import.

use std::io::Read;

use mainstay_cli::rows::{Format, Limits, Parsed, Rows, Shape};

const LIMITS: Limits = Limits { key_bytes: 32, value_bytes: 128, row_bytes: 256 };

/// A byte for the format, a byte for the choices, then the input.
pub fn import(data: &[u8]) {
    let Some((&[format, choices], input)) = data.split_first_chunk() else { return };
    let format = match format % 5 {
        0 => Format::Csv,
        1 => Format::Tsv,
        2 => Format::Ndjson,
        3 => Format::Lines,
        _ => Format::Pairs,
    };
    let chosen = |bit: u8, name: &str| (choices & bit != 0).then(|| name.to_owned());
    let shape = Shape {
        delimiter: (choices & 1 != 0).then_some(b';'),
        header: choices & 2 == 0,
        key: chosen(4, "2").or_else(|| chosen(8, "key")).or_else(|| chosen(16, "number")),
        value: chosen(32, "1").or_else(|| chosen(64, "value")),
        limits: LIMITS,
        ..Shape::new(format)
    };
    let whole = rows(input, &shape);
    assert_eq!(whole, rows(Slowly(input), &shape), "it matters how much is read at once");
}

/// Gives one byte a call.
struct Slowly<'a>(&'a [u8]);

impl Read for Slowly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}

/// All rows, or none if the shape does not fit the input.
fn rows(input: impl Read, shape: &Shape) -> Option<Vec<Parsed>> {
    let mut last_line = 0;
    let rows = Rows::new(input, shape).ok()?.map(|row| {
        let row = row.expect("memory can be read");
        let line = match &row {
            Parsed::Row(row) => {
                assert!((1..=LIMITS.key_bytes).contains(&row.key.len()), "{row:?}");
                assert!(row.value.len() <= LIMITS.value_bytes, "{row:?}");
                row.line
            }
            Parsed::Rejected(rejected) => {
                assert!(!rejected.reason.is_empty(), "{rejected:?}");
                assert!(rejected.text.len() <= LIMITS.row_bytes, "{rejected:?}");
                rejected.line
            }
        };
        assert!(line > last_line, "line {line} behind line {last_line}");
        last_line = line;
        row
    });
    Some(rows.collect())
}
