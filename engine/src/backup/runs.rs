//! Files that hold a run of frames of a log, byte for byte. Backups and archives have the same.
//!
//! This module alone knows their names and the places of their fields; the layout is in
//! `docs/backup-format.md`.

use mainstay_wal::disk::Disk;
use mainstay_wal::frame::{Frame, Frames};
use mainstay_wal::{DatabaseId, LogId, Lsn};

use super::fields::{Fields, LogPlace, PutFields};
use super::files::{self, unusable};
use crate::error::Result;

const MAGIC: [u8; 8] = *b"MSTAYRUN";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 104;
const ENDING: &str = ".frames";

/// A file is closed once it has so many bytes of frames.
const FILE_BYTES: usize = 4 << 20;
/// The most that one file can have: the frame that closes it may be the largest there is.
const LIMIT_BYTES: u64 = (FILE_BYTES + crate::record::MAX_RECORD_BYTES + 4096) as u64;

/// The header of a file: which run it holds.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct RunHeader {
    pub(super) database_id: DatabaseId,
    /// The record before the first one, and the chain up to there.
    pub(super) before: LogPlace,
    /// The last record, and the chain with it.
    pub(super) end: LogPlace,
    frames_bytes: u64,
}

impl RunHeader {
    pub(super) fn first_lsn(&self) -> Lsn {
        self.before.lsn().next()
    }

    pub(super) fn file_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.frames_bytes
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.put_u32(VERSION);
        bytes.put_u32(0);
        bytes.put_u128(self.database_id.0);
        bytes.put_place(self.before);
        bytes.put_place(self.end);
        bytes.put_u64(self.frames_bytes);
        bytes.resize(HEADER_BYTES - 4, 0);
        let crc = crc32fast::hash(&bytes);
        bytes.put_u32(crc);
        bytes
    }

    fn decode(bytes: &[u8]) -> std::result::Result<RunHeader, String> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err("it is shorter than its header".to_owned());
        };
        let (checked, crc) = bytes.split_at(HEADER_BYTES - 4);
        if !bytes.starts_with(&MAGIC) {
            return Err("it is no file of frames".to_owned());
        }
        if crc32fast::hash(checked).to_le_bytes() != crc {
            return Err("the checksum of its header is wrong".to_owned());
        }
        let mut fields = Fields::new(&checked[MAGIC.len()..]);
        let header = (|| {
            let (version, reserved) = (fields.u32()?, fields.u32()?);
            let database_id = DatabaseId(fields.u128()?);
            let (before, end) = (fields.place()?, fields.place()?);
            let header = RunHeader { database_id, before, end, frames_bytes: fields.u64()? };
            Some((version, reserved, header))
        })();
        let Some((version, reserved, header)) = header else {
            return Err("its header is too short".to_owned());
        };
        if version != VERSION || reserved != 0 {
            return Err(format!("its format version is {version}; this program reads {VERSION}"));
        }
        if header.end.lsn() <= header.before.lsn() {
            return Err("it holds no record".to_owned());
        }
        Ok(header)
    }
}

/// Collects frames and writes them into files.
#[derive(Debug)]
pub(super) struct RunWriter {
    /// Where in the disk: `""` or a directory with a `/` behind it.
    prefix: &'static str,
    database_id: DatabaseId,
    before: LogPlace,
    end: LogPlace,
    frames: Vec<u8>,
    pub(super) written: Written,
}

/// What was written so far.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// Name, length and checksum of each file.
    pub(super) files: Vec<WrittenFile>,
}

/// A file as the manifest of a backup names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrittenFile {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

impl RunWriter {
    /// The next frame is the one behind `before`.
    pub(super) fn new(
        prefix: &'static str,
        database_id: DatabaseId,
        before: LogPlace,
    ) -> RunWriter {
        let (end, frames, written) = (before, Vec::new(), Written::default());
        RunWriter { prefix, database_id, before, end, frames, written }
    }

    /// The last record that was taken.
    pub(super) fn end(&self) -> LogPlace {
        self.end
    }

    /// Takes the next frame; writes a file where enough came together.
    pub(super) fn push(&mut self, disk: &dyn Disk, frame: &Frame<'_>) -> Result<()> {
        let (expected, found) = (self.end.lsn().next(), frame.header.lsn);
        assert!(expected == found, "record {found} where {expected} follows");
        frame.encode_into(&mut self.frames);
        self.end.log_id = frame.header.log_id();
        self.end.chain = self.end.chain.extend(&frame.header);
        self.written.records += 1;
        if self.frames.len() >= FILE_BYTES { self.flush(disk) } else { Ok(()) }
    }

    /// Writes what is left.
    pub(super) fn flush(&mut self, disk: &dyn Disk) -> Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let header = RunHeader {
            database_id: self.database_id,
            before: self.before,
            end: self.end,
            frames_bytes: self.frames.len() as u64,
        };
        let bytes = [&header.encode()[..], &self.frames].concat();
        let name = format!("{}{}", self.prefix, file_name(header.first_lsn(), header.end.lsn()));
        files::write(disk, &name, &bytes)?;
        let file = WrittenFile { name, bytes: bytes.len() as u64, crc: crc32fast::hash(&bytes) };
        self.written.bytes += file.bytes;
        self.written.files.push(file);
        self.before = self.end;
        self.frames.clear();
        Ok(())
    }
}

fn file_name(first: Lsn, last: Lsn) -> String {
    format!("{:020}-{:020}{ENDING}", first.0, last.0)
}

/// The records that a file of this name holds; `None` if it has another kind of name.
pub(super) fn parse_file_name(name: &str) -> Option<(Lsn, Lsn)> {
    let (first, last) = name.strip_suffix(ENDING)?.split_once('-')?;
    let number = |digits: &str| {
        let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        all_digits.then(|| digits.parse().ok()).flatten().map(Lsn)
    };
    Some((number(first)?, number(last)?))
}

/// A whole file, checked.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) header: RunHeader,
    bytes: Vec<u8>,
}

impl Run {
    /// Reads a file and checks everything in it: its header, every frame, that they follow each
    /// other, and the chain.
    pub(super) fn read(disk: &dyn Disk, name: &str) -> Result<Run> {
        let bytes = files::read(disk, name, LIMIT_BYTES)?;
        match Run::check(bytes) {
            Ok(run) => Ok(run),
            Err(reason) => Err(unusable(format!("{}/{name}", disk.describe()), reason)),
        }
    }

    fn check(bytes: Vec<u8>) -> std::result::Result<Run, String> {
        let header = RunHeader::decode(&bytes)?;
        if bytes.len() as u64 != header.file_bytes() {
            let length = bytes.len();
            return Err(format!("it has {length} bytes instead of {}", header.file_bytes()));
        }
        let mut end = header.before;
        let mut frames = Frames::new(&bytes[HEADER_BYTES..]);
        loop {
            let offset = HEADER_BYTES + frames.offset();
            let Some(frame) = frames.next() else { break };
            let frame = frame.map_err(|error| format!("at offset {offset}: {error}"))?;
            end = follow(end, &frame).map_err(|reason| format!("at offset {offset}: {reason}"))?;
        }
        if end != header.end {
            let (found, expected) = (end.log_id, header.end.log_id);
            return Err(format!("it ends with {found} or another chain instead of {expected}"));
        }
        Ok(Run { header, bytes })
    }

    /// Its frames.
    pub(super) fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        // They were all checked; an error would only end it.
        Frames::new(&self.bytes[HEADER_BYTES..]).map_while(std::result::Result::ok)
    }

    /// The checksum over all of the file.
    pub(super) fn crc(&self) -> u32 {
        crc32fast::hash(&self.bytes)
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// The place behind one more frame, if it may stand there.
fn follow(end: LogPlace, frame: &Frame<'_>) -> std::result::Result<LogPlace, String> {
    let LogId { epoch, lsn } = frame.header.log_id();
    if lsn != end.lsn().next() || epoch < end.log_id.epoch {
        return Err(format!("record {} follows {}", frame.header.log_id(), end.log_id));
    }
    Ok(LogPlace { log_id: LogId { epoch, lsn }, chain: end.chain.extend(&frame.header) })
}
