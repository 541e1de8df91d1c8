//! Which Store a database opens: one that comes with mainstay, or one that its program brings.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mainstay_wal::manifest::{Manifest, STORE_KIND_LIMIT_BYTES};

use super::{Store, StoreKind, StorePlace, open_store, open_store_read_only};
use crate::error::{Error, Result};

/// What a database wants of a Store that it opens.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum StoreAccess {
    /// A new, empty one. Nothing is in its directory, which may be missing.
    Create,
    /// The one that is there, to be read and written.
    Write,
    /// The one that is there, without changing a byte of its directory.
    Read,
}

/// How a program's own Store is opened.
type OpenOwn = dyn Fn(StorePlace<'_>, StoreAccess) -> Result<Arc<dyn Store>> + Send + Sync;

/// Where the Store of a database comes from.
#[derive(Clone)]
pub(crate) enum StoreSource {
    Kind(StoreKind),
    Own { kind: &'static str, open: Arc<OpenOwn> },
}

impl fmt::Debug for StoreSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreSource").field(&self.name()).finish()
    }
}

impl StoreSource {
    /// The name, as it stands in the manifest.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            StoreSource::Kind(kind) => kind.name(),
            StoreSource::Own { kind, .. } => kind,
        }
    }

    /// Refuses a name that the manifest cannot hold.
    pub(crate) fn check(&self) -> Result<()> {
        if (1..=STORE_KIND_LIMIT_BYTES).contains(&self.name().len()) {
            return Ok(());
        }
        let reason = format!(
            "the name {:?} of the program's own Store must have 1 to {STORE_KIND_LIMIT_BYTES} bytes",
            self.name()
        );
        Err(Error::Option { option: "own_store", reason })
    }

    /// The Store that a database was made with, if it is the one that is asked for.
    pub(crate) fn of(
        manifest: &Manifest,
        directory: String,
        requested: Option<&StoreSource>,
    ) -> Result<StoreSource> {
        match requested {
            Some(requested) if requested.name() == manifest.store_kind => Ok(requested.clone()),
            Some(requested) => Err(Error::OtherStore {
                directory,
                found: manifest.store_kind.clone(),
                requested: requested.name().to_owned(),
            }),
            None => Ok(StoreSource::Kind(manifest.store_kind.parse()?)),
        }
    }

    /// Opens it, or makes a new one. Errors as of [`open_store`].
    pub(crate) fn open(
        &self,
        place: StorePlace<'_>,
        cache_bytes: u64,
        create: bool,
    ) -> Result<Arc<dyn Store>> {
        match self {
            StoreSource::Kind(kind) => open_store(*kind, place, cache_bytes, create),
            StoreSource::Own { open, .. } => {
                open(place, if create { StoreAccess::Create } else { StoreAccess::Write })
            }
        }
    }

    /// Opens it for reading. Errors as of [`open_store_read_only`].
    pub(crate) fn open_read_only(
        &self,
        place: StorePlace<'_>,
        cache_bytes: u64,
        scratch: Option<&Path>,
    ) -> Result<Arc<dyn Store>> {
        match self {
            StoreSource::Kind(kind) => open_store_read_only(*kind, place, cache_bytes, scratch),
            StoreSource::Own { open, .. } => open(place, StoreAccess::Read),
        }
    }
}
