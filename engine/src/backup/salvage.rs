//! Archiving what stands before the damage of a log.

use std::sync::Arc;

use mainstay_wal::disk::Disk;
use mainstay_wal::frame::{Frame, Frames};
use mainstay_wal::manifest::{Manifest, ManifestFile};
use mainstay_wal::scan::{Checkpointed, ScanOptions, SegmentScan, scan_log, scan_segments};
use mainstay_wal::{LogId, Lsn};

use super::archive::{begin, other_record};
use super::fields::LogPlace;
use super::runs::RunWriter;
use crate::engine;
use crate::error::{Error, Result};

/// Adds to an archive what a damaged log has before its first damage. That was durable, or the
/// damage would be a torn tail. The archive is only opened if there is something to add.
pub(super) fn archive_up_to_damage(
    disk: &dyn Disk,
    archive: &mut dyn FnMut() -> Result<Arc<dyn Disk>>,
) -> Result<()> {
    let _lock = engine::lock(disk)?;
    let manifest = ManifestFile::open_read_only(disk)?;
    let segments = scan_segments(disk, Some(manifest.database_id))?;
    let Some(first) = segments.extents().first().map(|extent| extent.header) else {
        return Ok(());
    };
    let log_id = LogId { epoch: first.epoch, lsn: first.first_lsn.previous() };
    let beginning = LogPlace { log_id, chain: first.chain_before };
    let scan = scan_log(disk, &segments, options(&manifest), &mut |_, _| Ok(()))?;
    let committed = if manifest.replicated { scan.commit_lsn } else { Lsn::MAX };
    let upto = scan.end.lsn.min(committed);
    if upto <= beginning.lsn() {
        return Ok(());
    }
    let archive = archive()?;
    let (_lock, found) = begin(&*archive, manifest.database_id)?;
    let start = found.map_or(beginning, |(_, end)| end);
    if start.lsn() < beginning.lsn() {
        let (requested, first_lsn) = (start.lsn().next(), first.first_lsn);
        return Err(mainstay_wal::Error::LogTruncated { requested, first_lsn }.into());
    }
    let mut writer = RunWriter::new("", manifest.database_id, start);
    let (mut place, mut failed) = (beginning, None::<Error>);
    walk(disk, &segments, &manifest, &mut |frame| {
        let lsn = frame.header.lsn;
        if failed.is_none() && lsn > start.lsn() && lsn <= upto {
            // The first one that is added tells whether the archive is of this log.
            let added = if writer.end() == place {
                writer.push(&*archive, frame)
            } else {
                Err(other_record(&*archive, start))
            };
            failed = added.err();
        }
        place = LogPlace { log_id: frame.log_id(), chain: place.chain.extend(&frame.header) };
    })?;
    match failed {
        Some(error) => Err(error),
        None => writer.flush(&*archive),
    }
}

fn options(manifest: &Manifest) -> ScanOptions {
    let (log_id, chain) = (manifest.checkpoint, manifest.checkpoint_chain);
    ScanOptions { checkpoint: Some(Checkpointed { log_id, chain }), ..ScanOptions::default() }
}

/// Gives every record up to the first damage.
fn walk(
    disk: &dyn Disk,
    segments: &SegmentScan,
    manifest: &Manifest,
    visit: &mut dyn FnMut(&Frame<'_>),
) -> Result<()> {
    scan_log(disk, segments, options(manifest), &mut |_, group| {
        Frames::new(group.frames)
            .map_while(std::result::Result::ok)
            .for_each(|frame| visit(&frame));
        Ok(())
    })?;
    Ok(())
}
