//! The files of a log: their names, and the header that each begins with.
//!
//! This module alone knows the names of segment files and the places of the header's fields.

use crate::codec::{is_blank, put, u32_at, u64_at, u128_at};
use crate::ids::{Chain, DatabaseId, Epoch, Lsn, SegmentNumber};

/// The directory of the segments, below that of the database.
pub const DIRECTORY: &str = "log";
/// The name under which a segment is made ready before one rename puts it into the log. It is never
/// read.
pub const TEMPORARY_NAME: &str = "log/next.tmp";
/// Length of what a segment header contains; zeros fill the rest of its block.
pub const SEGMENT_HEADER_BYTES: usize = 108;
/// The format version that this program writes, and the highest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// The block sizes that a log can have.
pub const BLOCK_SIZES: [u32; 2] = [512, 4096];

const MAGIC: [u8; 8] = *b"MSTAYLOG";
/// CRC-32 (IEEE), of frames and headers.
const CHECKSUM_CRC32: u32 = 1;
/// Bit of `flags`: see [`SegmentHeader::origin`].
const FLAG_ORIGIN: u32 = 1;

const VERSION: usize = 8;
const CHECKSUM_KIND: usize = 12;
const DATABASE_ID: usize = 16;
const NUMBER: usize = 32;
const SIZE_BYTES: usize = 40;
const BLOCK_BYTES: usize = 48;
const FLAGS: usize = 52;
const SALT: usize = 56;
const FIRST_LSN: usize = 64;
const EPOCH: usize = 72;
const EPOCH_START_LSN: usize = 80;
const EPOCH_CHAIN: usize = 88;
const CHAIN_BEFORE: usize = 96;
const CRC: usize = 104;

const NAME_DIGITS: usize = 16;
const NAME_SUFFIX: &str = ".log";

/// The name of a segment's file, relative to the database: `log/0000000000000001.log`.
///
/// A number of more than 16 digits makes a longer name, which [`parse_file_name`] reads too.
#[must_use]
pub fn file_name(number: SegmentNumber) -> String {
    format!("{DIRECTORY}/{:0NAME_DIGITS$}{NAME_SUFFIX}", number.0)
}

/// The number in a file name as [`crate::disk::Disk::list`] of [`DIRECTORY`] gives it, without the
/// directory. `None` for every name that [`file_name`] does not make.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<SegmentNumber> {
    let digits = name.strip_suffix(NAME_SUFFIX)?;
    let canonical =
        digits.len() == NAME_DIGITS || (digits.len() > NAME_DIGITS && !digits.starts_with('0'));
    if !canonical || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // There is always a next number.
    digits.parse().ok().filter(|number| *number <= u64::MAX / 2).map(SegmentNumber)
}

/// What a segment says of itself and of the log at its beginning.
///
/// Invariants:
/// - `block_bytes` is one of [`BLOCK_SIZES`]; `size_bytes` is a multiple of it, and at least two
///   blocks;
/// - `number` and `first_lsn` are not zero; only the log's first record follows an empty chain;
/// - `epoch` is zero exactly if there was no record before, and then so are `epoch_start_lsn` and
///   `epoch_chain`; otherwise it begins at or before `first_lsn`, and not with a chain of its own.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The database that the segment belongs to.
    pub database_id: DatabaseId,
    /// The segment's number. Where it is not that of the file's name, the file was recycled and
    /// not used since.
    pub number: SegmentNumber,
    /// Length of the file, this header's block included.
    pub size_bytes: u64,
    /// The unit in which the log is written.
    pub block_bytes: u32,
    /// The log begins here: all segments with lower numbers are dead.
    pub origin: bool,
    /// Drawn anew each time that a file becomes a segment; mixed into the checksums of its groups.
    pub salt: u64,
    /// The first record that this segment holds, or will hold.
    pub first_lsn: Lsn,
    /// The epoch of the record before `first_lsn`; zero if there is none.
    pub epoch: Epoch,
    /// The first record of that epoch.
    pub epoch_start_lsn: Lsn,
    /// The chain over everything before `epoch_start_lsn`.
    pub epoch_chain: Chain,
    /// The chain over everything before `first_lsn`.
    pub chain_before: Chain,
}

impl SegmentHeader {
    /// The header's whole block, `block_bytes` long. The invariants must hold.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let fault = self.fault();
        assert!(fault.is_none(), "{fault:?} in {self:?}");
        let mut bytes = vec![0; self.block_bytes as usize];
        let flags = if self.origin { FLAG_ORIGIN } else { 0 };
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, VERSION, &FORMAT_VERSION.to_le_bytes());
        put(&mut bytes, CHECKSUM_KIND, &CHECKSUM_CRC32.to_le_bytes());
        put(&mut bytes, DATABASE_ID, &self.database_id.0.to_le_bytes());
        put(&mut bytes, NUMBER, &self.number.0.to_le_bytes());
        put(&mut bytes, SIZE_BYTES, &self.size_bytes.to_le_bytes());
        put(&mut bytes, BLOCK_BYTES, &self.block_bytes.to_le_bytes());
        put(&mut bytes, FLAGS, &flags.to_le_bytes());
        put(&mut bytes, SALT, &self.salt.to_le_bytes());
        put(&mut bytes, FIRST_LSN, &self.first_lsn.0.to_le_bytes());
        put(&mut bytes, EPOCH, &self.epoch.0.to_le_bytes());
        put(&mut bytes, EPOCH_START_LSN, &self.epoch_start_lsn.0.to_le_bytes());
        put(&mut bytes, EPOCH_CHAIN, &self.epoch_chain.0.to_le_bytes());
        put(&mut bytes, CHAIN_BEFORE, &self.chain_before.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC]);
        put(&mut bytes, CRC, &crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the front of `bytes`, which hold the first 512 bytes of a file at least.
    /// Looks at nothing behind the header's block.
    ///
    /// The magic, the version and the checksum stand at these places in every version, so that a
    /// newer version and damage can be told apart.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, SegmentHeaderError> {
        let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
            return Err(match is_blank(bytes) {
                true => SegmentHeaderError::Blank,
                false => SegmentHeaderError::Truncated { found_bytes: bytes.len() as u64 },
            });
        };
        if header[..MAGIC.len()] != MAGIC {
            return Err(match is_blank(&bytes[..bytes.len().min(512)]) {
                true => SegmentHeaderError::Blank,
                false => SegmentHeaderError::Magic,
            });
        }
        let (expected, found) = (u32_at(header, CRC), crc32fast::hash(&header[..CRC]));
        if expected != found {
            return Err(SegmentHeaderError::Checksum { expected, found });
        }
        match (u32_at(header, VERSION), u32_at(header, CHECKSUM_KIND)) {
            (FORMAT_VERSION, CHECKSUM_CRC32) => {}
            (FORMAT_VERSION, kind) => return Err(SegmentHeaderError::ChecksumKind(kind)),
            (version, _) => return Err(SegmentHeaderError::Version(version)),
        }
        let flags = u32_at(header, FLAGS);
        if flags & !FLAG_ORIGIN != 0 {
            return Err(SegmentHeaderError::Field("unknown flags"));
        }
        let header = SegmentHeader {
            database_id: DatabaseId(u128_at(header, DATABASE_ID)),
            number: SegmentNumber(u64_at(header, NUMBER)),
            size_bytes: u64_at(header, SIZE_BYTES),
            block_bytes: u32_at(header, BLOCK_BYTES),
            origin: flags & FLAG_ORIGIN != 0,
            salt: u64_at(header, SALT),
            first_lsn: Lsn(u64_at(header, FIRST_LSN)),
            epoch: Epoch(u64_at(header, EPOCH)),
            epoch_start_lsn: Lsn(u64_at(header, EPOCH_START_LSN)),
            epoch_chain: Chain(u64_at(header, EPOCH_CHAIN)),
            chain_before: Chain(u64_at(header, CHAIN_BEFORE)),
        };
        if let Some(fault) = header.fault() {
            return Err(SegmentHeaderError::Field(fault));
        }
        let block = &bytes[..bytes.len().min(header.block_bytes as usize)];
        if !is_blank(&block[SEGMENT_HEADER_BYTES..]) {
            return Err(SegmentHeaderError::Field("bytes behind the header are not zero"));
        }
        Ok(header)
    }

    /// Bytes from the beginning of the file to the first group.
    #[must_use]
    pub fn body_offset(&self) -> u64 {
        u64::from(self.block_bytes)
    }

    /// The first invariant that does not hold.
    fn fault(&self) -> Option<&'static str> {
        let block_bytes = u64::from(self.block_bytes);
        if !BLOCK_SIZES.contains(&self.block_bytes) {
            return Some("the block size is neither 512 nor 4096");
        }
        if !self.size_bytes.is_multiple_of(block_bytes) || self.size_bytes < 2 * block_bytes {
            return Some("the size is not two or more whole blocks");
        }
        if self.number == SegmentNumber(0) {
            return Some("the segment number is zero");
        }
        if self.first_lsn == Lsn::ZERO || self.first_lsn > Lsn::LAST {
            return Some("the first LSN is zero, or beyond the last that exists");
        }
        if self.first_lsn == Lsn(1) && self.chain_before != Chain::EMPTY {
            return Some("the first record does not follow the empty chain");
        }
        if self.epoch == Epoch::ZERO {
            let empty = self.first_lsn == Lsn(1)
                && self.epoch_start_lsn == Lsn::ZERO
                && self.epoch_chain == Chain::EMPTY;
            return (!empty).then_some("records before the first epoch");
        }
        if self.epoch_start_lsn == Lsn::ZERO || self.epoch_start_lsn > self.first_lsn {
            return Some("the epoch does not begin at or before the first LSN");
        }
        if self.epoch_start_lsn == Lsn(1) && self.epoch_chain != Chain::EMPTY {
            return Some("the first record does not follow the empty chain");
        }
        (self.epoch_start_lsn == self.first_lsn && self.epoch_chain != self.chain_before)
            .then_some("two chains at the same LSN")
    }
}

/// Why bytes are not a segment header. In checksums, `expected` is what stands in the bytes and
/// `found` what was computed over them.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderError {
    /// Only zeros: the file was prepared and never used.
    #[error("blank")]
    Blank,
    /// The file ends before the header does.
    #[error("a segment header needs {SEGMENT_HEADER_BYTES} bytes, {found_bytes} are there")]
    Truncated {
        /// What is there.
        found_bytes: u64,
    },
    /// Not a segment.
    #[error("not a segment of a log")]
    Magic,
    /// Written by a newer version of the program.
    #[error("segment of format version {0}")]
    Version(u32),
    /// Written with checksums that this program does not know.
    #[error("segment with checksums of kind {0}")]
    ChecksumKind(u32),
    /// The header is damaged. Headers are written alone and in one sector, so this is never a torn
    /// write.
    #[error("segment header checksum is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// In the header.
        expected: u32,
        /// Of the header's bytes.
        found: u32,
    },
    /// The checksum is right, and yet a field has a value that is never written.
    #[error("segment header: {0}")]
    Field(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            database_id: DatabaseId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
            number: SegmentNumber(7),
            size_bytes: 1 << 20,
            block_bytes: 4096,
            origin: false,
            salt: 0xfeed,
            first_lsn: Lsn(1000),
            epoch: Epoch(3),
            epoch_start_lsn: Lsn(900),
            epoch_chain: Chain(5),
            chain_before: Chain(6),
        }
    }

    /// The header with some bytes changed and the checksum made right again.
    fn patched(at: usize, value: &[u8]) -> Result<SegmentHeader, SegmentHeaderError> {
        let mut bytes = header().encode();
        put(&mut bytes, at, value);
        let crc = crc32fast::hash(&bytes[..CRC]);
        put(&mut bytes, CRC, &crc.to_le_bytes());
        SegmentHeader::decode(&bytes)
    }

    #[test]
    fn a_header_comes_back() {
        let empty = SegmentHeader {
            origin: true,
            block_bytes: 512,
            size_bytes: 1024,
            first_lsn: Lsn(1),
            epoch: Epoch::ZERO,
            epoch_start_lsn: Lsn::ZERO,
            epoch_chain: Chain::EMPTY,
            chain_before: Chain::EMPTY,
            ..header()
        };
        for header in [header(), empty] {
            let bytes = header.encode();
            assert_eq!(bytes.len() as u64, header.body_offset());
            assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
            assert_eq!(SegmentHeader::decode(&bytes[..512]), Ok(header));
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn damage_and_newer_versions_are_told_apart() {
        use SegmentHeaderError as E;
        assert_eq!(SegmentHeader::decode(&[0; 4096]), Err(E::Blank));
        assert_eq!(SegmentHeader::decode(&[]), Err(E::Blank));
        assert_eq!(SegmentHeader::decode(&[1; 512]), Err(E::Magic));
        assert_eq!(SegmentHeader::decode(&[1; 9]), Err(E::Truncated { found_bytes: 9 }));
        assert_eq!(patched(VERSION, &2u32.to_le_bytes()), Err(E::Version(2)));
        assert_eq!(patched(CHECKSUM_KIND, &2u32.to_le_bytes()), Err(E::ChecksumKind(2)));
        let mut bytes = header().encode();
        bytes[VERSION] = 2;
        assert!(matches!(SegmentHeader::decode(&bytes), Err(E::Checksum { .. })));
    }

    #[test]
    fn fields_that_cannot_be_are_refused_though_the_checksum_is_right() {
        assert!(patched(SALT, &[1; 8]).is_ok());
        let cases: [(usize, &[u8]); 11] = [
            (NUMBER, &[0; 8]),
            (SIZE_BYTES, &4097u64.to_le_bytes()),
            (SIZE_BYTES, &4096u64.to_le_bytes()),
            (BLOCK_BYTES, &1024u32.to_le_bytes()),
            (BLOCK_BYTES, &0u32.to_le_bytes()),
            (FLAGS, &2u32.to_le_bytes()),
            (FIRST_LSN, &0u64.to_le_bytes()),
            (FIRST_LSN, &1u64.to_le_bytes()),
            (EPOCH, &0u64.to_le_bytes()),
            (EPOCH_START_LSN, &1001u64.to_le_bytes()),
            (EPOCH_START_LSN, &1000u64.to_le_bytes()),
        ];
        for (at, value) in cases {
            let result = patched(at, value);
            assert!(matches!(result, Err(SegmentHeaderError::Field(_))), "{at}: {result:?}");
        }
    }

    #[test]
    fn names_are_parsed_as_they_are_made() {
        for number in [1, 9_999_999_999_999_999, 10_000_000_000_000_000, u64::MAX / 2] {
            let name = file_name(SegmentNumber(number));
            let name = name.strip_prefix("log/").unwrap();
            assert_eq!(parse_file_name(name), Some(SegmentNumber(number)), "{name}");
        }
        assert_eq!(file_name(SegmentNumber(12)), "log/0000000000000012.log");
        for name in
            ["", ".log", "12.log", "next.tmp", "+000000000000012.log", "a000000000000012.log"]
        {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
        assert_eq!(
            parse_file_name("00000000000000012.log"),
            None,
            "17 digits with a zero in front"
        );
        for name in ["9223372036854775808.log", "99999999999999999999.log"] {
            assert_eq!(parse_file_name(name), None, "beyond the last number");
        }
    }
}
