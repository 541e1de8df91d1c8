//! Operations that follow from a seed.

use clap::ValueEnum;
use oorandom::Rand64;

/// What a writer's operations are mostly of.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mix {
    /// Single inserts and removes.
    Insert,
    /// Batches over two keyspaces, ranges removed in them too.
    Batch,
    /// Transactions that move amounts between counters.
    Transaction,
    /// Everything, with a checkpoint every few operations.
    Checkpoint,
    /// Large values, so that segments of the log are full after a few of them.
    Rotation,
    /// Everything, with a backup now and then.
    Backup,
}

/// Which of the two keyspaces.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The keyspace `left`.
    Left,
    /// The keyspace `right`.
    Right,
}

impl Side {
    /// The keyspace's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
        }
    }
}

/// A part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Sets a key.
    Insert(Side, Vec<u8>, Vec<u8>),
    /// Removes a key.
    Remove(Side, Vec<u8>),
    /// Removes the keys from the first, up to but not including the second.
    RemoveRange(Side, Vec<u8>, Vec<u8>),
}

/// One operation. All that it does is atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A single insert into `left`.
    Insert(Vec<u8>, Vec<u8>),
    /// A single remove from `left`.
    Remove(Vec<u8>),
    /// A batch.
    Batch(Vec<Edit>),
    /// A transaction: takes an amount from a counter in `left` and gives it to one in `right`.
    /// Counters are decimal numbers, 0 where there is no key, and may become negative.
    Move {
        /// The counter that loses.
        from: Vec<u8>,
        /// The counter that gains.
        to: Vec<u8>,
        /// How much.
        amount: i64,
    },
    /// A checkpoint; the contents stay as they are.
    Checkpoint,
    /// A backup; the contents stay as they are.
    Backup,
}

impl Op {
    /// Whether it changes contents at all.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self, Op::Checkpoint | Op::Backup)
    }
}

/// The operations of one writer.
#[derive(Copy, Clone, Debug)]
pub struct Workload {
    /// Where all of it comes from.
    pub seed: u64,
    /// The writer, from 0: each has keys of its own.
    pub writer: u32,
    /// What the operations are of.
    pub mix: Mix,
}

/// Keys of one writer in one keyspace; few, so that they are overwritten often.
const KEYS: u64 = 120;
/// Counters of one writer in one keyspace.
const COUNTERS: u64 = 8;

impl Workload {
    /// What every key of this writer begins with.
    #[must_use]
    pub fn prefix(&self) -> Vec<u8> {
        format!("{:02}/", self.writer).into_bytes()
    }

    /// Operation `index`.
    #[must_use]
    pub fn op(&self, index: u64) -> Op {
        let stream = (u128::from(self.writer) << 64) | u128::from(index);
        let mut random = Rand64::new_inc(u128::from(self.seed), stream);
        // The first outputs of neighbouring streams are alike.
        for _ in 0..4 {
            random.rand_u64();
        }
        let random = &mut random;
        match self.mix {
            Mix::Insert if random.rand_range(0..6) == 0 => Op::Remove(self.key(random)),
            Mix::Insert => Op::Insert(self.key(random), self.value(index, random)),
            Mix::Batch => self.batch(index, random),
            Mix::Transaction => self.transfer(random),
            Mix::Checkpoint if random.rand_range(0..12) == 0 => Op::Checkpoint,
            Mix::Backup if random.rand_range(0..40) == 0 => Op::Backup,
            Mix::Rotation | Mix::Checkpoint | Mix::Backup => match random.rand_range(0..4) {
                0 => self.batch(index, random),
                1 => self.transfer(random),
                _ => Op::Insert(self.key(random), self.value(index, random)),
            },
        }
    }

    fn batch(&self, index: u64, random: &mut Rand64) -> Op {
        let count = random.rand_range(1..9);
        let mut edits = Vec::new();
        for _ in 0..count {
            let side = if random.rand_range(0..2) == 0 { Side::Left } else { Side::Right };
            edits.push(match random.rand_range(0..10) {
                0 => Edit::Remove(side, self.key(random)),
                1 => {
                    let first = random.rand_range(0..KEYS);
                    let end = first + random.rand_range(1..10);
                    Edit::RemoveRange(side, self.key_number(first), self.key_number(end))
                }
                _ => Edit::Insert(side, self.key(random), self.value(index, random)),
            });
        }
        // The same key on both sides: half a batch would show at once.
        let stamp = [&self.prefix()[..], b"stamp"].concat();
        let value = index.to_string().into_bytes();
        edits.push(Edit::Insert(Side::Left, stamp.clone(), value.clone()));
        edits.push(Edit::Insert(Side::Right, stamp, value));
        Op::Batch(edits)
    }

    fn transfer(&self, random: &mut Rand64) -> Op {
        let mut counter = || {
            let number = random.rand_range(0..COUNTERS);
            [&self.prefix()[..], format!("counter-{number}").as_bytes()].concat()
        };
        let (from, to) = (counter(), counter());
        let amount = i64::try_from(random.rand_range(1..1000)).unwrap_or(1);
        Op::Move { from, to, amount }
    }

    fn key(&self, random: &mut Rand64) -> Vec<u8> {
        self.key_number(random.rand_range(0..KEYS))
    }

    fn key_number(&self, number: u64) -> Vec<u8> {
        [&self.prefix()[..], format!("key-{number:04}").as_bytes()].concat()
    }

    fn value(&self, index: u64, random: &mut Rand64) -> Vec<u8> {
        let length = match self.mix {
            Mix::Rotation => random.rand_range(4_000..60_000),
            _ => random.rand_range(0..300),
        };
        let mut value = format!("{}:{index}:", self.writer).into_bytes();
        let length = usize::try_from(length).unwrap_or(0);
        while value.len() < length {
            value.extend_from_slice(&random.rand_u64().to_le_bytes());
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXES: [Mix; 6] =
        [Mix::Insert, Mix::Batch, Mix::Transaction, Mix::Checkpoint, Mix::Rotation, Mix::Backup];

    #[test]
    fn an_operation_follows_from_seed_writer_and_index() {
        for mix in MIXES {
            let workload = Workload { seed: 7, writer: 1, mix };
            let other = Workload { seed: 8, ..workload };
            let ops =
                |workload: Workload| (0..200).map(|index| workload.op(index)).collect::<Vec<_>>();
            assert_eq!(ops(workload), ops(workload));
            assert_ne!(ops(workload), ops(other));
            let distinct = ops(workload).windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!(distinct > 150, "{mix:?}: {distinct}");
        }
    }

    #[test]
    fn every_kind_of_operation_occurs() {
        let ops: Vec<_> = MIXES
            .iter()
            .flat_map(|mix| {
                (0..300).map(|index| Workload { seed: 1, writer: 0, mix: *mix }.op(index))
            })
            .collect();
        let count = |is: fn(&Op) -> bool| ops.iter().filter(|op| is(op)).count();
        assert!(count(|op| matches!(op, Op::Insert(..))) > 100);
        assert!(count(|op| matches!(op, Op::Remove(..))) > 10);
        assert!(count(|op| matches!(op, Op::Batch(..))) > 100);
        assert!(count(|op| matches!(op, Op::Move { .. })) > 100);
        assert!(count(|op| matches!(op, Op::Checkpoint)) > 5);
        assert!(count(|op| matches!(op, Op::Backup)) > 2);
    }
}
