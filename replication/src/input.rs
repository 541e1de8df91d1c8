//! What a protocol is told.

use mainstay_engine::wal::{LogId, Lsn};
use mainstay_transport::NodeId;

use crate::ids::{Command, Promise, RequestId};

/// One event. What the disk finished is an event too: a protocol never waits.
///
/// Inputs that answer effects come in the order of those effects, one kind by itself; a crash can
/// come between an effect and its answer.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<M> {
    /// A message of a peer. Its envelope was checked; what is in it may be nonsense all the same:
    /// count it and drop it.
    Message {
        /// From whom.
        from: NodeId,
        /// What it says.
        message: M,
    },
    /// A client asks for something.
    Request {
        /// Which request.
        id: RequestId,
        /// What for.
        command: Command,
    },
    /// [`Effect::Evaluate`](crate::Effect::Evaluate): the command stands in the log, neither
    /// durable nor committed.
    Appended {
        /// Which request.
        id: RequestId,
        /// Where its record stands.
        at: LogId,
    },
    /// [`Effect::Evaluate`](crate::Effect::Evaluate): the command was refused and nothing was
    /// appended. The client may be told once `depends_on` is applied, and not before.
    Refused {
        /// Which request.
        id: RequestId,
        /// What the client is told.
        why: Command,
        /// The record that refused it; [`Lsn::ZERO`] if none did.
        depends_on: Lsn,
    },
    /// [`Effect::Promise`](crate::Effect::Promise): the promise is durable.
    Promised(Promise),
    /// Everything up to here is durable in the own log: after
    /// [`Effect::Append`](crate::Effect::Append),
    /// [`Effect::Evaluate`](crate::Effect::Evaluate), and with the new end of the log after
    /// [`Effect::TruncateAfter`](crate::Effect::TruncateAfter).
    Durable {
        /// The newest durable record.
        up_to: LogId,
    },
    /// [`Effect::Apply`](crate::Effect::Apply): everything up to here is applied and visible.
    Applied {
        /// The newest visible record.
        up_to: Lsn,
    },
    /// [`Effect::Load`](crate::Effect::Load): frames of the own log.
    Loaded {
        /// The record before them.
        previous: LogId,
        /// The frames, byte for byte. Empty: there are none yet.
        frames: Vec<u8>,
    },
    /// [`Effect::Install`](crate::Effect::Install): the image is this node's state, durably.
    Installed {
        /// Where it ends; everything up to there is committed, durable and visible.
        end: LogId,
    },
    /// An effect could not be carried out.
    Failed(Failure),
    /// An operator's order.
    Admin(Order),
    /// The time of [`Protocol::wake_at`](crate::Protocol::wake_at) has come.
    Timeout,
}

/// What could not be done.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The log or the Store takes no further write; what was durable can be read. The node is of no
    /// use until it is opened anew, and must not be primary.
    Stopped,
    /// The disk is full: the frames or the command were not appended. It may be tried again.
    NoSpace,
    /// The frames do not follow the end of the log, or are damaged. Nothing was appended.
    NotAppended,
    /// The log begins behind what was to be loaded: the peer needs an image.
    LogTruncated {
        /// The oldest record there is.
        first_lsn: Lsn,
    },
    /// The image could not be sent, or did not arrive whole. The node is as it was.
    Image {
        /// The peer at the other end.
        peer: NodeId,
    },
}

/// An operator's order.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Become primary.
    Promote,
    /// Let another node be primary.
    Release,
}
