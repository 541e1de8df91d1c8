//! The contract of a protocol.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::effect::Effects;
use crate::input::Input;
use crate::time::Time;

/// A replication protocol: a deterministic state machine that does no I/O.
///
/// # Contract
///
/// 1. The same inputs at the same times give the same effects, in the same order. What is random
///    comes in with a seed when the protocol is made.
/// 2. Whatever a peer sent, [`handle`](Protocol::handle) neither panics nor fails: nonsense is
///    counted and dropped.
/// 3. Nothing is told to anybody as durable before [`Input::Durable`] said so, as a promise before
///    [`Input::Promised`] did, or as done before [`Input::Applied`] did.
/// 4. `now` never goes back from one call to the next.
/// 5. Its memory is bounded: what a peer or a client sends and what waits is counted against
///    limits.
pub trait Protocol {
    /// What travels between the nodes.
    type Message: Serialize + DeserializeOwned;

    /// Takes in one event, and adds to `effects` what is to be done about it. Never blocks.
    fn handle(
        &mut self,
        now: Time,
        input: Input<Self::Message>,
        effects: &mut Effects<Self::Message>,
    );

    /// When to call again with [`Input::Timeout`], and what for, as it stands in traces. `None`:
    /// not before something else happens. Asked again after every call of
    /// [`handle`](Protocol::handle); an earlier answer is void then.
    fn wake_at(&self) -> Option<(Time, &'static str)>;
}
