//! A new segment that becomes part of the log in one step: made under a temporary name, synced,
//! renamed.
//!
//! So a log begins, drops a divergent tail, is reset behind an image, and has its tail rewritten
//! when it is opened. Whatever older segments hold from the new one's first LSN on is no part of
//! the log any more.

use std::sync::Arc;

use crate::disk::{Disk, Open};
use crate::error::{Error, Result};
use crate::group::GroupHeader;
use crate::ids::{Chain, Lsn};
use crate::live::LiveSegment;
use crate::prepare::fill_with_zeros;
use crate::segment::{self, SegmentHeader};

/// Records that a new segment begins with.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) frames: &'a [u8],
    pub(crate) count: u32,
    pub(crate) commit_lsn: Lsn,
    pub(crate) chain_after: Chain,
}

/// A new segment, and where its next group goes.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) segment: Arc<LiveSegment>,
    pub(crate) next_offset: u64,
    pub(crate) tail_block: Vec<u8>,
}

/// Makes a segment and gives it its name. It is durable, and part of the log, when this returns;
/// before that the log is as it was.
pub(crate) fn install(
    disk: &dyn Disk,
    header: SegmentHeader,
    contents: Option<&Contents<'_>>,
) -> Result<Installed> {
    let io =
        |operation: &'static str| move |error| Error::io(operation, segment::TEMPORARY_NAME, error);
    let name = segment::file_name(header.number);
    match disk.remove(segment::TEMPORARY_NAME) {
        // Left by a crash in the middle of this.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io("remove")(error));
        }
        _ => {}
    }
    let file = disk.open(segment::TEMPORARY_NAME, Open::CreateNew).map_err(io("create"))?;
    let mut bytes = header.encode();
    let mut groups = Vec::new();
    if let Some(contents) = contents {
        groups = encode_groups(&header, contents);
        bytes.extend_from_slice(&groups);
    }
    fill_with_zeros(&*file, header.size_bytes).map_err(io("fill"))?;
    file.write_at(0, &bytes).map_err(io("write"))?;
    file.sync().map_err(io("sync"))?;
    disk.rename(segment::TEMPORARY_NAME, &name).map_err(io("rename"))?;
    disk.sync_directory(segment::DIRECTORY)
        .map_err(|error| Error::io("sync", segment::DIRECTORY, error))?;
    let segment = LiveSegment::new(header, file);
    if contents.is_some() {
        segment.note_group(header.first_lsn, header.body_offset());
    }
    let partial = groups.len() % header.block_bytes as usize;
    Ok(Installed {
        segment: Arc::new(segment),
        next_offset: header.body_offset() + groups.len() as u64,
        tail_block: groups[groups.len() - partial..].to_vec(),
    })
}

/// The group with the records, and an empty one behind it: once the segment has its name, all of it
/// is durable.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the records of one group, which fit into 4 GiB"
)]
fn encode_groups(header: &SegmentHeader, contents: &Contents<'_>) -> Vec<u8> {
    let records = GroupHeader {
        count: contents.count,
        first_lsn: header.first_lsn,
        byte_length: contents.frames.len() as u32,
        durable_upto: header.first_lsn.previous(),
        commit_lsn: contents.commit_lsn,
        chain_before: header.chain_before,
        chain_after: contents.chain_after,
    };
    let proof = GroupHeader {
        count: 0,
        first_lsn: records.last_lsn().next(),
        byte_length: 0,
        durable_upto: records.last_lsn(),
        commit_lsn: contents.commit_lsn,
        chain_before: contents.chain_after,
        chain_after: contents.chain_after,
    };
    let mut bytes = Vec::with_capacity(contents.frames.len() + 128);
    bytes.extend_from_slice(&records.encode(header.salt));
    bytes.extend_from_slice(contents.frames);
    bytes.extend_from_slice(&proof.encode(header.salt));
    bytes
}
