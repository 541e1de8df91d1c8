//! Where something was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

/// The machine, the file system of a directory, and the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Model of the processor.
    pub cpu: String,
    /// How many threads run at a time.
    pub cores: usize,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Operating system with its release.
    pub system: String,
    /// Type of the file system.
    pub file_system: String,
    /// What it lies on.
    pub device: String,
    /// Version of this program.
    pub version: &'static str,
    /// The commit it was built from: `MAINSTAY_COMMIT` when it was built, or else that of the work
    /// tree in which the program lies, with `-dirty` where that was changed.
    pub commit: Option<String>,
    /// Whether it was built with optimisations.
    pub optimised: bool,
}

const UNKNOWN: &str = "unknown";

impl Environment {
    /// What can be told here. Nothing fails: what cannot be told is `unknown`.
    #[must_use]
    pub fn of(directory: &Path) -> Environment {
        let (file_system, device) = mount_of(directory);
        let release = line_of("/proc/sys/kernel/osrelease").unwrap_or_default();
        Environment {
            cpu: field_of("/proc/cpuinfo", "model name").unwrap_or_else(|| UNKNOWN.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: memory_bytes(),
            system: format!("{} {release}", std::env::consts::OS).trim_end().to_owned(),
            file_system,
            device,
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("MAINSTAY_COMMIT").map(str::to_owned).or_else(commit),
            optimised: !cfg!(debug_assertions),
        }
    }

    /// As a JSON object.
    #[must_use]
    pub fn json(&self) -> Json {
        json!({
            "cpu": self.cpu,
            "cores": self.cores,
            "memory_bytes": self.memory_bytes,
            "system": self.system,
            "file_system": self.file_system,
            "device": self.device,
            "version": self.version,
            "commit": self.commit,
            "optimised": self.optimised,
        })
    }
}

fn line_of(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The value of the first line `name : value`.
pub(super) fn field_of(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = fields.filter(|(key, _)| key.trim() == name);
    values.next().map(|(_, value)| value.trim().to_owned())
}

/// A field that is a number of kilobytes, in bytes.
pub(super) fn kilobytes_of(path: &str, name: &str) -> Option<u64> {
    let value = field_of(path, name)?;
    let kilobytes: u64 = value.trim_end_matches("kB").trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn memory_bytes() -> u64 {
    kilobytes_of("/proc/meminfo", "MemTotal").unwrap_or_default()
}

/// The file system that a directory lies on, and its device.
fn mount_of(directory: &Path) -> (String, String) {
    let unknown = || (UNKNOWN.to_owned(), UNKNOWN.to_owned());
    let (Ok(path), Ok(mounts)) =
        (fs::canonicalize(directory), fs::read_to_string("/proc/self/mountinfo"))
    else {
        return unknown();
    };
    // The last one of the longest: a later mount on the same place covers an earlier one.
    let on_the_way = mounts.lines().filter_map(mount).filter(|(point, ..)| path.starts_with(point));
    let nearest = on_the_way.max_by_key(|(point, ..)| point.len());
    nearest.map_or_else(unknown, |(_, kind, device)| (kind.to_owned(), device.to_owned()))
}

/// Mount point, type and device of a line of `mountinfo`; see proc(5).
fn mount(line: &str) -> Option<(&str, &str, &str)> {
    let (before, behind) = line.split_once(" - ")?;
    let mut behind = behind.split(' ');
    Some((before.split(' ').nth(4)?, behind.next()?, behind.next()?))
}

fn commit() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    let arguments = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
    let output =
        Command::new("git").arg("-C").arg(program.parent()?).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mount(line), Some(("/mnt2", "ext3", "/dev/root")));
        assert_eq!(mount("36 35 98:0 / /"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_where_it_is() {
        let environment = Environment::of(&std::env::temp_dir());
        assert!(environment.cores > 0 && environment.memory_bytes > 1 << 20, "{environment:?}");
        assert_ne!(environment.file_system, UNKNOWN, "{environment:?}");
    }
}
