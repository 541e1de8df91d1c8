//! A child that works until it is killed, and how to tell afterwards that nothing was lost.
//!
//! The child (`mainstay crash-child`, hidden) executes a [`Workload`]: operation `n` of a writer
//! follows from the seed, the writer and `n` alone. It prints [`Ack`] lines for what is durable.
//! Whoever killed it replays the same workload on a [`Witness`], an ordinary map, and compares: the
//! database must hold the state after exactly as many operations as were acknowledged, or after a
//! few more that were on the way.

mod ack;
mod kill;
mod witness;
mod workload;

pub use ack::{Ack, parse_acks};
pub use kill::{Killed, Outcome, Running, When};
pub use witness::{State, Witness};
pub use workload::{Edit, Mix, Op, Side, Workload};
