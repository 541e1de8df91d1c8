//! Following the changes of a database from a record on.
//!
//! A subscription reads the log. It gives out a record once two things are true of it: readers see
//! it, and it is durable. A write with [`Durability::Buffered`](crate::Durability::Buffered) is
//! seen before it is durable, and a crash may take it back; a subscriber gets it only when that
//! cannot happen any more. So what a subscriber has got is in the database after every crash, and a
//! subscriber that keeps the LSN of the last change it has dealt with resumes behind it, with
//! nothing lost and nothing twice.

mod change;
mod shown;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_wal::{Hold, Log, Lsn, Reader};

use crate::db::Db;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::keyspace::{AsKeyspace, KeyspaceId};
use crate::record::{self, RecordOp};
use crate::span::Span;
use crate::state::State;

pub use change::{Change, ChangeOp};
pub(crate) use shown::Shown;

/// How often the hold of a subscription is moved along: it takes the log's lock.
const CHANGES_PER_HOLD: u32 = 64;

/// A waiting subscriber looks so often by itself whether the log has failed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Db {
    /// Follows the database: every write behind LSN `after`, in order, without a gap.
    ///
    /// `subscribe(snapshot.lsn())` goes on exactly where a snapshot ends,
    /// `subscribe(db.visible_lsn())` begins now, and `subscribe(Lsn::ZERO)` gives everything
    /// since the database was made, if the log still has it. To resume, give the LSN of the
    /// last [`Change`] that was dealt with. An LSN ahead of the log's end waits until the log gets
    /// there.
    ///
    /// A write is given out when it is visible *and* durable, a buffered one up to a second after
    /// it is seen by readers. The log is let go by checkpoints: a subscriber that may fall
    /// behind asks for [`Subscription::hold`].
    ///
    /// # Errors
    /// [`mainstay_wal::Error::LogTruncated`] if the record behind `after` is gone: read a
    /// [`Snapshot`](crate::Snapshot), and subscribe from there.
    pub fn subscribe(&self, after: Lsn) -> Result<Subscription> {
        self.inner().engine.subscribe(after)
    }
}

impl Engine {
    /// As [`Db::subscribe`].
    pub fn subscribe(&self, after: Lsn) -> Result<Subscription> {
        let reader = self.log.reader(after.next(), mainstay_wal::Bound::Durable)?;
        let source =
            Source { reader, log: self.log.clone(), state: self.state.clone(), hold: None };
        Ok(Subscription {
            source: Some(source),
            next: after.next(),
            shown: self.shown.clone(),
            filters: Vec::new(),
            refused: None,
            since_hold: 0,
        })
    }
}

/// The changes of a database, in order: see [`Db::subscribe`].
///
/// It is an iterator that waits for the next change. The iterator ends when the database was closed
/// and everything before that was given out; it also ends after an error, which is its last item.
///
/// It keeps the directory of the database locked until it has seen the end or is dropped, but does
/// not keep the database open: dropping the last [`Db`] ends it.
#[derive(Debug)]
pub struct Subscription {
    /// None at the end.
    source: Option<Source>,
    next: Lsn,
    shown: Arc<Shown>,
    /// What is asked for; everything if there are none.
    filters: Vec<(KeyspaceId, Span)>,
    /// A filter that cannot be.
    refused: Option<Error>,
    since_hold: u32,
}

#[derive(Debug)]
struct Source {
    reader: Reader,
    log: Log,
    state: Arc<State>,
    hold: Option<Hold>,
}

impl Subscription {
    /// Only what concerns this keyspace. With several calls: what any of them asks for.
    ///
    /// Writes that change nothing of it are stepped over, and of others only the parts that do are
    /// given. A keyspace of another database is [`Error::NoSuchKeyspace`] at the first change.
    #[must_use]
    pub fn keyspace(self, keyspace: &impl AsKeyspace) -> Subscription {
        self.filter(keyspace, Span::all())
    }

    /// As [`Subscription::keyspace`], and only what concerns keys that begin with `prefix`: a
    /// removed range where it has such keys, and a dropped keyspace.
    #[must_use]
    pub fn prefix(self, keyspace: &impl AsKeyspace, prefix: impl AsRef<[u8]>) -> Subscription {
        self.filter(keyspace, Span::prefix(prefix.as_ref()))
    }

    fn filter(mut self, keyspace: &impl AsKeyspace, span: Span) -> Subscription {
        let keyspace = keyspace.as_keyspace();
        let own = self.source.as_ref().map(|source| source.state.number());
        if own.is_some_and(|own| own != keyspace.database()) {
            self.refused.get_or_insert(keyspace.missing());
        }
        self.filters.push((keyspace.id(), span));
        self
    }

    /// Keeps the log for this subscription, however slow it is, up to the cap on holds.
    ///
    /// # Errors
    /// [`mainstay_wal::Error::LogTruncated`] if the next record is gone already. Past the cap the
    /// hold is lost, and the subscription goes on as one without.
    pub fn hold(mut self) -> Result<Subscription> {
        if let Some(source) = &mut self.source {
            source.hold = Some(source.log.hold(self.next)?);
        }
        Ok(self)
    }

    /// The record that is looked at next: everything below was given out or stepped over. To resume
    /// from here, subscribe behind [`Lsn::previous`] of it.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The next change, if there is one now. Does not wait.
    ///
    /// # Errors
    /// - [`mainstay_wal::Error::Closed`]: the database was closed, and everything was given out.
    /// - [`mainstay_wal::Error::Poisoned`]: the log has failed, and everything durable was given
    ///   out.
    /// - [`mainstay_wal::Error::LogTruncated`]: the log was let go before it was read here.
    /// - [`mainstay_wal::Error::Corrupt`] and [`Error::BadRecord`]: the log is damaged here.
    ///
    /// All of them come again with every further call.
    pub fn try_next(&mut self) -> Result<Option<Change>> {
        self.advance(None)
    }

    /// The next change; waits for it up to `timeout`. `None` if there is none until then.
    ///
    /// Errors as of [`Subscription::try_next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Change>> {
        let deadline = now().checked_add(timeout);
        self.wait_until(deadline)
    }

    /// Waits without end if there is no deadline.
    fn wait_until(&mut self, deadline: Option<Instant>) -> Result<Option<Change>> {
        let shown = self.shown.clone();
        let _waiting = shown.wait_for();
        loop {
            let seen = shown.generation();
            if let Some(change) = self.advance(deadline)? {
                return Ok(Some(change));
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(now()),
                None => LOOK_EVERY,
            };
            if left.is_zero() {
                return Ok(None);
            }
            shown.wait(seen, left.min(LOOK_EVERY));
        }
    }

    /// Reads on to the next change that is asked for, or to where there is nothing more, or to the
    /// deadline.
    fn advance(&mut self, deadline: Option<Instant>) -> Result<Option<Change>> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        loop {
            // Before looking for more: what was shown before the end is given out.
            let ended = self.shown.is_closed();
            let Some(source) = &mut self.source else {
                return Err(mainstay_wal::Error::Closed.into());
            };
            let failed = source.log.refusal().filter(is_failure);
            let change = if self.next <= source.state.visible_lsn() {
                read(source, &self.filters)?
            } else {
                None
            };
            let Some(change) = change else {
                if ended {
                    self.source = None;
                    return Err(mainstay_wal::Error::Closed.into());
                }
                return failed.map_or(Ok(None), |error| Err(error.into()));
            };
            self.next = change.lsn.next();
            self.move_hold();
            if self.filters.is_empty() || !change.ops.is_empty() {
                return Ok(Some(change));
            }
            if deadline.is_some_and(|deadline| now() >= deadline) {
                return Ok(None);
            }
        }
    }

    fn move_hold(&mut self) {
        self.since_hold += 1;
        let Some(source) = &mut self.source else { return };
        if self.since_hold < CHANGES_PER_HOLD {
            return;
        }
        self.since_hold = 0;
        // A hold that is lost no longer keeps anything; whether something is missing will be seen.
        if source.hold.take_if(|hold| hold.advance(self.next).is_err()).is_some() {
            tracing::warn!(next = %self.next, "the log is no longer held for a subscription");
        }
    }
}

impl Iterator for Subscription {
    type Item = Result<Change>;

    /// Waits for the next change.
    fn next(&mut self) -> Option<Result<Change>> {
        self.source.as_ref()?;
        match self.wait_until(None) {
            Ok(change) => change.map(Ok),
            Err(Error::Log(mainstay_wal::Error::Closed)) => None,
            Err(error) => {
                self.source = None;
                Some(Err(error))
            }
        }
    }
}

/// Reads one durable record. The caller has seen that it is visible.
fn read(source: &mut Source, filters: &[(KeyspaceId, Span)]) -> Result<Option<Change>> {
    let Some(frame) = source.reader.next_frame()? else { return Ok(None) };
    let (lsn, epoch) = (frame.header.lsn, frame.header.epoch);
    let mut ops = Vec::new();
    for op in record::decode(lsn, frame.payload)? {
        let op = op?;
        if filters.is_empty() || filters.iter().any(|filter| concerns(&op, filter)) {
            ops.push(ChangeOp::from(op));
        }
    }
    Ok(Some(Change { lsn, epoch, ops }))
}

fn concerns(op: &RecordOp<'_>, (keyspace, span): &(KeyspaceId, Span)) -> bool {
    op.keyspace() == *keyspace
        && match *op {
            RecordOp::Insert { key, .. } | RecordOp::Remove { key, .. } => span.contains(key),
            RecordOp::RemoveRange { lower, upper, .. } => {
                Span::between(lower, upper).overlaps(span)
            }
            RecordOp::CreateKeyspace { .. } | RecordOp::DropKeyspace { .. } => true,
        }
}

/// A closed log is no failure: the database says itself when everything was shown.
fn is_failure(error: &mainstay_wal::Error) -> bool {
    !matches!(error, mainstay_wal::Error::Closed)
}

#[expect(clippy::disallowed_methods, reason = "a subscriber waits for real time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
