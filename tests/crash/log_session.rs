//! A log alone, stepped through operations on a simulated disk, with the model beside it.

use std::sync::Arc;

use mainstay_wal::disk::SimDisk;
use mainstay_wal::history::{EpochEntry, EpochHistory};
use mainstay_wal::manifest::Manifest;
use mainstay_wal::{
    Chain, DatabaseId, Epoch, Error, Hold, Incarnation, Log, LogId, LogOptions, Lsn, Result,
};

use crate::draw::Draw;
use crate::log_model::LogModel;
use crate::tally::Tally;

/// What a program was told of its log.
#[derive(Clone, Debug)]
pub(crate) struct LogTold {
    pub(crate) model: LogModel,
    /// What the log becomes by the operation that was called last and has not returned.
    pub(crate) becoming: Option<LogModel>,
    /// Up to here everything is durable.
    pub(crate) acknowledged: Lsn,
    /// From here on nothing may be let go: nobody allowed it, or somebody holds it.
    pub(crate) kept_from: Lsn,
    /// What lies before this was let go, and must not come back.
    pub(crate) gone_before: Lsn,
}

impl LogTold {
    fn new() -> LogTold {
        LogTold {
            model: LogModel::new(),
            becoming: None,
            acknowledged: Lsn::ZERO,
            kept_from: Lsn(1),
            gone_before: Lsn(1),
        }
    }

    /// Checks a log that was opened after a crash. What it holds is all there is from then on.
    pub(crate) fn check_recovered(&mut self, log: &Log) {
        let becoming = self.becoming.take();
        let end = log.end().lsn;
        let mut why = Vec::new();
        let candidates = [Some(self.model.clone()), becoming].into_iter().enumerate();
        for (number, mut model) in candidates.filter_map(|(n, model)| model.map(|m| (n, m))) {
            if let Err(reason) = model.compare(log) {
                why.push(reason);
                continue;
            }
            // A truncation or a reset takes effect whole, or not at all.
            let least = if number == 0 { self.acknowledged } else { model.last_lsn() };
            if end < least {
                why.push(format!("{least} is acknowledged, the log ends at {end}"));
                continue;
            }
            model.truncate(end);
            (self.model, self.acknowledged) = (model, end);
            self.check_begin(log, number == 1);
            return;
        }
        panic!("the log holds what it never held: {}", why.join("; or: "));
    }

    fn check_begin(&mut self, log: &Log, is_reset: bool) {
        let first = log.first_lsn();
        assert!(first >= self.gone_before, "{first}, but {} was let go", self.gone_before);
        if is_reset {
            (self.kept_from, self.gone_before) = (self.kept_from.max(first), first);
        }
        assert!(first <= self.kept_from, "{first}, but {} is to be kept", self.kept_from);
        self.gone_before = first;
    }
}

/// An open log.
pub(crate) struct LogSession {
    disk: SimDisk,
    log: Option<Log>,
    hold: Option<Hold>,
    pub(crate) told: LogTold,
    opened: u64,
    /// No two payloads are the same.
    payloads: u64,
}

fn options(opened: u64) -> LogOptions {
    LogOptions { salt_seed: opened, ..LogOptions::tiny() }
}

pub(crate) fn open(disk: &SimDisk, opened: u64) -> Result<Log> {
    Ok(Log::open(Arc::new(disk.clone()), options(opened), None)?.log)
}

impl LogSession {
    pub(crate) fn create(disk: &SimDisk) -> (LogTold, Result<LogSession>) {
        let manifest = Manifest::new(DatabaseId(7), Incarnation(1), "none", "store-1");
        let told = LogTold::new();
        let made = Log::create(Arc::new(disk.clone()), options(0), &manifest, None);
        let session = made.map(|opened| LogSession::with(disk, opened.log, told.clone(), 1));
        (told, session)
    }

    pub(crate) fn with(disk: &SimDisk, log: Log, told: LogTold, opened: u64) -> LogSession {
        let (disk, log) = (disk.clone(), Some(log));
        LogSession { disk, log, hold: None, told, opened, payloads: opened << 32 }
    }

    fn log(&self) -> &Log {
        self.log.as_ref().expect("an open log")
    }

    fn note_durable(&mut self) {
        self.told.acknowledged = self.told.acknowledged.max(self.log().durable_lsn());
    }

    pub(crate) fn run(
        &mut self,
        draw: &mut Draw,
        operations: usize,
        tally: &mut Tally,
    ) -> Result<()> {
        for _ in 0..operations {
            let what = self.perform(draw)?;
            tally.add(what, 1);
            self.note_durable();
        }
        Ok(())
    }

    /// Does one operation; gives what it was.
    fn perform(&mut self, draw: &mut Draw) -> Result<&'static str> {
        match draw.below(100) {
            0..=34 => self.append(draw).map(|_lsn| "appends"),
            35..=54 => {
                let lsn = self.append(draw)?;
                self.log().wait_durable(lsn)?;
                Ok("appends waited for")
            }
            55..=66 => self.while_in_flight(draw),
            67..=71 => {
                if let Some(proof) = self.log().begin_proof() {
                    let outcome = proof.perform();
                    self.log().finish_group(proof, outcome);
                }
                self.log().refusal().map_or(Ok("proofs"), Err)
            }
            72..=75 => self.log().prepare_segment(0).map(|_prepared| "preparations"),
            76..=79 => self.log().begin_epoch(self.log().epoch().next()).map(|()| "epochs"),
            80..=82 => {
                let lsn = Lsn(1 + draw.below(self.log().durable_lsn().0 + 1));
                self.log().set_commit_lsn(lsn.min(self.log().durable_lsn()));
                Ok("commits")
            }
            83..=85 => self.hold(draw),
            86..=88 => self.truncate_suffix(draw),
            89..=93 => self.truncate_prefix(draw),
            94..=95 => self.reset(draw),
            _ => self.reopen(),
        }
    }

    fn append(&mut self, draw: &mut Draw) -> Result<Lsn> {
        self.payloads += 1;
        let bytes = if draw.below(12) == 0 { 900 + draw.below(2200) } else { draw.below(260) };
        let mut payload = self.payloads.to_le_bytes().to_vec();
        payload.resize(8 + bytes as usize, draw.below(256) as u8);
        let lsn = self.log().append(&payload)?;
        self.told.model.push(LogId { epoch: self.log().epoch(), lsn }, &payload);
        Ok(lsn)
    }

    /// Nothing here may wait: the write in flight is ours, and finished only afterwards.
    fn while_in_flight(&mut self, draw: &mut Draw) -> Result<&'static str> {
        let write = self.log().begin_group();
        let appended = (0..1 + draw.below(4)).try_for_each(|_| self.append(draw).map(drop));
        if let Some(write) = write {
            let outcome = write.perform();
            self.log().finish_group(write, outcome);
        }
        appended?;
        self.log().refusal().map_or(Ok("groups in flight"), Err)
    }

    fn hold(&mut self, draw: &mut Draw) -> Result<&'static str> {
        if draw.below(3) == 0 {
            self.hold = None;
            return Ok("holds let go");
        }
        let first = self.log().first_lsn();
        let lsn = Lsn(first.0 + draw.below(self.log().end().lsn.0 + 2 - first.0));
        self.hold = Some(self.log().hold(lsn)?);
        Ok("holds")
    }

    fn truncate_suffix(&mut self, draw: &mut Draw) -> Result<&'static str> {
        // First of all it waits for what is appended.
        self.log().sync()?;
        self.note_durable();
        let lowest = self.log().first_lsn().previous().max(self.log().commit_lsn());
        let end = self.log().end().lsn;
        if lowest >= end {
            return Ok("nothing to truncate");
        }
        let kept = Lsn(end.0 - 1 - draw.below((end.0 - lowest.0).min(30)));
        let mut becoming = self.told.model.clone();
        becoming.truncate(kept);
        self.told.becoming = Some(becoming.clone());
        let dropped = self.log().truncate_suffix(kept)?;
        assert_eq!((dropped.first_lsn, dropped.last.lsn), (kept.next(), end));
        self.told.becoming = None;
        (self.told.model, self.told.acknowledged) = (becoming, kept);
        Ok("suffixes truncated")
    }

    fn truncate_prefix(&mut self, draw: &mut Draw) -> Result<&'static str> {
        let first = self.log().first_lsn();
        let wanted = Lsn(first.0 + draw.below(self.log().end().lsn.0 + 2 - first.0));
        // Its files may be gone when it fails.
        let held = self.hold.as_ref().map(Hold::lsn).transpose()?;
        let allowed = held.map_or(wanted, |held| held.min(wanted));
        self.told.kept_from = self.told.kept_from.max(allowed);
        let begun = self.log().truncate_prefix(wanted)?;
        assert!(begun <= self.told.kept_from, "{begun} although {allowed} is to be kept");
        self.told.gone_before = begun;
        Ok("prefixes truncated")
    }

    fn reset(&mut self, draw: &mut Draw) -> Result<&'static str> {
        self.log().sync()?;
        self.note_durable();
        let (end, chain) = self.log().end_and_chain();
        let lsn = Lsn(end.lsn.0 + 1 + draw.below(9));
        let epoch = Epoch(self.log().epoch().0 + draw.below(2)).max(Epoch(2));
        let (start_lsn, chain_at_start) = (Lsn(lsn.0.max(2)), Chain(chain.0 | 1));
        let mut epochs = EpochHistory::new();
        epochs.push(EpochEntry { epoch, start_lsn, chain_at_start });
        let (end, chain) = (LogId { epoch, lsn: start_lsn }, Chain(chain.0 ^ 2));
        let becoming = LogModel::behind(end, chain, epochs.clone());
        self.told.becoming = Some(becoming.clone());
        self.told.kept_from = self.told.kept_from.max(start_lsn.next());
        self.hold = None;
        self.log().reset(end, chain, &epochs)?;
        self.told.becoming = None;
        (self.told.model, self.told.acknowledged) = (becoming, start_lsn);
        self.told.gone_before = start_lsn.next();
        Ok("resets")
    }

    pub(crate) fn reopen(&mut self) -> Result<&'static str> {
        self.log().close()?;
        self.note_durable();
        (self.hold, self.log) = (None, None);
        let opened = Log::open(Arc::new(self.disk.clone()), options(self.opened), None)?;
        assert!(opened.recovery.clean, "after a clean close: {:?}", opened.recovery);
        self.opened += 1;
        self.log = Some(opened.log);
        self.told.model.compare(self.log()).unwrap_or_else(|reason| panic!("{reason}"));
        Ok("reopenings")
    }

    /// A log that was recovered must go on, and be whole when it is opened again.
    pub(crate) fn goes_on(mut self, draw: &mut Draw) {
        let mut go_on = || {
            for _ in 0..3 {
                let lsn = self.append(draw)?;
                self.log().wait_durable(lsn)?;
            }
            self.reopen()
        };
        let gone_on: std::result::Result<_, Error> = go_on();
        gone_on.unwrap_or_else(|error| panic!("afterwards: {error}"));
    }
}
