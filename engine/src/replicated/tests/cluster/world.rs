//! The nodes, and whoever plays protocol and network for them.

mod checks;
mod images;

use std::sync::Arc;

use mainstay_wal::disk::{SimDisk, Survivors};
use mainstay_wal::{Bound, Epoch, LogId, Lsn};

use super::model::Model;
use super::{Action, Change};
use crate::error::Result;
use crate::replicated::tests::{CLUSTER, identity, options};
use crate::replicated::{Appended, ImageBuilder, ImageStream, ReplicaEngine};
use crate::{Batch, KeyspaceId, KeyspaceRef};

const NODES: usize = 3;
const NAMES: [&str; 4] = ["default", "one", "two", "three"];

struct Node {
    disk: SimDisk,
    replica: ReplicaEngine,
    /// How often it was opened: salts must differ.
    lives: u64,
    /// Whom it follows, and in which epoch. Its log is the beginning of that primary's since then.
    following: Option<(usize, Epoch)>,
    /// What it has acknowledged as durable, and was not told to drop.
    acknowledged: LogId,
    /// What a crash at the planned moment leaves.
    planned: Survivors,
    image: Option<Transfer>,
}

/// An image on its way to a node.
struct Transfer {
    from: usize,
    epoch: Epoch,
    stream: ImageStream,
    builder: ImageBuilder,
}

pub(super) struct World {
    nodes: Vec<Node>,
    model: Model,
    images: usize,
    truncations: usize,
}

fn open(disk: &SimDisk, node: usize, life: u64) -> Result<ReplicaEngine> {
    let identity = identity(100 * (node as u64 + 1) + life);
    ReplicaEngine::open(Arc::new(disk.clone()), None, options(), identity, CLUSTER)
}

impl World {
    pub(super) fn new() -> World {
        let node = |number: usize| {
            let disk = SimDisk::new(number as u64);
            Node {
                replica: open(&disk, number, 0).unwrap(),
                disk,
                lives: 0,
                following: None,
                acknowledged: LogId::ZERO,
                planned: Survivors::Nothing,
                image: None,
            }
        };
        let nodes = (0..NODES).map(node).collect();
        World { nodes, model: Model::new(), images: 0, truncations: 0 }
    }

    pub(super) fn committed(&self) -> u64 {
        self.model.committed_lsn().0
    }

    pub(super) fn images(&self) -> usize {
        self.images
    }

    pub(super) fn truncations(&self) -> usize {
        self.truncations
    }

    pub(super) fn act(&mut self, action: &Action) {
        match action {
            Action::Elect(node) => self.elect(*node),
            Action::Promise(node) => {
                let epoch = self.highest_epoch().next();
                let _kept = self.promise(*node, epoch, None);
            }
            Action::Write(node, changes) => self.write(*node, changes),
            Action::CreateKeyspace(node, name) => {
                let made =
                    |replica: &ReplicaEngine| replica.create_keyspace(NAMES[*name]).map(drop);
                self.append(*node, made);
            }
            Action::DropKeyspace(node, name) => {
                let dropped =
                    |replica: &ReplicaEngine| replica.drop_keyspace(NAMES[*name]).map(drop);
                self.append(*node, dropped);
            }
            Action::WriteGroup(node) => self.write_group(*node),
            Action::Sync(node) => {
                let synced = self.nodes[*node].replica.sync().map(drop);
                self.settle(*node, synced);
            }
            Action::Connect(node, to) => self.connect(*node, *to),
            Action::Ship(node, runs) => self.ship(*node, *runs),
            Action::Commit(node) => self.commit(*node),
            Action::Tell(node) => self.tell(*node),
            Action::Checkpoint(node) => {
                let made = self.nodes[*node].replica.checkpoint().map(drop);
                self.settle(*node, made);
            }
            Action::CheckpointStep(node) => {
                self.nodes[*node].replica.state().freeze();
                let made = self.nodes[*node].replica.checkpoint_step().map(drop);
                self.settle(*node, made);
            }
            Action::Chunks(node, count) => self.chunks(*node, *count),
            Action::Crash(node, survivors) => {
                self.nodes[*node].planned = *survivors;
                self.crash(*node);
            }
            Action::CrashIn(node, later, survivors) => {
                let node = &mut self.nodes[*node];
                node.planned = *survivors;
                node.disk.crash_at(node.disk.operations() + later);
            }
            Action::Close(node) => {
                let closed = self.nodes[*node].replica.close();
                self.settle(*node, closed);
                self.crash(*node);
            }
        }
    }

    /// Restarts a node whose disk is gone; any other error is a mistake. True if the node did what it was asked to.
    fn settle(&mut self, node: usize, outcome: Result<()>) -> bool {
        if self.nodes[node].disk.has_crashed() {
            self.crash(node);
            return false;
        }
        if let Err(error) = &outcome {
            panic!("node {node}: {error}");
        }
        true
    }

    /// The power goes and comes back.
    fn crash(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let visible = node.replica.visible_lsn();
        let checkpoint_lsn = node.replica.checkpoint_lsn();
        let disk = node.disk.crash(node.planned);
        node.lives += 1;
        let life = node.lives;
        let replica = open(&disk, number, life).unwrap();
        (node.disk, node.replica, node.following, node.image) = (disk, replica, None, None);
        assert!(node.replica.checkpoint_lsn() >= checkpoint_lsn, "node {number}");
        assert!(node.replica.commit_lsn() >= checkpoint_lsn, "node {number}");
        let (log, acknowledged) = (node.replica.log(), node.acknowledged);
        assert!(log.end().lsn >= visible, "node {number} ends at {} of {visible}", log.end());
        assert!(log.end().lsn >= acknowledged.lsn, "node {number}: {} {acknowledged}", log.end());
        if acknowledged.lsn >= log.first_lsn() {
            let epoch = log.history().epoch_of(acknowledged.lsn);
            assert_eq!(epoch, Some(acknowledged.epoch), "node {number} at {acknowledged}");
        }
    }

    fn highest_epoch(&self) -> Epoch {
        let promised = self.nodes.iter().map(|node| node.replica.manifest().promised_epoch);
        promised.max().unwrap_or(Epoch::ZERO)
    }

    /// Whether a node is primary, and in which epoch.
    fn leads(&self, node: usize) -> Option<Epoch> {
        let replica = &self.nodes[node].replica;
        replica.is_primary().then(|| replica.log().epoch())
    }

    fn promise(&mut self, node: usize, epoch: Epoch, vote: Option<u64>) -> bool {
        let replica = &self.nodes[node].replica;
        if replica.manifest().promised_epoch >= epoch {
            return true;
        }
        let promised = replica.promise(epoch, vote).and_then(|()| replica.step_down());
        self.nodes[node].following = None;
        self.settle(node, promised)
    }

    /// A candidate asks the others; it needs one that is no more complete than itself.
    fn elect(&mut self, candidate: usize) {
        let end = self.nodes[candidate].replica.log().end();
        let epoch = self.highest_epoch().next();
        if self.leads(candidate).is_some() {
            return;
        }
        let vote = Some(candidate as u64 + 1);
        let mut votes = 0;
        for node in 0..NODES {
            let as_complete = self.nodes[node].replica.log().end() <= end;
            if as_complete && votes < 2 && (node == candidate || votes < 1 || node > candidate) {
                votes += usize::from(self.promise(node, epoch, vote));
            }
        }
        let replica = &self.nodes[candidate].replica;
        if votes < 2 || replica.manifest().promised_epoch != epoch {
            return;
        }
        let begun = replica.begin_epoch(epoch);
        if self.settle(candidate, begun) {
            self.nodes[candidate].image = None;
            self.write(candidate, &[]);
        }
    }

    fn keyspace(replica: &ReplicaEngine, index: usize) -> Option<KeyspaceRef> {
        let id = match index {
            0 => KeyspaceId::DEFAULT,
            _ => replica.state().keyspace_id(NAMES[index])?,
        };
        Some(replica.state().keyspace_ref(id, NAMES[index]))
    }

    fn write(&mut self, node: usize, changes: &[Change]) {
        let append = |replica: &ReplicaEngine| {
            let mut batch = Batch::new();
            for change in changes {
                let (Change::Insert(at, ..) | Change::Remove(at, _) | Change::RemoveRange(at, ..)) =
                    change;
                let Some(keyspace) = World::keyspace(replica, *at) else { continue };
                match *change {
                    Change::Insert(_, key, bytes) => {
                        batch.insert(&keyspace, [key + 1], vec![key ^ bytes as u8; bytes.into()])
                    }
                    Change::Remove(_, key) => batch.remove(&keyspace, [key + 1]),
                    Change::RemoveRange(_, from, to) => {
                        batch.remove_range(&keyspace, [from + 1]..=[to + 1])
                    }
                };
            }
            match replica.append(&batch)? {
                Appended::At(_) => Ok(()),
                Appended::Refused { why, .. } => panic!("refused: {why}"),
            }
        };
        self.append(node, append);
    }

    /// Appends at a primary, and takes down what it appended.
    fn append(&mut self, node: usize, append: impl FnOnce(&ReplicaEngine) -> Result<()>) {
        if self.leads(node).is_none() {
            return;
        }
        let replica = &self.nodes[node].replica;
        let before = replica.log().end();
        let appended = append(replica);
        let mut reader = replica.log().reader(before.lsn.next(), Bound::Appended).unwrap();
        if !self.nodes[node].disk.has_crashed() {
            while let Some(frame) = reader.next_frame().unwrap() {
                self.model.appended(frame.log_id(), frame.payload);
            }
        }
        self.settle(node, appended);
    }

    fn write_group(&mut self, node: usize) {
        let replica = &self.nodes[node].replica;
        let Some(write) = replica.log().begin_group() else { return };
        let outcome = write.perform();
        replica.log().finish_group(write, outcome);
        let advanced = replica.advance().map(drop);
        self.settle(node, advanced);
    }

    fn connect(&mut self, node: usize, to: usize) {
        let Some(epoch) = self.leads(to) else { return };
        if node == to || self.nodes[node].replica.manifest().promised_epoch > epoch {
            return;
        }
        if !self.promise(node, epoch, None) {
            return;
        }
        let (replica, primary) = (&self.nodes[node].replica, &self.nodes[to].replica);
        assert!(!replica.is_primary(), "two primaries in epoch {epoch}");
        let (end, from) = (replica.log().end(), primary.log());
        let common = from.history().common_point(from.end().lsn, &replica.log().history(), end.lsn);
        match common.filter(|common| common.next() >= from.first_lsn()) {
            None => self.begin_image(node, to, epoch),
            Some(common) => {
                if common < end.lsn {
                    self.truncations += 1;
                    self.nodes[node].acknowledged = LogId::ZERO;
                    let truncated = self.nodes[node].replica.truncate(common);
                    if let Ok(dropped) = &truncated {
                        assert_eq!((dropped.first_lsn, dropped.last), (common.next(), end));
                    }
                    if !self.settle(node, truncated.map(drop)) {
                        return;
                    }
                }
                self.nodes[node].following = Some((to, epoch));
            }
        }
    }

    /// Whether a node follows a primary that still is one.
    fn followed(&self, node: usize) -> Option<usize> {
        let (primary, epoch) = self.nodes[node].following?;
        (self.leads(primary) == Some(epoch)).then_some(primary)
    }

    fn ship(&mut self, node: usize, runs: usize) {
        let Some(primary) = self.followed(node) else { return };
        let (replica, from) = (&self.nodes[node].replica, self.nodes[primary].replica.log());
        let mut shipped = Ok(());
        let Ok(mut reader) = from.reader(replica.log().end().lsn.next(), Bound::Appended) else {
            // Too far behind by now.
            self.nodes[node].following = None;
            return;
        };
        for _ in 0..runs {
            let run = match reader.read_run() {
                Ok(Some(run)) => run,
                Ok(None) => break,
                Err(error) => {
                    self.settle(primary, Err(error.into()));
                    return;
                }
            };
            shipped = replica.append_frames(replica.log().end(), run.frames()).map(drop);
            if shipped.is_err() {
                break;
            }
        }
        self.settle(node, shipped);
    }

    /// The second largest durable LSN of the primary's epoch, once it is past that epoch's first record.
    fn commit(&mut self, primary: usize) {
        let Some(epoch) = self.leads(primary) else { return };
        let mut acknowledged = Vec::new();
        for number in 0..NODES {
            let node = &mut self.nodes[number];
            if number == primary || node.following == Some((primary, epoch)) {
                let durable = node.replica.log().durable();
                node.acknowledged = node.acknowledged.max(durable);
                acknowledged.push(durable.lsn);
            }
        }
        acknowledged.sort();
        let Some(point) = acknowledged.iter().rev().nth(1).copied() else { return };
        let replica = &self.nodes[primary].replica;
        let history = replica.log().history();
        if history.epoch_of(point) != Some(epoch) {
            return;
        }
        let known = self.model.committed_lsn();
        if known > Lsn::ZERO && known >= replica.log().first_lsn() {
            let (kept, at) = (history.epoch_of(known), self.model.committed_at(known));
            assert_eq!(kept, Some(at.epoch), "primary {primary} lacks {at}, which is committed");
        }
        for lsn in known.0 + 1..=point.0 {
            let epoch = history.epoch_of(Lsn(lsn)).unwrap();
            self.model.commit(LogId { epoch, lsn: Lsn(lsn) });
        }
        let committed = replica.commit(point).map(drop);
        self.settle(primary, committed);
    }

    fn tell(&mut self, node: usize) {
        let Some(primary) = self.followed(node) else { return };
        let commit_lsn = self.nodes[primary].replica.commit_lsn();
        let replica = &self.nodes[node].replica;
        // What it has is the beginning of the primary's log.
        let told = replica.commit(commit_lsn).map(drop);
        self.settle(node, told);
    }
}
