//! Directories of Stores in the file system, and such as are made for a moment, to open a Store in
//! that shall not be written to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// A directory of our own, removed when this is dropped.
pub(super) struct Scratch(pub(super) PathBuf);

impl Scratch {
    /// Makes a directory that only this user can read, under a name that nobody else has, below
    /// the one that is given or that of the system for temporary files.
    pub(super) fn make(below: Option<&Path>) -> io::Result<Scratch> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let below = below.map_or_else(std::env::temp_dir, Path::to_owned);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = below.join(format!("mainstay-read-{}-{number}", std::process::id()));
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Ok(()) => return Ok(Scratch(path)),
                // Left behind by a process that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(io::Error::new(
                        error.kind(),
                        format!("{}: {error}", path.display()),
                    ));
                }
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the copy of a Store");
        }
    }
}

/// Makes a directory, or takes an empty one that is there.
pub(super) fn make_empty(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match fs::read_dir(path)?.next() {
        Some(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        None => Ok(()),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes the name of a directory durable.
pub(super) fn sync_parent(directory: &Path) -> io::Result<()> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(parent.unwrap_or(Path::new(".")))
}

/// Regular files directly in a directory, by name; none if it is missing.
pub(super) fn files_in(directory: &Path) -> io::Result<BTreeMap<OsString, PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            files.insert(entry.file_name(), entry.path());
        }
    }
    Ok(files)
}

/// Bytes of all files directly in some directories.
pub(super) fn bytes_in(directories: &[&Path]) -> io::Result<u64> {
    let mut bytes = 0;
    for directory in directories {
        for path in files_in(directory)?.values() {
            bytes += match fs::metadata(path) {
                Ok(metadata) => metadata.len(),
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
        }
    }
    Ok(bytes)
}

/// The error for a Store that somebody else has open.
pub(super) fn locked(path: &Path) -> Error {
    Error::Log(mainstay_wal::Error::Locked { directory: path.display().to_string() })
}
