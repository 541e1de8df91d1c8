//! Looking at a database's files without opening it: nothing is locked, nothing is changed, and
//! what is damaged is shown as far as it can be read.

use std::path::{Path, PathBuf};

use mainstay::wal::disk::FileDisk;
use mainstay::wal::manifest::{Manifest, ManifestFile};
use mainstay::wal::scan::{
    Fault, LogScan, ScanOptions, ScannedGroup, SegmentExtent, SegmentScan, Verdict, scan_log,
    scan_segments,
};
use mainstay::wal::{Error, Lsn, segment};
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
        let known = self.manifest.as_ref().map(ScanOptions::of).unwrap_or_default();
        let options = ScanOptions { keep_going: true, ..known };
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
