//! sled's files as we see them: handles of our own, kept to sync what sled's own flush does not
//! make durable.
//!
//! sled 0.34 has `db` (its log, in segments), `conf`, `snap.*` (written when it opens) and
//! `blobs/*` (messages that do not fit into a segment). Its flush asks the kernel to write `db`
//! (`sync_file_range`), but neither the file's length nor the device's cache are made durable by
//! that, and blobs and directories are not synced at all.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::store::directory::{bytes_in, files_in, sync_directory};

/// The file that holds the content. sled locks it.
pub(super) const DATA_FILE: &str = "db";
const BLOBS: &str = "blobs";

/// Handles of all files below a directory of sled's.
///
/// Linux reports a failed write-back once to each handle that was open at that time. So handles are
/// opened with the Store and kept: one opened only to be synced could miss the failure, and vouch
/// for lost data.
#[derive(Debug)]
pub(super) struct Files {
    directory: Names,
    blobs: Names,
}

/// The files of one directory.
#[derive(Debug)]
struct Names {
    path: PathBuf,
    kept: BTreeMap<OsString, Kept>,
    /// Names came or went since the directory was last made durable.
    changed: bool,
}

#[derive(Debug)]
struct Kept {
    file: File,
    /// Made durable, and never written again: all but [`DATA_FILE`] are written once.
    finished: bool,
}

impl Files {
    /// Opens what is there.
    pub(super) fn open(directory: &Path) -> io::Result<Files> {
        let names = |path| Names { path, kept: BTreeMap::new(), changed: true };
        let (blobs, directory) = (names(directory.join(BLOBS)), names(directory.to_owned()));
        let mut files = Files { directory, blobs };
        files.directory.look_again()?;
        files.blobs.look_again()?;
        Ok(files)
    }

    /// Makes all files durable, with their names. After an error nothing is known of any of them.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        // What refers to a blob is in the data file, so blobs go first.
        self.blobs.sync()?;
        self.directory.sync()
    }
}

impl Names {
    fn sync(&mut self) -> io::Result<()> {
        self.look_again()?;
        for (name, kept) in &mut self.kept {
            if !kept.finished {
                kept.file.sync_all()?;
                kept.finished = name != DATA_FILE;
            }
        }
        if self.changed && self.path.is_dir() {
            sync_directory(&self.path)?;
            self.changed = false;
        }
        Ok(())
    }

    /// Opens the files that are new, and lets go of those that are no more.
    fn look_again(&mut self) -> io::Result<()> {
        let found = files_in(&self.path)?;
        let before = self.kept.len();
        self.kept.retain(|name, _| found.contains_key(name));
        self.changed |= self.kept.len() != before;
        for (name, path) in found {
            if self.kept.contains_key(&name) {
                continue;
            }
            match File::open(path) {
                Ok(file) => {
                    self.kept.insert(name, Kept { file, finished: false });
                    self.changed = true;
                }
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Bytes of all files of sled's below a directory.
pub(super) fn bytes(directory: &Path) -> io::Result<u64> {
    bytes_in(&[directory, &directory.join(BLOBS)])
}

/// Copies sled's files into another directory, which must be empty.
///
/// Holds sled's own lock shared meanwhile: `WouldBlock` if somebody has the Store open.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let data = File::open(from.join(DATA_FILE))?;
    data.try_lock_shared().map_err(|error| match error {
        fs::TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        fs::TryLockError::Error(error) => error,
    })?;
    for (name, path) in files_in(from)? {
        copy_bytes(&path, &to.join(name))?;
    }
    fs::create_dir(to.join(BLOBS))?;
    for (name, path) in files_in(&from.join(BLOBS))? {
        copy_bytes(&path, &to.join(BLOBS).join(name))?;
    }
    Ok(())
}

/// Without the permissions: the copy must be writable though the original is not.
fn copy_bytes(from: &Path, to: &Path) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut File::create(to)?).map(drop)
}
