//! Small file systems in memory, where they can be mounted.

use std::path::Path;
use std::process::{Command, Output};

use crate::say;

/// A tmpfs on a directory of its own, until it is dropped.
pub(crate) struct Mounted {
    directory: tempfile::TempDir,
}

/// Mounts; or says that `test` is skipped, and why.
pub(crate) fn mount_or_skip(test: &str, bytes: u64) -> Option<Mounted> {
    let directory = tempfile::tempdir().unwrap();
    let options = format!("size={bytes},mode=755");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
        .arg(directory.path())
        .output();
    match mounted {
        Ok(output) if output.status.success() => Some(Mounted { directory }),
        Ok(Output { stderr, .. }) => {
            let reason = String::from_utf8_lossy(&stderr);
            say(&format!("SKIPPED: bad_input {test}: no tmpfs can be mounted: {}", reason.trim()));
            None
        }
        Err(error) => {
            say(&format!("SKIPPED: bad_input {test}: there is no `mount`: {error}"));
            None
        }
    }
}

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes it read-only, or writable again, or larger.
    pub(crate) fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        let output =
            Command::new("mount").args(["-o", &options]).arg(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        match Command::new("umount").arg(self.path()).output() {
            Ok(output) if output.status.success() => {}
            other => {
                say(&format!("bad_input: {} was not unmounted: {other:?}", self.path().display()))
            }
        }
    }
}
