//! The formats of the log as bytes: what stands in `golden/` never changes without a new version, and no bytes
//! whatsoever make a decoder panic. `docs/log-format.md` describes the same layouts.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may stop")]

use std::path::Path;

use mainstay_wal::disk::SimDisk;
use mainstay_wal::frame::{
    FRAME_HEADER_BYTES, Frame, FrameHeader, Frames, encode_frame, payload_checksum,
};
use mainstay_wal::group::{GROUP_HEADER_BYTES, GroupHeader, find_header};
use mainstay_wal::history::{EpochEntry, EpochHistory};
use mainstay_wal::manifest::{self, Manifest, ManifestFile};
use mainstay_wal::scan::{ScanOptions, Verdict, scan_log, scan_segments};
use mainstay_wal::segment::{self, SEGMENT_HEADER_BYTES, SegmentHeader};
use mainstay_wal::{
    Chain, DatabaseId, Epoch, Error, Incarnation, LogId, Lsn, Position, SegmentNumber,
};

const DATABASE: DatabaseId = DatabaseId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
const SALT: u64 = 0x0123_4567_89ab_cdef;

/// The bytes of a golden file: hexadecimal digits, `zeros N`, and comments behind `#`.
fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut bytes = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap();
        let mut words = line.split_whitespace().peekable();
        if words.next_if_eq(&"zeros").is_some() {
            let count: usize = words.next().unwrap().parse().unwrap();
            bytes.resize(bytes.len() + count, 0);
        }
        bytes.extend(words.map(|word| u8::from_str_radix(word, 16).unwrap()));
    }
    bytes
}

fn frame(lsn: u64, epoch: u64, payload: &[u8]) -> (FrameHeader, Vec<u8>) {
    let mut bytes = Vec::new();
    let header = encode_frame(&mut bytes, Lsn(lsn), Epoch(epoch), payload);
    (header, bytes)
}

#[test]
fn golden_frame() {
    let bytes = golden("frame.hex");
    assert_eq!(frame(7, 2, b"payload").1, bytes);
    let frame = Frame::decode(&bytes).unwrap();
    assert_eq!((frame.header.lsn, frame.header.epoch), (Lsn(7), Epoch(2)));
    assert_eq!(frame.payload, b"payload");
}

#[test]
fn golden_segment_header() {
    let header = SegmentHeader {
        database_id: DATABASE,
        number: SegmentNumber(12),
        size_bytes: 1 << 20,
        block_bytes: 4096,
        origin: false,
        salt: 0xfedc_ba98_7654_3210,
        first_lsn: Lsn(1000),
        epoch: Epoch(3),
        epoch_start_lsn: Lsn(900),
        epoch_chain: Chain(0xaaaa_aaaa_aaaa_aaaa),
        chain_before: Chain(0xbbbb_bbbb_bbbb_bbbb),
    };
    let bytes = golden("segment_header.hex");
    assert_eq!(header.encode(), bytes);
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
}

#[test]
fn golden_segment() {
    let header = SegmentHeader {
        database_id: DATABASE,
        number: SegmentNumber(1),
        size_bytes: 4096,
        block_bytes: 512,
        origin: true,
        salt: SALT,
        first_lsn: Lsn(1),
        epoch: Epoch::ZERO,
        epoch_start_lsn: Lsn::ZERO,
        epoch_chain: Chain::EMPTY,
        chain_before: Chain::EMPTY,
    };
    let mut frames = Vec::new();
    let mut chain = Chain::EMPTY;
    for (lsn, epoch, payload) in [(1, 1, &b"first"[..]), (2, 1, b""), (3, 2, b"third")] {
        let (header, bytes) = frame(lsn, epoch, payload);
        chain = chain.extend(&header);
        frames.extend(bytes);
    }
    let group = GroupHeader {
        count: 3,
        first_lsn: Lsn(1),
        byte_length: frames.len() as u32,
        durable_upto: Lsn::ZERO,
        commit_lsn: Lsn::ZERO,
        chain_before: Chain::EMPTY,
        chain_after: chain,
    };
    let idle = GroupHeader {
        count: 0,
        first_lsn: Lsn(4),
        byte_length: 0,
        durable_upto: Lsn(3),
        commit_lsn: Lsn(2),
        chain_before: chain,
        chain_after: chain,
    };
    let mut written = header.encode();
    written.extend(group.encode(SALT));
    written.extend(frames);
    written.extend(idle.encode(SALT));
    let end = written.len() as u64;
    written.resize(4096, 0);
    let bytes = golden("segment.hex");
    assert_eq!(written, bytes);

    let disk = SimDisk::new(0);
    disk.write_file(&segment::file_name(SegmentNumber(1)), &bytes).unwrap();
    let segments = scan_segments(&disk, Some(DATABASE)).unwrap();
    let mut payloads = Vec::new();
    let log = scan_log(&disk, &segments, ScanOptions::default(), &mut |_, group| {
        payloads.extend(Frames::new(group.frames).map(|frame| frame.unwrap().payload.to_vec()));
        Ok(())
    });
    let log = log.unwrap();
    assert_eq!(payloads, [&b"first"[..], b"", b"third"]);
    assert_eq!((log.verdict(), log.groups), (Verdict::Clean, 2));
    assert_eq!((log.durable_upto, log.commit_lsn), (Lsn(3), Lsn(2)));
    assert_eq!(log.end, LogId { epoch: Epoch(2), lsn: Lsn(3) });
    assert_eq!(log.end_position, Position { segment: SegmentNumber(1), offset: end });
}

#[test]
fn golden_manifest() {
    let manifest = Manifest {
        checkpoint: LogId { epoch: Epoch(3), lsn: Lsn(17) },
        checkpoint_chain: Chain(0xabcd),
        replicated: true,
        cluster_id: 0xc1,
        promised_epoch: Epoch(4),
        vote: Some(2),
        ..Manifest::new(DATABASE, Incarnation(0x1111_2222_3333_4444), "sled", "store-1")
    };
    let bytes = golden("manifest_slot.hex");
    assert_eq!(manifest.encode(5), bytes);
    assert_eq!(Manifest::decode(&bytes), Ok((5, manifest)));
}

#[test]
fn golden_epoch_history() {
    let mut history = EpochHistory::new();
    for (epoch, start, chain) in [(1, 1, 0), (4, 10, 0x77)] {
        history.push(EpochEntry {
            epoch: Epoch(epoch),
            start_lsn: Lsn(start),
            chain_at_start: Chain(chain),
        });
    }
    let bytes = golden("epoch_history.hex");
    assert_eq!(history.encode(), bytes);
    assert_eq!(EpochHistory::decode(&bytes), Ok(history));
}

#[test]
fn the_document_states_the_sizes_that_the_code_has() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/log-format.md");
    let document = std::fs::read_to_string(path).unwrap();
    for stated in [
        format!("Frame header: {FRAME_HEADER_BYTES} bytes"),
        format!("Group header: {GROUP_HEADER_BYTES} bytes"),
        format!("Segment header: {SEGMENT_HEADER_BYTES} bytes"),
        format!("Manifest slot: {} bytes", manifest::SLOT_BYTES),
        format!("Segments: format version {}", segment::FORMAT_VERSION),
        format!("Manifest: format version {}", manifest::FORMAT_VERSION),
    ] {
        assert!(document.contains(&stated), "docs/log-format.md does not say {stated:?}");
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)
    }

    /// A group of these payloads in epoch 1, as it stands in a segment.
    fn group(first_lsn: u64, payloads: &[Vec<u8>]) -> (GroupHeader, Vec<u8>) {
        let mut frames = Vec::new();
        let mut chain = Chain(first_lsn);
        for (lsn, payload) in (first_lsn..).zip(payloads) {
            let (header, bytes) = frame(lsn, 1, payload);
            chain = chain.extend(&header);
            frames.extend(bytes);
        }
        let header = GroupHeader {
            count: payloads.len() as u32,
            first_lsn: Lsn(first_lsn),
            byte_length: frames.len() as u32,
            durable_upto: Lsn(first_lsn - 1),
            commit_lsn: Lsn::ZERO,
            chain_before: Chain(first_lsn),
            chain_after: chain,
        };
        (header, frames)
    }

    proptest! {
        #[test]
        fn frames_come_back(
            lsn in 1..u64::MAX, epoch in 1..u64::MAX,
            payload in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let (header, bytes) = frame(lsn, epoch, &payload);
            let decoded = Frame::decode(&bytes).unwrap();
            prop_assert_eq!(decoded.header, header);
            prop_assert_eq!(decoded.payload, &payload);
            prop_assert_eq!(header.payload_crc, payload_checksum(&payload));
        }

        #[test]
        fn groups_come_back(first_lsn in 1..u64::MAX / 4, payloads in payloads(), salt: u64) {
            let (header, frames) = group(first_lsn, &payloads);
            let bytes = header.encode(salt);
            prop_assert_eq!(GroupHeader::decode(&bytes, salt), Ok(header));
            let contents = header.check_body(Epoch(1), &frames).unwrap();
            prop_assert_eq!(contents.chain_after, header.chain_after);
            let decoded: Vec<_> =
                Frames::new(&frames).map(|frame| frame.unwrap().payload.to_vec()).collect();
            prop_assert_eq!(decoded, payloads);
        }

        #[test]
        fn one_changed_byte_in_a_group_is_noticed(
            payloads in payloads(), at: prop::sample::Index, change in 1..=u8::MAX,
        ) {
            let (header, mut frames) = group(5, &payloads);
            let mut bytes = header.encode(SALT).to_vec();
            bytes.append(&mut frames);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            let whole = GroupHeader::decode(&bytes, SALT).is_ok_and(|header| {
                header.check_body(Epoch(1), &bytes[GROUP_HEADER_BYTES..]).is_ok()
            });
            prop_assert!(!whole);
        }

        #[test]
        fn a_header_is_found_behind_any_bytes(
            before in prop::collection::vec(any::<u8>(), 0..300), payloads in payloads(),
        ) {
            let (header, _) = group(5, &payloads);
            let mut bytes = before.clone();
            bytes.extend(header.encode(SALT));
            prop_assert_eq!(find_header(&bytes, SALT), Some((before.len(), header)));
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..600), salt: u64,
        ) {
            if let Ok(frame) = Frame::decode(&bytes) {
                prop_assert!(frame.bytes() <= bytes.len());
            }
            prop_assert!(Frames::new(&bytes).count() <= bytes.len());
            prop_assert!(GroupHeader::decode(&bytes, salt).is_err());
            prop_assert_eq!(find_header(&bytes, salt), None);
            prop_assert!(SegmentHeader::decode(&bytes).is_err());
            prop_assert!(Manifest::decode(&bytes).is_err());
        }

        #[test]
        fn any_files_are_scanned_without_a_panic(
            patches in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
            cut: prop::sample::Index, shorten: bool,
        ) {
            let mut bytes = golden("segment.hex");
            for (at, value) in patches {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if shorten {
                bytes.truncate(cut.index(bytes.len()));
            }
            let disk = SimDisk::new(0);
            disk.write_file(&segment::file_name(SegmentNumber(1)), &bytes).unwrap();
            let segments = scan_segments(&disk, Some(DATABASE)).unwrap();
            let options = ScanOptions { keep_going: true, ..ScanOptions::default() };
            let mut records = Vec::new();
            let log = scan_log(&disk, &segments, options, &mut |_, group| {
                records.extend(Frames::new(group.frames).map(|frame| frame.unwrap().payload.to_vec()));
                Ok(())
            })
            .unwrap();
            prop_assert_eq!(log.records, records.len() as u64);
            for record in records {
                prop_assert!([&b"first"[..], b"", b"third"].contains(&&record[..]));
            }
        }

        #[test]
        fn any_manifest_is_opened_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index,
        ) {
            let slot = golden("manifest_slot.hex");
            let mut file = [&slot[..], &slot].concat();
            let at = at.index(file.len());
            let end = file.len().min(at + bytes.len());
            file[at..end].copy_from_slice(&bytes[..end - at]);
            let disk = SimDisk::new(0);
            disk.write_file(manifest::FILE_NAME, &file).unwrap();
            match ManifestFile::open(&disk) {
                Ok((_, found)) => prop_assert_eq!(found.encode(5), slot),
                Err(error) => prop_assert!(
                    matches!(error, Error::Corrupt { .. } | Error::NotADatabase { .. }),
                    "{}", error,
                ),
            }
        }
    }
}
