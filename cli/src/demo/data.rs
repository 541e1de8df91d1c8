//! The real data of the demo, and the records that its child makes of them.

use crate::exit::{Exit, Failure};
use crate::rows::{Format, Parsed, Row, Rows, Shape};

/// The Unicode Character Database's main table; its origin and licence stand in
/// examples/data/README.md.
const UNICODE_DATA: &[u8] = include_bytes!("../../../examples/data/UnicodeData.txt");

/// How many threads of the child write.
pub(crate) const WRITERS: u32 = 16;
/// How many records the child puts into a batch.
pub(crate) const BATCH_RECORDS: u64 = 4;

/// One row a character: its code point, and the line of the table.
#[derive(Debug)]
pub(crate) struct Dataset {
    rows: Vec<Row>,
}

impl Dataset {
    /// How the table is laid out.
    pub(crate) fn shape() -> Shape {
        Shape { delimiter: Some(b';'), header: false, ..Shape::new(Format::Csv) }
    }

    /// The table as it would be read from a file.
    pub(crate) fn text() -> &'static [u8] {
        UNICODE_DATA
    }

    /// Reads the table.
    pub(crate) fn read() -> Result<Dataset, Failure> {
        let broken = |reason: String| {
            Failure::Stopped(Exit::No, format!("the built-in data cannot be read: {reason}"))
        };
        let rows = Rows::new(UNICODE_DATA, &Dataset::shape())
            .map_err(|error| broken(format!("{error:?}")))?;
        let mut dataset = Dataset { rows: Vec::new() };
        for parsed in rows {
            match parsed {
                Ok(Parsed::Row(row)) => dataset.rows.push(row),
                Ok(Parsed::Rejected(bad)) => {
                    return Err(broken(format!("line {}: {}", bad.line, bad.reason)));
                }
                Err(error) => return Err(broken(error.to_string())),
            }
        }
        if dataset.rows.is_empty() {
            return Err(broken("it is empty".to_owned()));
        }
        Ok(dataset)
    }

    /// All rows.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Record `slot` of batch `batch` of a writer of the child: a key that nobody else writes, and
    /// a row of the table.
    pub(crate) fn record(&self, writer: u32, batch: u64, slot: u64) -> (Vec<u8>, &[u8]) {
        let count = self.rows.len() as u64;
        let place = (u64::from(writer) * 2_003 + batch * BATCH_RECORDS + slot) % count;
        let row = &self.rows[usize::try_from(place).unwrap_or(0)];
        let mut key = batch_prefix(writer, batch);
        key.extend_from_slice(slot.to_string().as_bytes());
        (key, &row.value)
    }
}

/// What the keys of a batch begin with. In the order of writers, then of batches.
pub(crate) fn batch_prefix(writer: u32, batch: u64) -> Vec<u8> {
    format!("{writer:02}/{batch:010}/").into_bytes()
}

/// The writer that made a key, if a child made it at all.
pub(crate) fn writer_of(key: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(key.get(..2)?).ok()?;
    text.parse().ok().filter(|writer| *writer < WRITERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let dataset = Dataset::read().unwrap();
        assert_eq!(dataset.rows().len(), 34_924);
        let letter = dataset.rows().iter().find(|row| row.key == b"0041").unwrap();
        let value = String::from_utf8(letter.value.clone()).unwrap();
        assert!(value.starts_with(r#"["0041","LATIN CAPITAL LETTER A","Lu""#), "{value}");
    }

    #[test]
    fn records_of_different_batches_have_different_keys() {
        let dataset = Dataset::read().unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for writer in 0..WRITERS {
            for batch in 0..50 {
                for slot in 0..BATCH_RECORDS {
                    let (key, _) = dataset.record(writer, batch, slot);
                    assert_eq!(writer_of(&key), Some(writer));
                    assert!(keys.insert(key));
                }
            }
        }
        assert_eq!(writer_of(b"99/"), None);
    }
}
