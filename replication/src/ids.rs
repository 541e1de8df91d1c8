//! Names of clients, requests and configurations.

use std::fmt;

use mainstay_engine::wal::Epoch;
use mainstay_transport::NodeId;
use serde::{Deserialize, Serialize};

/// A client's session. Drawn by the client.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId(pub u128);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A request of a client. A retry bears the same one, so that it is executed once.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Who asks.
    pub client: ClientId,
    /// Which of its requests: 1, 2, 3, …
    pub number: u64,
    /// The lowest request that the client has no answer to yet; answers below it can be forgotten.
    /// At most `number`.
    pub lowest_unanswered: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.client, self.number)
    }
}

/// What a request asks for, in the driver's own encoding: a protocol carries it and does not look
/// inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command(pub Vec<u8>);

/// Which members a cluster has, counted from 1: every change of them takes the next number.
#[derive(
    Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ConfigurationNumber(pub u64);

impl fmt::Display for ConfigurationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// To take no part in any epoch below this one, and in this one for nobody but whom the vote names.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The epoch.
    pub epoch: Epoch,
    /// For whom this node votes in it, if it does.
    pub vote: Option<NodeId>,
}
