//! Makes the checksums of arbitrary bytes right, so that a fuzzer reaches what lies behind them. The places are those
//! of `docs/log-format.md`.

use mainstay_wal::frame::{FRAME_HEADER_BYTES, FrameHeader, payload_checksum};
use mainstay_wal::group::GROUP_HEADER_BYTES;
use mainstay_wal::segment::SEGMENT_HEADER_BYTES;
use mainstay_wal::{Chain, Lsn};

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |raw| raw.iter().rev().fold(0, |n, b| n << 8 | u32::from(*b)))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Makes the CRC over the first `at` bytes right, which stands behind them.
pub(super) fn checksum(bytes: &mut [u8], at: usize) {
    if let Some(covered) = bytes.get(..at) {
        let crc = payload_checksum(covered);
        put(bytes, at, &crc.to_le_bytes());
    }
}

/// Makes one frame right; gives its length if it lies within `bytes`.
pub(super) fn frame(bytes: &mut [u8]) -> Option<usize> {
    let payload_bytes = usize::try_from(u32_at(bytes, 8)).ok()?;
    let end = FRAME_HEADER_BYTES.checked_add(payload_bytes)?;
    let payload_crc = payload_checksum(bytes.get(FRAME_HEADER_BYTES..end)?);
    put(bytes, 4, &payload_crc.to_le_bytes());
    let header_crc = payload_checksum(&bytes[4..FRAME_HEADER_BYTES]);
    put(bytes, 0, &header_crc.to_le_bytes());
    Some(end)
}

/// Makes one group right with its frames; gives its length, and its chain and last LSN.
pub(super) fn group(
    bytes: &mut [u8],
    salt: u64,
    before: Option<(Chain, Lsn)>,
) -> Option<(usize, Chain, Lsn)> {
    let length = usize::try_from(u32_at(bytes, 16)).ok()?;
    let end = GROUP_HEADER_BYTES.checked_add(length).filter(|end| *end <= bytes.len())?;
    let (mut chain, mut lsn) = before.unwrap_or((Chain(u64_at(bytes, 40)), Lsn(u64_at(bytes, 8))));
    if before.is_some() {
        put(bytes, 8, &lsn.next().0.to_le_bytes());
        put(bytes, 40, &chain.0.to_le_bytes());
    }
    let (mut at, mut count) = (GROUP_HEADER_BYTES, 0u32);
    while let Some(bytes) = frame(&mut bytes[at..end]).filter(|_| at < end) {
        at += bytes;
        count += 1;
    }
    let mut walk = GROUP_HEADER_BYTES;
    while let Ok(header) = FrameHeader::decode(&bytes[walk..at]) {
        chain = chain.extend(&header);
        lsn = lsn.next();
        walk += usize::try_from(header.frame_bytes()).ok()?;
    }
    if before.is_some() {
        put(bytes, 4, &count.to_le_bytes());
    }
    put(bytes, 48, &chain.0.to_le_bytes());
    let mut covered = bytes[..60].to_vec();
    covered.extend_from_slice(&salt.to_le_bytes());
    put(bytes, 60, &payload_checksum(&covered).to_le_bytes());
    Some((end, chain, lsn))
}

/// Makes a chunk of an image right, but for its kind and what stands in its body: the places are those of
/// `docs/image-format.md`.
pub(super) fn image_chunk(chunk: &mut [u8], number: u64) {
    const CRC_AT: usize = 20;
    const FRAMES: u32 = 3;
    let kind = u32_at(chunk, 4);
    let Some(body) = chunk.get_mut(CRC_AT + 4..) else { return };
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut at = 0;
    while kind == FRAMES
        && let Some(bytes) = frame(&mut body[at..])
    {
        at += bytes;
    }
    put(chunk, 0, b"MIMG");
    put(chunk, 8, &number.to_le_bytes());
    put(chunk, 16, &length.to_le_bytes());
    let covered = [&chunk[..CRC_AT], &chunk[CRC_AT + 4..]].concat();
    put(chunk, CRC_AT, &payload_checksum(&covered).to_le_bytes());
}

/// Makes a segment's header right, and the groups that lie densely behind it.
pub(super) fn segment(bytes: &mut [u8]) {
    checksum(bytes, SEGMENT_HEADER_BYTES - 4);
    let (salt, block) = (u64_at(bytes, 56), u32_at(bytes, 48));
    let (mut chain, mut lsn) = (Chain(u64_at(bytes, 96)), Lsn(u64_at(bytes, 64)).previous());
    let mut at = usize::try_from(block.min(4096)).unwrap_or(4096);
    while at < bytes.len() && bytes[at] != 0 {
        let before = Some((chain, lsn));
        let Some(found) = group(&mut bytes[at..], salt, before) else { return };
        let length;
        (length, chain, lsn) = found;
        at += length;
    }
}
