//! A state on its way to another node: what an image is made of, and how one is made while writes
//! go on.
//!
//! An image is a run of chunks, each with a checksum and a number:
//!
//! | kind | what |
//! |---|---|
//! | 1 begin | format version, cluster, and the checkpoint at which the scan began, with its chain |
//! | 2 entries | entries of one keyspace of the Store, in key order; keyspaces in the order of their numbers |
//! | 3 frames | the log from that checkpoint on, verbatim |
//! | 4 end | the record at which the image ends, the chain up to it, how much there was, the epoch history |
//!
//! The scan is fuzzy: the Store changes under it, by checkpoints that go on. Whatever a checkpoint
//! changed lies between the begin and the end, and so do the frames, whose records are absolute:
//! applied in order over the entries they give the state at the end, whatever the scan saw. No old
//! version is kept for it, however long it takes.

use std::ops::Bound as KeyBound;

use mainstay_wal::frame::Frames;
use mainstay_wal::history::EpochHistory;
use mainstay_wal::{Bound, Chain, Epoch, Hold, Log, LogId, Lsn};

use super::{ClusterId, ReplicaEngine};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::record::MAX_RECORD_BYTES;
use crate::store::StoreIter;
use std::sync::Arc;

use crate::state::State;

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
        Some(LogId { epoch: Epoch(self.u64()?), lsn: Lsn(self.u64()?) })
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

/// What a stream sends next.
enum Stage {
    Begin,
    /// Entries; the keyspaces that are left, last one first. None: the catalog was not read yet.
    Scan {
        current: Option<(KeyspaceId, StoreIter)>,
        left: Option<Vec<KeyspaceId>>,
    },
    /// Frames, until at least `end`.
    Log {
        end: Lsn,
    },
    Done,
}

/// An image of a node's state, made while it is sent and while the node goes on.
///
/// Keeps the log from the checkpoint at which it began, up to the log's cap on holds.
pub struct ImageStream {
    state: Arc<State>,
    log: Log,
    hold: Hold,
    begin: Begin,
    stage: Stage,
    number: u64,
    entries: u64,
    records: u64,
    last: LogId,
    chain: Chain,
}

impl std::fmt::Debug for ImageStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ImageStream { begin, number, last, .. } = self;
        f.debug_struct("ImageStream")
            .field("begin", begin)
            .field("next_chunk", number)
            .field("last", last)
            .finish_non_exhaustive()
    }
}

impl ReplicaEngine {
    /// An image of what is committed, consistent from its end on, which is settled when the scan of
    /// the Store is through.
    ///
    /// An image installed here meanwhile makes it worthless; its receiver finds that out, or this
    /// side does.
    pub fn image_stream(&self) -> Result<ImageStream> {
        // A checkpoint that ends now would let go of the log that is to be held.
        let _checkpoint = self.engine.checkpoint.lock();
        let manifest = self.engine.manifest();
        let start = manifest.checkpoint;
        let hold = self.log().hold(start.lsn.next())?;
        let cluster = ClusterId(manifest.cluster_id);
        Ok(ImageStream {
            state: self.state().clone(),
            log: self.log().clone(),
            hold,
            begin: Begin { cluster, start, chain: manifest.checkpoint_chain },
            stage: Stage::Begin,
            number: 0,
            entries: 0,
            records: 0,
            last: start,
            chain: manifest.checkpoint_chain,
        })
    }
}

impl ImageStream {
    /// The next chunk, of at most [`MAX_CHUNK_BYTES`] and mostly about 256 KiB. None after the last
    /// one.
    ///
    /// An error ends the image: begin another one. [`HoldLost`](mainstay_wal::Error::HoldLost) or
    /// [`LogTruncated`](mainstay_wal::Error::LogTruncated) if it took so long that the log could
    /// not be kept.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let made = self.make();
        if made.is_err() {
            self.stage = Stage::Done;
        }
        let Some((kind, body)) = made? else { return Ok(None) };
        let chunk = seal(kind, self.number, &body);
        self.number += 1;
        Ok(Some(chunk))
    }

    fn make(&mut self) -> Result<Option<(u32, Vec<u8>)>> {
        loop {
            match &mut self.stage {
                Stage::Begin => {
                    self.stage = Stage::Scan { current: None, left: None };
                    return Ok(Some((BEGIN, self.begin_body())));
                }
                Stage::Scan { .. } => {
                    if let Some(body) = self.scan()? {
                        return Ok(Some((ENTRIES, body)));
                    }
                    // Everything that a checkpoint has moved so far was visible before it began.
                    self.stage = Stage::Log { end: self.state.visible_lsn() };
                }
                Stage::Log { end } => {
                    let end = *end;
                    self.hold.lsn()?;
                    if self.last.lsn < end {
                        return Ok(Some((FRAMES, self.frames(end)?)));
                    }
                    self.stage = Stage::Done;
                    return Ok(Some((END, self.end_body())));
                }
                Stage::Done => return Ok(None),
            }
        }
    }

    fn begin_body(&self) -> Vec<u8> {
        let Begin { cluster, start, chain } = self.begin;
        let mut body = FORMAT_VERSION.to_le_bytes().to_vec();
        body.extend_from_slice(&cluster.0.to_le_bytes());
        put_log_id(&mut body, start);
        body.extend_from_slice(&chain.0.to_le_bytes());
        body
    }

    /// The next entries; none when every keyspace is through.
    fn scan(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let Stage::Scan { current, left } = &mut self.stage else { return Ok(None) };
            let Some((keyspace, entries)) = current else {
                let left = match left {
                    Some(left) => left,
                    None => left.insert(keyspaces(&self.state)?),
                };
                let Some(next) = left.pop() else { return Ok(None) };
                let all = (KeyBound::Unbounded, KeyBound::Unbounded);
                *current = Some((next, self.state.store().range(next, all.0, all.1)?));
                continue;
            };
            let mut body = keyspace.0.to_le_bytes().to_vec();
            let before = body.len();
            for entry in entries.by_ref() {
                let (key, value) = entry?;
                put_entry(&mut body, &key, &value);
                self.entries += 1;
                if body.len() >= CHUNK_BYTES {
                    return Ok(Some(body));
                }
            }
            *current = None;
            if body.len() > before {
                return Ok(Some(body));
            }
        }
    }

    /// The frames that follow, as many as fit, to `end` at least if they all do.
    fn frames(&mut self, end: Lsn) -> Result<Vec<u8>> {
        let mut reader = self.log.reader(self.last.lsn.next(), Bound::Committed)?;
        let mut body = Vec::new();
        while body.len() < CHUNK_BYTES && self.last.lsn < end {
            let Some(frame) = reader.next_frame()? else {
                return Err(bad_image("the log was begun anew while it was made"));
            };
            frame.encode_into(&mut body);
            self.chain = self.chain.extend(&frame.header);
            self.last = frame.log_id();
            self.records += 1;
        }
        Ok(body)
    }

    fn end_body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_log_id(&mut body, self.last);
        for number in [self.chain.0, self.entries, self.records] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        let mut history = self.log.history();
        history.truncate_suffix(self.last.lsn);
        body.extend_from_slice(&history.encode());
        body
    }
}

/// The keyspaces that the Store may have entries of, highest first. One that is made later comes
/// with the log.
fn keyspaces(state: &State) -> Result<Vec<KeyspaceId>> {
    let mut keyspaces = vec![KeyspaceId::CATALOG, KeyspaceId::DEFAULT, KeyspaceId::SESSIONS];
    let all = (KeyBound::Unbounded, KeyBound::Unbounded);
    for entry in state.store().range(KeyspaceId::CATALOG, all.0, all.1)? {
        let (key, value) = entry?;
        keyspaces.extend(state.catalog_entry(&key, &value)?.map(|(_, id)| id));
    }
    keyspaces.sort_unstable();
    keyspaces.dedup();
    keyspaces.reverse();
    Ok(keyspaces)
}

/// The whole frames in a chunk, one after another.
pub(super) fn whole_frames(frames: &[u8]) -> Frames<'_> {
    Frames::new(frames)
}
