//! Gives every fuzz target the inputs that are checked in, with the ordinary test command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop")]

#[allow(unreachable_pub, reason = "public for the fuzz targets")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::Path;

use targets::TARGETS;

/// Calls `each` with the name and bytes of every input of a target, and says how many there are.
fn inputs(target: &str, mut each: impl FnMut(&str, &[u8])) -> usize {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        each(&path.display().to_string(), &fs::read(path).unwrap());
    }
    paths.len()
}

#[test]
fn every_target_takes_its_corpus() {
    for (name, target) in TARGETS {
        let count = inputs(name, |path, data| {
            // Printed only if the target panics.
            println!("{path}");
            target(data);
        });
        assert!(count > 0, "no input for {name}");
    }
}

#[test]
fn every_target_takes_its_corpus_damaged() {
    for (name, target) in TARGETS {
        inputs(name, |path, data| {
            println!("{path}");
            for cut in 0..data.len().min(600) {
                target(&data[..cut]);
                let mut changed = data.to_vec();
                changed[cut] ^= 1 << (cut % 8);
                target(&changed);
            }
        });
    }
}

#[test]
fn every_corpus_has_its_target() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut found: Vec<_> = fs::read_dir(corpora)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, TARGETS.map(|(name, _)| name));
}
