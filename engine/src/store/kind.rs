//! Which Store a database has, and how one is opened by name.

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use mainstay_wal::disk::Disk;

use super::{MemoryStore, Store, failed};
use crate::error::{Error, Result};

/// A Store that comes with mainstay. Its name stands in the manifest, so a database remembers it.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    /// `SledStore`, over the `sled` crate. Needs the feature `sled` and a real directory.
    Sled,
    /// `LsmStore`, over the `lsm-tree` crate. Needs the feature `lsm` and a real directory.
    Lsm,
    /// [`MemoryStore`]: everything in memory, kept on any disk.
    Memory,
}

impl StoreKind {
    /// The Stores that this program was built with, the default one for new databases first.
    pub fn built() -> impl Iterator<Item = StoreKind> {
        let sled = cfg!(feature = "sled").then_some(StoreKind::Sled);
        let lsm = cfg!(feature = "lsm").then_some(StoreKind::Lsm);
        [sled, lsm, Some(StoreKind::Memory)].into_iter().flatten()
    }

    /// The name, as it stands in the manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            StoreKind::Sled => "sled",
            StoreKind::Lsm => "lsm",
            StoreKind::Memory => "memory",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StoreKind {
    type Err = Error;

    /// Fails with [`Error::Option`] for a name that this program does not know.
    fn from_str(name: &str) -> Result<StoreKind> {
        match name {
            "sled" => Ok(StoreKind::Sled),
            "lsm" => Ok(StoreKind::Lsm),
            "memory" => Ok(StoreKind::Memory),
            _ => Err(refused(format!(
                "{name:?} is not known; there are \"sled\", \"lsm\" and \"memory\""
            ))),
        }
    }
}

/// Where a Store is, or is to be.
#[derive(Copy, Clone, Debug)]
pub struct StorePlace<'a> {
    /// The disk.
    pub disk: &'a Arc<dyn Disk>,
    /// The path of the disk's own directory, if it is one of the file system. sled and lsm need it.
    pub root: Option<&'a Path>,
    /// The Store's directory, relative to the disk's.
    pub directory: &'a str,
}

/// Opens a Store, or makes a new, empty one where `create` says so.
///
/// `cache_bytes` is the memory that sled or lsm may use as its cache; the Store in memory has none.
///
/// # Errors
///
/// - [`Error::Option`] if this Store cannot be used here: sled or lsm without its feature, or
///   without a real directory. Nothing was changed.
/// - [`Error::Store`], `damaged`, if there is no Store to open or its content is damaged: it must
///   be rebuilt.
/// - [`Error::Store`], not damaged, if the disk fails, or if `create` finds a Store there. What an
///   interrupted creation left behind must be removed with [`destroy`] first.
pub fn open_store(
    kind: StoreKind,
    place: StorePlace<'_>,
    cache_bytes: u64,
    create: bool,
) -> Result<Arc<dyn Store>> {
    match kind {
        StoreKind::Memory if create => {
            Ok(Arc::new(MemoryStore::create(place.disk.clone(), place.directory)?))
        }
        StoreKind::Memory => Ok(Arc::new(MemoryStore::open(place.disk.clone(), place.directory)?)),
        #[cfg(feature = "sled")]
        StoreKind::Sled => {
            let path = real_path(kind, place)?;
            let options = super::SledOptions { cache_bytes, ..super::SledOptions::default() };
            if create {
                return Ok(Arc::new(super::SledStore::create(&path, options)?));
            }
            Ok(Arc::new(super::SledStore::open(&path, options)?))
        }
        #[cfg(feature = "lsm")]
        StoreKind::Lsm => {
            let path = real_path(kind, place)?;
            let options = super::LsmOptions { cache_bytes, ..super::LsmOptions::default() };
            if create {
                return Ok(Arc::new(super::LsmStore::create(&path, options)?));
            }
            Ok(Arc::new(super::LsmStore::open(&path, options)?))
        }
        #[cfg(not(all(feature = "sled", feature = "lsm")))]
        kind => Err(not_built(kind, cache_bytes)),
    }
}

/// Opens a Store for reading, without changing a byte of its directory.
///
/// The Store in memory is simply read. The others cannot open without writing, so they are opened in
/// a private directory below `scratch` (or the system's directory for temporary files), which is
/// removed when the Store is dropped. sled's files are copied there, which takes the time and the
/// space of a copy, except on file systems that share blocks; those of lsm are linked, where the
/// system has symbolic links.
///
/// Fails as [`open_store`] does, and for sled and lsm if another process has the Store open.
pub fn open_store_read_only(
    kind: StoreKind,
    place: StorePlace<'_>,
    cache_bytes: u64,
    scratch: Option<&Path>,
) -> Result<Arc<dyn Store>> {
    match kind {
        StoreKind::Memory => {
            Ok(Arc::new(MemoryStore::open_read_only(place.disk.clone(), place.directory)?))
        }
        #[cfg(feature = "sled")]
        StoreKind::Sled => {
            let path = real_path(kind, place)?;
            let options = super::SledOptions { cache_bytes, ..super::SledOptions::default() };
            Ok(Arc::new(super::SledStore::open_read_only(&path, options, scratch)?))
        }
        #[cfg(feature = "lsm")]
        StoreKind::Lsm => {
            let path = real_path(kind, place)?;
            let options = super::LsmOptions { cache_bytes, ..super::LsmOptions::default() };
            Ok(Arc::new(super::LsmStore::open_read_only(&path, options, scratch)?))
        }
        #[cfg(not(all(feature = "sled", feature = "lsm")))]
        kind => {
            let _ = scratch;
            Err(not_built(kind, cache_bytes))
        }
    }
}

/// Removes a Store and everything in its directory, durably. One that is missing is no error.
///
/// The Store must not be open.
pub fn destroy(disk: &dyn Disk, directory: &str) -> Result<()> {
    match disk.remove(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("old", "remove itself", format!("{directory}: {error}")));
        }
        _ => {}
    }
    let parent = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
    disk.sync_directory(parent)
        .map_err(|error| failed("old", "remove itself", format!("{parent}: {error}")))
}

#[cfg(any(feature = "sled", feature = "lsm"))]
fn real_path(kind: StoreKind, place: StorePlace<'_>) -> Result<std::path::PathBuf> {
    let root = place.root.ok_or_else(|| {
        let disk = place.disk.describe();
        refused(format!("\"{kind}\" needs a directory of the file system, not {disk}"))
    })?;
    Ok(root.join(place.directory))
}

#[cfg(not(all(feature = "sled", feature = "lsm")))]
fn not_built(kind: StoreKind, _cache_bytes: u64) -> Error {
    refused(format!(
        "\"{kind}\" is not part of this program, which was built without the feature `{kind}`"
    ))
}

fn refused(reason: String) -> Error {
    Error::Option { option: "store", reason }
}
