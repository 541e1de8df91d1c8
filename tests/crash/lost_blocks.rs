//! A medium that loses whole blocks of 4 KiB after they were durable: each block of a small database is zeroed, and
//! put back to each content that it had before.
//!
//! What must come of it: the right contents or a typed error. One thing is lost without an error, and only after a
//! crash: what nothing but the last block of the log knew of. [`Loss::may_lose`] is that limit, and no more.

use mainstay_engine::Result;
use mainstay_wal::disk::{Disk, Open, SimDisk, Survivors};
use mainstay_wal::manifest::ManifestFile;
use mainstay_wal::scan::{ScanOptions, scan_log, scan_segments};
use mainstay_wal::{Lsn, Position, segment};

use crate::bit_flips::{is_typed, name_of};
use crate::draw::{Draw, Op};
use crate::oracle;
use crate::session::{Session, Shape, Told};
use crate::tally::{self, Tally};

const BLOCK: usize = 4096;
const OPERATIONS: usize = 120;

/// How the database of a subject was left.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Crashed,
    /// Crashed in the middle of a checkpoint: the Store is ahead.
    CrashedInCheckpoint,
}

/// A database, and every block of its files with what stood there before.
struct Subject {
    shape: Shape,
    end: End,
    disk: SimDisk,
    told: Told,
    /// Where each record's group begins and ends.
    groups: Vec<(Position, u64, Lsn)>,
    /// What the manifest knows to be durable.
    noted: Lsn,
    blocks: Vec<Block>,
}

struct Block {
    file: String,
    offset: u64,
    contents: Vec<Vec<u8>>,
}

impl Subject {
    fn new(shape: Shape, end: End) -> Subject {
        let disk = SimDisk::new(31);
        let mut session = Session::open(&disk, shape, Told::new(), 0).unwrap();
        let mut draw = Draw::new(8);
        let mut blocks = Vec::new();
        note_blocks(&disk, &mut blocks);
        let mut step = |session: &mut Session, op: &Op| {
            session.perform(op).unwrap();
            note_blocks(&disk, &mut blocks);
        };
        for number in 0..OPERATIONS {
            let op = draw.op(session.told.history.last());
            // The end that is to be tested comes last.
            if !matches!(op, Op::BackupSteps { .. } | Op::Reopen)
                && (number < 100 || !matches!(op, Op::Checkpoint | Op::CheckpointSteps { .. }))
            {
                step(&mut session, &op);
            }
        }
        step(&mut session, &Op::Sync);
        match end {
            End::Closed => {
                session.close().unwrap();
                note_blocks(&disk, &mut blocks);
            }
            End::Crashed => {}
            End::CrashedInCheckpoint => {
                step(&mut session, &Op::Freeze);
                for _ in 0..3 {
                    step(&mut session, &Op::CheckpointSteps { steps: 1 });
                }
            }
        }
        let told = session.told.clone();
        let disk = disk.crash(Survivors::Nothing);
        let manifest = ManifestFile::open_read_only(&disk).unwrap();
        let segments = scan_segments(&disk, None).unwrap();
        let mut groups = Vec::new();
        scan_log(&disk, &segments, ScanOptions::of(&manifest), &mut |_, group| {
            let end = group.position.offset + group.header.group_bytes();
            groups.push((group.position, end, group.contents.last.lsn));
            Ok(())
        })
        .unwrap();
        let noted = manifest.committed.max(manifest.checkpoint.lsn);
        blocks.retain(|block| disk.read_file(&block.file).is_some());
        Subject { shape, end, disk, told, groups, noted, blocks }
    }
}

/// Takes in what is durable now.
fn note_blocks(disk: &SimDisk, blocks: &mut Vec<Block>) {
    let durable = disk.crash(Survivors::Nothing);
    for (file, _) in durable.files() {
        let content = durable.read_file(&file).unwrap();
        for (number, bytes) in content.chunks(BLOCK).enumerate() {
            let offset = (number * BLOCK) as u64;
            let known = blocks.iter().position(|b| b.file == file && b.offset == offset);
            let known = known.unwrap_or_else(|| {
                let contents = vec![vec![0; BLOCK]];
                blocks.push(Block { file: file.clone(), offset, contents });
                blocks.len() - 1
            });
            let mut bytes = bytes.to_vec();
            bytes.resize(BLOCK, 0);
            let contents = &mut blocks[known].contents;
            if !contents.contains(&bytes) {
                contents.push(bytes);
            }
        }
    }
}

/// A block that has another content than it had last.
struct Loss<'a> {
    subject: &'a Subject,
    block: &'a Block,
    content: usize,
}

impl Loss<'_> {
    fn describe(&self) -> String {
        let Loss { subject, block, content } = self;
        format!(
            "{:?} {:?}: content {content} of {} at {} of {}",
            subject.shape,
            subject.end,
            block.contents.len(),
            block.offset,
            block.file
        )
    }

    /// Whether a database that ends with this record lacks only what the lost block alone knew of.
    fn may_lose(&self, end: Lsn) -> bool {
        let Loss { subject, block, .. } = self;
        let is_in_block = |(position, group_end, _): &(Position, u64, Lsn)| {
            segment::file_name(position.segment) == block.file
                && position.offset < block.offset + BLOCK as u64
                && *group_end > block.offset
        };
        end >= subject.noted
            && subject.end != End::Closed
            && subject.groups.iter().filter(|(_, _, last)| *last > end).all(is_in_block)
    }

    fn check(&self, tally: &mut Tally) {
        let Loss { subject, block, content } = self;
        let disk = subject.disk.fork();
        let file = disk.open(&block.file, Open::Write).unwrap();
        let length = file.length().unwrap();
        let bytes = &block.contents[*content];
        let end = (length.saturating_sub(block.offset) as usize).min(BLOCK);
        if end == 0 {
            return;
        }
        file.write_and_sync_at(block.offset, &bytes[..end]).unwrap();
        drop(file);
        tally.add("blocks", 1);
        match self.judge(&disk) {
            Ok(outcome) => tally.add(outcome, 1),
            Err(error) => {
                assert!(is_typed(&error), "{error:?}");
                tally.add(name_of(&error), 1);
            }
        }
    }

    fn judge(&self, disk: &SimDisk) -> Result<&'static str> {
        let told = &self.subject.told;
        let mut session = Session::open(disk, self.subject.shape, told.clone(), 300)?;
        let engine = session.engine();
        let found = oracle::read_all(engine)?;
        let (end, last) = (engine.log().end().lsn, told.history.last_lsn());
        let recovery = engine.recovery();
        assert!(found == *told.history.at(end), "at {end} {found:?}{recovery:?}");
        let outcome = if end < last {
            assert!(self.may_lose(end), "{last} became {end}: {recovery:?}");
            "right but for what the last block alone knew of"
        } else if recovery.rebuilt.is_some() {
            "right, with the Store rebuilt"
        } else {
            "right"
        };
        session.told.recovered(end);
        oracle::try_to_go_on(&mut session)?;
        Ok(outcome)
    }
}

#[test]
fn lost_blocks_of_a_whole_directory() {
    // Blocks of 512 bytes, with segments that one lost block takes away whole; and blocks of 4 KiB.
    let small = Shape { first_segment_bytes: 4096, max_segment_bytes: 4096 };
    let large = Shape { first_segment_bytes: 16_384, max_segment_bytes: 32_768 };
    let mut subjects = Vec::new();
    for shape in [small, large] {
        for end in [End::Closed, End::Crashed, End::CrashedInCheckpoint] {
            subjects.push(Subject::new(shape, end));
        }
    }
    let mut losses = Vec::new();
    for subject in &subjects {
        for block in &subject.blocks {
            let contents = 0..block.contents.len();
            losses.extend(contents.map(|content| Loss { subject, block, content }));
        }
    }
    let tally = tally::on_all_cores("lost blocks", losses.len() as u64, |piece, tally| {
        let loss = &losses[piece as usize];
        tally::case(|| loss.describe(), || loss.check(tally));
    });
    for what in ["right", "Corrupt", "right but for what the last block alone knew of"] {
        assert!(tally.count(what) > 0, "no lost block was {what}");
    }
}
