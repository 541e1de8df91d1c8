//! A disk that is a directory of the file system.

mod file;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::name::{self, LOCK_NAME, is_below, parent};
use super::{Disk, DiskFile, DiskLock, Open};
use file::SystemFile;

/// How [`FileDisk::open`] treats the directory.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct FileDiskOptions {
    /// Whether aligned [`DiskFile::write_and_sync_at`] calls bypass the page cache where the
    /// system can do that. Default true. Without it each costs a write and an fdatasync, about
    /// a quarter more time.
    pub direct: bool,
    /// Whether a missing directory is made, with those above it. Default true.
    pub create: bool,
}

impl Default for FileDiskOptions {
    fn default() -> FileDiskOptions {
        FileDiskOptions { direct: true, create: true }
    }
}

impl FileDiskOptions {
    /// Sets [`FileDiskOptions::direct`].
    #[must_use]
    pub fn direct(mut self, direct: bool) -> FileDiskOptions {
        self.direct = direct;
        self
    }

    /// Sets [`FileDiskOptions::create`].
    #[must_use]
    pub fn create(mut self, create: bool) -> FileDiskOptions {
        self.create = create;
        self
    }
}

/// A [`Disk`] that is a directory of the file system.
///
/// Directories that it makes are durable at once. A file named `LOCK` in the directory bears the
/// lock; it is neither listed nor opened nor removed through this trait. A full file system answers
/// [`io::ErrorKind::StorageFull`]. A name that is not UTF-8 is listed with replacement characters.
#[derive(Debug)]
pub struct FileDisk {
    root: PathBuf,
    direct: bool,
    read_only: bool,
    /// The directories whose own names this disk has made durable, with those above them.
    durable_names: Mutex<BTreeSet<String>>,
}

impl FileDisk {
    /// Opens a directory. [`io::ErrorKind::NotFound`] if it is missing and is not to be made,
    /// [`io::ErrorKind::NotADirectory`] if it is something else. Takes no lock; see [`Disk::lock`].
    pub fn open(root: impl AsRef<Path>, options: FileDiskOptions) -> io::Result<FileDisk> {
        let root = root.as_ref();
        if options.create {
            make_directories(root)?;
        }
        let disk = FileDisk::at(root, options.direct, false)?;
        sync_names_above(root)?;
        Ok(disk)
    }

    /// Opens a directory of which no byte will be changed: every call that would change something
    /// fails with [`io::ErrorKind::ReadOnlyFilesystem`]. Its lock is shared with other readers and
    /// refused while a writer holds it; where no writer ever made the lock file, nothing is locked.
    pub fn open_read_only(root: impl AsRef<Path>) -> io::Result<FileDisk> {
        FileDisk::at(root.as_ref(), false, true)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(root: &Path, direct: bool, read_only: bool) -> io::Result<FileDisk> {
        if !fs::metadata(root)?.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is not a directory", root.display()),
            ));
        }
        let durable_names = Mutex::default();
        Ok(FileDisk { root: root.to_owned(), direct, read_only, durable_names })
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        name::check(name)?;
        Ok(self.root.join(name))
    }

    fn directory_path(&self, name: &str) -> io::Result<PathBuf> {
        name::check_directory(name)?;
        Ok(if name.is_empty() { self.root.clone() } else { self.root.join(name) })
    }

    /// Makes a directory's own name durable, and those above it, once. It may have been made by a
    /// process that was killed before it could do that.
    fn sync_names_up_from(&self, directory: &str) -> io::Result<()> {
        let mut synced = Vec::new();
        let mut next = directory;
        while !next.is_empty() && !self.durable_names.lock().contains(next) {
            sync_directory_at(&self.directory_path(parent(next))?)?;
            synced.push(next.to_owned());
            next = parent(next);
        }
        self.durable_names.lock().extend(synced);
        Ok(())
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.read_only {
            return Err(io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                format!("{} is open for reading only", self.root.display()),
            ));
        }
        Ok(())
    }
}

impl Disk for FileDisk {
    fn open(&self, name: &str, open: Open) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path(name)?;
        if open != Open::Read {
            self.check_writable()?;
        }
        if matches!(open, Open::Create | Open::CreateNew)
            && let Some(parent) = path.parent()
        {
            make_directories(parent)?;
        }
        Ok(Arc::new(SystemFile::open(&path, open, self.direct)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        self.check_writable()?;
        if fs::symlink_metadata(&from)?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        fs::rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name)?;
        self.check_writable()?;
        if fs::symlink_metadata(&path)?.is_dir() {
            self.durable_names.lock().retain(|other| other != name && !is_below(other, name));
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        }
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.directory_path(directory)?)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !(directory.is_empty() && name == LOCK_NAME) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        let path = self.directory_path(directory)?;
        self.check_writable()?;
        make_directories(&path)?;
        self.sync_names_up_from(directory)?;
        sync_directory_at(&path)
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        let path = self.root.join(LOCK_NAME);
        let file = if self.read_only {
            match File::open(&path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            }
        } else {
            let mut options = OpenOptions::new();
            Some(options.read(true).write(true).create(true).truncate(false).open(&path)?)
        };
        if let Some(file) = &file {
            let locked = if self.read_only { file.try_lock_shared() } else { file.try_lock() };
            locked.map_err(|error| match error {
                TryLockError::WouldBlock => io::Error::new(
                    io::ErrorKind::WouldBlock,
                    format!("somebody else has the lock of {}", self.root.display()),
                ),
                TryLockError::Error(error) => error,
            })?;
        }
        Ok(Box::new(FileLock { file }))
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }
}

/// Gives the lock back when it is dropped. Closing the file would do, were it not that a process that this one is
/// just starting has a copy of every open file until it runs its own program.
#[derive(Debug)]
struct FileLock {
    file: Option<File>,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.file.as_ref().map(File::unlock) {
            tracing::warn!(%error, "a lock was not given back before its file was closed");
        }
    }
}

impl DiskLock for FileLock {}

/// Makes a directory and those above it that are missing, and makes their names durable, so that a
/// file in a new directory needs no more than the sync of that directory.
fn make_directories(path: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    let mut next = Some(path);
    while let Some(directory) = next.filter(|directory| !directory.as_os_str().is_empty()) {
        match fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(directory),
            Err(error) => return Err(error),
        }
        next = directory.parent();
    }
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            Ok(()) => {}
            // Somebody else made it meanwhile, and may not have made its name durable yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory_at(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Makes the names that lead to a directory durable, within its file system. Who made the
/// directory, a user or a process of ours that was killed, may not have done that; and everything
/// in it hangs on them.
fn sync_names_above(path: &Path) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    for directory in path.ancestors().skip(1) {
        if !is_same_file_system(&path, directory)? {
            break;
        }
        match sync_directory_at(directory) {
            // Whoever may not open it did not make a name in it either.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            synced => synced?,
        }
    }
    Ok(())
}

#[cfg(unix)]
fn is_same_file_system(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata(one)?.dev() == fs::metadata(other)?.dev())
}

#[cfg(not(unix))]
fn is_same_file_system(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(unix)]
fn sync_directory_at(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file; the file system orders changes of names by
/// itself.
#[cfg(not(unix))]
fn sync_directory_at(path: &Path) -> io::Result<()> {
    fs::metadata(path).map(drop)
}

#[cfg(test)]
mod tests;
