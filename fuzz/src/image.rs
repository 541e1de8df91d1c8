//! An image from another node, chunk by chunk.

use std::sync::Arc;

use mainstay_engine::replicated::ImageBuilder;
use mainstay_engine::{ClusterId, Identity, Options, ReplicaEngine, Result};
use mainstay_wal::disk::{SimDisk, Survivors};
use mainstay_wal::{DatabaseId, Epoch, Incarnation};

use super::repair;

/// The cluster and the promised epoch of the node that gets the images.
const CLUSTER: ClusterId = ClusterId(77);
const PROMISED: Epoch = Epoch(9);

/// No more than this is taken in, so that an input stays quick.
const MAX_CHUNKS: usize = 16;

/// What stands in front of a chunk's body, as `docs/image-format.md` has it.
const HEADER_BYTES: usize = 24;
const LENGTH_AT: usize = 16;

/// A byte of flags (bit 0: make the headers right, but for the kind, and the frames), then chunks one after another,
/// each as long as its header says.
pub fn image(data: &[u8]) {
    let Some((flags, rest)) = data.split_first() else { return };
    let mut rest = rest.to_vec();
    let mut chunks = Vec::new();
    while !rest.is_empty() && chunks.len() < MAX_CHUNKS {
        let length = rest
            .get(LENGTH_AT..LENGTH_AT + 4)
            .map_or(0, |raw| raw.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte)));
        let end = HEADER_BYTES.saturating_add(length).min(rest.len());
        let behind = rest.split_off(end);
        let mut chunk = std::mem::replace(&mut rest, behind);
        if flags & 1 != 0 {
            repair::image_chunk(&mut chunk, chunks.len() as u64);
        }
        chunks.push(chunk);
    }
    let disk = SimDisk::new(1);
    let mut node = open(&disk).expect("a new disk");
    node.promise(PROMISED, None).expect("a disk without faults");
    let before = (node.visible_lsn(), node.log().end_and_chain(), hash(&node));
    match build(&node, &chunks).and_then(|image| node.install(image)) {
        Ok(end) => {
            assert!(end.epoch <= PROMISED);
            assert_eq!((node.visible_lsn(), node.log().end()), (end.lsn, end));
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!((node.visible_lsn(), node.log().end_and_chain(), hash(&node)), before);
        }
    }
    let installed = (node.visible_lsn(), node.log().end_and_chain(), hash(&node));
    drop(node);
    let node = open(&disk.crash(Survivors::Nothing)).expect("what was installed can be opened");
    assert_eq!((node.visible_lsn(), node.log().end_and_chain(), hash(&node)), installed);
    node.begin_epoch(PROMISED).expect("the node goes on");
}

fn build(node: &ReplicaEngine, chunks: &[Vec<u8>]) -> Result<ImageBuilder> {
    let mut image = node.begin_install()?;
    for chunk in chunks {
        image.take(chunk)?;
    }
    Ok(image)
}

fn open(disk: &SimDisk) -> Result<ReplicaEngine> {
    let (database_id, incarnation) = (DatabaseId(1), Incarnation(1));
    let identity = Identity { database_id, incarnation, salt_seed: 1 };
    let options = Options::new().memory_bytes(1 << 20).segment_bytes(4096, 4096).background(false);
    ReplicaEngine::open(Arc::new(disk.clone()), None, options, identity, CLUSTER)
}

fn hash(node: &ReplicaEngine) -> u64 {
    node.snapshot().state_hash().expect("a Store without faults")
}
