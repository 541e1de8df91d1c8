//! How an entry stands in sled.
//!
//! ```text
//! small value  00  value
//! large value  01  number u64  length u64  crc32 u32      and in the keyspace's tree of chunks:
//!              number u64 big-endian, index u64 big-endian  ->  chunk
//! ```
//!
//! sled keeps up to 16 entries in a page and rewrites pages whole; with values of 16 MiB that is
//! unbearable, and pages beyond a quarter of a segment become files of their own. So large values
//! are cut into chunks in a tree beside, small enough that their pages do not.

use crate::bytes::Value;

/// Values up to this size stand in their entry. Sixteen such entries and a few changes fit into a
/// page.
pub(super) const INLINE_BYTES: usize = 2048;
/// The size of the chunks of larger ones.
pub(super) const CHUNK_BYTES: usize = 4096;

const INLINE: u8 = 0;
const LARGE: u8 = 1;
const LARGE_BYTES: usize = 1 + 8 + 8 + 4;

/// A value as it stands in its entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    Inline(Value),
    Large(Large),
}

/// Where the chunks of a large value are.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Large {
    /// No two values of a keyspace have the same.
    pub(super) number: u64,
    pub(super) length: u64,
    pub(super) crc: u32,
}

impl Large {
    pub(super) fn chunks(self) -> u64 {
        self.length.div_ceil(CHUNK_BYTES as u64)
    }

    pub(super) fn encode(self) -> [u8; LARGE_BYTES] {
        let mut bytes = [LARGE; LARGE_BYTES];
        bytes[1..9].copy_from_slice(&self.number.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.length.to_le_bytes());
        bytes[17..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }
}

/// The entry of a small value.
pub(super) fn encode_inline(value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + value.len());
    bytes.push(INLINE);
    bytes.extend_from_slice(value);
    bytes
}

/// `None` for what is no entry.
pub(super) fn decode(bytes: &[u8]) -> Option<Stored> {
    match bytes.split_first()? {
        (&INLINE, value) => Some(Stored::Inline(Value::from(value))),
        (&LARGE, rest) if rest.len() == LARGE_BYTES - 1 => {
            let long = |at: usize| rest[at..at + 8].try_into().map(u64::from_le_bytes).ok();
            let crc = rest[16..20].try_into().map(u32::from_le_bytes).ok()?;
            Some(Stored::Large(Large { number: long(0)?, length: long(8)?, crc }))
        }
        _ => None,
    }
}

/// The key of a chunk.
pub(super) fn chunk_key(number: u64, index: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        assert_eq!(encode_inline(b"ab"), b"\x00ab");
        let large = Large { number: 2, length: 70_000, crc: 0x0403_0201 };
        let bytes = *b"\x01\x02\0\0\0\0\0\0\0\x70\x11\x01\0\0\0\0\0\x01\x02\x03\x04";
        assert_eq!(large.encode(), bytes);
        assert_eq!(decode(&bytes), Some(Stored::Large(large)));
        assert_eq!(large.chunks(), 18);
        assert_eq!(chunk_key(1, 2), *b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02");
    }

    #[test]
    fn refuses_what_is_no_entry() {
        assert_eq!(decode(b""), None);
        assert_eq!(decode(b"\x02abc"), None);
        assert_eq!(decode(b"\x01abc"), None);
        assert_eq!(decode(b"\x00"), Some(Stored::Inline(Value::from(""))));
    }
}
