//! The medium as a mounted file system, so that any program can run on it.
//!
//! Nothing may hide in the kernel: files are opened for direct I/O, so every read and write reaches
//! the medium, and names and attributes are never cached.

use std::ffi::OsStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use rustix::fs::OFlags;

use super::content::SECTOR_BYTES;
use super::medium::{Attributes, Medium, Outcome};

/// How long the kernel may believe a name or an attribute.
const UNTIL_ASKED_AGAIN: Duration = Duration::ZERO;
const BLOCK_BYTES: u32 = 4096;
/// Free space as shown to programs that look ahead: 64 GiB.
const FREE_BLOCKS: u64 = 1 << 24;

/// The medium, shared by the mounted file system and the test that cuts its power.
#[derive(Debug, Clone)]
pub(crate) struct SharedMedium {
    inside: Arc<(Mutex<Medium>, Condvar)>,
}

impl SharedMedium {
    pub(crate) fn new() -> SharedMedium {
        SharedMedium { inside: Arc::new((Mutex::new(Medium::new()), Condvar::new())) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Medium> {
        self.inside.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it has stopped, at most for `patience`; says whether it is.
    pub(crate) fn wait_until_stopped(&self, patience: Duration) -> bool {
        let (_, changed) = &*self.inside;
        let waited =
            changed.wait_timeout_while(self.lock(), patience, |medium| !medium.is_stopped());
        waited.unwrap_or_else(PoisonError::into_inner).0.is_stopped()
    }

    /// Does something with the medium, and wakes whoever waits for it to stop.
    fn with<T>(&self, what: impl FnOnce(&mut Medium) -> T) -> T {
        let mut medium = self.lock();
        let result = what(&mut medium);
        if medium.is_stopped() {
            self.inside.1.notify_all();
        }
        result
    }
}

/// What the kernel talks to.
#[derive(Debug)]
pub(crate) struct PowerCutFs {
    pub(crate) medium: SharedMedium,
}

fn attr(attributes: Attributes) -> FileAttr {
    let Attributes { node, is_directory, length } = attributes;
    let (kind, perm) =
        if is_directory { (FileType::Directory, 0o700) } else { (FileType::RegularFile, 0o600) };
    let time = SystemTime::UNIX_EPOCH;
    FileAttr {
        ino: INodeNo(node),
        size: if is_directory { u64::from(BLOCK_BYTES) } else { length },
        blocks: length.div_ceil(SECTOR_BYTES as u64),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm,
        nlink: if is_directory { 2 } else { 1 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// A write with this flag is durable, with the length that it needs, when it returns. `O_SYNC`
/// contains it, and is what rustix 1.1 gives under its name.
pub(crate) const O_DSYNC: OFlags =
    OFlags::from_bits_retain(if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
        0x2000
    } else if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        0x10
    } else {
        0x1000
    });

fn asks_for(flags: OpenFlags, wanted: OFlags) -> bool {
    OFlags::from_bits_retain(flags.0.cast_unsigned()).contains(wanted)
}

/// A disk takes whole sectors only when the cache is bypassed.
fn check_alignment(flags: OpenFlags, offset: u64, length: usize) -> Outcome<()> {
    let sector = SECTOR_BYTES as u64;
    let is_aligned = offset.is_multiple_of(sector) && length.is_multiple_of(SECTOR_BYTES);
    if asks_for(flags, OFlags::DIRECT) && !is_aligned { Err(Errno::EINVAL) } else { Ok(()) }
}

fn answer(reply: ReplyEmpty, outcome: Outcome<()>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn answer_entry(reply: ReplyEntry, outcome: Outcome<Attributes>) {
    match outcome {
        Ok(found) => reply.entry(&UNTIL_ASKED_AGAIN, &attr(found), Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for PowerCutFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let accepted = config.set_max_write(1 << 20);
        accepted.map(drop).map_err(|most| std::io::Error::other(format!("at most {most} bytes")))
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(reply, self.medium.with(|medium| medium.lookup(parent.0, name)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.medium.with(|medium| medium.attributes(ino.0)) {
            Ok(found) => reply.attr(&UNTIL_ASKED_AGAIN, &attr(found)),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let outcome = self.medium.with(|medium| {
            if let Some(length) = size {
                medium.set_length(ino.0, length)?;
            }
            medium.attributes(ino.0)
        });
        match outcome {
            Ok(found) => reply.attr(&UNTIL_ASKED_AGAIN, &attr(found)),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        answer_entry(reply, self.medium.with(|medium| medium.create(parent.0, name, true)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.medium.with(|medium| medium.remove(parent.0, name, false)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.medium.with(|medium| medium.remove(parent.0, name, true)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.intersects(!RenameFlags::RENAME_NOREPLACE) {
            return reply.error(Errno::EINVAL);
        }
        let may_replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        let (from, to) = ((parent.0, name), (to_parent.0, to_name));
        answer(reply, self.medium.with(|medium| medium.rename(from, to, may_replace)));
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.medium.with(|medium| medium.attributes(ino.0)) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.medium.with(|medium| medium.create(parent.0, name, false)) {
            Ok(made) => reply.created(
                &UNTIL_ASKED_AGAIN,
                &attr(made),
                Generation(0),
                FileHandle(0),
                FopenFlags::FOPEN_DIRECT_IO,
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let size = size as usize;
        let outcome = self.medium.with(|medium| {
            check_alignment(flags, offset, size)?;
            medium.read(ino.0, offset, size).map(<[u8]>::to_vec)
        });
        match outcome {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    /// The kernel hands on `O_DSYNC` with each direct write, and leaves it to the file system to
    /// keep it.
    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let outcome = self.medium.with(|medium| {
            check_alignment(flags, offset, data.len())?;
            medium.write(ino.0, offset, data, asks_for(flags, O_DSYNC))
        });
        match outcome {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok(); // Closing a file makes nothing durable.
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.medium.with(|medium| medium.sync(ino.0)));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.medium.with(|medium| medium.sync_directory(ino.0)));
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let names = match self.medium.with(|medium| medium.names(ino.0)) {
            Ok(names) => names,
            Err(errno) => return reply.error(errno),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (index, (name, found)) in names.into_iter().enumerate().skip(skipped) {
            if reply.add(INodeNo(found.node), index as u64 + 1, attr(found).kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = FREE_BLOCKS;
        reply.statfs(blocks, blocks, blocks, blocks, blocks, BLOCK_BYTES, 255, BLOCK_BYTES);
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let outcome = self.medium.with(|medium| {
            let needed = offset.saturating_add(length);
            if medium.attributes(ino.0)?.length < needed {
                medium.set_length(ino.0, needed)?;
            }
            Ok(())
        });
        answer(reply, outcome);
    }
}
