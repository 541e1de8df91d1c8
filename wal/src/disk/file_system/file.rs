//! One file of the file system: a handle through the page cache, and where it can be had one past
//! it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::disk::{DIRECT_ALIGNMENT_BYTES, DiskFile, Open};

/// An open file. Reads and plain writes go through the page cache; the kernel keeps it in step with
/// writes past it.
#[derive(Debug)]
pub(super) struct SystemFile {
    file: File,
    writable: bool,
    /// Writes past the page cache, each durable when it returns. Opened with the file and not when
    /// first needed: by then its name may belong to another file.
    direct: Option<File>,
    /// Cleared for good once the system has refused a write past the page cache.
    direct_works: AtomicBool,
    /// Writes past the page cache that are not durable yet: for filling a new file, whose bytes
    /// would else come to the disk all at once. Closed by the first sync.
    filling: Mutex<Option<File>>,
    /// Space was reserved or cut since the last sync, so that one must sync all metadata.
    allocated: AtomicBool,
}

impl SystemFile {
    pub(super) fn open(path: &Path, open: Open, direct: bool) -> io::Result<SystemFile> {
        let writable = open != Open::Read;
        let mut options = OpenOptions::new();
        options.read(true).write(writable);
        match open {
            Open::Read | Open::Write => {}
            Open::Create => {
                options.create(true).truncate(false);
            }
            Open::CreateNew => {
                options.create_new(true);
            }
        }
        let file = options.open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let synced = if direct && writable { open_direct(path, &file, O_DSYNC) } else { None };
        let is_new = open == Open::CreateNew && synced.is_some();
        let filling = if is_new { open_direct(path, &file, 0) } else { None };
        Ok(SystemFile {
            file,
            writable,
            direct_works: AtomicBool::new(synced.is_some()),
            direct: synced,
            filling: Mutex::new(filling),
            allocated: AtomicBool::new(false),
        })
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    /// Writes past the page cache as far as the system lets us; returns how many bytes were written.
    /// The rest has to go through the page cache, which also finds out what stopped us.
    fn write_direct(&self, direct: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        if !self.direct_works.load(Ordering::Relaxed) || !is_aligned(offset, bytes) {
            return Ok(0);
        }
        let mut done = 0;
        while done < bytes.len() {
            match write_some_at(direct, offset + done as u64, &bytes[done..]) {
                Ok(written) => {
                    // What is cut inside a block is written again from the block's beginning.
                    let whole = written - written % DIRECT_ALIGNMENT_BYTES;
                    if whole == 0 {
                        break;
                    }
                    done += whole;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What EINVAL and EOPNOTSUPP are: the file system does not do this, and wrote
                // nothing.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                    ) =>
                {
                    self.direct_works.store(false, Ordering::Relaxed);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

impl DiskFile for SystemFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match read_some_at(&self.file, offset + done as u64, &mut buffer[done..]) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let mut done = match &*self.filling.lock() {
            Some(filling) => self.write_direct(filling, offset, bytes)?,
            None => 0,
        };
        while done < bytes.len() {
            match write_some_at(&self.file, offset + done as u64, &bytes[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_and_sync_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let done = match &self.direct {
            Some(direct) => self.write_direct(direct, offset, bytes)?,
            None => 0,
        };
        if done == bytes.len() {
            return Ok(());
        }
        self.write_at(offset + done as u64, &bytes[done..])?;
        self.file.sync_data()
    }

    fn sync(&self) -> io::Result<()> {
        *self.filling.lock() = None;
        if !self.allocated.swap(false, Ordering::Relaxed) {
            return self.file.sync_data();
        }
        self.file.sync_all().inspect_err(|_| self.allocated.store(true, Ordering::Relaxed))
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.check_writable()?;
        self.allocated.store(true, Ordering::Relaxed);
        let before = self.file.metadata()?.len();
        if length > before
            && let Err(error) = reserve(&self.file, length)
        {
            // Gives back what was reserved before space ran out. If that fails too, the first cause
            // is the one to tell.
            let _ = self.file.set_len(before);
            return Err(error);
        }
        self.file.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn is_direct(&self) -> bool {
        self.direct_works.load(Ordering::Relaxed)
    }
}

fn is_aligned(offset: u64, bytes: &[u8]) -> bool {
    offset.is_multiple_of(DIRECT_ALIGNMENT_BYTES as u64)
        && bytes.len().is_multiple_of(DIRECT_ALIGNMENT_BYTES)
        && (bytes.as_ptr() as usize).is_multiple_of(DIRECT_ALIGNMENT_BYTES)
}

/// The flag by which every write is durable, with the length, when it returns. Its name in rustix
/// 1.1 stands for `O_SYNC` on Linux, with which a write may also have to wait for the file's times
/// to be durable.
#[cfg(target_os = "linux")]
const O_DSYNC: u32 = if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
    0x2000
} else if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
    0x10
} else {
    0x1000
};

/// Opens the file a second time, past the page cache. None where that cannot be had, for whatever
/// reason: the file is open already, and everything can be done without.
#[cfg(target_os = "linux")]
fn open_direct(path: &Path, file: &File, more: u32) -> Option<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    const { assert!(OFlags::SYNC.bits() & O_DSYNC == O_DSYNC) };
    let flags = (OFlags::DIRECT.bits() | more).cast_signed();
    let direct = OpenOptions::new().write(true).custom_flags(flags).open(path).ok()?;
    let (one, other) = (file.metadata().ok()?, direct.metadata().ok()?);
    ((one.dev(), one.ino()) == (other.dev(), other.ino())).then_some(direct)
}

#[cfg(not(target_os = "linux"))]
const O_DSYNC: u32 = 0;

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path, _: &File, _: u32) -> Option<File> {
    None
}

/// Reserves space where the file system can; where it cannot, space is found missing when it is
/// written.
#[cfg(target_os = "linux")]
fn reserve(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    loop {
        match fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::INTR) => {}
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
use std::os::unix::fs::FileExt as _;

#[cfg(unix)]
fn read_some_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    file.read_at(buffer, offset)
}

#[cfg(unix)]
fn write_some_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    file.write_at(bytes, offset)
}

#[cfg(windows)]
fn read_some_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
fn write_some_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}
