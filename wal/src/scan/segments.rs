//! What each file of a log is.

use std::io;
use std::sync::Arc;

use super::window::Window;
use super::{Checksums, Fault};
use crate::codec::is_blank;
use crate::disk::{Disk, DiskFile, Open};
use crate::error::{Error, Result};
use crate::ids::{Chain, DatabaseId, Lsn, Position, SegmentNumber};
use crate::segment::{self, SegmentHeader, SegmentHeaderError};

/// The longest block, which a header fills.
const HEADER_BLOCK_BYTES: u64 = 4096;

/// The files of a log, by number.
#[derive(Clone, Debug, Default)]
pub struct SegmentScan {
    /// Every file that is named as a segment, lowest number first.
    pub segments: Vec<SegmentFile>,
    /// The names of all others in the same directory.
    pub others: Vec<String>,
}

/// One file of a log.
#[derive(Clone, Debug)]
pub struct SegmentFile {
    /// The number in its name.
    pub number: SegmentNumber,
    /// Its length.
    pub length_bytes: u64,
    /// What it is.
    pub state: SegmentState,
}

/// What a file named as a segment is.
#[derive(Clone, Debug)]
pub enum SegmentState {
    /// Prepared, and holds no records.
    Unused(Unused),
    /// Part of the log.
    Live(SegmentHeader),
    /// Was part of the log. A later segment begins at or before its first record, or begins the log
    /// anew. Without a header if that is damaged, which no longer matters.
    Dead(Option<SegmentHeader>),
    /// It cannot be said what it is, or it is not whole.
    Damaged(SegmentDamage),
}

/// How a file came to be prepared.
#[derive(Clone, Debug)]
pub enum Unused {
    /// Zeros, as far as it was written.
    Blank,
    /// A file that was a segment before; the header is that of its earlier use.
    Recycled(SegmentHeader),
}

/// What is wrong with a file as a whole.
#[non_exhaustive]
#[derive(Clone, Debug, thiserror::Error)]
pub enum SegmentDamage {
    /// Its header is damaged, or not one.
    #[error(transparent)]
    Header(SegmentHeaderError),
    /// Its header is blank and the rest is not.
    #[error("the header is blank, and byte {offset} is not")]
    LostHeader {
        /// The first byte that is not zero.
        offset: u64,
    },
    /// It is in use and shorter than it says.
    #[error("the file has {length_bytes} bytes instead of {size_bytes}")]
    Short {
        /// The length of the file.
        length_bytes: u64,
        /// What the header says.
        size_bytes: u64,
    },
    /// It belongs to another database.
    #[error("it belongs to database {found}, not to {expected}")]
    Foreign {
        /// The database it belongs to.
        found: DatabaseId,
        /// The database that was scanned.
        expected: DatabaseId,
    },
    /// It was segment `found` before it got a lower number, which never happens.
    #[error("it is segment {found}")]
    Number {
        /// The number in its header.
        found: SegmentNumber,
    },
    /// The system refused to read it.
    #[error("cannot read it: {0}")]
    Unreadable(Arc<io::Error>),
}

/// A segment in use, and where its part of the log ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SegmentExtent {
    /// The segment's header.
    pub header: SegmentHeader,
    /// What the next segment says of the end; `None` in the last segment, which ends where its
    /// groups do.
    pub end: Option<ExtentEnd>,
}

/// Where a segment's part of the log ends.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ExtentEnd {
    /// The last record that belongs to the log.
    pub last_lsn: Lsn,
    /// The chain with that record.
    pub chain: Chain,
}

/// Looks at every file of a log, and says what it is. Reads their headers, and blank files whole.
///
/// Segments of another database than `database_id` are damage. A directory that is missing has no
/// segments. Errors: only if the directory cannot be listed.
pub fn scan_segments(disk: &dyn Disk, database_id: Option<DatabaseId>) -> Result<SegmentScan> {
    let names = match disk.list(segment::DIRECTORY) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("list", segment::DIRECTORY, error)),
    };
    let mut scan = SegmentScan::default();
    for name in names {
        match segment::parse_file_name(&name) {
            Some(number) => scan.segments.push(examine(disk, number, database_id)),
            None => scan.others.push(name),
        }
    }
    scan.segments.sort_by_key(|file| file.number);
    bury(&mut scan.segments);
    Ok(scan)
}

impl SegmentScan {
    /// The segments in use, in the order of the log.
    #[must_use]
    pub fn extents(&self) -> Vec<SegmentExtent> {
        let headers = self.segments.iter().filter_map(|file| match &file.state {
            SegmentState::Live(header) => Some(*header),
            _ => None,
        });
        let mut extents: Vec<SegmentExtent> = Vec::new();
        for header in headers {
            if let Some(previous) = extents.last_mut() {
                let (last_lsn, chain) = (header.first_lsn.previous(), header.chain_before);
                previous.end = Some(ExtentEnd { last_lsn, chain });
            }
            extents.push(SegmentExtent { header, end: None });
        }
        extents
    }

    /// What is wrong with files as a whole.
    pub fn faults(&self) -> impl Iterator<Item = Fault> {
        self.segments.iter().filter_map(SegmentFile::fault)
    }

    /// A number above every file's.
    #[must_use]
    pub fn next_number(&self) -> SegmentNumber {
        self.segments.last().map_or(SegmentNumber(1), |file| file.number.next())
    }
}

impl SegmentFile {
    /// What is wrong with the file as a whole.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        let SegmentState::Damaged(damage) = &self.state else {
            return None;
        };
        let path = segment::file_name(self.number);
        let unreadable = |error| Fault::Unreadable { position: self.position(0), error };
        Some(match damage {
            SegmentDamage::Unreadable(source) => {
                unreadable(Error::Io { operation: "read", path, source: source.clone() })
            }
            SegmentDamage::Header(SegmentHeaderError::Version(found)) => {
                let (found, supported) = (*found, segment::FORMAT_VERSION);
                unreadable(Error::UnsupportedVersion { path, found, supported })
            }
            SegmentDamage::Foreign { .. } => {
                unreadable(Error::NotADatabase { path, reason: damage.to_string() })
            }
            SegmentDamage::Header(error) => {
                let checksums = match *error {
                    SegmentHeaderError::Checksum { expected, found } => {
                        Some(Checksums { expected, found })
                    }
                    _ => None,
                };
                self.corrupt(0, error.to_string(), checksums)
            }
            SegmentDamage::LostHeader { offset } => self.corrupt(*offset, damage.to_string(), None),
            SegmentDamage::Short { length_bytes, .. } => {
                self.corrupt(*length_bytes, damage.to_string(), None)
            }
            SegmentDamage::Number { .. } => self.corrupt(0, damage.to_string(), None),
        })
    }

    fn position(&self, offset: u64) -> Position {
        Position { segment: self.number, offset }
    }

    fn corrupt(&self, offset: u64, reason: String, checksums: Option<Checksums>) -> Fault {
        Fault::Corrupt { position: self.position(offset), lsn: Lsn::ZERO, reason, checksums }
    }
}

/// Says what one file is by itself; every segment in use counts as live.
fn examine(disk: &dyn Disk, number: SegmentNumber, database_id: Option<DatabaseId>) -> SegmentFile {
    let mut length_bytes = 0;
    let state = open(disk, number)
        .and_then(|(file, length)| {
            length_bytes = length;
            state_of(file, number, length, database_id)
        })
        .unwrap_or_else(|error| SegmentState::Damaged(SegmentDamage::Unreadable(Arc::new(error))));
    SegmentFile { number, length_bytes, state }
}

fn open(disk: &dyn Disk, number: SegmentNumber) -> io::Result<(Arc<dyn DiskFile>, u64)> {
    let file = disk.open(&segment::file_name(number), Open::Read)?;
    let length = file.length()?;
    Ok((file, length))
}

fn state_of(
    file: Arc<dyn DiskFile>,
    number: SegmentNumber,
    length_bytes: u64,
    database_id: Option<DatabaseId>,
) -> io::Result<SegmentState> {
    let mut block = vec![0; usize::try_from(HEADER_BLOCK_BYTES.min(length_bytes)).unwrap_or(0)];
    let read = file.read_at(0, &mut block)?;
    block.truncate(read);
    let header = match SegmentHeader::decode(&block) {
        Ok(header) => header,
        Err(SegmentHeaderError::Blank) => {
            return Ok(match first_not_blank(file, length_bytes)? {
                None => SegmentState::Unused(Unused::Blank),
                Some(offset) => SegmentState::Damaged(SegmentDamage::LostHeader { offset }),
            });
        }
        Err(error) => return Ok(SegmentState::Damaged(SegmentDamage::Header(error))),
    };
    let size_bytes = header.size_bytes;
    Ok(match database_id {
        Some(expected) if header.database_id != expected => {
            let found = header.database_id;
            SegmentState::Damaged(SegmentDamage::Foreign { found, expected })
        }
        _ if header.number < number => SegmentState::Unused(Unused::Recycled(header)),
        _ if header.number > number => {
            SegmentState::Damaged(SegmentDamage::Number { found: header.number })
        }
        _ if length_bytes < size_bytes => {
            SegmentState::Damaged(SegmentDamage::Short { length_bytes, size_bytes })
        }
        _ => SegmentState::Live(header),
    })
}

fn first_not_blank(file: Arc<dyn DiskFile>, length_bytes: u64) -> io::Result<Option<u64>> {
    let mut window = Window::new(file, length_bytes);
    let mut offset = 0;
    while offset < length_bytes {
        let bytes = window.at(offset, 1)?;
        if !is_blank(bytes) {
            let at = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            return Ok(Some(offset + at as u64));
        }
        offset += bytes.len() as u64;
    }
    Ok(None)
}

/// Tells the dead segments from the live ones.
fn bury(files: &mut [SegmentFile]) {
    // The lowest first LSN of all later segments; zero once one of them begins the log anew.
    let mut taken_from = Lsn::MAX;
    for file in files.iter_mut().rev() {
        match &file.state {
            SegmentState::Live(header) if header.first_lsn >= taken_from => {
                file.state = SegmentState::Dead(Some(*header));
            }
            SegmentState::Live(header) if header.origin => taken_from = Lsn::ZERO,
            SegmentState::Live(header) => taken_from = header.first_lsn,
            SegmentState::Damaged(
                SegmentDamage::Header(_)
                | SegmentDamage::LostHeader { .. }
                | SegmentDamage::Short { .. },
            ) if taken_from == Lsn::ZERO => file.state = SegmentState::Dead(None),
            _ => {}
        }
    }
}
