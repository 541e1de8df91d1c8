//! What the figures depend on besides the stores: machine, disk, and what a process takes of them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::peer::Result;

/// Where something was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    pub(crate) device: String,
    /// The commit of mainstay, with a `+` if something was changed since.
    pub(crate) commit: String,
}

impl Machine {
    pub(crate) fn of(directory: &Path) -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("", |(_, value)| value).trim().to_owned()
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.split(' ').next().and_then(|kib| kib.parse::<u64>().ok());
        let (device, file_system) = mount(&read("/proc/self/mounts"), directory);
        Machine {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kib.unwrap_or_default() * 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system,
            device,
            commit: commit().unwrap_or_default(),
        }
    }
}

/// Device and type of the file system that a directory lies in: the longest mount point above it.
fn mount(mounts: &str, directory: &Path) -> (String, String) {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let above = lines.filter(|line| line.len() > 2 && directory.starts_with(line[1]));
    let found = above.max_by_key(|line| line[1].len());
    found.map_or_else(Default::default, |line| (line[0].to_owned(), line[2].to_owned()))
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { hash } else { hash + "+" })
}

/// Bytes that all files below a directory take on the disk.
pub(crate) fn space(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => bytes += space(&path)?,
            Ok(metadata) => bytes += metadata.blocks() * 512,
            // A store may remove a file at any time.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// A figure of this process that the kernel gives in lines `name: figure unit`.
fn figure(file: &str, name: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or_default()
}

/// Bytes that this process gave to the disk, its mapped files and direct writes included.
pub(crate) fn written_bytes() -> u64 {
    figure("/proc/self/io", "write_bytes")
}

/// The most memory that this process ever had, mapped files included.
pub(crate) fn peak_resident_bytes() -> u64 {
    figure("/proc/self/status", "VmHWM") * 1024
}

/// Watches the memory of this process while something runs in it; gives the most of it that
/// belonged to no file.
pub(crate) fn watched<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let look = || {
        let bytes = figure("/proc/self/status", "RssAnon") * 1024;
        peak.fetch_max(bytes, Ordering::Relaxed);
    };
    let result = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                look();
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        let result = work();
        look();
        done.store(true, Ordering::Release);
        watcher.thread().unpark();
        result
    });
    (result, peak.into_inner())
}
