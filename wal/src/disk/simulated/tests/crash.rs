//! What is found after a crash.

use std::collections::BTreeSet;

use super::*;

fn found(disk: &SimDisk, survivors: Survivors) -> Option<Vec<u8>> {
    disk.crash(survivors).read_file("a")
}

#[test]
fn unsynced_bytes_go_synced_ones_stay() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[1; 1000]);
    file.write_at(500, &[2; 1000]).unwrap();
    file.write_and_sync_at(900, &[3; 50]).unwrap();
    // The earlier write is not made durable by the later one, which it does not undo either.
    let kept = [vec![1; 900], vec![3; 50], vec![1; 50]].concat();
    assert_eq!(found(&disk, Survivors::Nothing).unwrap(), kept);
    let all = [vec![1; 500], vec![2; 400], vec![3; 50], vec![2; 550]].concat();
    assert_eq!(found(&disk, Survivors::Everything).unwrap(), all);
    assert_eq!(disk.read_file("a").unwrap(), all);
    file.sync().unwrap();
    assert_eq!(found(&disk, Survivors::Nothing).unwrap(), all);
}

#[test]
fn a_synced_write_brings_the_length_it_needs_and_no_more() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", b"");
    file.allocate(10_000).unwrap();
    assert_eq!(found(&disk, Survivors::Nothing).unwrap().len(), 0);
    file.write_and_sync_at(100, &[1; 10]).unwrap();
    assert_eq!(found(&disk, Survivors::Nothing).unwrap().len(), 110);
    assert_eq!(found(&disk, Survivors::Everything).unwrap().len(), 10_000);
    file.write_and_sync_at(11_000, &[1; 10]).unwrap();
    // What was pending of the length must not cut what became durable later.
    assert_eq!(found(&disk, Survivors::Everything).unwrap().len(), 11_010);
}

#[test]
fn a_cut_that_is_pending_never_takes_bytes_written_after_it() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[1; 5000]);
    file.write_at(0, &[2; 10]).unwrap();
    file.allocate(100).unwrap();
    file.write_and_sync_at(200, &[3; 10]).unwrap();
    let expected = [vec![2; 10], vec![1; 90], vec![0; 100], vec![3; 10]].concat();
    for survivors in Survivors::all(5) {
        assert_eq!(found(&disk, survivors).unwrap(), expected, "{survivors:?}");
    }
}

#[test]
fn a_prefix_is_cut_between_sectors_in_issue_order() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[0; 2048]);
    let other = durable(&disk, "b", &[0; 512]);
    file.write_at(1000, &[1; 600]).unwrap(); // Sectors 1, 2, 3.
    other.write_at(0, &[2; 512]).unwrap();
    file.write_at(0, &[3; 10]).unwrap();
    let mut states = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk.crash(Survivors::Prefix { seed });
        let (a, b) = (disk.read_file("a").unwrap(), disk.read_file("b").unwrap());
        states.insert((a[1000], a[1024], a[1536], b[0], a[0]));
        assert_eq!(a[1000], a[1023]);
        assert_eq!(a[1024], a[1535]);
        assert_eq!(a[1600..], [0; 448]);
    }
    let prefixes = [
        (0, 0, 0, 0, 0),
        (1, 0, 0, 0, 0),
        (1, 1, 0, 0, 0),
        (1, 1, 1, 0, 0),
        (1, 1, 1, 2, 0),
        (1, 1, 1, 2, 3),
    ];
    assert_eq!(states, BTreeSet::from(prefixes));
}

#[test]
fn any_sectors_survive_by_themselves_and_others_are_not_harmed() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[9; 2048]);
    file.write_at(512, &[1; 1024]).unwrap();
    file.write_at(1024, &[2; 100]).unwrap();
    let mut states = BTreeSet::new();
    for seed in 0..300 {
        let bytes = found(&disk, Survivors::RandomSectors { seed }).unwrap();
        assert_eq!((&bytes[..512], &bytes[1536..]), (&[9; 512][..], &[9; 512][..]));
        assert_eq!((bytes[512], bytes[1024]), (bytes[1023], bytes[1123]));
        states.insert((bytes[512], bytes[1024], bytes[1200]));
    }
    // The second sector of the two has three versions, and shows one of them whole.
    let versions = [(9, 9, 9), (9, 1, 1), (9, 2, 1), (1, 9, 9), (1, 1, 1), (1, 2, 1)];
    assert_eq!(states, BTreeSet::from(versions));
}

#[test]
fn a_file_that_grew_may_keep_its_length_without_its_bytes_and_the_reverse() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[9; 512]);
    file.write_at(512, &[1; 1024]).unwrap();
    let mut states = BTreeSet::new();
    for seed in 0..200 {
        let bytes = found(&disk, Survivors::RandomSectors { seed }).unwrap();
        assert_eq!(bytes[..512], [9; 512]);
        states.insert(bytes[512..].chunks(512).map(|sector| sector[0]).collect::<Vec<u8>>());
    }
    let expected: [&[u8]; 5] = [&[], &[0, 0], &[0, 1], &[1, 0], &[1, 1]];
    assert_eq!(states, expected.iter().map(|state| state.to_vec()).collect());
}

#[test]
fn losing_blocks_takes_durable_bytes_with_them_but_only_where_a_write_was_lost() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[9; 3 * 4096]);
    file.write_at(4096 + 512, &[1; 512]).unwrap();
    let mut states = BTreeSet::new();
    for seed in 0..100 {
        let bytes = found(&disk, Survivors::LoseBlocks { seed }).unwrap();
        assert_eq!((&bytes[..4096], &bytes[8192..]), (&[9; 4096][..], &[9; 4096][..]));
        assert_eq!(bytes.len(), 3 * 4096);
        states.insert((bytes[4096], bytes[4096 + 512], bytes[8191]));
    }
    assert_eq!(states, BTreeSet::from([(9, 1, 9), (9, 9, 9), (0, 0, 0)]));
}

#[test]
fn a_name_survives_with_its_directory_only() {
    let disk = SimDisk::new(1);
    disk.sync_directory("elsewhere").unwrap();
    let file = create(&disk, "a");
    file.write_and_sync_at(0, b"abc").unwrap();
    file.sync().unwrap();
    assert_eq!(found(&disk, Survivors::Nothing), None);
    assert_eq!(found(&disk, Survivors::Everything).unwrap(), b"abc");
    disk.sync_directory("elsewhere").unwrap();
    assert_eq!(found(&disk, Survivors::Nothing), None);
    disk.sync_directory("").unwrap();
    assert_eq!(found(&disk, Survivors::Nothing).unwrap(), b"abc");

    disk.rename("a", "b").unwrap();
    create(&disk, "log/c");
    let nothing = disk.crash(Survivors::Nothing);
    // Making `log` made durable what was pending beside it, the file in it is lost.
    assert_eq!(nothing.list("").unwrap(), ["b", "elsewhere", "log"]);
    assert_eq!(nothing.list("log").unwrap(), [""; 0]);
    disk.remove("b").unwrap();
    assert_eq!(disk.crash(Survivors::Nothing).read_file("b").unwrap(), b"abc");
    assert_eq!(disk.crash(Survivors::Everything).read_file("b"), None);
}

#[test]
fn a_directory_that_a_killed_process_left_pending_is_durable_with_its_first_sync() {
    let disk = SimDisk::new(1);
    disk.crash_at(1);
    assert!(disk.open("d/e/a", Open::Create).is_err());
    // The process is gone, the cache is not.
    let disk = disk.fork();
    assert_eq!(disk.crash(Survivors::Nothing).list("").unwrap(), [""; 0]);
    disk.open("d/e/b", Open::Create).unwrap();
    disk.sync_directory("d/e").unwrap();
    assert_eq!(disk.crash(Survivors::Nothing).list("d/e").unwrap(), ["a", "b"]);
}

#[test]
fn a_rename_is_one_step_whatever_survives() {
    let disk = SimDisk::new(1);
    disk.write_file("a", b"old").unwrap();
    disk.write_file("next", b"new").unwrap();
    disk.rename("next", "a").unwrap();
    let mut states = BTreeSet::new();
    for seed in 0..50 {
        for survivors in Survivors::all(seed) {
            let disk = disk.crash(survivors);
            states.insert((disk.read_file("a"), disk.read_file("next")));
        }
    }
    let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
    assert_eq!(states, BTreeSet::from([(old, new.clone()), (new, None)]));
}

#[test]
fn pending_names_survive_each_by_itself_or_in_order() {
    let disk = SimDisk::new(1);
    create(&disk, "a");
    create(&disk, "b");
    let names = |survivors| disk.crash(survivors).list("").unwrap().concat();
    let random: BTreeSet<_> =
        (0..100).map(|seed| names(Survivors::RandomSectors { seed })).collect();
    assert_eq!(random, ["", "a", "b", "ab"].map(str::to_owned).into());
    let prefix: BTreeSet<_> = (0..100).map(|seed| names(Survivors::Prefix { seed })).collect();
    assert_eq!(prefix, ["", "a", "ab"].map(str::to_owned).into());
}

#[test]
fn a_removed_directory_comes_back_whole_in_part_or_not_at_all() {
    let disk = SimDisk::new(1);
    for name in ["d/a", "d/e/b"] {
        disk.write_file(name, b"1").unwrap();
    }
    disk.remove("d").unwrap();
    assert_eq!(disk.crash(Survivors::Nothing).files().len(), 2);
    assert_eq!(disk.crash(Survivors::Everything).list("").unwrap(), [""; 0]);
    let mut counts = BTreeSet::new();
    for seed in 0..100 {
        let disk = disk.crash(Survivors::RandomSectors { seed });
        counts.insert((disk.files().len(), disk.list("").unwrap().len()));
    }
    assert_eq!(counts, BTreeSet::from([(2, 1), (1, 1), (0, 1), (0, 0)]));
    disk.sync_directory("").unwrap();
    assert_eq!(disk.crash(Survivors::Nothing).list("").unwrap(), [""; 0]);
    assert_eq!(disk.state().names.pending.len(), 0);
}

#[test]
fn the_operation_in_which_the_power_goes_is_pending_and_everything_after_it_fails() {
    let run = |crash_at: u64| {
        let disk = SimDisk::new(1);
        disk.crash_at(crash_at);
        let work = || {
            let file = disk.open("d/a", Open::Create)?; // 1
            file.write_and_sync_at(0, &[1; 1024])?; // 2
            disk.sync_directory("d")?; // 3
            file.write_at(512, &[2; 1024])?; // 4
            file.sync()?; // 5
            disk.rename("d/a", "d/b")?; // 6
            disk.remove("d/b") // 7
        };
        let error = work().unwrap_err();
        assert!(SimDisk::is_crash(&error) && disk.has_crashed(), "{error}");
        assert_eq!(disk.operations(), crash_at);
        assert!(SimDisk::is_crash(&disk.list("").unwrap_err()));
        assert!(SimDisk::is_crash(&disk.lock().unwrap_err()));
        assert!(SimDisk::is_crash(&disk.open("d/a", Open::Read).unwrap_err()));
        let found = |survivors| {
            let disk = disk.crash(survivors);
            assert!(!disk.has_crashed());
            let describe = |name| Some((name, disk.read_file(name)?.len(), disk.read_file(name)?));
            describe("d/a")
                .or(describe("d/b"))
                .map(|(name, length, bytes)| (name, length, bytes.get(512).copied().unwrap_or(0)))
        };
        (found(Survivors::Nothing), found(Survivors::Everything))
    };
    assert_eq!(run(1), (None, Some(("d/a", 0, 0))));
    assert_eq!(run(2), (None, Some(("d/a", 1024, 1))));
    assert_eq!(run(3), (None, Some(("d/a", 1024, 1))));
    assert_eq!(run(4), (Some(("d/a", 1024, 1)), Some(("d/a", 1536, 2))));
    assert_eq!(run(5), (Some(("d/a", 1024, 1)), Some(("d/a", 1536, 2))));
    assert_eq!(run(6), (Some(("d/a", 1536, 2)), Some(("d/b", 1536, 2))));
    assert_eq!(run(7), (Some(("d/a", 1536, 2)), None));
}

#[test]
fn an_interrupted_synced_write_tears_between_sectors() {
    let disk = SimDisk::new(1);
    let file = durable(&disk, "a", &[9; 2048]);
    disk.crash_at(1);
    assert!(SimDisk::is_crash(&file.write_and_sync_at(0, &[1; 2048]).unwrap_err()));
    assert!(SimDisk::is_crash(&file.read_at(0, &mut [0]).unwrap_err()));
    let mut states = BTreeSet::new();
    for seed in 0..300 {
        let bytes = found(&disk, Survivors::RandomSectors { seed }).unwrap();
        let sectors: Vec<u8> = bytes.chunks(512).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        states.insert(sectors);
    }
    assert_eq!(states.len(), 16, "every subset of the four sectors");
}

#[test]
fn the_same_seeds_give_the_same_disk() {
    let run = |seed| {
        let disk = SimDisk::new(seed);
        let file = durable(&disk, "a", &[0; 10_000]);
        for place in 0..20 {
            file.write_at(place * 400, &[place as u8 + 1; 700]).unwrap();
        }
        found(&disk, Survivors::RandomSectors { seed: 7 })
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn a_directory_that_was_removed_and_made_again_keeps_what_was_synced_in_it() {
    let disk = SimDisk::new(1);
    drop(durable(&disk, "log/old", &[1]));
    disk.remove("log").unwrap();
    // Made again by somebody who died before that was durable.
    disk.crash_at(disk.operations() + 1);
    assert!(disk.sync_directory("log").is_err());
    let disk = disk.fork();
    let file = disk.open("log/new", Open::CreateNew).unwrap();
    file.write_and_sync_at(0, &[2]).unwrap();
    disk.sync_directory("log").unwrap();
    disk.sync_directory("").unwrap();
    let left = disk.crash(Survivors::Nothing);
    assert_eq!(left.files(), vec![("log/new".to_owned(), 1)]);
}
