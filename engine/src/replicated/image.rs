//! A state on its way to another node: what an image is made of, and how one is made while writes
//! go on.
//!
//! An image is a run of chunks, each with a checksum and a number: one that begins it, entries of
//! the Store, the log from there on, and one that ends it. `docs/image-format.md` has the bytes.
//!
//! The scan is fuzzy: the Store changes under it, by checkpoints that go on. Whatever a checkpoint
//! changed lies between the begin and the end, and so do the frames, whose records are absolute:
//! applied in order over the entries they give the state at the end, whatever the scan saw. No old
//! version is kept for it, however long it takes.

mod stream;

use mainstay_wal::history::EpochHistory;
use mainstay_wal::{Chain, Epoch, LogId, Lsn};

use super::ClusterId;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::record::MAX_RECORD_BYTES;

pub use stream::ImageStream;

/// The longest chunk: one entry or one frame of the largest size, and what stands around it.
pub const MAX_CHUNK_BYTES: usize = MAX_RECORD_BYTES + 4096;

/// A chunk ends once it is this large.
const CHUNK_BYTES: usize = 256 << 10;

const MAGIC: u32 = u32::from_le_bytes(*b"MIMG");
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;

const BEGIN: u32 = 1;
const ENTRIES: u32 = 2;
const FRAMES: u32 = 3;
const END: u32 = 4;

/// The beginning of an image.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Begin {
    pub(super) cluster: ClusterId,
    pub(super) start: LogId,
    pub(super) chain: Chain,
}

/// The end of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) end: LogId,
    pub(super) chain: Chain,
    pub(super) entries: u64,
    pub(super) records: u64,
    pub(super) history: EpochHistory,
}

/// What one chunk holds. Entries and frames are checked as they are taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Chunk<'a> {
    Begin(Begin),
    Entries { keyspace: KeyspaceId, entries: &'a [u8] },
    Frames(&'a [u8]),
    End(End),
}

/// An error about an image: nothing of the node that took it in is changed.
pub(super) fn bad_image(reason: impl Into<String>) -> Error {
    Error::Backup { path: "the image".to_owned(), reason: reason.into() }
}

/// Puts a header in front of a body.
fn seal(kind: u32, number: u64, body: &[u8]) -> Vec<u8> {
    assert!(body.len() <= MAX_CHUNK_BYTES, "a chunk with {} bytes", body.len());
    let mut chunk = Vec::with_capacity(HEADER_BYTES + body.len());
    chunk.extend_from_slice(&MAGIC.to_le_bytes());
    chunk.extend_from_slice(&kind.to_le_bytes());
    chunk.extend_from_slice(&number.to_le_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "the assertion above")]
    chunk.extend_from_slice(&(body.len() as u32).to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&chunk);
    crc.update(body);
    chunk.extend_from_slice(&crc.finalize().to_le_bytes());
    chunk.extend_from_slice(body);
    chunk
}

/// Reads numbers from the front of bytes.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.bytes(16)?.try_into().ok().map(u128::from_le_bytes)
    }

    fn log_id(&mut self) -> Option<LogId> {
        let id = LogId { epoch: Epoch(self.u64()?), lsn: Lsn(self.u64()?) };
        // A log that ends there must be able to go on.
        (id.lsn < Lsn::LAST).then_some(id)
    }
}

/// Checks a chunk, which must be the one with this number.
pub(super) fn open(chunk: &[u8], number: u64) -> Result<Chunk<'_>> {
    let (header, body) =
        chunk.split_at_checked(HEADER_BYTES).ok_or_else(|| bad_image("a chunk is cut off"))?;
    let mut fields = Fields(header);
    let (Some(magic), Some(kind), Some(found), Some(length), Some(expected)) =
        (fields.u32(), fields.u32(), fields.u64(), fields.u32(), fields.u32())
    else {
        return Err(bad_image("a chunk is cut off"));
    };
    if magic != MAGIC {
        return Err(bad_image("a chunk does not begin as one"));
    }
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header[..HEADER_BYTES - 4]);
    crc.update(body);
    if crc.finalize() != expected || length as usize != body.len() {
        return Err(bad_image(format!("chunk {number} is damaged")));
    }
    if found != number {
        return Err(bad_image(format!("chunk {found} comes where chunk {number} should")));
    }
    let opened = match kind {
        BEGIN => open_begin(body)?.map(Chunk::Begin),
        ENTRIES => {
            let mut fields = Fields(body);
            fields.u32().map(|id| Chunk::Entries { keyspace: KeyspaceId(id), entries: fields.0 })
        }
        FRAMES => Some(Chunk::Frames(body)),
        END => open_end(body).map(Chunk::End),
        _ => None,
    };
    opened.ok_or_else(|| bad_image(format!("chunk {number} of kind {kind} makes no sense")))
}

fn open_begin(body: &[u8]) -> Result<Option<Begin>> {
    let mut fields = Fields(body);
    match fields.u32() {
        Some(FORMAT_VERSION) => {}
        Some(version) => {
            return Err(bad_image(format!(
                "its format version is {version}, not {FORMAT_VERSION}"
            )));
        }
        None => return Ok(None),
    }
    let mut begin = || {
        let cluster = ClusterId(fields.u128()?);
        let (start, chain) = (fields.log_id()?, Chain(fields.u64()?));
        fields.0.is_empty().then_some(Begin { cluster, start, chain })
    };
    Ok(begin())
}

fn open_end(body: &[u8]) -> Option<End> {
    let mut fields = Fields(body);
    Some(End {
        end: fields.log_id()?,
        chain: Chain(fields.u64()?),
        entries: fields.u64()?,
        records: fields.u64()?,
        history: EpochHistory::decode(fields.0).ok()?,
    })
}

impl Begin {
    fn encode(&self) -> Vec<u8> {
        let mut body = FORMAT_VERSION.to_le_bytes().to_vec();
        body.extend_from_slice(&self.cluster.0.to_le_bytes());
        put_log_id(&mut body, self.start);
        body.extend_from_slice(&self.chain.0.to_le_bytes());
        body
    }
}

impl End {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_log_id(&mut body, self.end);
        for number in [self.chain.0, self.entries, self.records] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        body.extend_from_slice(&self.history.encode());
        body
    }
}

fn put_log_id(body: &mut Vec<u8>, id: LogId) {
    body.extend_from_slice(&id.epoch.0.to_le_bytes());
    body.extend_from_slice(&id.lsn.0.to_le_bytes());
}

#[expect(clippy::cast_possible_truncation, reason = "keys and values are within their limits")]
fn put_entry(body: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    body.extend_from_slice(&(key.len() as u32).to_le_bytes());
    body.extend_from_slice(&(value.len() as u32).to_le_bytes());
    body.extend_from_slice(key);
    body.extend_from_slice(value);
}

#[cfg(test)]
mod tests;
