//! The file in which `mainstay import` leaves the rows that it could not take.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::escape::escape;
use crate::exit::Failure;
use crate::rows::Rejected;

/// Longest text of a row that is kept in the file.
const TEXT_LIMIT_BYTES: usize = 1 << 20;

/// A file of lines `line<TAB>reason<TAB>row`, the row escaped. It is created (an older one
/// replaced) when the import begins, so that a directory that cannot be written to is found out
/// before anything is imported, and removed at the end if no row was rejected.
#[derive(Debug)]
pub struct Rejects {
    path: PathBuf,
    file: BufWriter<File>,
    count: u64,
}

impl Rejects {
    /// Creates the file.
    pub fn create(path: &Path) -> Result<Rejects, Failure> {
        let file = File::create(path).map_err(|error| Failure::file("create", path, &error))?;
        let mut file = BufWriter::new(file);
        file.write_all(b"line\treason\trow\n")
            .map_err(|error| Failure::file("write to", path, &error))?;
        Ok(Rejects { path: path.to_owned(), file, count: 0 })
    }

    /// Adds a row.
    pub fn add(&mut self, rejected: &Rejected) -> Result<(), Failure> {
        self.count += 1;
        self.write(rejected).map_err(|error| Failure::file("write to", &self.path, &error))
    }

    fn write(&mut self, rejected: &Rejected) -> io::Result<()> {
        let kept = rejected.text.len().min(TEXT_LIMIT_BYTES);
        let text = escape(&rejected.text[..kept]);
        let reason = escape(rejected.reason.as_bytes());
        write!(self.file, "{}\t{reason}", rejected.line)?;
        if kept < rejected.text.len() {
            write!(self.file, " (the row's first {kept} bytes follow)")?;
        }
        writeln!(self.file, "\t{text}")
    }

    /// How many rows were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Writes everything out, to the disk; or removes the file if no row was added. Says where the
    /// rows are.
    pub fn finish(mut self) -> Result<Option<PathBuf>, Failure> {
        if self.count == 0 {
            // Somebody may have named a device or a pipe, which is not ours to remove.
            if self.file.get_ref().metadata().is_ok_and(|metadata| metadata.is_file()) {
                std::fs::remove_file(&self.path)
                    .map_err(|error| Failure::file("remove the empty", &self.path, &error))?;
            }
            return Ok(None);
        }
        self.file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .map_err(|error| Failure::file("write to", &self.path, &error))?;
        Ok(Some(self.path))
    }
}
