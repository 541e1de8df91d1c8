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
    log: mainstay_wal::Ticket,
    durability: Durability,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("lsn", &self.lsn()).finish()
    }
}

impl Ticket {
    pub(super) fn new(inner: Arc<Inner>, lsn: Lsn, durability: Durability) -> Ticket {
        let log = inner.engine.log.ticket(lsn);
        Ticket { inner, log, durability }
    }

    /// The write's place in the log.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.log.lsn()
    }

    /// Waits until the write is acknowledged and visible, and gives its LSN.
    ///
    /// [`ErrorKind::Indeterminate`](crate::ErrorKind::Indeterminate): whether it is durable is
    /// unknown until the database is reopened. Any other error: it was not applied.
    pub fn wait(self) -> Result<Lsn> {
        if self.durability == Durability::Sync {
            self.inner.engine.wait(self.lsn())?;
        }
        Ok(self.lsn())
    }

    /// Whether the outcome is known. Does not wait.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.durability == Durability::Buffered || self.log.is_done()
    }
}

impl Future for Ticket {
    type Output = Result<Lsn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Lsn>> {
        let lsn = self.lsn();
        if self.durability == Durability::Buffered {
            return Poll::Ready(Ok(lsn));
        }
        match Pin::new(&mut self.log).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(())) => {
                // It may become durable a moment before the listener has heard of it.
                self.inner.engine.advance(self.inner.engine.log.durable_lsn());
                Poll::Ready(Ok(lsn))
            }
        }
    }
}
