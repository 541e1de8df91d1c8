use super::*;

fn entry(epoch: u64, start: u64, chain: u64) -> EpochEntry {
    EpochEntry { epoch: Epoch(epoch), start_lsn: Lsn(start), chain_at_start: Chain(chain) }
}

fn history(entries: &[(u64, u64, u64)]) -> EpochHistory {
    let mut history = EpochHistory::new();
    for (epoch, start, chain) in entries {
        history.push(entry(*epoch, *start, *chain));
    }
    history
}

#[test]
fn records_are_found_in_their_epochs() {
    let history = history(&[(1, 1, 0), (4, 10, 77), (5, 11, 78)]);
    assert_eq!(history.epoch_of(Lsn::ZERO), None);
    for (lsn, epoch) in [(1, 1), (9, 1), (10, 4), (11, 5), (1000, 5)] {
        assert_eq!(history.epoch_of(Lsn(lsn)), Some(Epoch(epoch)), "LSN {lsn}");
    }
    assert_eq!(history.last(), Some(entry(5, 11, 78)));
    assert_eq!(EpochHistory::new().last(), None);
}

#[test]
fn truncation_keeps_what_holds_the_records_left() {
    let whole = history(&[(1, 1, 0), (4, 10, 77), (5, 20, 78)]);
    for (last_kept, left) in [(0, 0), (1, 1), (9, 1), (10, 2), (19, 2), (20, 3), (99, 3)] {
        let mut cut = whole.clone();
        cut.truncate_suffix(Lsn(last_kept));
        assert_eq!(cut.entries(), &whole.entries()[..left], "last kept {last_kept}");
    }
    for (first_kept, dropped) in [(0, 0), (1, 0), (9, 0), (10, 1), (19, 1), (20, 2), (99, 2)] {
        let mut cut = whole.clone();
        cut.truncate_prefix(Lsn(first_kept));
        assert_eq!(cut.entries(), &whole.entries()[dropped..], "first kept {first_kept}");
    }
}

#[test]
fn only_the_first_record_of_an_epoch_is_noted() {
    let mut history = EpochHistory::new();
    history.observe(Epoch(2), Lsn(1), Chain::EMPTY);
    history.observe(Epoch(2), Lsn(2), Chain(5));
    history.observe(Epoch(3), Lsn(3), Chain(6));
    assert_eq!(history.entries(), [entry(2, 1, 0), entry(3, 3, 6)]);
}

#[test]
#[should_panic(expected = "the epoch does not increase")]
fn epochs_never_go_back() {
    history(&[(2, 1, 0), (2, 5, 9)]);
}

#[test]
#[should_panic(expected = "the start does not increase")]
fn starts_never_go_back() {
    history(&[(2, 5, 1), (3, 5, 1)]);
}

#[test]
fn bytes_come_back_and_bad_ones_are_refused() {
    for whole in [history(&[]), history(&[(1, 1, 0), (4, 10, 77), (5, 11, 78)])] {
        let bytes = whole.encode();
        assert_eq!(EpochHistory::decode(&bytes), Ok(whole));
        for length in 0..bytes.len() {
            assert!(EpochHistory::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(EpochHistory::decode(&longer).is_err());
    }
    let mut bytes = history(&[(1, 1, 0), (4, 10, 77)]).encode();
    bytes[COUNT_BYTES + ENTRY_BYTES] = 1;
    let error = EpochHistory::decode(&bytes).unwrap_err();
    assert!(matches!(error, EpochHistoryError::Entry { .. }), "{error}");
    // A count alone justifies no memory.
    assert!(EpochHistory::decode(&u32::MAX.to_le_bytes()).is_err());
}

#[test]
fn the_cases_of_catching_up() {
    let primary = history(&[(1, 1, 0), (3, 50, 9), (4, 80, 8)]);
    let end = Lsn(100);
    // The follower is behind in the primary's last epoch, or ahead of it.
    assert_eq!(primary.common_point(end, &primary, Lsn(90)), Some(Lsn(90)));
    assert_eq!(primary.common_point(end, &primary, Lsn(120)), Some(end));
    // It wrote on in an old epoch; it switched to an epoch that the primary never saw.
    assert_eq!(primary.common_point(end, &history(&[(1, 1, 0)]), Lsn(70)), Some(Lsn(49)));
    assert_eq!(primary.common_point(end, &history(&[(1, 1, 0)]), Lsn(30)), Some(Lsn(30)));
    let other = history(&[(1, 1, 0), (2, 40, 7)]);
    assert_eq!(primary.common_point(end, &other, Lsn(60)), Some(Lsn(39)));
    // The same epoch begins elsewhere, or behind other records.
    let other = history(&[(1, 1, 0), (3, 50, 1)]);
    assert_eq!(primary.common_point(end, &other, Lsn(60)), Some(Lsn(49)));
    // Nothing there yet; nothing in common; nothing known.
    assert_eq!(primary.common_point(end, &history(&[]), Lsn::ZERO), Some(Lsn::ZERO));
    assert_eq!(primary.common_point(end, &history(&[(2, 1, 0)]), Lsn(9)), Some(Lsn::ZERO));
    assert_eq!(primary.common_point(end, &history(&[(2, 30, 5)]), Lsn(40)), None);
    assert_eq!(history(&[(3, 50, 9)]).common_point(end, &history(&[]), Lsn::ZERO), None);
}

mod divergent_logs {
    use proptest::prelude::*;

    use super::super::*;
    use crate::frame::{FrameHeader, payload_checksum};

    const NODES: usize = 3;

    /// What happens to a few nodes that replicate logs. Each number is taken modulo what there is.
    #[derive(Clone, Debug)]
    enum Step {
        /// A node takes a new epoch, on top of the log that it has.
        Elect { node: usize },
        /// A node writes records in its epoch, if it has one.
        Write { node: usize, count: usize },
        /// A node takes over the first records of another's log, in the place of its own.
        Copy { from: usize, to: usize, kept: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..NODES).prop_map(|node| Step::Elect { node }),
            (0..NODES, 1..4usize).prop_map(|(node, count)| Step::Write { node, count }),
            (0..NODES, 0..NODES, 0..20usize).prop_map(|(from, to, kept)| Step::Copy {
                from,
                to,
                kept
            }),
        ]
    }

    #[derive(Default)]
    struct Node {
        log: Vec<FrameHeader>,
        epoch: Option<Epoch>,
    }

    impl Node {
        fn history(&self) -> EpochHistory {
            let mut history = EpochHistory::new();
            let mut chain = Chain::EMPTY;
            for header in &self.log {
                history.observe(header.epoch, header.lsn, chain);
                chain = chain.extend(header);
            }
            history
        }

        fn end(&self) -> Lsn {
            Lsn(self.log.len() as u64)
        }

        fn common(&self, other: &Node) -> Lsn {
            let pairs = self.log.iter().zip(&other.log);
            Lsn(pairs.take_while(|(own, other)| own == other).count() as u64)
        }
    }

    fn play(steps: &[Step]) -> Vec<Node> {
        let mut nodes: Vec<Node> = (0..NODES).map(|_| Node::default()).collect();
        let (mut last_epoch, mut written) = (Epoch::ZERO, 0u64);
        for step in steps {
            match *step {
                Step::Elect { node } => {
                    last_epoch = last_epoch.next();
                    nodes[node].epoch = Some(last_epoch);
                }
                Step::Write { node, count } => {
                    let Some(epoch) = nodes[node].epoch else { continue };
                    for _ in 0..count {
                        written += 1;
                        let crc = payload_checksum(&written.to_le_bytes());
                        let lsn = nodes[node].end().next();
                        nodes[node].log.push(FrameHeader::new(lsn, epoch, 8, crc));
                    }
                }
                Step::Copy { from, to, kept } => {
                    let log = &nodes[from].log;
                    nodes[to].log = log[..kept % (log.len() + 1)].to_vec();
                    // Being primary ends when a log is cut: an epoch has one order of records.
                    nodes[to].epoch = None;
                }
            }
        }
        nodes
    }

    proptest! {
        #[test]
        fn the_common_point_is_where_the_logs_part(
            steps in prop::collection::vec(step(), 0..40),
            first_kept in (0..30u64, 0..30u64),
        ) {
            let nodes = play(&steps);
            for own in &nodes {
                for other in &nodes {
                    let (mut history, mut others) = (own.history(), other.history());
                    let common = own.common(other);
                    let found = history.common_point(own.end(), &others, other.end());
                    prop_assert_eq!(found, Some(common));

                    // The front of either log may be gone.
                    let (first, others_first) = (Lsn(first_kept.0), Lsn(first_kept.1));
                    history.truncate_prefix(first);
                    others.truncate_prefix(others_first);
                    let found = history.common_point(own.end(), &others, other.end());
                    prop_assert!(found.is_none() || found == Some(common));
                    if common >= first && common >= others_first {
                        prop_assert_eq!(found, Some(common));
                    }
                }
            }
        }

        #[test]
        fn bytes_are_a_history_or_refused(bytes in prop::collection::vec(0..3u8, 0..80)) {
            if let Ok(history) = EpochHistory::decode(&bytes) {
                prop_assert_eq!(history.encode(), bytes);
            }
        }

        #[test]
        fn every_history_comes_back(steps in prop::collection::vec(step(), 0..40)) {
            for node in play(&steps) {
                let history = node.history();
                prop_assert_eq!(EpochHistory::decode(&history.encode()), Ok(history));
            }
        }
    }
}
