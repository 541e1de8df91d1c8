//! The manifest, and whether the Store below may still be used: what the engine shares with
//! whoever reads the Store.

use std::sync::OnceLock;

use mainstay_wal::manifest::{Manifest, ManifestFile};
use parking_lot::Mutex;

use crate::error::{Error, Result};

/// Whoever finds the Store damaged says so here, and the manifest keeps it: the next opening
/// rebuilds the Store, whether or not it would notice by itself.
#[derive(Debug)]
pub(crate) struct Health {
    manifest: Mutex<(ManifestFile, Manifest)>,
    /// The first failure of the Store: no write is accepted after it.
    failure: OnceLock<Error>,
}

impl Health {
    pub(crate) fn new(file: ManifestFile, manifest: Manifest) -> Health {
        Health { manifest: Mutex::new((file, manifest)), failure: OnceLock::new() }
    }

    /// What the manifest says at present.
    pub(crate) fn manifest(&self) -> Manifest {
        self.manifest.lock().1.clone()
    }

    /// Runs something while the manifest's file is not being written.
    pub(crate) fn with_manifest_at_rest<T>(&self, run: impl FnOnce() -> T) -> T {
        let _manifest = self.manifest.lock();
        run()
    }

    /// Writes the manifest durably.
    pub(crate) fn write_manifest(&self, change: impl FnOnce(&mut Manifest)) -> Result<()> {
        let mut guard = self.manifest.lock();
        let (file, manifest) = &mut *guard;
        let mut next = manifest.clone();
        change(&mut next);
        file.write(&next)?;
        *manifest = next;
        Ok(())
    }

    /// The error that stops writes, if one does.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failure.get() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Stops writes for good: the Store cannot take what the log would have to let go.
    pub(crate) fn fail(&self, error: Error) -> Error {
        let first = || {
            tracing::error!(%error, "the Store failed: no further write will be accepted");
            error
        };
        self.failure.get_or_init(first).clone()
    }

    /// Notes durably that the Store in this directory is damaged. Writes stop first, so that no
    /// checkpoint lets go of log that the Store must be rebuilt from.
    pub(crate) fn note_damage(&self, directory: &str, error: &Error) {
        let _first = self.fail(error.clone());
        let known = self.manifest();
        if known.store_damaged || known.store_directory != directory {
            return;
        }
        if let Err(error) = self.write_manifest(|manifest| manifest.store_damaged = true) {
            tracing::error!(%error, "cannot note that the Store is damaged");
        }
    }
}
