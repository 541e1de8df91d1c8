//! The log by itself: small segments, rotation and recycling every few records, and everything that
//! can end it.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use mainstay_wal::disk::{Disk, FileDisk, FileDiskOptions};
use mainstay_wal::manifest::{Manifest, ManifestFile};
use mainstay_wal::{Bound, DatabaseId, Incarnation, Log, LogOptions, Lsn};

use super::ends;
use super::workload::{Content, Opened, Outcome, Program, operation};

/// Records kept behind the newest: those that [`operation`] needs to tell what is right, and a few
/// more.
const KEPT_RECORDS: u64 = 60;

/// Groups go past the page cache.
pub(crate) static DIRECT: Program =
    Program { name: "the log", pairs: 2, open: |directory| open(directory, true) };

/// Groups are written and synced.
pub(crate) static PLAIN: Program =
    Program { name: "the log, not direct", pairs: 2, open: |directory| open(directory, false) };

struct OpenLog(Log);

fn open(directory: &Path, direct: bool) -> Outcome<Box<dyn Opened>> {
    let disk = FileDisk::open(directory, FileDiskOptions::default().direct(direct))?;
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let lock = Some(disk.lock()?);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let options = LogOptions {
        first_segment_bytes: 16 << 10,
        max_segment_bytes: 32 << 10,
        salt_seed: now.as_nanos() as u64,
        ..LogOptions::default()
    };
    let opened = if ManifestFile::exists(&*disk)? {
        Log::open(disk, options, lock)?
    } else {
        let manifest = Manifest::new(DatabaseId(7), Incarnation(1), "none", "store-1");
        Log::create(disk, options, &manifest, lock)?
    };
    opened.log.spawn_thread()?;
    Ok(Box::new(OpenLog(opened.log)))
}

impl Opened for OpenLog {
    fn content(&self) -> Outcome<Content> {
        let mut content = Content::new();
        let mut reader = self.0.reader(self.0.first_lsn(), Bound::Durable)?;
        while let Some(frame) = reader.next_frame()? {
            let number = u64::from_le_bytes(frame.payload[..8].try_into()?);
            assert_eq!(frame.log_id().lsn, Lsn(number), "one record an operation");
            assert_eq!(frame.payload, payload(number), "record {number}");
            content.extend(operation(number, 2));
        }
        Ok(content)
    }

    fn operate(&mut self, number: u64) -> Outcome<()> {
        let lsn = self.0.append(&payload(number))?;
        self.0.wait_durable(lsn)?;
        if number.is_multiple_of(8) && number > KEPT_RECORDS {
            self.0.truncate_prefix(Lsn(number - KEPT_RECORDS))?;
        }
        Ok(())
    }
}

/// Anything up to two blocks, all of it following from the number.
fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(8 + (number * 997 % 8000) as usize, number as u8);
    payload
}

#[test]
fn nothing_acknowledged_is_lost_by_power_cuts_in_a_row() {
    ends::power_cuts_in_a_row(&DIRECT, 60);
    ends::power_cuts_in_a_row(&PLAIN, 30);
}

#[test]
fn a_power_cut_while_it_is_made_leaves_a_log_or_none() {
    ends::power_cuts_while_made(&DIRECT);
}

#[test]
fn what_a_killed_process_left_unsynced_is_made_durable_before_it_is_built_upon() {
    ends::power_cuts_after_a_kill(&DIRECT);
    ends::power_cuts_after_a_kill(&PLAIN);
}
