//! Opening databases, and the engine's errors in terms of the command's exit codes.

use std::path::Path;

use mainstay::{Db, Error, ErrorKind, KeyspaceRef, Options, Range, ReadOnlyDb, Snapshot};

use crate::args::Place;
use crate::exit::{Exit, Failure};

/// Opens for writing; makes the database if there is none.
pub(crate) fn open(dir: &Path) -> Result<Db, Failure> {
    Db::open(dir).map_err(failure)
}

/// Opens for writing a database that must be there: a misspelt directory must not become a new one.
pub(crate) fn open_existing(dir: &Path) -> Result<Db, Failure> {
    Options::new().create(false).open(dir).map_err(failure)
}

/// Opens with small segments and little memory, so that rotation and checkpoints come often.
pub(crate) fn open_tiny(dir: &Path) -> Result<Db, Failure> {
    let options = Options::new().memory_bytes(1 << 20).segment_bytes(64 << 10, 256 << 10);
    options.store_cache_bytes(4 << 20).open(dir).map_err(failure)
}

/// A keyspace of a database that was opened for reading.
pub(crate) struct View {
    pub(crate) snapshot: Snapshot,
    pub(crate) keyspace: KeyspaceRef,
}

impl View {
    /// Opens for reading; changes no byte. The keyspace must be there.
    pub(crate) fn open(place: &Place) -> Result<View, Failure> {
        let db = open_read_only(&place.dir)?;
        let keyspace = db.keyspace(&place.keyspace).map_err(|error| match error {
            Error::NoSuchKeyspace { name } => no_keyspace(&name, &db.keyspaces()),
            other => failure(other),
        })?;
        Ok(View { snapshot: db.snapshot(), keyspace })
    }

    /// All entries.
    pub(crate) fn iter(&self) -> Range {
        self.snapshot.iter(&self.keyspace)
    }
}

/// Opens for reading; changes no byte.
pub(crate) fn open_read_only(dir: &Path) -> Result<ReadOnlyDb, Failure> {
    Options::new().open_read_only(dir).map_err(failure)
}

/// The answer where a keyspace is asked for that is not there.
pub(crate) fn no_keyspace(name: &str, names: &[String]) -> Failure {
    let message = format!("there is no keyspace {name:?}; there are {}", names.join(", "));
    Failure::Stopped(Exit::No, message)
}

/// An error of the engine, with what it means for the exit code.
pub(crate) fn failure(error: Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::Corrupt => Exit::Corrupt,
        ErrorKind::Indeterminate => Exit::Unknown,
        ErrorKind::Input if is_about_arguments(&error) => Exit::Usage,
        _ => Exit::Unreadable,
    };
    Failure::Stopped(exit, error.to_string())
}

fn is_about_arguments(error: &Error) -> bool {
    matches!(
        error,
        Error::KeySize { .. }
            | Error::TooLarge { .. }
            | Error::KeyspaceName { .. }
            | Error::Option { .. }
            | Error::RestorePoint { .. }
    )
}
