use super::*;

fn manifest() -> Manifest {
    Manifest {
        checkpoint: LogId { epoch: Epoch(3), lsn: Lsn(17) },
        checkpoint_chain: Chain(0xabcd),
        replicated: true,
        cluster_id: 9,
        promised_epoch: Epoch(4),
        vote: Some(2),
        ..Manifest::new(DatabaseId(1 << 100 | 7), Incarnation(5), "sled", "store-1")
    }
}

#[test]
fn a_slot_comes_back() {
    let longest = Manifest {
        store_kind: "k".repeat(STORE_KIND_LIMIT_BYTES),
        store_directory: "d".repeat(STORE_DIRECTORY_LIMIT_BYTES),
        vote: Some(0),
        ..manifest()
    };
    for manifest in [manifest(), longest, Manifest::new(DatabaseId(1), Incarnation(2), "", "")] {
        let bytes = manifest.encode(8);
        assert_eq!(bytes.len(), SLOT_BYTES);
        assert_eq!(Manifest::decode(&bytes), Ok((8, manifest)));
    }
}

#[test]
fn every_flipped_bit_of_a_slot_is_noticed() {
    let bytes = manifest().encode(8);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::decode(&bad).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn fields_that_cannot_be_are_refused_though_the_checksum_is_right() {
    let patched = |at: usize, value: &[u8]| {
        let mut bytes = manifest().encode(1);
        put(&mut bytes, at, value);
        let crc = crc32fast::hash(&bytes[..CRC]);
        put(&mut bytes, CRC, &crc.to_le_bytes());
        Manifest::decode(&bytes)
    };
    assert!(patched(VOTE, &[1; 8]).is_ok());
    assert_eq!(patched(VERSION, &2u32.to_le_bytes()), Err(ManifestError::Version(2)));
    let cases: [(usize, &[u8]); 7] = [
        (FLAGS, &4u32.to_le_bytes()),
        (STORE_KIND_LENGTH, &3u32.to_le_bytes()),
        (STORE_KIND_LENGTH, &u32::MAX.to_le_bytes()),
        (STORE_KIND, &[0xff]),
        (CHECKPOINT_LSN, &0u64.to_le_bytes()),
        (CHECKPOINT_EPOCH, &0u64.to_le_bytes()),
        (END, &[1]),
    ];
    for (at, value) in cases {
        let result = patched(at, value);
        assert!(matches!(result, Err(ManifestError::Field(_))), "{at}: {result:?}");
    }
}
