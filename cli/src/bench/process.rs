//! What a process used.

use std::fs;
use std::io;
use std::path::Path;

use super::environment::{field_of, kilobytes_of};

/// Memory and bytes that this process used since a moment.
#[derive(Copy, Clone, Debug)]
pub struct Usage {
    written_before: Option<u64>,
}

impl Usage {
    /// From now on.
    #[must_use]
    pub fn since_now() -> Usage {
        // "5" makes the kernel forget the highest memory so far; see proc(5). Where it cannot, the
        // peak is that of the whole life of the process, which is no less.
        let _forgotten = fs::write("/proc/self/clear_refs", "5");
        Usage { written_before: written_bytes() }
    }

    /// Most memory that the process had resident, as the system counts it.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        kilobytes_of("/proc/self/status", "VmHWM")
    }

    /// Bytes that the process gave to devices, or will have given once dirty pages are written:
    /// `write_bytes` of `/proc/self/io`. Writes past the page cache are among them.
    #[must_use]
    pub fn written_bytes(&self) -> Option<u64> {
        Some(written_bytes()?.saturating_sub(self.written_before?))
    }
}

fn written_bytes() -> Option<u64> {
    field_of("/proc/self/io", "write_bytes")?.parse().ok()
}

/// Space that a directory and everything below it takes on the disk: blocks, not lengths, where the
/// system tells them.
///
/// A file that is removed meanwhile counts for nothing.
pub fn space_bytes(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let counted = match entry.file_type() {
            Ok(kind) if kind.is_dir() => space_bytes(&entry.path()),
            Ok(_) => entry.metadata().map(|metadata| blocks_bytes(&metadata)),
            Err(error) => Err(error),
        };
        match counted {
            Ok(counted) => bytes += counted,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(unix)]
fn blocks_bytes(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn blocks_bytes(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_counts_what_lies_below() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        fs::write(directory.path().join("below/file"), vec![1; 100_000]).unwrap();
        // Blocks are counted, which some file systems only allocate later.
        fs::File::open(directory.path().join("below/file")).unwrap().sync_all().unwrap();
        let bytes = space_bytes(directory.path()).unwrap();
        assert!((100_000..1_000_000).contains(&bytes), "{bytes}");
        assert!(space_bytes(&directory.path().join("missing")).is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_what_was_used() {
        let usage = Usage::since_now();
        let kept = std::hint::black_box(vec![1u8; 32 << 20]);
        assert!(usage.peak_memory_bytes().is_some_and(|peak| peak > kept.len() as u64));
    }
}
