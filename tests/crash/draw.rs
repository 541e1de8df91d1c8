//! Operations drawn from a seed.

use oorandom::Rand64;

use crate::model::{Change, Contents};
use crate::transactions::Plan;

/// One thing that a program, or a thread of the database, does.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A batch of changes; `wait` until it is durable.
    Write {
        changes: Vec<Change>,
        sync: bool,
        wait: bool,
    },
    /// Sets a key if it has this value.
    CompareAndSwap {
        keyspace: String,
        key: Vec<u8>,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
    },
    /// A transaction; between its reads and its commit somebody else may write.
    Transact {
        plan: Plan,
        between: Option<Change>,
    },
    CreateKeyspace {
        name: String,
    },
    DropKeyspace {
        name: String,
    },
    /// Everything appended becomes durable.
    Sync,
    Freeze,
    /// Some steps of a checkpoint.
    CheckpointSteps {
        steps: u32,
    },
    Checkpoint,
    /// Some steps of a backup.
    BackupSteps {
        steps: u32,
    },
    PrepareSegment,
    /// A group is on its way to the disk while these batches are appended.
    WhileInFlight {
        batches: Vec<Vec<Change>>,
    },
    /// An empty group says what is durable.
    Proof,
    /// A clean close, and opening again.
    Reopen,
}

const KEYSPACES: [&str; 3] = ["default", "users", "index"];

/// Draws operations that make sense for the contents they meet.
#[derive(Clone, Debug)]
pub(crate) struct Draw {
    random: Rand64,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Draw {
        Draw { random: Rand64::new(u128::from(seed) ^ 0x6d61_696e_7374_6179) }
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.random.rand_range(0..end)
    }

    pub(crate) fn op(&mut self, contents: &Contents) -> Op {
        match self.below(100) {
            0..=20 => self.insert(contents),
            21..=25 => self.transact(contents),
            26..=29 => Op::BackupSteps { steps: 1 + self.below(4) as u32 },
            30..=37 => self.write(1, contents),
            38..=53 => {
                let changes = 2 + self.below(4);
                self.write(changes, contents)
            }
            54..=60 => self.compare_and_swap(contents),
            61..=66 => self.keyspace(contents),
            67..=70 => Op::Sync,
            71..=75 => Op::Freeze,
            76..=81 => Op::CheckpointSteps { steps: 1 + self.below(4) as u32 },
            82..=83 => Op::Checkpoint,
            84..=86 => Op::PrepareSegment,
            87..=93 => {
                let count = 1 + self.below(4);
                let batches = (0..count).map(|_| vec![self.change(contents)]).collect();
                Op::WhileInFlight { batches }
            }
            94..=96 => Op::Proof,
            _ => Op::Reopen,
        }
    }

    fn insert(&mut self, contents: &Contents) -> Op {
        let keyspace = self.some_keyspace(contents);
        let changes = vec![Change::Insert { keyspace, key: self.key(), value: self.value() }];
        self.durability(changes)
    }

    fn write(&mut self, changes: u64, contents: &Contents) -> Op {
        let changes = (0..changes).map(|_| self.change(contents)).collect();
        self.durability(changes)
    }

    fn durability(&mut self, changes: Vec<Change>) -> Op {
        match self.below(10) {
            0..=5 => Op::Write { changes, sync: true, wait: true },
            6 => Op::Write { changes, sync: true, wait: false },
            _ => Op::Write { changes, sync: false, wait: false },
        }
    }

    fn compare_and_swap(&mut self, contents: &Contents) -> Op {
        let (keyspace, key) = (self.some_keyspace(contents), self.key());
        let present = contents.get(&keyspace, &key).map(<[u8]>::to_vec);
        let expected = if self.below(4) == 0 { Some(b"no such value".to_vec()) } else { present };
        Op::CompareAndSwap { keyspace, key, expected, value: self.value() }
    }

    fn transact(&mut self, contents: &Contents) -> Op {
        let keyspace = self.some_keyspace(contents);
        let (reads, writes) = (self.key(), self.key());
        let between = match self.below(3) {
            0 => None,
            1 => Some(self.change(contents)),
            _ => Some(Change::Insert {
                keyspace: keyspace.clone(),
                key: reads.clone(),
                value: self.value(),
            }),
        };
        let plan = Plan { keyspace, reads, writes, value: self.value() };
        Op::Transact { plan, between }
    }

    fn keyspace(&mut self, contents: &Contents) -> Op {
        let name = KEYSPACES[1 + self.below(2) as usize].to_owned();
        if contents.keyspaces.contains_key(&name) && self.below(2) == 0 {
            Op::DropKeyspace { name }
        } else {
            Op::CreateKeyspace { name }
        }
    }

    fn change(&mut self, contents: &Contents) -> Change {
        let keyspace = self.some_keyspace(contents);
        match self.below(10) {
            0..=6 => Change::Insert { keyspace, key: self.key(), value: self.value() },
            7..=8 => Change::Remove { keyspace, key: self.key() },
            _ => {
                let (one, other) = (self.key(), self.key());
                let (lower, upper) = if one < other { (one, other) } else { (other, one) };
                Change::RemoveRange { keyspace, lower, upper }
            }
        }
    }

    fn some_keyspace(&mut self, contents: &Contents) -> String {
        let at = self.below(contents.keyspaces.len() as u64) as usize;
        contents.keyspaces.keys().nth(at).expect("one of those counted").clone()
    }

    fn key(&mut self) -> Vec<u8> {
        format!("key-{:02}", self.below(24)).into_bytes()
    }

    /// Mostly small; now and then most of a segment, or more than one.
    fn value(&mut self) -> Vec<u8> {
        let bytes = match self.below(80) {
            0 => 3_000 + self.below(3_000),
            1..=6 => 400 + self.below(1_500),
            _ => self.below(120),
        };
        let byte = self.below(256) as u8;
        vec![byte; bytes as usize]
    }
}
