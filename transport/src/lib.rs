//! How the nodes of a cluster reach each other: the contract of a [`Transport`].
//!
//! A transport carries frames of bytes between nodes, each of which is a [`NodeId`]. It knows
//! nothing of what is in them. What must not be lost is sent again by the protocol above, never by
//! the transport, so a transport has little to promise, and every implementation can keep it:
//! channels between threads, a simulated network, sockets. [`conformance::check`] runs the contract
//! against any of them.
//!
//! # Not done
//!
//! There is no implementation here yet.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::cast_possible_truncation,
        reason = "tests run threads, measure, and count in small numbers"
    )
)]

pub mod conformance;

use std::fmt;
use std::num::NonZeroU64;
use std::time::Duration;

/// A node of a cluster. Given by whoever sets the cluster up; zero is none.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(NonZeroU64);

impl NodeId {
    /// The node with this number; none for zero.
    #[must_use]
    pub const fn new(number: u64) -> Option<NodeId> {
        match NonZeroU64::new(number) {
            Some(number) => Some(NodeId(number)),
            None => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// Something that a transport tells its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is a way to this peer, as far as is known. Frames sent to it may still be lost.
    Up(NodeId),
    /// There is no way to this peer at present. Frames sent to it so far may be lost; frames from
    /// it may still arrive.
    Down(NodeId),
    /// A frame arrived.
    Frame {
        /// From whom. A transport that authenticates its peers has made sure of that.
        from: NodeId,
        /// The bytes that were sent.
        bytes: Vec<u8>,
    },
}

/// Why a frame was not taken. Nothing was sent.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The bounded queue to this peer is full. Try again later, or leave it: the protocol decides.
    #[error("the queue to {to} is full")]
    Busy {
        /// The peer.
        to: NodeId,
    },
    /// This transport has no such peer.
    #[error("{to} is no peer of this node")]
    UnknownPeer {
        /// Who was meant.
        to: NodeId,
    },
    /// The frame is larger than [`Transport::max_frame_bytes`]. Split it.
    #[error("a frame of {bytes} bytes is larger than the limit of {limit_bytes} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// The transport was closed.
    #[error("the transport is closed")]
    Closed,
}

/// The transport was closed: nothing will arrive any more.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transport is closed")]
pub struct Closed;

/// Carries frames between this node and its peers.
///
/// # Contract
///
/// 1. [`send`](Transport::send) never blocks. What it takes waits in a queue of its peer, bounded
///    in frames or bytes; where that is full it answers [`SendError::Busy`] at once.
/// 2. A frame that was taken may be lost, arrive late, arrive twice, or after frames that were sent
///    later.
/// 3. A frame that arrives is one that the named peer has sent to this node, byte for byte. What
///    was damaged on the way is noticed and dropped.
/// 4. Frames between two nodes that are up keep arriving: a frame that is sent again and again
///    arrives in the end.
/// 5. A slow or dead peer holds up nobody else: queues are one a peer.
/// 6. [`Event::Up`] and [`Event::Down`] are hints. They come in turn for each peer, beginning with
///    an up; nothing follows from them for what was sent.
/// 7. What waits to be received is bounded too; past it frames are dropped, as in 2.
pub trait Transport: Send {
    /// The node at this end.
    fn node(&self) -> NodeId;

    /// The largest frame that it takes, at least 64 KiB.
    fn max_frame_bytes(&self) -> usize;

    /// Takes a frame for a peer. Not for the node itself.
    fn send(&self, to: NodeId, frame: &[u8]) -> Result<(), SendError>;

    /// What happened next. Waits at most `patience` for it, and not at all for zero; `None` if
    /// nothing did.
    fn receive(&self, patience: Duration) -> Result<Option<Event>, Closed>;
}

#[cfg(test)]
mod tests;
