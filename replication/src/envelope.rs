//! What stands around every message.

use mainstay_engine::ClusterId;
use mainstay_engine::wal::{Epoch, Incarnation};

use crate::ids::ConfigurationNumber;

/// Where a node stands: what every message of it says, and what it holds against the messages of
/// others.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its cluster.
    pub cluster: ClusterId,
    /// The newest configuration of the cluster that it knows.
    pub configuration: ConfigurationNumber,
    /// The life of its data directory. A node that comes back with another one has forgotten what
    /// it acknowledged.
    pub incarnation: Incarnation,
    /// The highest epoch that it knows.
    pub epoch: Epoch,
}

/// A message, and where its sender stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<M> {
    /// Where the sender stood.
    pub sender: Standing,
    /// What it says.
    pub message: M,
}

/// Why a message is dropped unread.
#[non_exhaustive]
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is of another cluster.
    #[error("a message of cluster {0}")]
    OtherCluster(ClusterId),
    /// Its sender is known under another incarnation: it lost its directory, or is an old one that
    /// was replaced.
    #[error("a message of incarnation {found}, where {expected} is known")]
    OtherIncarnation {
        /// What is known.
        expected: Incarnation,
        /// What it says.
        found: Incarnation,
    },
}

impl<M> Envelope<M> {
    /// The message, if it is of this cluster and of the incarnation under which its sender is
    /// known, if it is known.
    ///
    /// Epochs and configurations are not judged here: what an old or a new one means is the
    /// protocol's to say.
    pub fn open(self, own: &Standing, known: Option<Incarnation>) -> Result<M, Refusal> {
        let Standing { cluster, incarnation: found, .. } = self.sender;
        if cluster != own.cluster {
            return Err(Refusal::OtherCluster(cluster));
        }
        match known {
            Some(expected) if expected != found => {
                Err(Refusal::OtherIncarnation { expected, found })
            }
            _ => Ok(self.message),
        }
    }
}
