//! The format, byte for byte. `tests/images` has what is made of it.

use mainstay_wal::history::EpochEntry;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

const BEGIN_CHUNK: &str = "4d494d47 01000000 0000000000000000 2c000000 449534bb
    01000000 0f0e0d0c0b0a09080706050403020100 0200000000000000 0500000000000000 8877665544332211";
const ENTRIES_CHUNK: &str = "4d494d47 02000000 0100000000000000 0f000000 4457f403
    01000000 01000000 02000000 6b 7631";
const FRAMES_CHUNK: &str = "4d494d47 03000000 0200000000000000 02000000 85c38014 aabb";
const END_CHUNK: &str = "4d494d47 04000000 0300000000000000 5c000000 3c88f533
    0300000000000000 0600000000000000 00ffeeddccbbaa99 0100000000000000 0100000000000000
    02000000 0200000000000000 0400000000000000 0807060504030201
             0300000000000000 0600000000000000 1817161514131211";

fn begin() -> Begin {
    Begin {
        cluster: ClusterId(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
        start: LogId { epoch: Epoch(2), lsn: Lsn(5) },
        chain: Chain(0x1122_3344_5566_7788),
    }
}

fn end() -> End {
    let mut history = EpochHistory::new();
    for (epoch, lsn, chain) in [(2, 4, 0x0102_0304_0506_0708), (3, 6, 0x1112_1314_1516_1718)] {
        let (epoch, start_lsn) = (Epoch(epoch), Lsn(lsn));
        history.push(EpochEntry { epoch, start_lsn, chain_at_start: Chain(chain) });
    }
    let id = LogId { epoch: Epoch(3), lsn: Lsn(6) };
    End { end: id, chain: Chain(0x99aa_bbcc_ddee_ff00), entries: 1, records: 1, history }
}

#[test]
fn golden_bytes_of_every_kind_of_chunk() {
    let mut entries = KeyspaceId(1).0.to_le_bytes().to_vec();
    put_entry(&mut entries, b"k", b"v1");
    let entry = hex("01000000 02000000 6b 7631");
    let opened = Chunk::Entries { keyspace: KeyspaceId(1), entries: &entry };
    let golden = [
        (seal(BEGIN, 0, &begin().encode()), BEGIN_CHUNK, Chunk::Begin(begin())),
        (seal(ENTRIES, 1, &entries), ENTRIES_CHUNK, opened),
        (seal(FRAMES, 2, &[0xaa, 0xbb]), FRAMES_CHUNK, Chunk::Frames(&[0xaa, 0xbb])),
        (seal(END, 3, &end().encode()), END_CHUNK, Chunk::End(end())),
    ];
    for (number, (made, bytes, expected)) in (0..).zip(golden) {
        assert_eq!(made, hex(bytes), "chunk {number}");
        assert_eq!(open(&made, number).unwrap(), expected, "chunk {number}");
    }
}

#[test]
fn what_is_no_chunk_of_this_format_is_refused_and_says_why() {
    let refused = |chunk: &[u8], number| match open(chunk, number) {
        Err(Error::Backup { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let chunk = hex(ENTRIES_CHUNK);
    for bit in 0..chunk.len() * 8 {
        let mut flipped = chunk.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(&flipped, 1);
    }
    for cut in 0..chunk.len() {
        refused(&chunk[..cut], 1);
    }
    refused(&[&chunk[..], &[0]].concat(), 1);
    assert_eq!(refused(&chunk, 2), "chunk 1 comes where chunk 2 should");
    assert_eq!(refused(&seal(0, 0, b""), 0), "chunk 0 of kind 0 makes no sense");
    assert_eq!(refused(&seal(5, 0, b""), 0), "chunk 0 of kind 5 makes no sense");
    let mut newer = begin().encode();
    newer[0] = 2;
    assert_eq!(refused(&seal(BEGIN, 0, &newer), 0), "its format version is 2, not 1");
    for (kind, body) in [(BEGIN, begin().encode()), (END, end().encode())] {
        for cut in 0..body.len() {
            refused(&seal(kind, 0, &body[..cut]), 0);
        }
        refused(&seal(kind, 0, &[&body[..], &[0]].concat()), 0);
    }
}

#[test]
fn an_image_behind_which_no_log_could_go_on_is_refused() {
    let beyond = LogId { epoch: Epoch(3), lsn: Lsn::LAST };
    let (begin, end) = (Begin { start: beyond, ..begin() }, End { end: beyond, ..end() });
    for (kind, body) in [(BEGIN, begin.encode()), (END, end.encode())] {
        let refused = open(&seal(kind, 0, &body), 0).unwrap_err();
        assert!(refused.to_string().contains("makes no sense"), "{refused}");
    }
}
