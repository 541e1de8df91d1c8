//! Taking in many records before anybody reads: what opening a database does with its log.

use std::sync::atomic::Ordering;

use mainstay_wal::Lsn;

use super::State;
use super::apply::is_points_only;
use crate::bytes::{Key, Value};
use crate::error::Result;
use crate::memtable::Points;
use crate::record::{self, RecordOp};

/// Records that were decoded, and are not in the memtable yet: their points are sorted and enter it
/// together.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    points: Points,
    last: Option<Lsn>,
}

impl State {
    /// As [`State::apply`], but the record may wait in `replay` until [`State::settle`]. Nobody
    /// reads, and nobody applies, in between.
    ///
    /// # Errors
    /// As of [`State::apply`].
    pub(crate) fn replay(&self, replay: &mut Replay, lsn: Lsn, record: &[u8]) -> Result<()> {
        if !is_points_only(lsn, record)? {
            self.settle(replay);
            return self.apply(lsn, record);
        }
        let before = replay.last.unwrap_or_else(|| self.last_applied_lsn());
        assert!(lsn > before, "the record at {lsn} comes after that at {before}");
        for op in record::decode(lsn, record)? {
            match op? {
                RecordOp::Insert { keyspace, key, value } => {
                    let value = Some(Value::from(value));
                    replay.points.add(lsn, keyspace, Key::from(key), value);
                }
                RecordOp::Remove { keyspace, key } => {
                    replay.points.add(lsn, keyspace, Key::from(key), None);
                }
                other => unreachable!("only points were found, and then {other:?}"),
            }
        }
        replay.last = Some(lsn);
        let active = self.active_bytes();
        let full = self.options.memtable_bytes;
        // Not in ever smaller portions as the memtable fills: some of it is overwritten.
        if replay.points.bytes() >= full.saturating_sub(active).max(full / 8) {
            self.settle(replay);
        }
        Ok(())
    }

    /// Puts into the memtable what waits.
    pub(crate) fn settle(&self, replay: &mut Replay) {
        let Replay { points, last } = std::mem::take(replay);
        let _applying = self.applying.lock();
        if let Some(last) = last {
            self.glance().active().fill(points);
            self.applied.store(last.0, Ordering::Release);
        }
    }
}
