//! A directory of a disk as a disk of its own, so that the power goes for both at once.

use std::io;
use std::sync::Arc;

use mainstay_wal::disk::{Disk, DiskFile, DiskLock, Open, SimDisk};

#[derive(Debug)]
pub(crate) struct Below {
    disk: SimDisk,
    directory: String,
}

impl Below {
    pub(crate) fn new(disk: &SimDisk, directory: &str) -> Below {
        Below { disk: disk.clone(), directory: directory.to_owned() }
    }

    fn name(&self, name: &str) -> String {
        if name.is_empty() { self.directory.clone() } else { format!("{}/{name}", self.directory) }
    }
}

impl Disk for Below {
    fn open(&self, name: &str, open: Open) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(&self.name(name), open)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.name(from), &self.name(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&self.name(name))
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.disk.list(&self.name(directory))
    }

    fn sync_directory(&self, directory: &str) -> io::Result<()> {
        self.disk.sync_directory(&self.name(directory))
    }

    fn lock(&self) -> io::Result<Box<dyn DiskLock>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn describe(&self) -> String {
        format!("{} of {}", self.directory, self.disk.describe())
    }
}
