//! Making an image while writes go on.

use std::ops::Bound as KeyBound;
use std::sync::Arc;

use mainstay_wal::{Bound, Chain, Hold, Log, LogId, Lsn};

use super::{BEGIN, Begin, CHUNK_BYTES, END, ENTRIES, End, FRAMES, bad_image, put_entry, seal};
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::replicated::{ClusterId, ReplicaEngine};
use crate::state::State;
use crate::store::StoreIter;

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
    /// The next chunk, of at most [`MAX_CHUNK_BYTES`](super::MAX_CHUNK_BYTES) and mostly about
    /// 256 KiB. None after the last one.
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
                    return Ok(Some((BEGIN, self.begin.encode())));
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
                    return Ok(Some((END, self.end().encode())));
                }
                Stage::Done => return Ok(None),
            }
        }
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

    fn end(&self) -> End {
        let mut history = self.log.history();
        history.truncate_suffix(self.last.lsn);
        let ImageStream { entries, records, chain, .. } = *self;
        End { end: self.last, chain, entries, records, history }
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
