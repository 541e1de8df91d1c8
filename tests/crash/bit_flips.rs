//! Every bit of a small database turned over, one at a time.
//!
//! What must come of it: the right contents, or a typed error, never a panic, never another value. One thing is lost
//! without an error, and it is reported: damage to the one group that nothing proves to have been durable cannot be
//! told from a write that was cut off, so that group goes. [`Damage::may_lose`] is that limit, and no more.

use mainstay_engine::{Error, Result};
use mainstay_wal::LogId;
use mainstay_wal::disk::{SimDisk, Survivors};
use mainstay_wal::manifest::ManifestFile;
use mainstay_wal::scan::{LogScan, ScanOptions, scan_log, scan_segments};
use mainstay_wal::segment;

use crate::draw::{Draw, Op};
use crate::oracle;
use crate::session::{Session, Shape, Told};
use crate::tally::{self, Tally};

const SHAPE: Shape = Shape { first_segment_bytes: 4096, max_segment_bytes: 4096 };

/// A database on a disk, and what it holds.
struct Subject {
    name: &'static str,
    disk: SimDisk,
    told: Told,
    scan: LogScan,
}

/// One bit that is turned over.
struct Damage<'a> {
    subject: &'a Subject,
    file: &'a str,
    byte: u64,
    bit: u8,
}

impl Damage<'_> {
    /// Whether the damage lies in the one group that nothing proves to have been durable.
    fn may_lose(&self) -> bool {
        self.subject.scan.tail.iter().any(|(position, header)| {
            let group = position.offset..position.offset + header.group_bytes();
            segment::file_name(position.segment) == self.file && group.contains(&self.byte)
        })
    }

    fn describe(&self) -> String {
        let Damage { subject, file, byte, bit } = self;
        format!("{}: bit {bit} of byte {byte} of {file}", subject.name)
    }

    /// Opens the damaged database, and checks it, and that it is still right when it is opened once more.
    fn check(&self, tally: &mut Tally) {
        let disk = self.subject.disk.fork();
        disk.flip_bit(self.file, self.byte, self.bit).expect("a bit of the file");
        tally.add("bits", 1);
        match self.judge(&disk) {
            Err(error) => {
                assert!(is_typed(&error), "{error:?}");
                tally.add(name_of(&error), 1);
            }
            Ok(outcome) => {
                tally.add(outcome, 1);
                // What was repaired or rebuilt stays so.
                let again = self.judge(&disk.crash(Survivors::Nothing));
                again.unwrap_or_else(|error| panic!("opened, and not again: {error}"));
            }
        }
    }

    fn judge(&self, disk: &SimDisk) -> Result<&'static str> {
        let told = &self.subject.told;
        let mut session = Session::open(disk, SHAPE, told.clone(), 300)?;
        let engine = session.engine();
        let found = oracle::read_all(engine)?;
        let (end, last) = (engine.log().end().lsn, told.history.last_lsn());
        let recovery = engine.recovery();
        assert!(found == *told.history.at(end), "{found:?}{recovery:?}");
        let outcome = if end < last {
            assert!(self.may_lose(), "{last} became {end}: {recovery:?}");
            let lost = self.subject.scan.tail[0].1.first_lsn;
            assert_eq!(end.next(), lost, "more was lost than the damaged group");
            "right but for the last group, which was cut"
        } else if recovery.rebuilt.is_some() {
            "right, with the Store rebuilt"
        } else {
            "right"
        };
        session.close()?;
        Ok(outcome)
    }
}

/// The errors that tell of damage.
pub(crate) fn is_typed(error: &Error) -> bool {
    use mainstay_wal::Error as Log;
    matches!(
        error,
        Error::Log(Log::Corrupt { .. } | Log::NotADatabase { .. } | Log::UnsupportedVersion { .. })
            | Error::Store { damaged: true, .. }
            | Error::CannotRebuild { .. }
    )
}

pub(crate) fn name_of(error: &Error) -> &'static str {
    use mainstay_wal::Error as Log;
    match error {
        Error::Log(Log::Corrupt { .. }) => "Corrupt",
        Error::Log(Log::NotADatabase { .. }) => "NotADatabase",
        Error::Log(Log::UnsupportedVersion { .. }) => "UnsupportedVersion",
        Error::CannotRebuild { .. } => "CannotRebuild",
        _ => "Store damaged",
    }
}

/// Builds a database of several segments, part of it in the Store, and closes it or pulls the plug.
fn subject(name: &'static str, checkpoints: bool, closed: bool) -> Subject {
    let disk = SimDisk::new(11);
    let mut session = Session::open(&disk, SHAPE, Told::new(), 0).unwrap();
    let mut draw = Draw::new(4);
    for number in 0..90 {
        let op = loop {
            let op = draw.op(session.told.history.last());
            let is_checkpoint = matches!(op, Op::Checkpoint | Op::CheckpointSteps { .. });
            let is_other = matches!(op, Op::Reopen | Op::Freeze | Op::BackupSteps { .. });
            if !is_checkpoint && !is_other {
                break op;
            }
        };
        session.perform(&op).unwrap();
        if checkpoints && number == 45 {
            session.perform(&Op::Checkpoint).unwrap();
        }
    }
    session.perform(&Op::Sync).unwrap();
    let told = if closed {
        session.close().unwrap();
        session.told.clone()
    } else {
        session.told.clone()
    };
    let disk = disk.crash(Survivors::Nothing);
    let bytes: u64 = disk.files().iter().map(|(_, length)| length).sum();
    assert!(bytes <= 64 << 10, "{bytes} bytes");
    let manifest = ManifestFile::open_read_only(&disk).unwrap();
    let segments = scan_segments(&disk, None).unwrap();
    assert_eq!(manifest.checkpoint != LogId::ZERO, checkpoints);
    let scan = scan_log(&disk, &segments, ScanOptions::of(&manifest), &mut |_, _| Ok(())).unwrap();
    assert_eq!(scan.tail.is_empty(), closed, "after a crash one group is not proven");
    assert!(segments.extents().len() >= 3, "{} segments", segments.extents().len());
    Subject { name, disk, told, scan }
}

#[test]
fn bit_flips_of_a_whole_directory() {
    let subjects = [
        subject("closed, checkpointed", true, true),
        subject("crashed, checkpointed", true, false),
        subject("closed, never checkpointed", false, true),
        subject("crashed, never checkpointed", false, false),
    ];
    let every_bit = tally::number("MAINSTAY_CRASH_EVERY_BIT").is_some();
    let mut places = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        for (file, length) in subject.disk.files() {
            let content = subject.disk.read_file(&file).unwrap();
            let places_of = (0..length).flat_map(|byte| (0..8).map(move |bit| (byte, bit)));
            // Blank space says the same in every bit: one of each byte, in turn.
            let taken = places_of.filter(|(byte, bit)| {
                every_bit || content[*byte as usize] != 0 || byte % 8 == u64::from(*bit)
            });
            places.extend(taken.map(|(byte, bit)| (number, file.clone(), byte, bit)));
        }
    }
    let tally = tally::on_all_cores("bit flips", places.len() as u64, |piece, tally| {
        let (number, file, byte, bit) = &places[piece as usize];
        let damage = Damage { subject: &subjects[*number], file, byte: *byte, bit: *bit };
        tally::case(|| damage.describe(), || damage.check(tally));
    });
    let bits: u64 = subjects.iter().flat_map(|s| s.disk.files()).map(|(_, bytes)| 8 * bytes).sum();
    tally::say(&format!(
        "bit flips: {} of {bits} bits of {} directories{}",
        tally.count("bits"),
        subjects.len(),
        if every_bit {
            ""
        } else {
            "; of blank bytes one bit each (all: MAINSTAY_CRASH_EVERY_BIT=1)"
        },
    ));
    for what in ["right", "Corrupt", "CannotRebuild", "right but for the last group, which was cut"]
    {
        assert!(tally.count(what) > 0, "no flipped bit was {what}");
    }
}
