//! Looking at a database's files without opening it: nothing is locked, nothing is changed, and
//! what is damaged is shown as far as it can be read.

use std::path::{Path, PathBuf};

use mainstay::wal::disk::FileDisk;
use mainstay::wal::frame::{FrameHeader, Frames};
use mainstay::wal::manifest::{Manifest, ManifestFile};
use mainstay::wal::scan::{
    Checkpointed, Fault, GroupCursor, LogScan, ScanOptions, ScannedGroup, SegmentExtent,
    SegmentScan, Stop, Verdict, scan_log, scan_segments,
};
use mainstay::wal::{Chain, Error, Lsn, Position, segment};
use serde_json::{Value as Json, json};

use crate::database;
use crate::exit::{Exit, Failure};

/// The files of one database.
#[derive(Debug)]
pub(crate) struct LogView {
    pub(crate) dir: PathBuf,
    pub(crate) disk: FileDisk,
    /// The manifest, or why it cannot be read.
    pub(crate) manifest: Result<Manifest, Error>,
    pub(crate) segments: SegmentScan,
}

impl LogView {
    /// Reads the manifest and the headers of all segments. Fails only if the directory cannot be
    /// listed, or holds neither a manifest nor a segment.
    pub(crate) fn open(dir: &Path) -> Result<LogView, Failure> {
        let disk =
            FileDisk::open_read_only(dir).map_err(|error| Failure::file("open", dir, &error))?;
        let manifest = ManifestFile::open_read_only(&disk);
        let database_id = manifest.as_ref().ok().map(|manifest| manifest.database_id);
        let segments =
            scan_segments(&disk, database_id).map_err(|error| database::failure(error.into()))?;
        match &manifest {
            Err(error) if segments.segments.is_empty() => {
                Err(Failure::Stopped(Exit::Unreadable, error.to_string()))
            }
            _ => Ok(LogView { dir: dir.to_owned(), disk, manifest, segments }),
        }
    }

    /// Walks the whole log, past damage too.
    pub(crate) fn scan(
        &self,
        visit: &mut dyn FnMut(&SegmentExtent, &ScannedGroup<'_>) -> Result<(), Error>,
    ) -> Result<LogScan, Error> {
        let checkpoint = self.manifest.as_ref().ok().map(|manifest| Checkpointed {
            log_id: manifest.checkpoint,
            chain: manifest.checkpoint_chain,
        });
        let options = ScanOptions { checkpoint, skip_below: Lsn::ZERO, keep_going: true };
        scan_log(&self.disk, &self.segments, options, visit)
    }

    /// What the whole directory is: the log, or the manifest if that is worse.
    pub(crate) fn verdict(&self, scan: &LogScan) -> Verdict {
        let manifest = match &self.manifest {
            Ok(_) => Verdict::Clean,
            Err(Error::Corrupt { .. }) => Verdict::Corrupt,
            Err(_) => Verdict::Unreadable,
        };
        manifest.max(scan.verdict())
    }
}

/// The exit code of a verdict.
pub(crate) fn exit_of(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Clean => Exit::Done,
        Verdict::TornTail => Exit::No,
        Verdict::Corrupt => Exit::Corrupt,
        Verdict::Unreadable => Exit::Unreadable,
    }
}

/// A verdict in words.
pub(crate) fn words_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clean => "clean",
        Verdict::TornTail => "torn tail",
        Verdict::Corrupt => "corrupt",
        Verdict::Unreadable => "unreadable",
    }
}

/// A fault as a JSON object.
pub(crate) fn json_of(fault: &Fault) -> Json {
    let position = fault.position();
    let mut object = json!({
        "kind": words_of(fault.verdict()),
        "file": segment::file_name(position.segment),
        "offset": position.offset,
    });
    match fault {
        Fault::TornTail { lsn, bytes, .. } => {
            object["lsn"] = json!(lsn.0);
            object["bytes"] = json!(bytes);
        }
        Fault::Corrupt { lsn, reason, checksums, .. } => {
            object["lsn"] = if *lsn == Lsn::ZERO { Json::Null } else { json!(lsn.0) };
            object["reason"] = json!(reason);
            object["expected_checksum"] = json!(checksums.map(|sums| sums.expected));
            object["found_checksum"] = json!(checksums.map(|sums| sums.found));
        }
        Fault::Unreadable { error, .. } => object["reason"] = json!(error.to_string()),
        other => object["reason"] = json!(other.to_string()),
    }
    object
}

/// A record of a log, without its payload.
#[derive(Copy, Clone, Debug)]
pub(crate) struct RecordPlace {
    pub(crate) header: FrameHeader,
    pub(crate) position: Position,
    /// The chain with this record.
    pub(crate) chain: Chain,
}

/// The records of a log one after the other, read as they are asked for.
#[derive(Debug)]
pub(crate) struct RecordWalk<'a> {
    view: &'a LogView,
    extents: std::vec::IntoIter<SegmentExtent>,
    cursor: Option<GroupCursor>,
    /// Those of the group at hand, last first.
    pending: Vec<RecordPlace>,
    /// The chain before the first record.
    pub(crate) chain_before: Chain,
    /// The first record that the log holds or would hold.
    pub(crate) first_lsn: Lsn,
}

impl<'a> RecordWalk<'a> {
    pub(crate) fn new(view: &'a LogView) -> Result<RecordWalk<'a>, Failure> {
        let extents = view.segments.extents();
        let Some(first) = extents.first() else {
            let message = format!("{} has no segment that can be read", view.dir.display());
            return Err(Failure::Stopped(Exit::Corrupt, message));
        };
        let (chain_before, first_lsn) = (first.header.chain_before, first.header.first_lsn);
        let extents = extents.into_iter();
        Ok(RecordWalk { view, extents, cursor: None, pending: Vec::new(), chain_before, first_lsn })
    }

    /// The next record; nothing at the end of the log, a torn tail included. Damage is an error.
    pub(crate) fn next(&mut self) -> Result<Option<RecordPlace>, Failure> {
        loop {
            if let Some(record) = self.pending.pop() {
                return Ok(Some(record));
            }
            if self.cursor.is_none() {
                let Some(extent) = self.extents.next() else { return Ok(None) };
                let cursor = GroupCursor::open(&self.view.disk, extent);
                self.cursor = Some(cursor.map_err(|error| database::failure(error.into()))?);
            }
            let Some(cursor) = self.cursor.as_mut() else { return Ok(None) };
            let chain = cursor.chain();
            if let Some(group) = cursor.next() {
                self.pending = places(chain, &group);
                self.pending.reverse();
                continue;
            }
            self.end_of_segment()?;
        }
    }

    /// Goes on with the next segment, unless the one at hand ended early.
    fn end_of_segment(&mut self) -> Result<(), Failure> {
        let Some(cursor) = self.cursor.take() else { return Ok(()) };
        let is_last = self.extents.len() == 0;
        let place = format!(
            "{}: {} at offset {}",
            self.view.dir.display(),
            segment::file_name(cursor.position().segment),
            cursor.position().offset
        );
        match cursor.stop() {
            None | Some(Stop::Complete) => Ok(()),
            Some(Stop::Unreadable(error)) => Err(database::failure(error.clone().into())),
            Some(Stop::Blank | Stop::Bad(_)) if is_last => Ok(()),
            Some(Stop::Blank) => Err(Failure::Stopped(
                Exit::Corrupt,
                format!("{place}: nothing is there, and the log goes on in a later segment"),
            )),
            Some(Stop::Bad(fault)) => {
                Err(Failure::Stopped(Exit::Corrupt, format!("{place}: {fault}")))
            }
        }
    }
}

/// The records of a group, which follows `chain`.
pub(crate) fn places(chain: Chain, group: &ScannedGroup<'_>) -> Vec<RecordPlace> {
    let start = group.frames_position();
    let (mut chain, mut offset) = (chain, start.offset);
    // The frames of a scanned group have been checked: none of them is an error.
    Frames::new(group.frames)
        .map_while(Result::ok)
        .map(|frame| {
            chain = chain.extend(&frame.header);
            let position = Position { offset, ..start };
            offset += frame.bytes() as u64;
            RecordPlace { header: frame.header, position, chain }
        })
        .collect()
}
