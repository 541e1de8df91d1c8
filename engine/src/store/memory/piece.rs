//! How operations stand in a piece: one after another, fixed little-endian, no padding.
//!
//! ```text
//! insert        01  keyspace u32  key length u32  value length u32  key  value
//! remove        02  keyspace u32  key length u32  key
//! remove range  03  keyspace u32  lower bound  upper bound
//! drop keyspace 04  keyspace u32
//! bound         00 | 01 length u32 key (included) | 02 length u32 key (excluded)
//! ```

use std::ops::Bound;

use crate::bytes::{Key, Value};
use crate::keyspace::KeyspaceId;
use crate::store::StoreOp;

const INSERT: u8 = 1;
const REMOVE: u8 = 2;
const REMOVE_RANGE: u8 = 3;
const DROP_KEYSPACE: u8 = 4;

const UNBOUNDED: u8 = 0;
const INCLUDED: u8 = 1;
const EXCLUDED: u8 = 2;

/// Bytes of an insertion besides key and value.
pub(super) const INSERT_OVERHEAD_BYTES: usize = 1 + 4 + 4 + 4;

/// Appends one operation. Fails, having appended nothing of use, for a key or value of 4 GiB and
/// more.
pub(super) fn encode(op: &StoreOp, into: &mut Vec<u8>) -> Result<(), &'static str> {
    match op {
        StoreOp::Insert { keyspace, key, value } => encode_insert(*keyspace, key, value, into)?,
        StoreOp::Remove { keyspace, key } => {
            begin(REMOVE, *keyspace, into);
            into.extend_from_slice(&length(key)?);
            into.extend_from_slice(key);
        }
        StoreOp::RemoveRange { keyspace, lower, upper } => {
            begin(REMOVE_RANGE, *keyspace, into);
            encode_bound(lower, into)?;
            encode_bound(upper, into)?;
        }
        StoreOp::DropKeyspace { keyspace } => begin(DROP_KEYSPACE, *keyspace, into),
    }
    Ok(())
}

/// Appends the insertion of an entry.
pub(super) fn encode_insert(
    keyspace: KeyspaceId,
    key: &[u8],
    value: &[u8],
    into: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let (key_length, value_length) = (length(key)?, length(value)?);
    begin(INSERT, keyspace, into);
    into.extend_from_slice(&key_length);
    into.extend_from_slice(&value_length);
    into.extend_from_slice(key);
    into.extend_from_slice(value);
    Ok(())
}

/// The operations of a piece. A piece whose checksum was right and that is not understood all the
/// same was written by something else.
pub(super) fn decode(mut piece: &[u8]) -> Result<Vec<StoreOp>, &'static str> {
    let mut ops = Vec::new();
    while !piece.is_empty() {
        ops.push(decode_op(&mut piece)?);
    }
    Ok(ops)
}

fn begin(kind: u8, keyspace: KeyspaceId, into: &mut Vec<u8>) {
    into.push(kind);
    into.extend_from_slice(&keyspace.0.to_le_bytes());
}

fn length(bytes: &[u8]) -> Result<[u8; 4], &'static str> {
    let length = u32::try_from(bytes.len()).map_err(|_| "a key or value of 4 GiB or more")?;
    Ok(length.to_le_bytes())
}

fn encode_bound(bound: &Bound<Key>, into: &mut Vec<u8>) -> Result<(), &'static str> {
    let (kind, key) = match bound {
        Bound::Unbounded => {
            into.push(UNBOUNDED);
            return Ok(());
        }
        Bound::Included(key) => (INCLUDED, key),
        Bound::Excluded(key) => (EXCLUDED, key),
    };
    into.push(kind);
    into.extend_from_slice(&length(key)?);
    into.extend_from_slice(key);
    Ok(())
}

fn decode_op(from: &mut &[u8]) -> Result<StoreOp, &'static str> {
    let kind = take(from, 1)?[0];
    let keyspace = KeyspaceId(take_u32(from)?);
    match kind {
        INSERT => {
            let key_length = take_u32(from)? as usize;
            let value_length = take_u32(from)? as usize;
            let key = Key::from(take(from, key_length)?);
            let value = Value::from(take(from, value_length)?);
            Ok(StoreOp::Insert { keyspace, key, value })
        }
        REMOVE => Ok(StoreOp::Remove { keyspace, key: take_key(from)? }),
        REMOVE_RANGE => {
            let lower = take_bound(from)?;
            let upper = take_bound(from)?;
            Ok(StoreOp::RemoveRange { keyspace, lower, upper })
        }
        DROP_KEYSPACE => Ok(StoreOp::DropKeyspace { keyspace }),
        _ => Err("an operation of an unknown kind"),
    }
}

fn take_bound(from: &mut &[u8]) -> Result<Bound<Key>, &'static str> {
    match take(from, 1)?[0] {
        UNBOUNDED => Ok(Bound::Unbounded),
        INCLUDED => Ok(Bound::Included(take_key(from)?)),
        EXCLUDED => Ok(Bound::Excluded(take_key(from)?)),
        _ => Err("a bound of an unknown kind"),
    }
}

fn take_key(from: &mut &[u8]) -> Result<Key, &'static str> {
    let length = take_u32(from)? as usize;
    Ok(Key::from(take(from, length)?))
}

fn take_u32(from: &mut &[u8]) -> Result<u32, &'static str> {
    let bytes = take(from, 4)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], &'static str> {
    let (taken, rest) = from.split_at_checked(count).ok_or("an operation that is cut off")?;
    *from = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<StoreOp> {
        let keyspace = KeyspaceId(7);
        vec![
            StoreOp::DropKeyspace { keyspace: KeyspaceId(u32::MAX) },
            StoreOp::RemoveRange {
                keyspace,
                lower: Bound::Included(Key::from("a")),
                upper: Bound::Excluded(Key::from("b")),
            },
            StoreOp::RemoveRange { keyspace, lower: Bound::Unbounded, upper: Bound::Unbounded },
            StoreOp::Insert { keyspace, key: Key::from("k"), value: Value::from("") },
            StoreOp::Insert { keyspace, key: Key::from(""), value: Value::from("value") },
            StoreOp::Remove { keyspace, key: Key::from("gone") },
        ]
    }

    #[test]
    fn decodes_what_was_encoded() {
        let mut piece = Vec::new();
        for op in samples() {
            encode(&op, &mut piece).unwrap();
        }
        assert_eq!(decode(&piece).unwrap(), samples());
    }

    #[test]
    fn golden_bytes_of_an_insertion() {
        let mut piece = Vec::new();
        encode(&samples()[4], &mut piece).unwrap();
        assert_eq!(piece, b"\x01\x07\0\0\0\0\0\0\0\x05\0\0\0value");
        assert_eq!(piece.len(), INSERT_OVERHEAD_BYTES + 5);
    }

    #[test]
    fn refuses_every_cut_and_unknown_kinds() {
        for op in samples() {
            let mut piece = Vec::new();
            encode(&op, &mut piece).unwrap();
            for end in 1..piece.len() {
                assert!(decode(&piece[..end]).is_err(), "{op:?} cut to {end} bytes was accepted");
            }
            piece[0] = 9;
            assert!(decode(&piece).is_err());
        }
    }
}
