//! One number for everything in a state.

use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::range::Range;
use crate::snapshot::Snapshot;
use crate::span::Span;

/// Computes [`Snapshot::state_hash`] piece by piece, for those who cannot stop for all of it.
#[derive(Debug)]
pub struct StateHasher {
    snapshot: Snapshot,
    /// The keyspaces that are left, last one first.
    keyspaces: Vec<KeyspaceId>,
    current: Option<Range>,
    hash: u64,
}

const SEED: u64 = 0x6d61_696e_7374_6179;
const KEYSPACE: u64 = 1;
const ENTRY: u64 = 2;

impl StateHasher {
    /// Begins. Errors as [`Snapshot::get`].
    pub fn new(snapshot: &Snapshot) -> Result<StateHasher> {
        let own = [KeyspaceId::CATALOG, KeyspaceId::SESSIONS];
        let mut keyspaces: Vec<_> = snapshot.keyspaces()?.into_iter().map(|(_, id)| id).collect();
        keyspaces.extend(own);
        keyspaces.sort();
        keyspaces.reverse();
        Ok(StateHasher { snapshot: snapshot.clone(), keyspaces, current: None, hash: SEED })
    }

    /// Goes on over up to `max_entries`. The hash, when nothing is left. Errors as
    /// [`Snapshot::get`].
    pub fn step(&mut self, max_entries: usize) -> Result<Option<u64>> {
        let mut seen = 0;
        loop {
            let Some(current) = &mut self.current else {
                let Some(keyspace) = self.keyspaces.pop() else { return Ok(Some(self.hash)) };
                self.current = Some(self.snapshot.range_in(keyspace, Span::all()));
                self.hash = mix(mix(self.hash, KEYSPACE), u64::from(keyspace.0));
                continue;
            };
            if seen >= max_entries {
                return Ok(None);
            }
            match current.next() {
                None => self.current = None,
                Some(entry) => {
                    let (key, value) = entry?;
                    self.hash = mix_bytes(mix_bytes(mix(self.hash, ENTRY), &key), &value);
                    seen += 1;
                }
            }
        }
    }
}

/// One step of a hash: the finaliser of splitmix64 over the sum.
fn mix(hash: u64, word: u64) -> u64 {
    let mut mixed = (hash ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The length, then the bytes as little-endian words, the last one filled up with zeros.
fn mix_bytes(hash: u64, bytes: &[u8]) -> u64 {
    let mut hash = mix(hash, bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = mix(hash, u64::from_le_bytes(word));
    }
    hash
}
