//! The medium by itself, without the kernel: these run everywhere.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use super::content::SECTOR_BYTES;
use super::medium::{Medium, ROOT, Survivors};

const SEEDS: u64 = 300;

/// A medium with one durable file of `sectors` sectors of zeros.
fn with_file(sectors: usize) -> (Medium, u64) {
    let mut medium = Medium::new();
    let node = medium.create(ROOT, OsStr::new("file"), false).unwrap().node;
    medium.write(node, 0, &vec![0; sectors * SECTOR_BYTES], false).unwrap();
    medium.sync(node).unwrap();
    medium.sync_directory(ROOT).unwrap();
    (medium, node)
}

fn content(medium: &mut Medium) -> Vec<u8> {
    let found = medium.lookup(ROOT, OsStr::new("file")).unwrap();
    medium.read(found.node, 0, found.length as usize).unwrap().to_vec()
}

/// What `survivors` leaves over many seeds, after `changes` on a file of four sectors.
fn outcomes(survivors: Survivors, changes: impl Fn(&mut Medium, u64)) -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (mut medium, node) = with_file(4);
        changes(&mut medium, node);
        medium.stop();
        medium.restore(survivors, seed);
        seen.insert(content(&mut medium));
    }
    seen
}

/// One byte a sector, for outcomes that are uniform within sectors.
fn sectors(content: &[u8]) -> Vec<u8> {
    content.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect()
}

#[test]
fn any_subset_of_sectors_may_survive() {
    let left = outcomes(Survivors::Sectors, |medium, node| {
        medium.write(node, 0, &[1; 4 * SECTOR_BYTES], false).unwrap();
    });
    let left: BTreeSet<Vec<u8>> = left.iter().map(|content| sectors(content)).collect();
    assert_eq!(left.len(), 16, "all subsets of four sectors, and nothing else: {left:?}");
}

#[test]
fn within_a_sector_a_later_write_survives_only_over_the_earlier() {
    let left = outcomes(Survivors::Sectors, |medium, node| {
        medium.write(node, 0, &[1; 100], false).unwrap();
        medium.write(node, 50, &[2; 100], false).unwrap();
    });
    let left: BTreeSet<(u8, u8)> = left.iter().map(|content| (content[0], content[60])).collect();
    assert_eq!(left, BTreeSet::from([(0, 0), (1, 1), (1, 2)]));
}

#[test]
fn a_prefix_is_a_prefix_torn_at_a_sector() {
    let left = outcomes(Survivors::Prefix, |medium, node| {
        medium.write(node, 0, &[1; 2 * SECTOR_BYTES], false).unwrap();
        medium.write(node, 1024, &[2; 2 * SECTOR_BYTES], false).unwrap();
    });
    let left: BTreeSet<Vec<u8>> = left.iter().map(|content| sectors(content)).collect();
    let expected =
        [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 2, 0], [1, 1, 2, 2]].map(|s| s.to_vec());
    assert_eq!(left, BTreeSet::from(expected));
}

#[test]
fn a_synced_write_survives_whatever_the_policy() {
    for survivors in Survivors::ALL {
        let left = outcomes(survivors, |medium, node| {
            medium.write(node, 0, &[1; 4 * SECTOR_BYTES], false).unwrap();
            medium.write(node, 512, &[2; SECTOR_BYTES], true).unwrap();
            medium.write(node, 1024, &[3; 2 * SECTOR_BYTES], false).unwrap();
        });
        assert!(left.iter().all(|content| content[512..1024] == [2; 512]), "{survivors:?}");
        assert!(left.iter().all(|content| content.len() == 4 * SECTOR_BYTES), "{survivors:?}");
    }
}

#[test]
fn a_length_may_survive_without_the_bytes_and_the_bytes_not_without_the_length() {
    let left = outcomes(Survivors::Sectors, |medium, node| {
        medium.write(node, 4 * 512, &[1; SECTOR_BYTES], false).unwrap();
    });
    let left: BTreeSet<Vec<u8>> = left.iter().map(|content| sectors(content)).collect();
    let expected = [vec![0, 0, 0, 0], vec![0, 0, 0, 0, 0], vec![0, 0, 0, 0, 1]];
    assert_eq!(left, BTreeSet::from(expected));
    let left = outcomes(Survivors::Nothing, |medium, node| {
        medium.set_length(node, 100).unwrap();
        medium.set_length(node, 600).unwrap();
    });
    assert_eq!(left, BTreeSet::from([vec![0; 4 * SECTOR_BYTES]]));
}

#[test]
fn a_shrunk_file_may_show_its_old_bytes_only_where_the_cut_lost_the_shrinking() {
    let left = outcomes(Survivors::Sectors, |medium, node| {
        medium.write(node, 0, &[1; 4 * SECTOR_BYTES], true).unwrap();
        medium.set_length(node, 512).unwrap();
        medium.set_length(node, 1024).unwrap();
    });
    let left: BTreeSet<Vec<u8>> = left.iter().map(|content| sectors(content)).collect();
    assert_eq!(left, BTreeSet::from([vec![1, 1, 1, 1], vec![1], vec![1, 0]]));
}

#[test]
fn names_are_lost_one_by_one_but_a_rename_is_one_step() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let (mut medium, _) = with_file(1);
        medium.create(ROOT, OsStr::new("new"), false).unwrap();
        let (from, to) = ((ROOT, OsStr::new("file")), (ROOT, OsStr::new("moved")));
        medium.rename(from, to, true).unwrap();
        medium.stop();
        medium.restore(Survivors::Sectors, seed);
        let names = medium.names(ROOT).unwrap();
        seen.insert(names.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    }
    let expected = [&["file"][..], &["file", "new"], &["moved"], &["moved", "new"]];
    let expected = expected.map(|names| names.iter().map(Into::into).collect::<Vec<_>>());
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn everything_is_everything_and_nothing_is_nothing() {
    for (survivors, expected) in [(Survivors::Nothing, 0), (Survivors::Everything, 7)] {
        let left = outcomes(survivors, |medium, node| {
            medium.write(node, 0, &[7; 4 * SECTOR_BYTES], false).unwrap();
        });
        assert_eq!(left, BTreeSet::from([vec![expected; 4 * SECTOR_BYTES]]), "{survivors:?}");
    }
}

#[test]
fn the_same_seed_leaves_the_same() {
    for survivors in Survivors::ALL {
        let run = || {
            let (mut medium, node) = with_file(4);
            for value in 1..20 {
                let start = u64::from(value) * 97 % 1500;
                medium.write(node, start, &[value; 333], value % 5 == 0).unwrap();
            }
            medium.stop();
            medium.restore(survivors, 42);
            content(&mut medium)
        };
        assert_eq!(run(), run(), "{survivors:?}");
    }
}
