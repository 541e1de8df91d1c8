//! Where an entry stands in the tree: keyspaces one after another, and keys that are too long for
//! it together under what they begin with.
//!
//! ```text
//! keyspace 0 to 253   its number + 1 as one byte, then the key
//! other keyspaces     ff, the number (big-endian u32), then the key
//! ```
//!
//! lsm-tree takes keys of up to 65,535 bytes. So a key of [`CUT_BYTES`] and more is cut there, and
//! all keys of a keyspace that are equal up to the cut share one entry of the tree, a bunch:
//!
//! ```text
//! one entry of a bunch  rest length u32, value length u32, the rest of the key, the value
//! ```
//!
//! They follow one another, in order of their rests, little-endian.

use std::ops::Bound;

use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;

/// Where long keys are cut.
pub(super) const CUT_BYTES: usize = 65_000;

/// Numbers of keyspaces from here on take five bytes.
const WIDE: u8 = u8::MAX;

/// What the keys of a keyspace begin with.
#[derive(Copy, Clone)]
pub(super) struct Prefix {
    bytes: [u8; 5],
    length: usize,
}

impl Prefix {
    pub(super) fn new(keyspace: KeyspaceId) -> Prefix {
        match u8::try_from(keyspace.0) {
            Ok(number) if number < WIDE - 1 => {
                Prefix { bytes: [number + 1, 0, 0, 0, 0], length: 1 }
            }
            _ => {
                let [a, b, c, d] = keyspace.0.to_be_bytes();
                Prefix { bytes: [WIDE, a, b, c, d], length: 5 }
            }
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// The first key of the tree that lies behind the keyspace; `None` if nothing can.
    fn end(self) -> Option<Vec<u8>> {
        let mut end = self.as_bytes().to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return Some(end);
            }
        }
        None
    }
}

/// Writes the tree's key of an entry.
pub(super) fn encode(keyspace: KeyspaceId, key: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(Prefix::new(keyspace).as_bytes());
    into.extend_from_slice(&key[..key.len().min(CUT_BYTES)]);
}

/// Whether a key is in a bunch.
pub(super) fn is_cut(key: &[u8]) -> bool {
    key.len() >= CUT_BYTES
}

/// The bounds in the tree of what may lie between two bounds of a keyspace. Bunches at the ends may
/// hold keys that lie outside.
pub(super) fn bounds(
    keyspace: KeyspaceId,
    lower: Bound<&[u8]>,
    upper: Bound<&[u8]>,
) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let prefix = Prefix::new(keyspace);
    let whole = |key: &[u8]| {
        let mut bytes = Vec::new();
        encode(keyspace, key, &mut bytes);
        bytes
    };
    let lower = match lower {
        Bound::Unbounded => Bound::Included(prefix.as_bytes().to_vec()),
        Bound::Excluded(key) if !is_cut(key) => Bound::Excluded(whole(key)),
        Bound::Included(key) | Bound::Excluded(key) => Bound::Included(whole(key)),
    };
    let upper = match upper {
        Bound::Unbounded => prefix.end().map_or(Bound::Unbounded, Bound::Excluded),
        Bound::Excluded(key) if !is_cut(key) => Bound::Excluded(whole(key)),
        Bound::Included(key) | Bound::Excluded(key) => Bound::Included(whole(key)),
    };
    (lower, upper)
}

/// The entries of a bunch, by the rests of their keys, or `None` if it is not valid.
pub(super) fn decode_bunch(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut entries: Vec<(&[u8], &[u8])> = Vec::new();
    while !bytes.is_empty() {
        let (rest_length, after) = bytes.split_first_chunk()?;
        let (value_length, after) = after.split_first_chunk()?;
        let (rest, after) = after.split_at_checked(u32::from_le_bytes(*rest_length) as usize)?;
        let (value, after) = after.split_at_checked(u32::from_le_bytes(*value_length) as usize)?;
        if entries.last().is_some_and(|(before, _)| *before >= rest) {
            return None;
        }
        entries.push((rest, value));
        bytes = after;
    }
    Some(entries)
}

/// The bytes of a bunch, or `None` if it becomes larger than what the tree can hold.
pub(super) fn encode_bunch<'a>(
    entries: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (rest, value) in entries {
        bytes.extend_from_slice(&u32::try_from(rest.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(value.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(value);
    }
    u32::try_from(bytes.len()).ok()?;
    Some(bytes)
}

/// The entries of a bunch whose keys lie between two bounds, with whole keys.
pub(super) fn between(
    cut_key: &[u8],
    entries: &[(&[u8], &[u8])],
    lower: Bound<&[u8]>,
    upper: Bound<&[u8]>,
) -> Vec<(Key, Value)> {
    let whole = entries.iter().map(|(rest, value)| ([cut_key, *rest].concat(), value));
    whole
        .filter(|(key, _)| contains(lower, upper, key))
        .map(|(key, value)| (Key::from(key), Value::from(*value)))
        .collect()
}

/// Whether a key lies between two bounds.
pub(super) fn contains(lower: Bound<&[u8]>, upper: Bound<&[u8]>, key: &[u8]) -> bool {
    std::ops::RangeBounds::<[u8]>::contains(&(lower, upper), key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyspaces_follow_one_another_and_do_not_mix() {
        let ids = [0, 1, 2, 16, 252, 253, 254, 255, 256, 65_535, 1 << 24, u32::MAX - 1, u32::MAX];
        let mut end_before = Vec::new();
        for id in ids.map(KeyspaceId) {
            let prefix = Prefix::new(id);
            assert!(prefix.as_bytes() >= end_before.as_slice(), "{id}");
            let end = prefix.end();
            let (lower, upper) = bounds(id, Bound::Unbounded, Bound::Unbounded);
            for key in [b"".as_slice(), b"\0", b"\xff\xff\xff\xff\xff\xff"] {
                let mut tree_key = Vec::new();
                encode(id, key, &mut tree_key);
                let (lower, upper) = (lower.as_ref(), upper.as_ref());
                assert!(contains(lower.map(Vec::as_slice), upper.map(Vec::as_slice), &tree_key));
                assert!(end.as_ref().is_none_or(|end| tree_key < *end), "{id} {key:?}");
            }
            end_before = end.unwrap_or_default();
        }
        assert!(end_before.is_empty(), "nothing lies behind the last keyspace");
    }

    #[test]
    fn golden_bytes_of_keys_and_bunches() {
        let mut key = Vec::new();
        encode(KeyspaceId(16), b"key", &mut key);
        assert_eq!(key, b"\x11key");
        encode(KeyspaceId(254), b"key", &mut key);
        assert_eq!(key, b"\xff\0\0\0\xfekey");
        let entries = [(b"".as_slice(), b"a".as_slice()), (b"rest", b"")];
        let bunch = encode_bunch(entries.into_iter()).unwrap();
        assert_eq!(bunch, b"\0\0\0\0\x01\0\0\0a\x04\0\0\0\0\0\0\0rest");
        assert_eq!(decode_bunch(&bunch).unwrap(), entries);
        for end in 1..bunch.len() {
            assert!(end == 9 || decode_bunch(&bunch[..end]).is_none(), "cut at {end}");
        }
        assert!(decode_bunch(&[&bunch[9..], &bunch[..9]].concat()).is_none(), "out of order");
    }
}
