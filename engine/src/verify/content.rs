//! Reading the Store, and comparing it with the log.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use mainstay_wal::Lsn;
use mainstay_wal::disk::Disk;
use mainstay_wal::manifest::Manifest;

use super::log::{LastWrite, LastWrites};
use super::{VerifyFault, VerifyReport};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::options::Options;
use crate::snapshot::Snapshot;
use crate::state::{State, StateOptions};
use crate::store::{Store, StorePlace, StoreSource};

/// Reads the Store of an open database, and compares a snapshot with what the log says of it.
pub(super) fn check_open(
    engine: &Engine,
    snapshot: &Snapshot,
    writes: &LastWrites,
    report: &mut VerifyReport,
) {
    let store = &**engine.store();
    check_applied(store, report);
    let ids = engine.state().keyspaces().into_iter().map(|(_, id)| id).collect();
    read_entries(store, ids, report);
    for (keyspace, key, write) in writes.iter() {
        match snapshot.get_in(keyspace, key) {
            Ok(value) => report.compare((keyspace, key), write, value.as_deref()),
            // Given up to stay within the bound on memory: what it knew cannot be compared any
            // more.
            Err(Error::SnapshotTooOld { .. }) => return,
            // It would fail for one key after the other.
            Err(error) => return report.fault(&error),
        }
    }
}

/// Reads the Store of a database that is not open, and compares it with what the log says of it up
/// to the checkpoint.
pub(super) fn check_closed(
    disk: &Arc<dyn Disk>,
    root: Option<&Path>,
    manifest: &Manifest,
    writes: &LastWrites,
    report: &mut VerifyReport,
) {
    let (store, state) = match open(disk, root, manifest) {
        Ok(opened) => opened,
        Err(error) => return report.fault(&error),
    };
    check_applied(&*store, report);
    read_entries(&*store, state.keyspaces().into_iter().map(|(_, id)| id).collect(), report);
    for (keyspace, key, write) in writes.iter() {
        // Of what came later the Store may have anything.
        if write.lsn > manifest.checkpoint.lsn {
            continue;
        }
        match store.get(keyspace, key) {
            Ok(value) => report.compare((keyspace, key), write, value.as_deref()),
            Err(error) => return report.fault(&error),
        }
    }
}

fn open(
    disk: &Arc<dyn Disk>,
    root: Option<&Path>,
    manifest: &Manifest,
) -> Result<(Arc<dyn Store>, State)> {
    let source = StoreSource::of(manifest, disk.describe(), None)?;
    let place = StorePlace { disk, root, directory: &manifest.store_directory };
    let cache_bytes = Options::new().store_cache_bytes;
    let store = source.open_read_only(place, cache_bytes, None)?;
    let options = StateOptions { memtable_bytes: 0, snapshot_bytes: 0 };
    let state = State::open(store.clone(), manifest.checkpoint.lsn, options)?;
    Ok((store, state))
}

fn check_applied(store: &dyn Store, report: &mut VerifyReport) {
    match store.applied() {
        Ok(applied) => {
            report.store_applied_lsn = applied;
            let checkpoint = report.checkpoint_lsn;
            if applied < checkpoint && checkpoint > Lsn::ZERO {
                let reason =
                    format!("it ends at LSN {applied}, below the checkpoint at {checkpoint}");
                report.faults.push(VerifyFault::Store { reason });
            }
        }
        Err(error) => report.fault(&error),
    }
}

/// Reads everything in the Store. An error ends its keyspace only.
fn read_entries(store: &dyn Store, mut ids: Vec<KeyspaceId>, report: &mut VerifyReport) {
    ids.extend([KeyspaceId::CATALOG, KeyspaceId::SESSIONS]);
    ids.sort();
    ids.dedup();
    for id in ids {
        let entries = match store.range(id, Bound::Unbounded, Bound::Unbounded) {
            Ok(entries) => entries,
            Err(error) => {
                report.fault(&error);
                continue;
            }
        };
        for entry in entries {
            match entry {
                Ok(_) => report.entries += 1,
                Err(error) => {
                    report.fault(&error);
                    break;
                }
            }
        }
    }
}

impl VerifyReport {
    fn fault(&mut self, error: &Error) {
        self.faults.push(VerifyFault::Store { reason: error.to_string() });
    }

    fn compare(
        &mut self,
        (keyspace, key): (KeyspaceId, &crate::bytes::Key),
        write: LastWrite,
        value: Option<&[u8]>,
    ) {
        self.compared_keys += 1;
        if value.map(crc32fast::hash) != write.value_crc {
            let (key, lsn) = (key.clone(), write.lsn);
            self.faults.push(VerifyFault::Mismatch { keyspace, key, lsn });
        }
    }
}
