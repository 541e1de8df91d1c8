//! Whether a database may be made in a directory.

use std::io;

use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::ids::Lsn;
use crate::scan::{ScanOptions, scan_log, scan_segments};
use crate::{manifest, segment};

/// Refuses a directory that holds something that mainstay did not put there.
pub(crate) fn refuse_foreign(disk: &dyn Disk) -> Result<()> {
    let names = disk.list("").map_err(|error| Error::io("list", disk.describe(), error))?;
    let ours = ["LOCK", segment::DIRECTORY, manifest::TEMPORARY_NAME];
    let foreign = names.iter().find(|name| !ours.contains(&name.as_str()));
    if let Some(name) = foreign {
        let reason = format!("it has no manifest, but holds {name:?}; give an empty directory");
        return Err(Error::NotADatabase { path: disk.describe(), reason });
    }
    Ok(())
}

/// Removes what an interrupted creation left: a log without records.
pub(crate) fn remove_leftovers(disk: &dyn Disk) -> Result<()> {
    let segments = match scan_segments(disk, None) {
        Ok(segments) => segments,
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if segments.segments.is_empty() && segments.others.is_empty() {
        return Ok(());
    }
    let scan = scan_log(disk, &segments, ScanOptions::default(), &mut |_, _| Ok(()))?;
    let first = segments.extents().first().map(|extent| extent.header.first_lsn);
    if scan.records > 0 || first.is_some_and(|first| first > Lsn(1)) {
        let reason = "its manifest is missing, but log/ holds records; restore the manifest";
        return Err(Error::NotADatabase { path: disk.describe(), reason: reason.to_owned() });
    }
    remove(disk, segment::DIRECTORY)
}

pub(crate) fn remove(disk: &dyn Disk, name: &str) -> Result<()> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", name, error))
        }
        _ => Ok(()),
    }
}
