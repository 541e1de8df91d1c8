//! The contract of replication: a protocol is a deterministic state machine without I/O.
//!
//! A [`Protocol`] is fed one [`Input`] after another and answers with [`Effect`]s. It reads no
//! clock, starts no thread, and touches neither disk nor network: a driver carries the effects out,
//! over a [`ReplicaEngine`](mainstay_engine::ReplicaEngine) and a
//! [`Transport`](mainstay_transport::Transport), and brings what they led to back as inputs. So the
//! same protocol runs under a simulator, in one process, and between hosts, and "acknowledge only
//! what is durable" is a rule inside the protocol, seen in its traces.
//!
//! What travels between nodes is an [`Envelope`], which says for whom and of when it is before
//! anybody looks inside.
//!
//! # Not done
//!
//! There is no protocol here yet, and no driver; the layout of messages on the wire is not fixed.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        clippy::cast_possible_truncation,
        reason = "tests run threads, measure, and count in small numbers"
    )
)]

mod effect;
mod envelope;
mod ids;
mod input;
mod protocol;
#[cfg(test)]
mod tests;
mod time;

pub use effect::{Effect, Effects, Outcome};
pub use envelope::{Envelope, Refusal, Standing};
pub use ids::{ClientId, Command, ConfigurationNumber, Promise, RequestId};
pub use input::{Failure, Input, Order};
pub use protocol::Protocol;
pub use time::Time;

pub use mainstay_engine::ClusterId;
pub use mainstay_engine::wal::{Chain, Epoch, Incarnation, LogId, Lsn};
pub use mainstay_transport::NodeId;
