//! What a protocol asks for.

use mainstay_engine::wal::{Epoch, LogId, Lsn};
use mainstay_transport::NodeId;

use crate::ids::{Command, Promise, RequestId};

/// One thing to be done. Effects are carried out in their order; what they lead to comes back as an
/// [`Input`](crate::Input).
///
/// A driver may carry out later effects before an earlier one is durable: whoever must wait for the
/// disk waits for the input that says so.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<M> {
    /// Gives a message to the transport. It may be lost, repeated or late; nothing comes back.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: M,
    },
    /// Makes a promise durable. Leads to [`Input::Promised`](crate::Input::Promised).
    Promise(Promise),
    /// Becomes primary of an epoch that was promised: everything in the log is applied, and
    /// commands can be evaluated. Takes effect at once.
    Lead {
        /// The epoch.
        epoch: Epoch,
    },
    /// Ceases to be primary: what is not committed is taken back from the state, and stays in the
    /// log. Takes effect at once.
    Follow,
    /// Executes a command at the primary and appends what it changes. Leads to
    /// [`Input::Appended`](crate::Input::Appended) or [`Input::Refused`](crate::Input::Refused),
    /// and to [`Input::Durable`](crate::Input::Durable) later.
    Evaluate {
        /// Which request.
        id: RequestId,
        /// What for. An empty command appends an empty record.
        command: Command,
    },
    /// Appends frames at a follower, byte for byte. Leads to
    /// [`Input::Durable`](crate::Input::Durable).
    Append {
        /// The record before them, which must be the end of the log.
        previous: LogId,
        /// The frames.
        frames: Vec<u8>,
    },
    /// Drops every record past this one, none of which may be committed. Leads to
    /// [`Input::Durable`](crate::Input::Durable) with the new end.
    TruncateAfter {
        /// The last record that is kept.
        last_kept: Lsn,
    },
    /// Everything up to here is committed: applies it and shows it, as far as it is durable. Leads
    /// to [`Input::Applied`](crate::Input::Applied).
    Apply {
        /// The newest committed record.
        up_to: Lsn,
    },
    /// Reads frames of the own log, appended or durable, to be sent. Leads to
    /// [`Input::Loaded`](crate::Input::Loaded).
    Load {
        /// The first one.
        from: Lsn,
        /// No more than so many bytes, but one frame at least.
        max_bytes: usize,
    },
    /// Sends an image of the state to a peer, while everything goes on.
    SendImage {
        /// To whom.
        to: NodeId,
    },
    /// Puts the image that a peer sends into the place of the own state. Leads to
    /// [`Input::Installed`](crate::Input::Installed).
    Install {
        /// Who sends it.
        from: NodeId,
    },
    /// Answers a client.
    Reply {
        /// Which request.
        id: RequestId,
        /// The answer.
        outcome: Outcome,
    },
}

/// What a client is told.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done, at this record, with the durability that was asked for.
    Done {
        /// The record.
        at: LogId,
    },
    /// It was refused and nothing was changed.
    Refused {
        /// Why, in the driver's own encoding.
        why: Command,
    },
    /// This node cannot do it, and nothing was changed.
    Elsewhere {
        /// Who can, as far as is known.
        primary: Option<NodeId>,
    },
    /// Nobody knows whether it was or will be done. A retry with the same request id finds out.
    Indeterminate,
}

/// Where a protocol puts its effects, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects<M> {
    effects: Vec<Effect<M>>,
}

impl<M> Default for Effects<M> {
    fn default() -> Effects<M> {
        Effects { effects: Vec::new() }
    }
}

impl<M> Effects<M> {
    /// None yet.
    #[must_use]
    pub fn new() -> Effects<M> {
        Effects::default()
    }

    /// Adds one behind the others.
    pub fn push(&mut self, effect: Effect<M>) {
        self.effects.push(effect);
    }

    /// Adds the sending of a message.
    pub fn send(&mut self, to: NodeId, message: M) {
        self.push(Effect::Send { to, message });
    }

    /// Adds the answer to a request.
    pub fn reply(&mut self, id: RequestId, outcome: Outcome) {
        self.push(Effect::Reply { id, outcome });
    }

    /// Takes all of them out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect<M>> + '_ {
        self.effects.drain(..)
    }

    /// What was added and not taken out yet, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Effect<M>] {
        &self.effects
    }
}
