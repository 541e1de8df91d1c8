//! The workloads, by name.

use mainstay_cli::bench::workload::Distribution;

use crate::peer::{Class, Kind, Memory};

/// What is measured, and how it is told.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) work: Work,
}

#[derive(Copy, Clone, Debug)]
pub(crate) enum Work {
    /// For a while, writes of so many records each, acknowledged when durable.
    Durable { writers: Writers, batch: u64, value_bytes: usize },
    /// So many records of the distribution as fast as they are taken, and a sync at the end.
    Load { distribution: Distribution, threads: u64, records: Records },
    /// Point reads of what was loaded and settled before.
    Read { distribution: Distribution, threads: u64 },
    /// Everything in order, after the same load.
    Scan,
    /// Point reads of what was just written.
    Memtable { threads: u64 },
    /// As many reads as buffered writes, on what was loaded before.
    Mixed { threads: u64 },
    /// Opening what a process that was killed has left.
    Reopen,
}

/// Who writes at the same time.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Writers {
    Threads(u64),
    /// So many in each of a few threads, where the store can do that; as many threads elsewhere.
    Tickets {
        threads: u64,
        each: u64,
    },
}

/// How many records.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Records {
    /// As many as `--records` says.
    Chosen,
    /// The same whatever it says.
    Fixed(u64),
    /// A share of what it says, in thousandths, so that growth can be seen on small disks too.
    PerMille(u64),
}

impl Records {
    pub(crate) fn number(self, chosen: u64) -> u64 {
        match self {
            Records::Chosen => chosen,
            Records::Fixed(records) => records,
            Records::PerMille(share) => (chosen * share / 1000).max(1),
        }
    }
}

impl Writers {
    pub(crate) fn all(self) -> u64 {
        match self {
            Writers::Threads(threads) => threads,
            Writers::Tickets { threads, each } => threads * each,
        }
    }
}

const fn durable(
    name: &'static str,
    title: &'static str,
    writers: Writers,
    batch: u64,
    value_bytes: usize,
) -> Workload {
    Workload { name, title, work: Work::Durable { writers, batch, value_bytes } }
}

const fn load(
    name: &'static str,
    title: &'static str,
    distribution: Distribution,
    threads: u64,
    records: Records,
) -> Workload {
    Workload { name, title, work: Work::Load { distribution, threads, records } }
}

const fn read(
    name: &'static str,
    title: &'static str,
    distribution: Distribution,
    threads: u64,
) -> Workload {
    Workload { name, title, work: Work::Read { distribution, threads } }
}

use Distribution::{Sequential, Uniform, Zipfian};
use Records::{Chosen, Fixed, PerMille};
use Writers::{Threads, Tickets};

/// All workloads. Keys have 16 bytes, values 100 unless said otherwise.
pub(crate) const WORKLOADS: &[Workload] = &[
    durable("durable-1", "Durable inserts, 1 thread", Threads(1), 1, 100),
    durable("durable-16", "Durable inserts, 16 threads", Threads(16), 1, 100),
    durable("durable-64", "Durable inserts, 64 threads", Threads(64), 1, 100),
    durable("durable-64-1k", "Durable inserts of 1-KiB values, 64 threads", Threads(64), 1, 1024),
    durable(
        "tickets-64",
        "Durable inserts, 64 writers: tickets of 2 threads, or 64 threads",
        Tickets { threads: 2, each: 32 },
        1,
        100,
    ),
    durable(
        "tickets-1000",
        "Durable inserts, 1,000 tickets of 1 thread",
        Tickets { threads: 1, each: 1000 },
        1,
        100,
    ),
    durable("batch-100", "Durable batches of 100, 1 thread", Threads(1), 100, 100),
    durable("batch-1000", "Durable batches of 1,000, 1 thread", Threads(1), 1000, 100),
    load("load-sequential-1", "Load, sequential, 1 thread", Sequential, 1, Chosen),
    load("load-sequential-4", "Load, sequential, 4 threads", Sequential, 4, Chosen),
    load("load-uniform-1", "Load, random, 1 thread", Uniform, 1, Chosen),
    load("load-uniform-2", "Load, random, 2 threads", Uniform, 2, Chosen),
    load("load-uniform-4", "Load, random, 4 threads", Uniform, 4, Chosen),
    load("load-zipfian-1", "Load, zipfian overwrites, 1 thread", Zipfian, 1, Chosen),
    load("load-zipfian-2", "Load, zipfian overwrites, 2 threads", Zipfian, 2, Chosen),
    load("burst-1", "The first 500,000 records, random, 1 thread", Uniform, 1, Fixed(500_000)),
    load("burst-2", "The first 500,000 records, random, 2 threads", Uniform, 2, Fixed(500_000)),
    read("read-uniform-1", "Point reads, uniform, 1 thread", Uniform, 1),
    read("read-uniform-2", "Point reads, uniform, 2 threads", Uniform, 2),
    read("read-zipfian-1", "Point reads, zipfian, 1 thread", Zipfian, 1),
    read("read-zipfian-2", "Point reads, zipfian, 2 threads", Zipfian, 2),
    Workload {
        name: "memtable-1",
        title: "Point reads of what was just written, uniform, 1 thread",
        work: Work::Memtable { threads: 1 },
    },
    Workload {
        name: "memtable-2",
        title: "Point reads of what was just written, uniform, 2 threads",
        work: Work::Memtable { threads: 2 },
    },
    Workload { name: "scan", title: "Reading everything in order, 1 thread", work: Work::Scan },
    Workload {
        name: "mixed-2",
        title: "Half reads, half buffered inserts, zipfian, 2 threads",
        work: Work::Mixed { threads: 2 },
    },
    Workload {
        name: "reopen",
        title: "Opening after the process was killed, defaults",
        work: Work::Reopen,
    },
    load("growth-1", "Load, random, 1 thread, a fifth of the records", Uniform, 1, PerMille(200)),
    load("growth-4", "Load, random, 1 thread, 4/5 of the records", Uniform, 1, PerMille(800)),
    load("growth-16", "Load, random, 1 thread, 16/5 of the records", Uniform, 1, PerMille(3200)),
];

impl Workload {
    /// The workloads whose names are these, or begin with them; all if there are none.
    pub(crate) fn chosen(names: &[String]) -> crate::peer::Result<Vec<&'static Workload>> {
        if names.is_empty() {
            return Ok(WORKLOADS.iter().collect());
        }
        let mut chosen = Vec::new();
        for name in names {
            let exact: Vec<_> = WORKLOADS.iter().filter(|known| known.name == name).collect();
            let found = if exact.is_empty() {
                WORKLOADS.iter().filter(|known| known.name.starts_with(name.as_str())).collect()
            } else {
                exact
            };
            if found.is_empty() {
                let known: Vec<_> = WORKLOADS.iter().map(|known| known.name).collect();
                return Err(format!(
                    "there is no workload {name:?}; there are {}",
                    known.join(", ")
                )
                .into());
            }
            chosen.extend(found);
        }
        Ok(chosen)
    }

    /// Whether it can be asked of such a store.
    pub(crate) fn suits(&self, kind: &Kind) -> bool {
        match (self.work, kind.class) {
            // A thousand threads are nothing that anybody would do.
            (Work::Durable { writers: Tickets { threads: 1, .. }, .. }, class) => {
                kind.has_tickets && class != Class::Tree
            }
            (Work::Durable { .. }, Class::Store | Class::Log | Class::Limit)
            | (_, Class::Store)
            | (Work::Read { .. } | Work::Scan, Class::Tree)
            | (Work::Memtable { .. }, Class::Map) => true,
            _ => false,
        }
    }

    /// How the memory is shared out; see [`crate::peers`].
    pub(crate) fn memory(&self, total: u64) -> Option<Memory> {
        let shares = |write, cache| {
            Some(Memory { write_bytes: total / 4 * write, cache_bytes: total / 4 * cache })
        };
        match self.work {
            Work::Durable { .. } | Work::Load { .. } | Work::Memtable { .. } => shares(3, 1),
            Work::Read { .. } | Work::Scan => shares(1, 3),
            Work::Mixed { .. } => shares(2, 2),
            Work::Reopen => None,
        }
    }
}
