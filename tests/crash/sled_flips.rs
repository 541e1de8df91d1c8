//! Random bits of a database over sled turned over: of its log, its manifest, and of sled's own files.
//!
//! What must come of it: the right contents; a typed error; or the Store moved aside and rebuilt, at this opening or,
//! where the damage shows only when it is met, at the next. Never a panic, never another value.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use mainstay_engine::{Error, Result};

use crate::bit_flips::{is_typed, name_of};
use crate::draw::{Draw, Op};
use crate::oracle;
use crate::session::{Place, Session, Shape, Told};
use crate::tally::{self, Tally};

const FLIPS: u64 = 2000;

/// The whole log in one segment, so that it reaches back to the first record.
const LONG: Shape = Shape { first_segment_bytes: 1 << 20, max_segment_bytes: 1 << 20 };
/// A log of which checkpoints have let go.
const SHORT: Shape = Shape { first_segment_bytes: 4096, max_segment_bytes: 4096 };

/// The files of a database, and what it holds.
struct Subject {
    name: &'static str,
    shape: Shape,
    /// By name, relative to the directory.
    files: Vec<(PathBuf, Vec<u8>)>,
    told: Told,
}

/// A bit of the subject's file with this number.
struct Flip<'a> {
    subject: &'a Subject,
    file: usize,
    byte: usize,
    bit: u8,
}

/// A directory in memory where the system has one: what is tested is not whether it survives.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn read_files(root: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            read_files(root, &name, files);
        } else {
            files.push((name, fs::read(entry.path()).unwrap()));
        }
    }
}

impl Subject {
    /// Builds a database, part of it in the Store; closes it, or takes its files as a killed process leaves them.
    fn new(name: &'static str, shape: Shape, closed: bool) -> Subject {
        let scratch = scratch();
        let root = scratch.path().join("database");
        let place = Place::Directory(root.clone());
        let mut session = Session::open(place, shape, Told::new(), 0).unwrap();
        let mut draw = Draw::new(21);
        for number in 0..300 {
            session.perform(&draw.op(session.told.history.last())).unwrap();
            if number % 100 == 60 {
                session.perform(&Op::Checkpoint).unwrap();
            }
        }
        for op in [Op::Sync, Op::Proof] {
            session.perform(&op).unwrap();
        }
        if closed {
            session.close().unwrap();
        }
        let mut files = Vec::new();
        read_files(&root, Path::new(""), &mut files);
        files.sort();
        let told = session.told.clone();
        drop(session);
        Subject { name, shape, files, told }
    }

    /// Files of which bits are turned over: those with something in them.
    fn draw_flip(&self, draw: &mut Draw) -> Flip<'_> {
        loop {
            let file = draw.below(self.files.len() as u64) as usize;
            let (_, content) = &self.files[file];
            if content.is_empty() {
                continue;
            }
            let byte = draw.below(content.len() as u64) as usize;
            // Blank stretches, of which there are megabytes, are drawn as if they were one byte in 64.
            let from = byte.saturating_sub(16);
            let near = &content[from..content.len().min(byte + 16)];
            if near.iter().any(|byte| *byte != 0) || draw.below(64) == 0 {
                return Flip { subject: self, file, byte, bit: draw.below(8) as u8 };
            }
        }
    }
}

impl Flip<'_> {
    fn describe(&self) -> String {
        let Flip { subject, file, byte, bit } = self;
        format!(
            "{}: bit {bit} of byte {byte} of {}",
            subject.name,
            subject.files[*file].0.display()
        )
    }

    fn write(&self, root: &Path) {
        for (number, (name, content)) in self.subject.files.iter().enumerate() {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if number == self.file {
                let mut content = content.clone();
                content[self.byte] ^= 1 << self.bit;
                fs::write(path, content).unwrap();
            } else {
                fs::write(path, content).unwrap();
            }
        }
    }

    fn check(&self, tally: &mut Tally) {
        let scratch = scratch();
        let root = scratch.path().join("database");
        self.write(&root);
        tally.add("flips", 1);
        let mut told = self.subject.told.clone();
        let Err(error) = self.use_it(&root, &mut told, tally) else { return };
        assert!(is_typed(&error), "{error:?}");
        tally.add(name_of(&error), 1);
        if !matches!(error, Error::Store { damaged: true, .. }) {
            return;
        }
        // It was found when it was met. Now it is known, and the next opening deals with it.
        match self.use_it(&root, &mut told, tally) {
            Ok(()) => tally.add("rebuilt at the next opening", 1),
            Err(error) => {
                let is_final = matches!(error, Error::CannotRebuild { .. });
                assert!(is_final, "first {error}, then {error}");
                tally.add("CannotRebuild at the next opening", 1);
            }
        }
    }

    /// Opens the database, reads all of it, writes, makes a checkpoint, and opens it again.
    fn use_it(&self, root: &Path, told: &mut Told, tally: &mut Tally) -> Result<()> {
        let place = Place::Directory(root.to_owned());
        let mut session = Session::open(place, self.subject.shape, told.clone(), 300)?;
        let rebuilt = session.engine().recovery().rebuilt.is_some();
        let done = oracle::try_to_check(session.engine(), &session.told)
            .and_then(|()| oracle::try_to_go_on(&mut session));
        *told = session.told.clone();
        done?;
        tally.add(if rebuilt { "right, with the Store rebuilt" } else { "right" }, 1);
        Ok(())
    }
}

/// sled panics on damaged files, behind our wall. Nobody wants to read that a thousand times.
fn silence_sled() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let in_sled = |place: &std::panic::Location<'_>| place.file().contains("sled-0.34");
            if !panic.location().is_some_and(in_sled) {
                hook(panic);
            }
        }));
    });
}

#[test]
fn bit_flips_of_a_directory_with_sled() {
    silence_sled();
    let subjects = [
        Subject::new("closed, the log reaches back", LONG, true),
        Subject::new("killed, the log reaches back", LONG, false),
        Subject::new("closed, the log was let go", SHORT, true),
        Subject::new("killed, the log was let go", SHORT, false),
    ];
    let only = tally::number("MAINSTAY_CRASH_SEED");
    let flips = only.map_or(FLIPS * tally::depth(), |_| 1);
    let tally = tally::on_all_cores("bit flips over sled", flips, |piece, tally| {
        let seed = only.unwrap_or(piece);
        let mut draw = Draw::new(seed);
        let flip = subjects[draw.below(4) as usize].draw_flip(&mut draw);
        tally::case(
            || {
                format!(
                    "{}; repeat with MAINSTAY_CRASH_SEED={seed} \
                     cargo test --test crash bit_flips_of_a_directory_with_sled",
                    flip.describe()
                )
            },
            || flip.check(tally),
        );
    });
    if only.is_none() {
        for what in ["right", "Corrupt", "right, with the Store rebuilt", "CannotRebuild"] {
            assert!(tally.count(what) > 0, "no flipped bit was {what}");
        }
    }
}
