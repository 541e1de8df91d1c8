//! Reading a range in a transaction: the snapshot under the transaction's own writes.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::reads::RangeRead;
use crate::bytes::{Key, Value};
use crate::error::Result;
use crate::memtable::Side;
use crate::range::Range;
use crate::span::{self, Span};

/// The entries of a range as a transaction sees them, from both ends.
///
/// It shows what the transaction had written when the iterator was made. Only as far as it is read
/// it counts as read: a write by others behind that is no conflict.
#[derive(Debug)]
pub struct TransactionRange {
    stored: Range,
    /// Read from `stored` and not given out yet.
    front: Option<(Key, Value)>,
    back: Option<(Key, Value)>,
    points: VecDeque<(Key, Option<Value>)>,
    removed: Vec<Span>,
    read: Arc<Mutex<RangeRead>>,
    done: bool,
}

impl TransactionRange {
    pub(super) fn new(
        stored: Range,
        (points, removed): (Vec<(Key, Option<Value>)>, Vec<Span>),
        read: Arc<Mutex<RangeRead>>,
    ) -> TransactionRange {
        TransactionRange {
            stored,
            front: None,
            back: None,
            points: points.into(),
            removed,
            read,
            done: false,
        }
    }

    fn next_from(&mut self, side: Side) -> Option<Result<(Key, Value)>> {
        if self.done {
            return None;
        }
        let next = self.merged(side).transpose();
        let mut read = self.read.lock();
        match (&next, side) {
            (Some(Ok((key, _))), Side::Front) => read.front_reached(key),
            (Some(Ok((key, _))), Side::Back) => read.back_reached(key),
            (Some(Err(_)) | None, _) => {
                read.all_read();
                self.done = true;
            }
        }
        next
    }

    fn merged(&mut self, side: Side) -> Result<Option<(Key, Value)>> {
        loop {
            let stored = self.peek_stored(side)?;
            let own = match side {
                Side::Front => self.points.front(),
                Side::Back => self.points.back(),
            };
            let order = match (&stored, own) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((stored, _)), Some((own, _))) if side == Side::Front => stored.cmp(own),
                (Some((stored, _)), Some((own, _))) => own.cmp(stored),
            };
            if order == Ordering::Less {
                return Ok(stored);
            }
            if order == Ordering::Greater {
                self.put_back(side, stored);
            }
            let own = match side {
                Side::Front => self.points.pop_front(),
                Side::Back => self.points.pop_back(),
            };
            if let Some((key, Some(value))) = own {
                return Ok(Some((key, value)));
            }
        }
    }

    /// Takes the next entry of the snapshot that the transaction has not removed.
    fn peek_stored(&mut self, side: Side) -> Result<Option<(Key, Value)>> {
        let kept = match side {
            Side::Front => self.front.take(),
            Side::Back => self.back.take(),
        };
        if kept.is_some() {
            return Ok(kept);
        }
        loop {
            let next = match side {
                Side::Front => self.stored.next().transpose()?.or_else(|| self.back.take()),
                Side::Back => self.stored.next_back().transpose()?.or_else(|| self.front.take()),
            };
            match next {
                Some((key, _)) if span::covers(&self.removed, &key).is_some() => {}
                other => return Ok(other),
            }
        }
    }

    fn put_back(&mut self, side: Side, entry: Option<(Key, Value)>) {
        match side {
            Side::Front => self.front = entry,
            Side::Back => self.back = entry,
        }
    }
}

impl Iterator for TransactionRange {
    type Item = Result<(Key, Value)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_from(Side::Front)
    }
}

impl DoubleEndedIterator for TransactionRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.next_from(Side::Back)
    }
}

impl std::iter::FusedIterator for TransactionRange {}
