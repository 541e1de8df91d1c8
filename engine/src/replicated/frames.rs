//! What can be told of frames before they are checked.

use mainstay_wal::Epoch;
use mainstay_wal::frame::FrameHeader;

/// The highest epoch that a run of frames names, as far as its headers can be read. Damage is not
/// judged here: the log does that before it appends anything.
pub(super) fn last_epoch(mut frames: &[u8]) -> Option<Epoch> {
    let mut last = None;
    while let Ok(header) = FrameHeader::decode(frames) {
        last = last.max(Some(header.epoch));
        let rest = usize::try_from(header.frame_bytes()).ok().and_then(|end| frames.get(end..));
        let Some(rest) = rest else { break };
        frames = rest;
    }
    last
}
