//! Directories that the user may not write, or not even read. The superuser may everything, so where a test runs as
//! that, a child process tries it as somebody else.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mainstay::{Db, StoreKind};

use crate::content::unchanged;
use crate::mount::mount_or_skip;
use crate::{is_whole, people, say, says, stores};

/// Nobody in particular.
const SOMEBODY: u32 = 65_534;

const TRY: &str = "MAINSTAY_TEST_TRY";

fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// What opening a directory comes to: `write: ERROR` or `write: ok`, and the same for reading.
fn attempt(path: &Path) -> String {
    let told = |opened: mainstay::Result<()>| match opened {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    };
    let write = Db::open(path).map(drop);
    let read = Db::open_read_only(path).and_then(|db| {
        let keyspace = db.keyspace("default")?;
        let found = db.snapshot().get(&keyspace, "alan")?;
        assert!(found.is_none_or(|found| found == b"1912"));
        Ok(())
    });
    format!("write: {}\nread: {}", told(write), told(read))
}

/// Tries to open a directory. Another test starts it as a process of another user.
#[test]
#[ignore = "started by the other tests of this module"]
fn try_as_somebody() {
    let Some(path) = std::env::var_os(TRY) else { return };
    println!("<<{}>>", attempt(Path::new(&path)));
}

/// A directory that other users may go into, with a copy of this program that they may run.
struct Shared {
    directory: tempfile::TempDir,
}

impl Shared {
    fn new() -> Shared {
        let directory = tempfile::tempdir().unwrap();
        allow(directory.path(), 0o755);
        Shared { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As [`attempt`], without the superuser's rights. None, and a line that says so, where that cannot be had.
    fn attempt(&self, path: &Path) -> Option<String> {
        if !is_superuser() {
            return Some(attempt(path));
        }
        let program = self.path("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        allow(&program, 0o755);
        let ran = Command::new(&program)
            .args(["--exact", "permissions::try_as_somebody", "--ignored", "--nocapture"])
            .env(TRY, path)
            .current_dir("/")
            .uid(SOMEBODY)
            .gid(SOMEBODY)
            .output();
        fs::remove_file(&program).unwrap();
        let output = match ran {
            Ok(output) => output,
            Err(error) => {
                say(&format!(
                    "SKIPPED: bad_input permissions: no process of another user: {error}"
                ));
                return None;
            }
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = text.split_once("<<").and_then(|(_, rest)| rest.split_once(">>"));
        let Some((told, _)) = told else { panic!("{output:?}") };
        Some(told.to_owned())
    }
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn allow_all(path: &Path, directories: u32, files: u32) {
    if path.is_dir() {
        // So that it can be gone through, whatever it was.
        allow(path, 0o755);
        for entry in fs::read_dir(path).unwrap() {
            allow_all(&entry.unwrap().path(), directories, files);
        }
        allow(path, directories);
    } else {
        allow(path, files);
    }
}

#[test]
fn a_directory_that_may_not_be_entered_is_refused() {
    let shared = Shared::new();
    let path = shared.path("data");
    people(&path, StoreKind::Memory);
    allow(&path, 0o000);
    let told = shared.attempt(&path);
    allow(&path, 0o755);
    let Some(told) = told else { return };
    for line in told.lines() {
        for part in [path.to_str().unwrap(), "ermission denied", "needs the permission"] {
            assert!(line.contains(part), "{part:?} is not in {told}");
        }
    }
    is_whole(&path);
}

#[test]
fn a_directory_that_may_only_be_read_can_be_read_and_not_be_written() {
    for store in stores() {
        let shared = Shared::new();
        let path = shared.path("data");
        people(&path, store);
        allow_all(&path, 0o555, 0o444);
        let told = unchanged(&path, || shared.attempt(&path));
        allow_all(&path, 0o755, 0o644);
        let Some(told) = told else { return };
        let (write, read) = told.split_once('\n').unwrap();
        for part in [path.to_str().unwrap(), "ermission denied", "needs the permission"] {
            assert!(write.contains(part), "{part:?} is not in {told}");
        }
        assert_eq!(read, "read: ok", "{told}");
        is_whole(&path);
    }
}

#[test]
fn a_database_is_not_made_where_nothing_may_be_made() {
    let shared = Shared::new();
    let (above, path) = (shared.path("above"), shared.path("above/data"));
    fs::create_dir(&above).unwrap();
    allow(&above, 0o555);
    let told = unchanged(&above, || shared.attempt(&path));
    let Some(told) = told else { return };
    let write = told.lines().next().unwrap();
    for part in [path.to_str().unwrap(), "ermission denied", "needs the permission"] {
        assert!(write.contains(part), "{part:?} is not in {told}");
    }
    // Somebody may make it there who owns the directory.
    if is_superuser() {
        chown(&above, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        allow(&above, 0o755);
        let told = shared.attempt(&path).unwrap();
        assert!(told.starts_with("write: ok"), "{told}");
    }
}

#[test]
fn a_read_only_file_system_can_be_read_and_not_be_written() {
    for store in stores() {
        let Some(mounted) = mount_or_skip("a read-only file system", 64 << 20) else { return };
        let path = mounted.path().join("data");
        people(&path, store);
        mounted.remount("ro");
        let error = unchanged(&path, || {
            let db = Db::open_read_only(&path).unwrap();
            let keyspace = db.keyspace("default").unwrap();
            assert_eq!(db.snapshot().iter(&keyspace).count(), 2);
            Db::open(&path).unwrap_err()
        });
        says(&error, &[path.to_str().unwrap(), "Read-only", "for reading only"]);
        let missing = mounted.path().join("missing");
        let error = Db::open(&missing).unwrap_err();
        says(&error, &[missing.to_str().unwrap(), "Read-only", "make it writable"]);
        mounted.remount("rw");
        is_whole(&path);
    }
}
