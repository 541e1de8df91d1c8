//! A directory that is made under a temporary name and gets its own when it is whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay_wal::disk::{Disk, DiskLock, FileDisk, FileDiskOptions};

use super::files::unusable;
use crate::error::{Error, Result};

/// A directory that is being made. Dropped before it is finished, it is removed again.
#[derive(Debug)]
pub(super) struct NewDirectory {
    disk: Arc<FileDisk>,
    lock: Option<Box<dyn DiskLock>>,
    partial: PathBuf,
    parent: PathBuf,
    target: PathBuf,
    is_finished: bool,
}

impl NewDirectory {
    /// Begins a directory at a path where nothing is. What an interrupted attempt left is removed.
    pub(super) fn begin(target: &Path) -> Result<NewDirectory> {
        let Some(name) = target.file_name() else {
            return Err(unusable(target.display().to_string(), "a new directory needs a name"));
        };
        refuse_existing(target)?;
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let partial = parent.join(format!(".{}.partial", name.to_string_lossy()));
        let disk = Arc::new(open(&partial)?);
        let lock = disk.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => {
                unusable(target.display().to_string(), "somebody else is making it just now")
            }
            _ => failed("lock", &partial, error),
        })?;
        for name in disk.list("").map_err(|error| failed("list", &partial, error))? {
            disk.remove(&name).map_err(|error| failed("empty", &partial, error))?;
        }
        let target = target.to_path_buf();
        Ok(NewDirectory { disk, lock: Some(lock), partial, parent, target, is_finished: false })
    }

    /// The disk to write to.
    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        self.disk.clone()
    }

    /// Where it is for now.
    pub(super) fn root(&self) -> &Path {
        &self.partial
    }

    /// Gives the directory its name, durably. Everything in it is durable already.
    pub(super) fn finish(mut self) -> Result<()> {
        self.disk.sync_directory("").map_err(|error| failed("sync", &self.partial, error))?;
        refuse_existing(&self.target)?;
        fs::rename(&self.partial, &self.target)
            .map_err(|error| failed("rename", &self.partial, error))?;
        self.is_finished = true;
        self.lock = None;
        let parent = open(&self.parent)?;
        parent.sync_directory("").map_err(|error| failed("sync", &self.parent, error))
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.partial) {
            let path = self.partial.display();
            tracing::warn!(%error, %path, "cannot remove what an interrupted attempt left");
        }
    }
}

fn refuse_existing(target: &Path) -> Result<()> {
    match fs::symlink_metadata(target) {
        Ok(_) => Err(unusable(target.display().to_string(), "there is something already")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("look at", target, error)),
    }
}

fn open(path: &Path) -> Result<FileDisk> {
    FileDisk::open(path, FileDiskOptions::default())
        .map_err(|error| failed("open the directory", path, error))
}

pub(super) fn failed(operation: &'static str, path: &Path, error: io::Error) -> Error {
    mainstay_wal::Error::io(operation, path.display().to_string(), error).into()
}
