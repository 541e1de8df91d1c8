//! Mounting, or saying why not.

use std::io::Write;
use std::path::Path;

use fuser::{BackgroundSession, Config, MountOption};

use super::file_system::{PowerCutFs, SharedMedium};
use super::medium::Survivors;

/// A file system whose power can be cut, mounted on a directory of its own until it is dropped.
///
/// Processes that use it must have ended before the drop, or it stays mounted.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub(crate) medium: SharedMedium,
    session: Option<BackgroundSession>,
    directory: tempfile::TempDir,
}

/// Mounts; or says on the error stream, past the capturing of the test harness, that `test` is
/// skipped, and why.
pub(crate) fn mount_or_skip(test: &str) -> Option<Mounted> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let medium = SharedMedium::new();
    let mut config = Config::default();
    config.mount_options =
        vec![MountOption::FSName("power_cut".to_owned()), MountOption::NoAtime, MountOption::RW];
    let mounted =
        fuser::spawn_mount(PowerCutFs { medium: medium.clone() }, directory.path(), &config);
    match mounted {
        Ok(session) => Some(Mounted { medium, session: Some(session), directory }),
        Err(error) => {
            say(&format!("SKIPPED: power_cut {test}: no FUSE file system can be mounted: {error}"));
            None
        }
    }
}

/// Writes a line that the test harness does not capture, in one piece.
pub(crate) fn say(line: &str) {
    let written = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    written.expect("the error stream takes a line");
}

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Cuts the power, and brings back what survives.
    pub(crate) fn power_cut(&self, survivors: Survivors, seed: u64) {
        let mut medium = self.medium.lock();
        medium.stop();
        medium.restore(survivors, seed);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        if let Err(error) = session.umount_and_join() {
            say(&format!("power_cut: {} was not unmounted: {error}", self.path().display()));
        }
    }
}
