//! What a write returns that was not waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mainstay_wal::Lsn;

use super::Inner;
use crate::error::Result;
use crate::options::Durability;

/// The promise that a write will be as durable as was asked for.
///
/// Dropping it changes nothing about the write. It can be waited for, asked, or awaited with any
/// executor.
#[must_use = "a write is acknowledged only when its ticket says so"]
pub struct Ticket {
    inner: Arc<Inner>,
    lsn: Lsn,
    durability: Durability,
    /// What must become durable before the write is acknowledged and visible: the write itself, or
    /// a synced one before it.
    waits_for: Option<mainstay_wal::Ticket>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("lsn", &self.lsn()).finish()
    }
}

impl Ticket {
    pub(super) fn new(inner: Arc<Inner>, lsn: Lsn, durability: Durability) -> Ticket {
        let awaited = inner.engine.waits_for(lsn, durability);
        let waits_for = awaited.map(|lsn| inner.engine.log.ticket(lsn));
        Ticket { inner, lsn, durability, waits_for }
    }

    /// The write's place in the log.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Waits until the write is acknowledged and visible, and gives its LSN.
    ///
    /// [`ErrorKind::Indeterminate`](crate::ErrorKind::Indeterminate): whether it is durable is
    /// unknown until the database is reopened. Any other error: it was not applied.
    pub fn wait(self) -> Result<Lsn> {
        self.inner.engine.acknowledge(self.lsn, self.durability)?;
        Ok(self.lsn)
    }

    /// Whether the outcome is known. Does not wait.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.waits_for.as_ref().is_none_or(mainstay_wal::Ticket::is_done)
    }
}

impl Future for Ticket {
    type Output = Result<Lsn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Lsn>> {
        if let Some(log) = &mut self.waits_for {
            match Pin::new(log).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(outcome) => outcome?,
            }
        }
        // It may become durable a moment before the listener has heard of it.
        self.inner.engine.advance(self.inner.engine.log.durable_lsn());
        Poll::Ready(Ok(self.lsn))
    }
}
