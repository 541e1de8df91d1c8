//! Opening a log: judge what is there, cut a torn tail, rewrite what may not be on the disk, and
//! only then serve.
//!
//! A crash at any point of this is recovered from by doing it again: files are added under a
//! temporary name and take effect by one rename, and what they make obsolete is removed afterwards.

use std::io;
use std::sync::Arc;

use crate::core::{Core, Start, next_salt};
use crate::disk::{AlignedBuffer, Disk, DiskFile, DiskLock, Open, read_exact_at};
use crate::error::{Error, Result};
use crate::group::GroupHeader;
use crate::history::{EpochEntry, EpochHistory};
use crate::ids::{Chain, DatabaseId, Epoch, LogId, Lsn, Position, SegmentNumber};
use crate::install::{Contents, Installed, install};
use crate::live::{LiveSegment, LiveSegments};
use crate::log::Log;
use crate::manifest::{Manifest, ManifestFile};
use crate::options::LogOptions;
use crate::scan::{
    Fault, LogScan, ScanOptions, ScannedGroup, SegmentExtent, SegmentScan, SegmentState, scan_log,
    scan_segments,
};
use crate::segment::{self, SegmentHeader};
use crate::vacant::{refuse_foreign, remove, remove_leftovers};

/// A log that was opened or made, with the manifest beside it.
#[derive(Debug)]
pub struct OpenedLog {
    /// The log, ready to be appended to.
    pub log: Log,
    /// Where the manifest is written.
    pub manifest_file: ManifestFile,
    /// What it says.
    pub manifest: Manifest,
    /// What was found.
    pub recovery: LogRecovery,
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecovery {
    /// Whether the log says itself that everything in it was durable: after a clean close, or a
    /// crash while idle.
    pub clean: bool,
    /// The oldest record.
    pub first_lsn: Lsn,
    /// The newest record.
    pub end: LogId,
    /// Up to where the log was proven to have been durable. What lies above was rewritten.
    pub proven_lsn: Lsn,
    /// How many records were rewritten, since they might not be on the disk.
    pub rewritten_records: u64,
    /// Bytes behind the last whole group that were cut off: what an interrupted write left.
    pub tail_cut: Option<TailCut>,
    /// Records that were read and checked.
    pub scanned_records: u64,
    /// Bytes of them.
    pub scanned_bytes: u64,
}

/// A tail that was cut off.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct TailCut {
    /// Where it began.
    pub position: Position,
    /// The record that would have stood there.
    pub lsn: Lsn,
    /// From there to the last byte that was not blank.
    pub bytes: u64,
}

impl Log {
    /// Makes a log and its manifest in a directory that holds nothing else yet, or what an
    /// interrupted creation left.
    ///
    /// The first segment is durable before the manifest is, so a directory with a manifest always
    /// has a log. [`Error::NotADatabase`] if there is something else in the directory; nothing
    /// is changed then.
    pub fn create(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        manifest: &Manifest,
        lock: Option<Box<dyn DiskLock>>,
    ) -> Result<OpenedLog> {
        let directory = disk.describe();
        create(disk, options, manifest, lock).map_err(|error| error.within(&directory))
    }

    /// Refuses a directory without a manifest that holds something that mainstay did not put there:
    /// [`Error::NotADatabase`]. Changes nothing.
    pub fn check_vacant(disk: &dyn Disk) -> Result<()> {
        refuse_foreign(disk)
    }

    /// Opens the log of a directory that has a manifest.
    ///
    /// A tail that was never acknowledged is cut, and reported. [`Error::Corrupt`] if anything that
    /// was durable is damaged, and nothing is changed on the disk then.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        lock: Option<Box<dyn DiskLock>>,
    ) -> Result<OpenedLog> {
        let directory = disk.describe();
        open(disk, options, lock).map_err(|error| error.within(&directory))
    }

    /// Opens the log for reading alone, without changing a byte. Every append is refused.
    ///
    /// Errors as of [`Log::open`].
    pub fn open_read_only(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        manifest: &Manifest,
        lock: Option<Box<dyn DiskLock>>,
    ) -> Result<(Log, LogRecovery)> {
        if manifest.reset.is_some() {
            let reason = "an image is installed by half; open it for writing first".to_owned();
            return Err(Error::NotADatabase { path: disk.describe(), reason });
        }
        let directory = disk.describe();
        let found = Found::scan(&*disk, manifest).map_err(|error| error.within(&directory))?;
        let recovery = found.recovery();
        let segments = found.live(&*disk, Open::Read, Lsn::MAX);
        let segments = segments.map_err(|error| error.within(&directory))?;
        let start = found.start_at(segments, found.scan.end_position.offset, Vec::new());
        let mut core = Core::new(disk, options, start);
        core.closed = true;
        // Nothing will be written, a proof neither.
        core.proven_lsn = core.end.lsn;
        Ok((Log::new(core, lock), recovery))
    }
}

fn create(
    disk: Arc<dyn Disk>,
    options: LogOptions,
    manifest: &Manifest,
    lock: Option<Box<dyn DiskLock>>,
) -> Result<OpenedLog> {
    refuse_foreign(&*disk)?;
    remove_leftovers(&*disk)?;
    let mut salts = options.salt_seed;
    let header = SegmentHeader {
        database_id: manifest.database_id,
        number: SegmentNumber(1),
        size_bytes: options.first_segment_bytes,
        block_bytes: options.block_bytes,
        origin: true,
        salt: next_salt(&mut salts),
        first_lsn: Lsn(1),
        epoch: Epoch::ZERO,
        epoch_start_lsn: Lsn::ZERO,
        epoch_chain: Chain::EMPTY,
        chain_before: Chain::EMPTY,
    };
    disk.sync_directory(segment::DIRECTORY)
        .map_err(|error| Error::io("make", segment::DIRECTORY, error))?;
    let Installed { segment, next_offset, tail_block } = install(&*disk, header, None)?;
    let manifest_file = ManifestFile::create(&*disk, manifest)?;
    let mut segments = LiveSegments::default();
    segments.push(segment);
    let start = Start {
        database_id: manifest.database_id,
        end: LogId::ZERO,
        end_chain: Chain::EMPTY,
        proven_lsn: Lsn::ZERO,
        commit_lsn: Lsn::ZERO,
        history: EpochHistory::new(),
        segments,
        next_offset,
        tail_block,
        next_number: SegmentNumber(2),
        salts,
    };
    Ok(OpenedLog {
        log: Log::new(Core::new(disk, options, start), lock),
        manifest_file,
        manifest: manifest.clone(),
        recovery: LogRecovery { clean: true, first_lsn: Lsn(1), ..LogRecovery::default() },
    })
}

fn open(
    disk: Arc<dyn Disk>,
    options: LogOptions,
    lock: Option<Box<dyn DiskLock>>,
) -> Result<OpenedLog> {
    let (mut manifest_file, mut manifest) = ManifestFile::open(&*disk)?;
    if let Some(epoch) = manifest.reset {
        finish_reset(&*disk, &options, &manifest, epoch)?;
        manifest.reset = None;
        manifest_file.write(&manifest)?;
    }
    let found = Found::scan(&*disk, &manifest)?;
    let recovery = found.recovery();
    let obsolete = found.obsolete();
    let sync_names = || {
        disk.sync_directory(segment::DIRECTORY)
            .map_err(|error| Error::io("sync", segment::DIRECTORY, error))
    };
    // Whoever gave a segment its name may have died before that was durable. Files that it made
    // obsolete must not go before.
    sync_names()?;
    let start = found.start(&*disk, &options)?;
    for name in obsolete {
        remove(&*disk, &name)?;
    }
    sync_names()?;
    let log = Log::new(Core::new(disk, options, start), lock);
    Ok(OpenedLog { log, manifest_file, manifest, recovery })
}

/// What stands on the disk.
struct Found {
    database_id: DatabaseId,
    segments: SegmentScan,
    scan: LogScan,
    /// Where the empty group begins that ends the log, if one does.
    trailing_proof: Option<Position>,
    /// Frames of groups that nothing proves to be durable.
    tail: Tail,
}

#[derive(Default)]
struct Tail {
    header: Option<GroupHeader>,
    frames: Vec<u8>,
}

impl Found {
    fn scan(disk: &dyn Disk, manifest: &Manifest) -> Result<Found> {
        let segments = scan_segments(disk, Some(manifest.database_id))?;
        let skip_below = manifest.checkpoint.lsn.next();
        let known = ScanOptions::of(manifest);
        // A program that has a log alone lets go of it without a checkpoint.
        let checkpoint = known.checkpoint.filter(|known| known.log_id != LogId::ZERO);
        let options = ScanOptions { checkpoint, skip_below, ..known };
        let (mut tail, mut trailing_proof) = (Tail::default(), None);
        let scan = scan_log(disk, &segments, options, &mut |_, group| {
            trailing_proof = (group.header.count == 0).then_some(group.position);
            tail.take(group);
            Ok(())
        })?;
        if let Some(error) = scan.error() {
            return Err(error);
        }
        // One at the end of a segment before the last is not where the log goes on.
        let trailing_proof =
            trailing_proof.filter(|proof: &Position| proof.segment == scan.end_position.segment);
        let database_id = manifest.database_id;
        Ok(Found { database_id, segments, scan, trailing_proof, tail })
    }

    fn is_proven(&self) -> bool {
        self.scan.durable_upto >= self.scan.end.lsn
    }

    fn recovery(&self) -> LogRecovery {
        let tail_cut = self.scan.faults.iter().find_map(|fault| match fault {
            Fault::TornTail { position, lsn, bytes } => {
                Some(TailCut { position: *position, lsn: *lsn, bytes: *bytes })
            }
            _ => None,
        });
        LogRecovery {
            clean: self.is_proven() && tail_cut.is_none(),
            first_lsn: self.scan.first_lsn,
            end: self.scan.end,
            proven_lsn: self.scan.durable_upto,
            rewritten_records: match (self.is_proven(), self.tail.header) {
                (false, Some(header)) => u64::from(header.count),
                _ => 0,
            },
            tail_cut,
            scanned_records: self.scan.records,
            scanned_bytes: self.scan.frame_bytes,
        }
    }

    /// Files that are no part of the log: prepared ones and dead ones.
    fn obsolete(&self) -> Vec<String> {
        let unused = |file: &&crate::scan::SegmentFile| {
            matches!(file.state, SegmentState::Unused(_) | SegmentState::Dead(_))
        };
        let files = self.segments.segments.iter().filter(unused);
        let mut names: Vec<_> = files.map(|file| segment::file_name(file.number)).collect();
        names.push(segment::TEMPORARY_NAME.to_owned());
        names
    }

    /// The segments in use that begin below `end`.
    fn live(&self, disk: &dyn Disk, open: Open, end: Lsn) -> Result<LiveSegments> {
        let mut live = LiveSegments::default();
        for SegmentExtent { header, .. } in self.segments.extents() {
            if header.first_lsn >= end {
                continue;
            }
            let name = segment::file_name(header.number);
            let file = disk.open(&name, open).map_err(|error| Error::io("open", name, error))?;
            live.push(Arc::new(LiveSegment::new(header, file)));
        }
        Ok(live)
    }

    fn start_at(&self, segments: LiveSegments, next_offset: u64, tail_block: Vec<u8>) -> Start {
        Start {
            database_id: self.database_id,
            end: self.scan.end,
            end_chain: self.scan.end_chain,
            proven_lsn: self.scan.durable_upto,
            commit_lsn: self.scan.commit_lsn.min(self.scan.end.lsn),
            history: self.scan.history.clone(),
            segments,
            next_offset,
            tail_block,
            next_number: self.segments.next_number(),
            salts: 0,
        }
    }

    /// Makes the log ready to be appended to.
    fn start(self, disk: &dyn Disk, options: &LogOptions) -> Result<Start> {
        if self.is_proven() { self.go_on(disk, options) } else { self.rewrite(disk, options) }
    }

    /// Everything is on the disk: goes on in the last segment. An empty group at its end is written
    /// over, since it may be only in the page cache.
    #[expect(clippy::cast_possible_truncation, reason = "less than a block")]
    fn go_on(self, disk: &dyn Disk, options: &LogOptions) -> Result<Start> {
        let position = self.trailing_proof.unwrap_or(self.scan.end_position);
        let segments = self.live(disk, Open::Write, Lsn::MAX)?;
        let Some(last) = segments.last() else {
            unreachable!("a scan without faults found a segment");
        };
        if let Some(cut) = self.recovery().tail_cut {
            blank(&*last.file, &last.header, cut)
                .map_err(|error| Error::io("blank", segment::file_name(last.number()), error))?;
        }
        if position.offset == last.header.body_offset() {
            write_header(last)?;
        }
        let partial = position.offset % u64::from(last.header.block_bytes);
        let mut tail_block = vec![0; partial as usize];
        read_exact_at(&*last.file, position.offset - partial, &mut tail_block)
            .map_err(|error| Error::io("read", segment::file_name(last.number()), error))?;
        let mut start = self.start_at(segments, position.offset, tail_block);
        start.salts = options.salt_seed;
        Ok(start)
    }

    /// The records of the last group may be in the page cache and not on the disk: puts them into a
    /// segment of their own, which takes the place of the old one's end.
    fn rewrite(self, disk: &dyn Disk, options: &LogOptions) -> Result<Start> {
        let Some(group) = self.tail.header else {
            unreachable!("records above LSN {} are in a group", self.scan.durable_upto);
        };
        let number = self.segments.next_number();
        let before = self.scan.history.entry_at(group.first_lsn.previous());
        let mut salts = options.salt_seed;
        let needed = u64::from(options.block_bytes) + 256 + self.tail.frames.len() as u64;
        let header = SegmentHeader {
            database_id: self.database_id,
            number,
            size_bytes: options.first_segment_bytes.max(needed.next_power_of_two()),
            block_bytes: options.block_bytes,
            // Nothing older counts, should a crash leave some of it.
            origin: group.first_lsn <= self.scan.first_lsn,
            salt: next_salt(&mut salts),
            first_lsn: group.first_lsn,
            epoch: before.map_or(Epoch::ZERO, |entry| entry.epoch),
            epoch_start_lsn: before.map_or(Lsn::ZERO, |entry| entry.start_lsn),
            epoch_chain: before.map_or(Chain::EMPTY, |entry| entry.chain_at_start),
            chain_before: group.chain_before,
        };
        let contents = Contents {
            frames: &self.tail.frames,
            count: group.count,
            commit_lsn: group.commit_lsn,
            chain_after: group.chain_after,
        };
        let installed = install(disk, header, Some(&contents))?;
        let mut segments = self.live(disk, Open::Write, group.first_lsn)?;
        // A segment with nothing in front of the rewritten group is dead now.
        for SegmentExtent { header, .. } in self.segments.extents() {
            if header.first_lsn >= group.first_lsn {
                remove(disk, &segment::file_name(header.number))?;
            }
        }
        segments.push(installed.segment);
        let mut start = self.start_at(segments, installed.next_offset, installed.tail_block);
        start.proven_lsn = start.end.lsn;
        start.next_number = number.next();
        start.salts = salts;
        Ok(start)
    }
}

impl Tail {
    /// Keeps the frames of the last group: a later group proves that everything before it was
    /// durable.
    fn take(&mut self, group: &ScannedGroup<'_>) {
        if group.header.count == 0 {
            return;
        }
        self.header = Some(group.header);
        self.frames.clear();
        self.frames.extend_from_slice(group.frames);
    }
}

/// Writes a segment's header once more. As long as no group follows it, it may be only in the page
/// cache, where its failed sync left it.
fn write_header(segment: &LiveSegment) -> Result<()> {
    let header = segment.header.encode();
    let mut block = AlignedBuffer::with_capacity(header.len());
    block.extend_from_slice(&header);
    segment
        .file
        .write_and_sync_at(0, &block)
        .map_err(|error| Error::io("write", segment::file_name(segment.number()), error))
}

/// Writes zeros over a tail that was cut off, or what a shorter group leaves of it would be taken for another one.
#[expect(clippy::cast_possible_truncation, reason = "no more than ZEROS_BYTES at a time")]
fn blank(file: &dyn DiskFile, header: &SegmentHeader, cut: TailCut) -> io::Result<()> {
    const ZEROS_BYTES: u64 = 256 << 10;
    let block = u64::from(header.block_bytes);
    let end = (cut.position.offset + cut.bytes).next_multiple_of(block).min(header.size_bytes);
    let mut at = cut.position.offset - cut.position.offset % block;
    let mut kept = (cut.position.offset - at) as usize;
    while at < end {
        let length = (end - at).min(ZEROS_BYTES);
        let mut bytes = AlignedBuffer::with_capacity(length as usize);
        bytes.resize(length as usize);
        // The first block begins with the end of the last whole group.
        read_exact_at(file, at, &mut bytes[..kept])?;
        kept = 0;
        file.write_and_sync_at(at, &bytes)?;
        at += length;
    }
    Ok(())
}

/// Begins the log anew behind the checkpoint, as the manifest says it should: a crash came in between.
///
/// Nothing was appended since, so that it does no harm to do it again.
fn finish_reset(
    disk: &dyn Disk,
    options: &LogOptions,
    manifest: &Manifest,
    epoch: EpochEntry,
) -> Result<()> {
    let listed = disk.list(segment::DIRECTORY);
    let names = listed.map_err(|error| Error::io("list", segment::DIRECTORY, error))?;
    let numbers = names.iter().filter_map(|name| segment::parse_file_name(name));
    let number = numbers.max().map_or(SegmentNumber(1), SegmentNumber::next);
    // Not the first salt of the log that is opened next.
    let mut salts = !options.salt_seed;
    let header = SegmentHeader {
        database_id: manifest.database_id,
        number,
        size_bytes: options.first_segment_bytes,
        block_bytes: options.block_bytes,
        origin: true,
        salt: next_salt(&mut salts),
        first_lsn: manifest.checkpoint.lsn.next(),
        epoch: epoch.epoch,
        epoch_start_lsn: epoch.start_lsn,
        epoch_chain: epoch.chain_at_start,
        chain_before: manifest.checkpoint_chain,
    };
    install(disk, header, None).map(|_installed| ())
}
