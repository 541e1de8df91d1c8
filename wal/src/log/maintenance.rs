//! Cutting the log at its ends, and keeping it for readers that are away.

use std::sync::Arc;

use super::Log;
use crate::core::{self, Core};
use crate::disk::Open;
use crate::error::{Cause, Error, Result};
use crate::history::EpochHistory;
use crate::ids::{Chain, LogId, Lsn, SegmentNumber};
use crate::install::{Installed, install};
use crate::reader::Bound;
use crate::segment::{self, SegmentHeader};
use crate::sync::MutexGuard;

/// Where the frames go that [`Log::truncate_suffix`] drops.
const DROPPED_DIRECTORY: &str = "dropped";

/// How much of a dropped tail is saved.
const DROPPED_CAP_BYTES: u64 = 64 << 20;

/// What [`Log::truncate_suffix`] dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The first record that was dropped.
    pub first_lsn: Lsn,
    /// The last record that was dropped.
    pub last: LogId,
    /// The file, relative to the database directory, that holds their frames one after another;
    /// none if nothing was dropped.
    pub file: Option<String>,
    /// How many bytes of frames were saved there.
    pub saved_bytes: u64,
    /// Whether there were more than the cap of 64 MiB, so that the newest are gone.
    pub capped: bool,
}

/// Keeps the log from an LSN on, until it is dropped or goes past the cap.
#[derive(Debug)]
pub struct Hold {
    log: Log,
    id: u64,
}

impl Hold {
    /// Moves the hold forward: records below `lsn` are not needed any more.
    ///
    /// Fails with [`Error::HoldLost`] if the hold was given up.
    pub fn advance(&self, lsn: Lsn) -> Result<()> {
        let mut core = self.log.shared.commit.lock();
        let cap_bytes = core.options.hold_cap_bytes;
        match core.holds.get_mut(&self.id) {
            Some(hold) if !hold.lost => {
                hold.lsn = hold.lsn.max(lsn);
                Ok(())
            }
            Some(hold) => Err(Error::HoldLost { lsn: hold.lsn, cap_bytes }),
            None => unreachable!("a hold is in the table until it is dropped"),
        }
    }

    /// Where the hold stands; fails with [`Error::HoldLost`] if it was given up.
    pub fn lsn(&self) -> Result<Lsn> {
        self.advance(Lsn::ZERO)?;
        let core = self.log.shared.commit.lock();
        Ok(core.holds.get(&self.id).map_or(Lsn::ZERO, |hold| hold.lsn))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.log.shared.commit.lock().holds.remove(&self.id);
    }
}

impl Log {
    /// Keeps the log from `lsn` on, whatever [`Log::truncate_prefix`] says, up to the configured
    /// cap in bytes.
    ///
    /// Fails with [`Error::LogTruncated`] if the log begins later already.
    pub fn hold(&self, lsn: Lsn) -> Result<Hold> {
        let mut core = self.shared.commit.lock();
        let first_lsn = core.segments.first_lsn();
        if lsn < first_lsn {
            return Err(Error::LogTruncated { requested: lsn, first_lsn });
        }
        let id = core.next_hold;
        core.next_hold += 1;
        core.holds.insert(id, core::Hold { lsn, lost: false });
        drop(core);
        Ok(Hold { log: self.clone(), id })
    }

    /// Lets go of segments that hold nothing at or above `first_kept`, except what a [`Hold`]
    /// keeps. Gives the oldest record that is still there.
    ///
    /// Files are removed oldest first, each durably before the next, so that a crash leaves no gap.
    /// An error poisons the log: its directory no longer obeys.
    pub fn truncate_prefix(&self, first_kept: Lsn) -> Result<Lsn> {
        loop {
            let mut core = self.shared.commit.lock();
            if let Some(error) = core.refusal() {
                return Err(error);
            }
            // A segment may go once a record of the next one is durable: before that, the next one's
            // header may not be written yet, and the directory would hold no log at all.
            let durable = core.durable.lsn;
            let keep = core.keep_from(first_kept.min(durable));
            let replaced = core.replaced.iter().position(|(_, first)| *first <= durable);
            let number = match (core.segments.pop_below(keep), replaced) {
                (Some(segment), _) => segment.number(),
                (None, Some(at)) => core.replaced.swap_remove(at).0,
                (None, None) => {
                    let first = core.segments.first_lsn();
                    // The epoch of the record before the first stands in the header of a segment
                    // that begins there, should everything behind it be dropped.
                    core.history.truncate_prefix(first.previous());
                    return Ok(first);
                }
            };
            drop(core);
            self.remove_segment(number)?;
        }
    }

    /// Removes a segment's file, durably.
    pub(super) fn remove_segment(&self, number: SegmentNumber) -> Result<()> {
        let disk = self.shared.commit.lock().disk.clone();
        let name = segment::file_name(number);
        let removed = disk.remove(&name).and_then(|()| disk.sync_directory(segment::DIRECTORY));
        self.poison_on_error("remove a segment", removed)
    }

    fn poison_on_error(&self, operation: &'static str, outcome: std::io::Result<()>) -> Result<()> {
        outcome.map_err(|error| {
            let cause = Cause { operation, source: Arc::new(error) };
            let stopped = self.shared.commit.lock().stop(cause.clone());
            self.shared.commit.announce(stopped, &*self.shared);
            Error::Poisoned { cause }
        })
    }

    /// Drops every record above `last_kept`, durably. What is dropped is saved to a file first, and
    /// reported.
    ///
    /// Nothing may be appended meanwhile. Records at or below the commit LSN are never dropped:
    /// asking for it is [`Error::NotContiguous`], and nothing is changed. Any failure of the
    /// disk poisons the log; then the truncation may or may not have happened when it is opened
    /// again.
    pub fn truncate_suffix(&self, last_kept: Lsn) -> Result<Dropped> {
        self.sync()?;
        let end = self.end();
        let nothing = Dropped {
            first_lsn: end.lsn.next(),
            last: end,
            file: None,
            saved_bytes: 0,
            capped: false,
        };
        if last_kept >= end.lsn {
            return Ok(nothing);
        }
        let (first_lsn, commit_lsn) = (self.first_lsn(), self.commit_lsn());
        let kept = self.locate(last_kept)?;
        if last_kept < commit_lsn {
            return Err(Error::NotContiguous { expected: kept.0, end });
        }
        if last_kept.next() < first_lsn {
            return Err(Error::LogTruncated { requested: last_kept.next(), first_lsn });
        }
        let dropped = self.save_dropped(Dropped { first_lsn: last_kept.next(), ..nothing })?;
        let _nothing_prepared = self.give_up_preparing();
        let mut core = self.shared.commit.lock();
        assert!(core.is_quiet() && core.end == end, "appended during a truncation");
        core.history.truncate_suffix(last_kept);
        (core.end, core.end_chain) = kept;
        self.begin_anew(core, false)?;
        Ok(dropped)
    }

    /// Begins the log anew behind `end`: everything in it is dropped, and the next record is
    /// `end.lsn + 1`. For a state that came as an image.
    ///
    /// Durable when it returns. Errors and their effects as of [`Log::truncate_suffix`].
    pub fn reset(&self, end: LogId, chain: Chain, history: &EpochHistory) -> Result<()> {
        self.sync()?;
        let _nothing_prepared = self.give_up_preparing();
        let mut core = self.shared.commit.lock();
        core.history = history.clone();
        core.history.truncate_suffix(end.lsn);
        core.history.truncate_prefix(end.lsn);
        (core.end, core.end_chain) = (end, chain);
        core.epoch = core.epoch.max(end.epoch);
        self.begin_anew(core, true)?;
        let mut core = self.shared.commit.lock();
        core.commit_lsn = end.lsn;
        Ok(())
    }

    /// Gives up the segment that is half prepared, whose number would be lower than that of the next
    /// one. Nothing else is begun as long as what this gives is held.
    fn give_up_preparing(&self) -> impl Drop + '_ {
        let mut preparing = self.shared.preparing.lock();
        if let Some(begun) = preparing.take() {
            begun.give_up();
        }
        preparing
    }

    /// Installs a segment behind the core's end, and removes what it makes obsolete.
    fn begin_anew(&self, mut core: MutexGuard<'_, Core>, origin: bool) -> Result<()> {
        // A prepared segment has a lower number than the new one and must not come after it.
        let prepared = core.prepared.take();
        let number = core.next_number;
        core.next_number = number.next();
        let size_bytes = core.segment_bytes_for(0);
        // Where nothing older is left, nothing older may count again after a crash.
        let origin = origin || core.segments.first_lsn() > core.end.lsn;
        let header = core.next_header(number, size_bytes, origin);
        let installed = install(&*core.disk, header, None);
        let Installed { segment, .. } = match installed {
            Ok(installed) => installed,
            Err(Error::Io { operation, source, .. }) => {
                let cause = Cause { operation, source };
                let stopped = core.stop(cause.clone());
                drop(core);
                self.shared.commit.announce(stopped, &*self.shared);
                return Err(Error::Poisoned { cause });
            }
            Err(error) => return Err(error),
        };
        let mut dead: Vec<SegmentNumber> = prepared.iter().map(|one| one.number).collect();
        dead.extend(core.replaced.drain(..).map(|(number, _)| number));
        let keep = if origin { Lsn::ZERO } else { core.end.lsn };
        while let Some(segment) = core.segments.pop_above(keep) {
            dead.push(segment.number());
        }
        let (end, chain) = (core.end, core.end_chain);
        core.restart_at(end, chain, segment);
        drop(core);
        self.shared.progress_made();
        dead.into_iter().try_for_each(|number| self.remove_segment(number))
    }

    /// The identity of a durable record, and the chain up to it.
    pub fn locate(&self, lsn: Lsn) -> Result<(LogId, Chain)> {
        let core = self.shared.commit.lock();
        if lsn == core.end.lsn {
            return Ok((core.end, core.end_chain));
        }
        let first_lsn = core.segments.first_lsn();
        let below = core.segments.holding(first_lsn).map(|segment| segment.header);
        drop(core);
        if let Some(SegmentHeader { epoch, chain_before, .. }) = below
            && lsn == first_lsn.previous()
        {
            return Ok((LogId { epoch, lsn }, chain_before));
        }
        let mut reader = self.reader(lsn, Bound::Durable)?;
        reader.locate(lsn)
    }

    /// Saves the frames that a truncation drops.
    fn save_dropped(&self, mut dropped: Dropped) -> Result<Dropped> {
        let mut reader = self.reader(dropped.first_lsn, Bound::Durable)?;
        let name = format!("{DROPPED_DIRECTORY}/{}-{}.frames", dropped.first_lsn, dropped.last);
        let disk = self.shared.commit.lock().disk.clone();
        let io = |operation: &'static str| {
            let name = name.clone();
            move |error| Error::io(operation, name.clone(), error)
        };
        match disk.remove(&name) {
            // An earlier attempt that failed left a part.
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("replace")(error));
            }
            _ => {}
        }
        let file = disk.open(&name, Open::CreateNew).map_err(io("create"))?;
        while let Some(run) = reader.read_run()? {
            if dropped.saved_bytes + run.frames().len() as u64 > DROPPED_CAP_BYTES {
                dropped.capped = true;
                break;
            }
            file.write_at(dropped.saved_bytes, run.frames()).map_err(io("write"))?;
            dropped.saved_bytes += run.frames().len() as u64;
        }
        file.sync().map_err(io("sync"))?;
        disk.sync_directory(DROPPED_DIRECTORY).map_err(io("sync the directory of"))?;
        tracing::warn!(file = %name, first = %dropped.first_lsn, last = %dropped.last,
            "records that were never committed are dropped");
        dropped.file = Some(name);
        Ok(dropped)
    }
}

impl Core {
    /// From where on the log must be kept: `first_kept`, or the lowest hold that is not over the
    /// cap.
    fn keep_from(&mut self, first_kept: Lsn) -> Lsn {
        let cap_bytes = self.options.hold_cap_bytes;
        let newest_first: Vec<(Lsn, u64)> = self
            .segments
            .iter()
            .rev()
            .map(|one| (one.header.first_lsn, one.header.size_bytes))
            .collect();
        for hold in self.holds.values_mut() {
            let mut kept_bytes = 0;
            for &(first_lsn, size_bytes) in &newest_first {
                kept_bytes += size_bytes;
                if first_lsn <= hold.lsn {
                    break;
                }
            }
            if hold.lsn < first_kept && kept_bytes > cap_bytes && !hold.lost {
                tracing::warn!(lsn = %hold.lsn, cap_bytes, "a hold on the log went past its cap");
                hold.lost = true;
            }
        }
        let holds = self.holds.values().filter(|hold| !hold.lost).map(|hold| hold.lsn);
        holds.min().map_or(first_kept, |hold| hold.min(first_kept))
    }
}
