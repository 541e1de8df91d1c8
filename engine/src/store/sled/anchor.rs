//! Keeps sled from losing, in a power cut, what was durable before.
//!
//! sled's log is a file of segments. It takes for stable what `sync_file_range` wrote, which a
//! power cut can take away, and draws two conclusions from it:
//!
//! 1. A segment is free once what replaces its content is stable: it is overwritten, or cut off. If
//!    the power goes then, neither old nor new content need be left, of entries that were durable
//!    long ago.
//! 2. Each segment names in its header the place up to which the log was stable when it was begun,
//!    some bytes before the segment that precedes it ended. Recovery checks that the log has no
//!    holes from there on only; holes before it are thought to be free segments. So what was lost
//!    there goes unnoticed, pages and their parents no longer fit together, and sled fails, or
//!    finds less than there was.
//!
//! Against both we sync before sled has written two segments since the last sync: then all that it
//! draws conclusions about is durable. How much it writes is estimated, at the worst that pages of
//! like entries can cause.
//!
//! As an estimate can be wrong, an anchor stands against the first, which loses data in silence, by
//! another way. sled learns what is stable only through functions that it defers with the
//! epoch-based collector that it takes memory back with, and these wait for every thread that was
//! pinned before. So a thread that stays pinned keeps sled from giving free any segment for what
//! was written since. It pins before anything is written; it is let go once our own sync has made
//! that durable, and where writing goes on, its successor was pinned before the sync. The price is
//! that sled cannot take back memory meanwhile: each page that it replaced, or that a read pushed
//! out of its cache, stays.
//!
//! Without this, a third of simulated power cuts in the middle of 16,000 overwrites damaged the
//! Store, and one in seven lost durable values without an error; `tests` repeats that.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// A thread that is pinned for as long as this lives.
#[derive(Debug)]
pub(super) struct Anchor {
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Anchor {
    /// Pins. Whatever sled writes after this returned is not taken for stable until the anchor is
    /// dropped.
    #[expect(clippy::disallowed_methods, reason = "a pin belongs to a thread, and outlives calls")]
    pub(super) fn pin() -> std::io::Result<Anchor> {
        let (release, released) = channel::<()>();
        let (pinned, is_pinned) = channel();
        let thread =
            std::thread::Builder::new().name("mainstay-sled-anchor".into()).spawn(move || {
                let _guard = ::sled::pin();
                // The receiver is there until it has heard.
                let _ = pinned.send(());
                // Nothing is ever sent: it ends when the sender is dropped.
                let _ = released.recv();
            })?;
        is_pinned.recv().map_err(std::io::Error::other)?;
        Ok(Anchor { release: Some(release), thread: Some(thread) })
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        drop(self.release.take());
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic; and were it so, its pin would be gone all the same.
            let _ = thread.join();
        }
    }
}
