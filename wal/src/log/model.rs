//! The log against a list of records, with crashes, truncations and resets among the operations.

use std::sync::Arc;

use proptest::prelude::*;

use crate::disk::{SimDisk, Survivors};
use crate::manifest::Manifest;
use crate::{Bound, DatabaseId, Epoch, Incarnation, Log, LogId, LogOptions, Lsn};

#[derive(Clone, Debug)]
enum Step {
    Append(u16),
    Sync,
    Epoch,
    TruncateSuffix(u8),
    TruncatePrefix(u8),
    Reset(u8),
    Prepare,
    Reopen,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..700u16).prop_map(Step::Append),
        4 => Just(Step::Sync),
        1 => Just(Step::Epoch),
        1 => any::<u8>().prop_map(Step::TruncateSuffix),
        1 => any::<u8>().prop_map(Step::TruncatePrefix),
        1 => any::<u8>().prop_map(Step::Reset),
        1 => Just(Step::Prepare),
        1 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(Step::Crash),
    ]
}

struct Model {
    disk: SimDisk,
    log: Log,
    /// Every record behind `before`.
    records: Vec<(LogId, Vec<u8>)>,
    before: Lsn,
    durable: Lsn,
}

fn open(disk: &SimDisk) -> Log {
    Log::open(Arc::new(disk.clone()), LogOptions::tiny(), None).unwrap().log
}

impl Model {
    fn new() -> Model {
        let disk = SimDisk::new(1);
        let manifest = Manifest::new(DatabaseId(7), Incarnation(1), "none", "store-1");
        let log = Log::create(Arc::new(disk.clone()), LogOptions::tiny(), &manifest, None);
        let (before, durable) = (Lsn::ZERO, Lsn::ZERO);
        Model { disk, log: log.unwrap().log, records: Vec::new(), before, durable }
    }

    fn last(&self) -> Lsn {
        Lsn(self.before.0 + self.records.len() as u64)
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Append(bytes) => {
                let payload = vec![bytes as u8; usize::from(bytes)];
                let lsn = self.log.append(&payload).unwrap();
                self.records.push((LogId { epoch: self.log.epoch(), lsn }, payload));
            }
            Step::Sync => {
                self.log.sync().unwrap();
                self.durable = self.last();
            }
            Step::Epoch => self.log.begin_epoch(self.log.epoch().next()).unwrap(),
            Step::TruncateSuffix(share) => {
                let lowest = self.log.first_lsn().previous();
                let kept = Lsn(lowest.0 + (self.last().0 - lowest.0) * u64::from(share) / 255);
                let dropped = self.log.truncate_suffix(kept).unwrap();
                assert_eq!(dropped.first_lsn, kept.next());
                self.records.truncate((kept.0 - self.before.0) as usize);
                self.durable = self.last();
            }
            Step::TruncatePrefix(share) => {
                let kept = Lsn(self.before.0 + self.records.len() as u64 * u64::from(share) / 255);
                let begun = self.log.first_lsn();
                let first = self.log.truncate_prefix(kept.next()).unwrap();
                assert!(first <= begun.max(kept.next()), "{first} although {kept} was the last");
            }
            Step::Reset(ahead) => self.reset(ahead),
            Step::Prepare => drop(self.log.prepare_segment(0).unwrap()),
            Step::Reopen => {
                self.log.close().unwrap();
                self.log = open(&self.disk);
                self.durable = self.last();
            }
            Step::Crash(seed) => {
                self.disk = self.disk.crash(Survivors::RandomSectors { seed });
                self.log = open(&self.disk);
                let end = self.log.end().lsn;
                assert!((self.durable..=self.last()).contains(&end), "ends at {end}");
                self.records.truncate((end.0 - self.before.0) as usize);
                self.durable = end;
            }
        }
    }

    fn reset(&mut self, ahead: u8) {
        let (end, chain) = self.log.end_and_chain();
        let lsn = Lsn(end.lsn.0 + u64::from(ahead) + 1);
        let epoch = self.log.epoch().max(Epoch(2));
        let mut history = crate::history::EpochHistory::new();
        let start_lsn = Lsn(lsn.0.max(2));
        let chain_at_start = crate::Chain(chain.0 | 1);
        history.push(crate::history::EpochEntry { epoch, start_lsn, chain_at_start });
        let end = LogId { epoch, lsn: start_lsn };
        self.log.reset(end, crate::Chain(chain.0 | 2), &history).unwrap();
        self.records.clear();
        (self.before, self.durable) = (end.lsn, end.lsn);
    }

    fn check(&self) {
        assert_eq!(self.log.end().lsn, self.last());
        let first = self.log.first_lsn();
        let mut reader = self.log.reader(first, Bound::Appended).unwrap();
        let mut wanted = self.records.iter().filter(|(id, _)| id.lsn >= first);
        while let Some(frame) = reader.next_frame().unwrap() {
            let (id, payload) = wanted.next().unwrap();
            assert_eq!((frame.log_id(), frame.payload), (*id, &payload[..]));
        }
        assert_eq!(wanted.next(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list(steps in prop::collection::vec(step(), 1..80)) {
        let mut model = Model::new();
        for step in steps {
            model.apply(step);
            model.check();
        }
    }
}
