use super::*;
use crate::disk::{Call, Effect, Fault, SimDisk, Survivors};

fn manifest() -> Manifest {
    Manifest {
        checkpoint: LogId { epoch: Epoch(3), lsn: Lsn(17) },
        checkpoint_chain: Chain(0xabcd),
        replicated: true,
        cluster_id: 9,
        promised_epoch: Epoch(4),
        vote: Some(2),
        committed: Lsn(21),
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
    let reset = EpochEntry { epoch: Epoch(3), start_lsn: Lsn(17), chain_at_start: Chain(1) };
    let installing = Manifest { reset: Some(reset), ..manifest() };
    let damaged = Manifest { store_damaged: true, ..manifest() };
    let empty = Manifest::new(DatabaseId(1), Incarnation(2), "", "");
    for manifest in [manifest(), longest, installing, damaged, empty] {
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
    let cases: [(usize, &[u8]); 9] = [
        (FLAGS, &16u32.to_le_bytes()),
        (FLAGS, &7u32.to_le_bytes()),
        (RESET_EPOCH_START, &[1]),
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

/// The ways in which a power cut can leave a disk.
fn survivors() -> Vec<Survivors> {
    let mut all = vec![Survivors::Nothing, Survivors::Everything];
    for seed in 0..8 {
        all.push(Survivors::Prefix { seed });
        all.push(Survivors::RandomSectors { seed });
    }
    all
}

/// The manifest after `count` writes.
fn numbered(count: u64) -> Manifest {
    match count {
        0 => manifest(),
        _ => Manifest {
            checkpoint: LogId { epoch: Epoch(3), lsn: Lsn(17 + count) },
            store_directory: format!("store-{count}"),
            ..manifest()
        },
    }
}

/// Creates a manifest and writes it three times; gives how many of the four steps succeeded.
fn workload(disk: &SimDisk) -> u64 {
    let Ok(mut file) = ManifestFile::create(disk, &numbered(0)) else { return 0 };
    (1..4).take_while(|count| file.write(&numbered(*count)).is_ok()).count() as u64 + 1
}

#[test]
fn a_crash_at_any_moment_leaves_the_old_or_the_new_manifest() {
    let operations = {
        let disk = SimDisk::new(1);
        assert_eq!(workload(&disk), 4);
        disk.operations()
    };
    let mut states = 0;
    for operation in 1..=operations {
        let disk = SimDisk::new(1);
        disk.crash_at(operation);
        let done = workload(&disk);
        for survivors in survivors() {
            let found = disk.crash(survivors);
            recover(&found.fork(), done, &format!("operation {operation}, {survivors:?}"));
            // Repairing it can be cut off too.
            let repairs = found.fork();
            drop(ManifestFile::open(&repairs));
            for again in 1..=repairs.operations() {
                let disk = found.fork();
                disk.crash_at(again);
                assert!(ManifestFile::open(&disk).is_err());
                let place = format!("operation {operation}, {survivors:?}, then {again}");
                recover(&disk.crash(survivors), done, &place);
                states += 1;
            }
            states += 1;
        }
    }
    assert!(states > 300, "{states} states");
}

/// Opens what a crash left, in which `done` steps had succeeded and one more may have.
fn recover(disk: &SimDisk, done: u64, place: &str) {
    let read_only = ManifestFile::open_read_only(disk);
    match ManifestFile::open(disk) {
        Ok((mut file, found)) => {
            let allowed = [done.checked_sub(1).map(numbered), Some(numbered(done))];
            assert!(allowed.contains(&Some(found.clone())), "{place}: {found:?}");
            assert_eq!(read_only.unwrap(), found, "{place}");
            // Both slots are whole, durably.
            let bytes = disk.crash(Survivors::Nothing).read_file(FILE_NAME).unwrap();
            assert_eq!(bytes[..SLOT_BYTES], bytes[SLOT_BYTES..], "{place}");
            file.write(&numbered(9)).unwrap();
            let disk = disk.crash(Survivors::Nothing);
            assert_eq!(ManifestFile::open(&disk).unwrap().1, numbered(9), "{place}");
        }
        Err(error) => {
            assert!(matches!(error, Error::NotADatabase { .. }), "{place}: {error}");
            assert_eq!(done, 0, "{place}: {error}");
            assert!(!ManifestFile::exists(disk).unwrap(), "{place}");
            ManifestFile::create(disk, &numbered(0)).unwrap();
        }
    }
}

#[test]
fn a_name_that_was_not_durable_yet_becomes_so_when_it_is_opened() {
    let disk = SimDisk::new(1);
    disk.fail(Fault::next(Call::SyncDirectory));
    assert!(ManifestFile::create(&disk, &numbered(0)).is_err());
    ManifestFile::open(&disk).unwrap();
    let disk = disk.crash(Survivors::Nothing);
    assert_eq!(ManifestFile::open_read_only(&disk).unwrap(), numbered(0));
}

#[test]
fn a_failed_write_is_told_and_ends_all_writing() {
    for (nth, effect) in
        [(1, Effect::Nothing), (1, Effect::Part), (2, Effect::Part), (2, Effect::Whole)]
    {
        let disk = SimDisk::new(7);
        let mut file = ManifestFile::create(&disk, &numbered(0)).unwrap();
        disk.fail(Fault::at_operation(disk.operations() + nth).effect(effect));
        let error = file.write(&numbered(1)).unwrap_err();
        assert!(matches!(error, Error::Indeterminate { .. }), "{error}");
        let operations = disk.operations();
        let error = file.write(&numbered(2)).unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{error}");
        assert_eq!(disk.operations(), operations, "nothing is tried again");
        // The next owner finds one of the two, makes it durable, and goes on.
        let (mut file, found) = ManifestFile::open(&disk).unwrap();
        assert!([numbered(0), numbered(1)].contains(&found), "{found:?}");
        let crashed = disk.crash(Survivors::Nothing);
        assert_eq!(ManifestFile::open_read_only(&crashed).unwrap(), found);
        file.write(&numbered(3)).unwrap();
        assert_eq!(ManifestFile::open_read_only(&disk).unwrap(), numbered(3));
    }
}

#[test]
fn every_flipped_bit_of_the_file_leaves_the_same_manifest() {
    let disk = SimDisk::new(1);
    assert_eq!(workload(&disk), 4);
    for bit in 0..2 * SLOT_BYTES as u64 * 8 {
        let disk = disk.fork();
        disk.flip_bit(FILE_NAME, bit / 8, (bit % 8) as u8).unwrap();
        assert_eq!(ManifestFile::open_read_only(&disk).unwrap(), numbered(3), "bit {bit}");
        if bit % 97 == 0 {
            assert_eq!(ManifestFile::open(&disk).unwrap().1, numbered(3), "bit {bit}");
            let bytes = disk.read_file(FILE_NAME).unwrap();
            assert_eq!(bytes[..SLOT_BYTES], bytes[SLOT_BYTES..], "repaired, bit {bit}");
        }
    }
}

#[test]
fn what_is_no_manifest_is_refused_and_left_as_it_is() {
    let good = numbered(0).encode(5);
    let mut newer = good.clone();
    put(&mut newer, VERSION, &9u32.to_le_bytes());
    let crc = crc32fast::hash(&newer[..CRC]);
    put(&mut newer, CRC, &crc.to_le_bytes());
    let mut damaged = good.clone();
    damaged[200] ^= 1;
    let other = numbered(1).encode(5);
    let open = |bytes: &[u8]| {
        let disk = SimDisk::new(1);
        disk.write_file(FILE_NAME, bytes).unwrap();
        let result = ManifestFile::open(&disk).map(|(_, manifest)| manifest);
        if result.is_err() {
            assert_eq!(disk.operations(), 0, "{result:?}");
            assert_eq!(disk.read_file(FILE_NAME).unwrap(), bytes);
        }
        result
    };
    let missing = ManifestFile::open(&SimDisk::new(1)).map(|_| ());
    assert!(matches!(missing, Err(Error::NotADatabase { .. })), "{missing:?}");
    for foreign in [&b""[..], b"hello", &[0; 8192], &[7; 10_000]] {
        let result = open(foreign);
        assert!(matches!(result, Err(Error::NotADatabase { .. })), "{result:?}");
    }
    for slots in [[&newer, &good], [&good, &newer], [&newer, &newer], [&newer, &damaged]] {
        let result = open(&slots.map(|slot| &slot[..]).concat());
        assert!(matches!(result, Err(Error::UnsupportedVersion { found: 9, .. })), "{result:?}");
    }
    for bytes in
        [[&damaged[..], &damaged].concat(), good[..100].to_vec(), [&good[..], &other].concat()]
    {
        let result = open(&bytes);
        assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
    }
    for bytes in [[&damaged[..], &good].concat(), good.clone()] {
        assert_eq!(open(&bytes).unwrap(), numbered(0));
    }
    let disk = SimDisk::new(1);
    disk.write_file(FILE_NAME, b"hello").unwrap();
    assert!(matches!(ManifestFile::create(&disk, &numbered(0)), Err(Error::Io { .. })));
}
