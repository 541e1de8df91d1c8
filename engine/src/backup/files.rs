//! Reading and writing whole files of backups and archives.

use std::io;
use std::sync::Arc;

use mainstay_wal::disk::{Disk, DiskFile, Open, read_exact_at};

use crate::error::{Error, Result};

/// The name of a file that is being written, in its directory.
pub(super) const TEMPORARY: &str = "next.tmp";

/// A backup or archive that cannot be used.
pub(super) fn unusable(path: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Backup { path: path.into(), reason: reason.into() }
}

/// Says which file an operation of the system failed on.
pub(super) fn failed(
    operation: &'static str,
    disk: &dyn Disk,
    name: &str,
) -> impl FnOnce(io::Error) -> Error {
    let path = format!("{}/{name}", disk.describe());
    move |error| mainstay_wal::Error::io(operation, path, error).into()
}

/// Opens a file for reading, and gives its length. A missing one is unusable, not a failure of the
/// system.
pub(super) fn open(disk: &dyn Disk, name: &str) -> Result<(Arc<dyn DiskFile>, u64)> {
    let file = disk.open(name, Open::Read).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return unusable(format!("{}/{name}", disk.describe()), "it is missing");
        }
        failed("open", disk, name)(error)
    })?;
    let length = file.length().map_err(failed("measure", disk, name))?;
    Ok((file, length))
}

/// Reads a file that fits into memory.
pub(super) fn read(disk: &dyn Disk, name: &str, limit_bytes: u64) -> Result<Vec<u8>> {
    let (file, length) = open(disk, name)?;
    if length > limit_bytes {
        let reason = format!("it has {length} bytes, and never has more than {limit_bytes}");
        return Err(unusable(format!("{}/{name}", disk.describe()), reason));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    read_exact_at(&*file, 0, &mut bytes).map_err(failed("read", disk, name))?;
    Ok(bytes)
}

/// Writes a file under a temporary name, syncs it, and gives it its name durably.
pub(super) fn write(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<()> {
    let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
    let temporary = match directory {
        "" => TEMPORARY.to_owned(),
        directory => format!("{directory}/{TEMPORARY}"),
    };
    remove_if_there(disk, &temporary)?;
    let file =
        disk.open(&temporary, Open::CreateNew).map_err(failed("create", disk, &temporary))?;
    file.write_at(0, bytes).map_err(failed("write", disk, &temporary))?;
    file.sync().map_err(failed("sync", disk, &temporary))?;
    disk.rename(&temporary, name).map_err(failed("rename", disk, &temporary))?;
    disk.sync_directory(directory).map_err(failed("sync the directory of", disk, name))
}

pub(super) fn remove_if_there(disk: &dyn Disk, name: &str) -> Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", disk, name)(error))
        }
        _ => Ok(()),
    }
}
