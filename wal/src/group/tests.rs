use super::*;
use crate::frame::{FrameHeader, encode_frame};

const SALT: u64 = 0x1234_5678_9abc_def0;

/// A group of records with these epochs, as it stands in a segment.
fn group(first_lsn: u64, chain_before: Chain, epochs: &[u64]) -> (GroupHeader, Vec<u8>) {
    let mut frames = Vec::new();
    let (mut lsn, mut chain_after) = (Lsn(first_lsn), chain_before);
    for epoch in epochs {
        let payload = vec![b'p'; usize::try_from(lsn.0 * 7 % 50).unwrap()];
        let header = encode_frame(&mut frames, lsn, Epoch(*epoch), &payload);
        chain_after = chain_after.extend(&header);
        lsn = lsn.next();
    }
    let header = GroupHeader {
        count: u32::try_from(epochs.len()).unwrap(),
        first_lsn: Lsn(first_lsn),
        byte_length: u32::try_from(frames.len()).unwrap(),
        durable_upto: Lsn(first_lsn - 1),
        commit_lsn: Lsn(first_lsn / 2),
        chain_before,
        chain_after,
    };
    (header, frames)
}

#[test]
fn a_group_comes_back() {
    for epochs in [&[][..], &[1], &[1, 1, 2, 2, 7]] {
        let (header, frames) = group(11, Chain(99), epochs);
        assert_eq!(GroupHeader::decode(&header.encode(SALT), SALT), Ok(header));
        assert_eq!(header.last_lsn(), Lsn(10 + epochs.len() as u64));
        assert_eq!(header.group_bytes(), (GROUP_HEADER_BYTES + frames.len()) as u64);
        let contents = header.check_body(Epoch(1), &frames).unwrap();
        assert_eq!(contents.last.epoch, Epoch(epochs.last().copied().unwrap_or(1)));
        assert_eq!(contents.last.lsn, header.last_lsn());
        assert_eq!(contents.bytes, frames.len());
    }
}

#[test]
fn the_epochs_that_begin_are_told_with_their_chains() {
    let (header, mut frames) = group(11, Chain(99), &[1, 2, 2, 7]);
    let walk: Vec<_> = Frames::new(&frames).map(|frame| frame.unwrap().header).collect();
    let chain = Chain(99).extend(&walk[0]);
    let later = chain.extend(&walk[1]).extend(&walk[2]);
    // What stands behind the group does not belong to it.
    frames.extend_from_slice(b"anything");
    let contents = header.check_body(Epoch(1), &frames).unwrap();
    let starts = [
        EpochEntry { epoch: Epoch(2), start_lsn: Lsn(12), chain_at_start: chain },
        EpochEntry { epoch: Epoch(7), start_lsn: Lsn(14), chain_at_start: later },
    ];
    assert_eq!(contents.epoch_starts, starts);
    assert_eq!(contents.chain_after, header.chain_after);
    let contents = header.check_body(Epoch::ZERO, &frames).unwrap();
    assert_eq!(contents.epoch_starts.len(), 3);
}

#[test]
fn every_flipped_bit_and_another_salt_are_noticed() {
    let (header, frames) = group(11, Chain(99), &[1, 1, 2]);
    let bytes = header.encode(SALT);
    assert!(matches!(GroupHeader::decode(&bytes, SALT + 1), Err(GroupError::Checksum { .. })));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(GroupHeader::decode(&bad, SALT).is_err(), "header bit {bit}");
    }
    for bit in 0..frames.len() * 8 {
        let mut bad = frames.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(header.check_body(Epoch(1), &bad).is_err(), "body bit {bit}");
    }
    for length in 0..frames.len() {
        let error = header.check_body(Epoch(1), &frames[..length]).unwrap_err();
        assert!(matches!(error.fault, BodyFault::Truncated { .. }), "{length}: {error}");
    }
}

#[test]
fn zeros_are_blank_and_other_bytes_are_not() {
    for length in [0, 1, 63, 64, 1000] {
        let bytes = vec![0; length];
        assert_eq!(GroupHeader::decode(&bytes, SALT), Err(GroupError::Blank), "{length} zeros");
        assert_eq!(find_header(&bytes, SALT), None);
    }
    let error = GroupHeader::decode(&[1; 10], SALT).unwrap_err();
    assert!(matches!(error, GroupError::Truncated { .. }), "{error}");
    let error = GroupHeader::decode(&[1; 64], SALT).unwrap_err();
    assert!(matches!(error, GroupError::Magic { .. }), "{error}");
    let mut tail = [0; 64];
    tail[63] = 1;
    let error = GroupHeader::decode(&tail, SALT).unwrap_err();
    assert!(matches!(error, GroupError::Magic { .. }), "{error}");
}

#[test]
fn whole_frames_in_the_wrong_place_are_noticed() {
    let (header, frames) = group(11, Chain(99), &[3, 3]);
    let fault = |header: &GroupHeader, epoch: u64, frames: &[u8]| {
        header.check_body(Epoch(epoch), frames).unwrap_err().fault
    };
    assert!(matches!(fault(&header, 4, &frames), BodyFault::Epoch { .. }));
    let other = GroupHeader { first_lsn: Lsn(12), durable_upto: Lsn(0), ..header };
    assert!(matches!(fault(&other, 3, &frames), BodyFault::Lsn { .. }));
    let other = GroupHeader { count: 1, ..header };
    assert!(matches!(fault(&other, 3, &frames), BodyFault::Count { .. }));
    let other = GroupHeader { count: 3, ..header };
    assert!(matches!(fault(&other, 3, &frames), BodyFault::Count { .. }));
    let other = GroupHeader { chain_before: Chain(98), ..header };
    assert!(matches!(fault(&other, 3, &frames), BodyFault::Chain { .. }));
}

#[test]
fn fields_that_cannot_be_are_refused_though_the_checksum_is_right() {
    let (good, _) = group(11, Chain(99), &[1]);
    let bytes = good.encode(SALT);
    let patched = |at: usize, value: &[u8]| {
        let mut bytes = bytes;
        put(&mut bytes, at, value);
        let crc = checksum(&bytes, SALT);
        put(&mut bytes, CRC, &crc.to_le_bytes());
        GroupHeader::decode(&bytes, SALT)
    };
    assert!(patched(COUNT, &1u32.to_le_bytes()).is_ok());
    let cases: [(usize, &[u8]); 7] = [
        (FIRST_LSN, &0u64.to_le_bytes()),
        (FIRST_LSN, &u64::MAX.to_le_bytes()),
        (COUNT, &u32::MAX.to_le_bytes()),
        (COUNT, &0u32.to_le_bytes()),
        (DURABLE_UPTO, &11u64.to_le_bytes()),
        (RESERVED, &1u32.to_le_bytes()),
        (RESERVED_TOO, &1u32.to_le_bytes()),
    ];
    for (at, value) in cases {
        let result = patched(at, value);
        assert!(matches!(result, Err(GroupError::Field(_))), "{at}: {result:?}");
    }
}

#[test]
fn headers_are_found_at_any_place() {
    let (header, _) = group(11, Chain(99), &[1, 1]);
    let mut bytes = vec![MAGIC[0]; 333];
    bytes.extend_from_slice(&header.encode(SALT + 1));
    let at = bytes.len();
    bytes.extend_from_slice(&header.encode(SALT));
    assert_eq!(find_header(&bytes, SALT), Some((at, header)));
    assert_eq!(find_header(&bytes[..bytes.len() - 1], SALT), None);
}

#[test]
fn a_group_can_be_kept_in_part() {
    let (header, mut frames) = group(11, Chain(99), &[1, 2, 2]);
    let second_at = Frames::new(&frames).next().unwrap().unwrap().bytes();
    let first = FrameHeader::decode(&frames).unwrap();
    let chain = Chain(99).extend(&first);
    // What was cut off may be damaged.
    *frames.last_mut().unwrap() ^= 1;
    assert!(header.check_body(Epoch(1), &frames).is_err());
    let kept = header.check_kept(Epoch(1), &frames, Lsn(11), chain).unwrap();
    assert_eq!((kept.last.lsn, kept.bytes, kept.chain_after), (Lsn(11), second_at, chain));
    assert_eq!(kept.epoch_starts, []);
    assert!(header.check_kept(Epoch(1), &frames, Lsn(12), chain).is_err());
    assert!(header.check_kept(Epoch(1), &frames, Lsn(13), header.chain_after).is_err());
}
