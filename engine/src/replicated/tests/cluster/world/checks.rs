//! What must hold after every step, and in the end.

use mainstay_wal::Bound;
use mainstay_wal::disk::Survivors;

use super::{NODES, Node, World};
use crate::replicated::tests::cluster::Action;
use crate::replicated::tests::cluster::model::Content;

impl World {
    /// Everything that must hold after every step.
    pub(in super::super) fn check(&mut self) {
        for number in 0..NODES {
            if self.nodes[number].disk.has_crashed() {
                self.crash(number);
            }
            let replica = &self.nodes[number].replica;
            let (visible, commit_lsn) = (replica.visible_lsn(), replica.commit_lsn());
            let durable = replica.log().durable_lsn();
            let checkpoint_lsn = replica.checkpoint_lsn();
            assert!(visible <= commit_lsn.min(durable), "node {number} shows {visible}");
            assert!(checkpoint_lsn <= commit_lsn.min(durable), "node {number}: {checkpoint_lsn}");
            assert!(commit_lsn <= self.model.committed_lsn(), "node {number}: {commit_lsn}");
            let snapshot = replica.snapshot();
            assert_eq!(snapshot.lsn(), visible);
            assert_eq!(
                Content::of(&snapshot),
                *self.model.content(visible),
                "node {number} at {visible}"
            );
            let (end, chain) = replica.log().end_and_chain();
            self.model.check_chain(end, chain);
        }
    }

    /// Every record of every log.
    fn check_logs(&mut self) {
        for number in 0..NODES {
            let log = self.nodes[number].replica.log();
            let first = log.first_lsn();
            let (mut last, mut chain) = log.locate(first.previous()).unwrap();
            self.model.check_chain(last, chain);
            let mut reader = log.reader(first, Bound::Appended).unwrap();
            while let Some(frame) = reader.next_frame().unwrap() {
                assert_eq!(frame.header.lsn, last.lsn.next(), "node {number}");
                chain = chain.extend(&frame.header);
                last = frame.log_id();
                self.model.check_record(last, frame.payload, chain);
                if last.lsn <= log.commit_lsn() {
                    assert_eq!(last, self.model.committed_at(last.lsn), "node {number}");
                }
            }
            assert_eq!((last, chain), log.end_and_chain(), "node {number}");
        }
    }

    /// All faults end: the nodes must come together, with everything that was ever committed.
    pub(in super::super) fn heal(&mut self) {
        for number in 0..NODES {
            self.nodes[number].disk.crash_at(u64::MAX);
            self.nodes[number].planned = Survivors::RandomSectors { seed: number as u64 };
            if number == 1 {
                self.crash(number);
            }
        }
        self.check_logs();
        let committed = self.model.committed_lsn();
        let complete = |&node: &usize| self.nodes[node].replica.log().end();
        let best = (0..NODES).max_by_key(complete).unwrap();
        let step_down = self.nodes[best].replica.step_down();
        self.settle(best, step_down);
        self.elect(best);
        assert!(self.leads(best).is_some(), "node {best} is as complete as all others");
        for node in (0..NODES).filter(|&node| node != best) {
            self.nodes[node].image = None;
            self.connect(node, best);
            self.chunks(node, usize::MAX);
            self.ship(node, usize::MAX);
            self.act(&Action::Sync(node));
        }
        self.act(&Action::Sync(best));
        self.commit(best);
        for node in 0..NODES {
            self.tell(node);
        }
        self.check();
        self.check_logs();
        assert!(self.model.committed_lsn() > committed, "a new epoch commits its first record");
        let end = self.nodes[best].replica.log().end_and_chain();
        let hash = |node: &Node| node.replica.snapshot().state_hash().unwrap();
        for (number, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.replica.log().end_and_chain(), end, "node {number}");
            assert_eq!(node.replica.visible_lsn(), end.0.lsn, "node {number}");
            assert_eq!(hash(node), hash(&self.nodes[best]), "node {number}");
        }
    }
}
