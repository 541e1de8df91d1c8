//! The formats of the log, one by one.

use mainstay_wal::Epoch;
use mainstay_wal::disk::SimDisk;
use mainstay_wal::frame::{Frame, FrameHeader, Frames};
use mainstay_wal::group::{GROUP_HEADER_BYTES, GroupHeader, find_header};
use mainstay_wal::history::EpochHistory;
use mainstay_wal::manifest::{self, Manifest, ManifestFile, SLOT_BYTES};
use mainstay_wal::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};

use super::repair;

/// A run of frames; once as it is, once with the checksums of the first frame made right.
pub fn frame(data: &[u8]) {
    check_frames(data);
    let mut repaired = data.to_vec();
    let mut at = 0;
    while let Some(length) = repair::frame(&mut repaired[at..]) {
        at += length;
    }
    check_frames(&repaired);
}

fn check_frames(data: &[u8]) {
    if let Ok(header) = FrameHeader::decode(data) {
        assert_eq!(header.encode(), data[..header.encode().len()]);
    }
    let mut frames = Frames::new(data);
    let mut again = Vec::new();
    while let Some(Ok(frame)) = frames.next() {
        frame.encode_into(&mut again);
        assert_eq!(again.len(), frames.offset());
    }
    assert!(data.starts_with(&again), "{} bytes differ from what they came from", again.len());
    assert_eq!(frames.offset(), again.len());
    assert!(frames.next().is_none());
}

/// A salt (8 bytes), the epoch before (1 byte), and a group; once as it is, once with its checksums made right.
pub fn group(data: &[u8]) {
    let Some((salt, rest)) = data.split_first_chunk() else { return };
    let Some((epoch, bytes)) = rest.split_first() else { return };
    let (salt, epoch) = (u64::from_le_bytes(*salt), Epoch(u64::from(*epoch)));
    check_group(bytes, salt, epoch);
    let mut repaired = bytes.to_vec();
    if repair::group(&mut repaired, salt, None).is_some() {
        check_group(&repaired, salt, epoch);
    }
}

fn check_group(bytes: &[u8], salt: u64, epoch: Epoch) {
    let decoded = GroupHeader::decode(bytes, salt);
    let found = find_header(bytes, salt);
    if let Some((at, header)) = found {
        assert_eq!(GroupHeader::decode(&bytes[at..], salt), Ok(header));
    }
    let Ok(header) = decoded else {
        assert!(found.is_none_or(|(at, _)| at > 0));
        return;
    };
    assert_eq!(found, Some((0, header)));
    assert_eq!(header.encode(salt), bytes[..GROUP_HEADER_BYTES]);
    let frames = &bytes[GROUP_HEADER_BYTES..];
    let Ok(contents) = header.check_body(epoch, frames) else { return };
    assert_eq!(contents.bytes, header.byte_length as usize);
    assert_eq!(contents.last.lsn, header.last_lsn());
    let walked: Vec<Frame<'_>> =
        Frames::new(&frames[..contents.bytes]).map(|frame| frame.expect("checked")).collect();
    assert_eq!(walked.len(), header.count as usize);
    let mut chain = header.chain_before;
    for (frame, lsn) in walked.iter().zip(header.first_lsn.0..) {
        chain = chain.extend(&frame.header);
        assert_eq!(frame.header.lsn.0, lsn);
        let kept = header.check_kept(epoch, frames, frame.header.lsn, chain);
        assert_eq!(kept.expect("a part of a whole group").last, frame.log_id());
    }
    assert_eq!(chain, header.chain_after);
}

/// A segment header; once as it is, once with its checksum made right.
pub fn segment(data: &[u8]) {
    check_segment(data);
    let mut repaired = data.to_vec();
    repair::checksum(&mut repaired, SEGMENT_HEADER_BYTES - 4);
    check_segment(&repaired);
}

fn check_segment(data: &[u8]) {
    if let Ok(header) = SegmentHeader::decode(data) {
        let encoded = header.encode();
        let shared = encoded.len().min(data.len());
        assert_eq!(encoded[..shared], data[..shared]);
    }
}

/// The file of a manifest; once as it is, once with the checksums of its slots made right.
pub fn manifest(data: &[u8]) {
    check_manifest(data);
    let mut repaired = data.to_vec();
    repaired.resize(2 * SLOT_BYTES, 0);
    for slot in repaired.chunks_mut(SLOT_BYTES) {
        repair::checksum(slot, SLOT_BYTES - 4);
    }
    check_manifest(&repaired);
}

fn check_manifest(data: &[u8]) {
    if let Ok((generation, decoded)) = Manifest::decode(data) {
        // Not shown: thousands of bytes.
        assert!(decoded.encode(generation) == data[..SLOT_BYTES], "{decoded:?}");
    }
    let disk = SimDisk::new(0);
    disk.write_file(manifest::FILE_NAME, data).expect("a new disk");
    let read_only = ManifestFile::open_read_only(&disk);
    assert_eq!(disk.operations(), 0);
    match ManifestFile::open(&disk) {
        Ok((mut file, found)) => {
            assert_eq!(read_only.expect("it can be opened for writing"), found);
            let whole = disk.read_file(manifest::FILE_NAME).expect("it is there");
            assert!(whole[..SLOT_BYTES] == whole[SLOT_BYTES..2 * SLOT_BYTES], "{found:?}");
            file.write(&found).expect("a disk without faults");
            assert_eq!(ManifestFile::open_read_only(&disk).expect("just written"), found);
        }
        Err(error) => {
            assert_eq!(read_only.expect_err("it cannot be opened").to_string(), error.to_string());
            assert_eq!(disk.operations(), 0, "{error}");
        }
    }
}

/// An epoch history, as it stands in an image.
pub fn history(data: &[u8]) {
    if let Ok(history) = EpochHistory::decode(data) {
        assert_eq!(history.encode(), data);
        let end = history.last().map_or(mainstay_wal::Lsn::ZERO, |last| last.start_lsn);
        assert_eq!(history.common_point(end, &history, end), Some(end));
    }
}
