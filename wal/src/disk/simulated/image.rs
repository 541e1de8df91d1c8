//! Looking at a simulated disk and changing it from outside, as a test does. None of this counts as
//! an operation or a read, and none of it fails because of a planned fault or crash.

use std::fs;
use std::io;
use std::path::Path;

use super::content::Content;
use super::file::FileState;
use super::names::{Change, FileId};
use super::state::State;
use super::{SimDisk, name};
use crate::disk::name::LOCK_NAME;

impl SimDisk {
    /// All files as they are seen, by name, with their lengths in bytes.
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let length = |file: &FileId| state.files.get(file).map_or(0, |file| file.seen().length());
        state.names.seen.files.iter().map(|(name, file)| (name.clone(), length(file))).collect()
    }

    /// What a reader of this file would see; `None` if there is no such file.
    pub fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let content = state.files.get(state.names.seen.files.get(name)?)?.seen();
        let mut bytes = vec![0; usize::try_from(content.length()).ok()?];
        content.read(0, &mut bytes);
        Some(bytes)
    }

    /// Puts a file there, durable with its name (and the names beside it), in place of what bore
    /// the name. Fails if the name is not allowed or is that of a directory.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        name::check(name)?;
        let mut state = self.state();
        if state.names.seen.is_directory(name) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.make_durable_directory(name::parent(name))?;
        let mut content = Content::default();
        content.write(0, bytes);
        let file = state.add_file(FileState::with_content(content));
        state.change_name(Change::Create { name: name.to_owned(), file });
        state.names.sync(name::parent(name), usize::MAX);
        state.drop_unreachable();
        Ok(())
    }

    /// Turns over one bit (0 to 7) of a file, on the disk and in the cache above it.
    /// [`io::ErrorKind::NotFound`] without such a file, [`io::ErrorKind::InvalidInput`] past its
    /// end.
    pub fn flip_bit(&self, name: &str, byte_offset: u64, bit: u8) -> io::Result<()> {
        let mut state = self.state();
        let file = state.names.seen.file(name)?;
        let file = state.file(file);
        if byte_offset >= file.seen().length() || bit > 7 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        file.flip_bit(byte_offset, bit);
        Ok(())
    }

    /// Drops from the cache what failed syncs left there: readers see what is on the disk, and what
    /// is pending.
    pub fn forget_failed_writes(&self) {
        self.state().files.values_mut().for_each(FileState::forget_failed);
    }

    /// Puts every file below a real directory there, durable. A lock file is left out.
    pub fn copy_from_directory(&self, directory: impl AsRef<Path>) -> io::Result<()> {
        self.copy_from(directory.as_ref(), "")
    }

    fn copy_from(&self, directory: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().ok_or(io::ErrorKind::InvalidData)?;
            let full = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                name::check(&full)?;
                self.state().make_durable_directory(&full)?;
                self.copy_from(&entry.path(), &format!("{full}/"))?;
            } else if full != LOCK_NAME {
                self.write_file(&full, &fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }

    /// Writes every file and directory, as they are seen, below a real directory, which is made if
    /// missing. What stands there besides stays. Nothing is synced.
    pub fn copy_to_directory(&self, directory: impl AsRef<Path>) -> io::Result<()> {
        let root = directory.as_ref();
        fs::create_dir_all(root)?;
        let directories = self.state().names.seen.directories.clone();
        for directory in directories {
            fs::create_dir_all(root.join(directory))?;
        }
        for (name, _) in self.files() {
            let bytes = self.read_file(&name).ok_or(io::ErrorKind::NotFound)?;
            fs::write(root.join(name), bytes)?;
        }
        Ok(())
    }
}

impl State {
    fn make_durable_directory(&mut self, name: &str) -> io::Result<()> {
        let missing = self.names.seen.missing_directories(name)?;
        self.make_directories(missing, false);
        Ok(())
    }
}
