//! The standard output: tables for people, JSON for programs, colours on a terminal alone.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use serde_json::Value as Json;

use crate::escape::{escape, hex};

/// Where a command prints. Buffered; [`Output::finish`] gives out what is left.
#[derive(Debug)]
pub struct Output {
    /// Not locked: the children of demo and tests print from several threads.
    out: BufWriter<Stdout>,
    colours: bool,
}

/// What a piece of text means, and so its colour.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warning,
    /// Wrong.
    Bad,
}

impl Output {
    /// The process's standard output. `NO_COLOR` in the environment, if not empty, turns colours
    /// off.
    #[must_use]
    pub fn standard() -> Output {
        let stdout = io::stdout();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colours = stdout.is_terminal() && !refused;
        Output { out: BufWriter::new(stdout), colours }
    }

    /// A line of text.
    pub fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.out.write_all(text.as_ref().as_bytes())?;
        self.out.write_all(b"\n")
    }

    /// A line of text that says whether something is well.
    pub fn verdict(&mut self, tone: Tone, text: &str) -> io::Result<()> {
        if !self.colours {
            return self.line(text);
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Warning => 33,
            Tone::Bad => 31,
        };
        self.line(format!("\u{1b}[{code}m{text}\u{1b}[0m"))
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// One JSON value on a line.
    pub fn json(&mut self, value: &Json) -> io::Result<()> {
        self.line(value.to_string())
    }

    /// A table.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        self.out.write_all(table.render().as_bytes())
    }

    /// Gives what is buffered to the reader now.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Gives out what is left; an output whose reader went away is no failure.
    pub fn finish(mut self) -> io::Result<()> {
        match self.out.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                // Dropping the writer would try again and has nobody to tell.
                let (_, _unwritten) = self.out.into_parts();
                Ok(())
            }
            flushed => flushed,
        }
    }
}

/// Rows of columns, each column as wide as its widest cell.
#[derive(Clone, Debug, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with a header. Columns whose name begins with `>` are set to the right, without that
    /// sign.
    #[must_use]
    pub fn new(header: &[&str]) -> Table {
        Table {
            header: header.iter().map(|name| name.trim_start_matches('>').to_owned()).collect(),
            rows: Vec::new(),
            right: header.iter().map(|name| name.starts_with('>')).collect(),
        }
    }

    /// A table of names and values.
    #[must_use]
    pub fn facts() -> Table {
        Table { header: Vec::new(), rows: Vec::new(), right: vec![false, false] }
    }

    /// Adds a row, one cell a column.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Adds a name and a value.
    pub fn fact(&mut self, name: &str, value: impl ToString) {
        self.row([name.to_owned(), value.to_string()]);
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn render(&self) -> String {
        let lines = || std::iter::once(&self.header).chain(&self.rows).filter(|l| !l.is_empty());
        let mut widths = vec![0; self.right.len()];
        for line in lines() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for line in lines() {
            let mut rendered = String::new();
            for ((cell, width), right) in line.iter().zip(&widths).zip(&self.right) {
                let pad = " ".repeat(width - cell.chars().count());
                let (before, after) = if *right { (pad.as_str(), "") } else { ("", pad.as_str()) };
                rendered.push_str(before);
                rendered.push_str(cell);
                rendered.push_str(after);
                rendered.push_str("  ");
            }
            text.push_str(rendered.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Bytes as a member of a JSON object: `name` with the text, or `name_hex` where they are not
/// UTF-8.
pub fn json_bytes(object: &mut serde_json::Map<String, Json>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), Json::from(text)),
        Err(_) => object.insert(format!("{name}_hex"), Json::from(hex(bytes))),
    };
}

/// An entry as a JSON object.
#[must_use]
pub fn json_entry(key: &[u8], value: &[u8]) -> Json {
    let mut object = serde_json::Map::new();
    json_bytes(&mut object, "key", key);
    json_bytes(&mut object, "value", value);
    Json::Object(object)
}

/// An entry as a line of key, tab, value with escapes.
#[must_use]
pub fn pair_line(key: &[u8], value: &[u8]) -> String {
    format!("{}\t{}", escape(key), escape(value))
}

/// A count with separators, for people.
#[must_use]
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things, for people: "1 file", "2,000 files".
#[must_use]
pub fn counted(count: u64, [one, many]: [&str; 2]) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// A size in bytes with its unit, for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut whole, mut unit) = (bytes, 0);
    let mut tenths = (whole % 1024) * 10 / 1024;
    whole /= 1024;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = (whole % 1024) * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    format!("{whole}.{tenths} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["file", ">bytes"]);
        table.row(["a", "10"]);
        table.row(["longer", "7"]);
        assert_eq!(table.render(), "file    bytes\na          10\nlonger      7\n");
        let mut facts = Table::facts();
        facts.fact("state", "clean");
        facts.fact("n", 3);
        assert_eq!(facts.render(), "state  clean\nn      3\n");
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(123), "123");
        assert_eq!(counted(1, ["file", "files"]), "1 file");
        assert_eq!(counted(2000, ["file", "files"]), "2,000 files");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }

    #[test]
    fn json_of_entries_keeps_every_byte() {
        assert_eq!(json_entry(b"k", b"\xff").to_string(), r#"{"key":"k","value_hex":"ff"}"#);
    }
}
