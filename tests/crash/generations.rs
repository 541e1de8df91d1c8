//! Crash after crash on the same disk: what one leaves is what the next one meets.

use mainstay_wal::disk::{SimDisk, Survivors};

use crate::draw::Draw;
use crate::oracle;
use crate::session::{Session, Shape, Told};
use crate::tally::{self, Tally};

const CHAINS: u64 = 400;
const GENERATIONS: u64 = 12;

fn survivors(draw: &mut Draw) -> Survivors {
    let policies = Survivors::all(draw.below(u64::MAX));
    policies[draw.below(4) as usize]
}

/// The disk as the next process finds it: after a power cut, or, if only the process died, as it is.
fn left(disk: &SimDisk, draw: &mut Draw) -> SimDisk {
    if draw.below(4) == 0 { disk.fork() } else { disk.crash(survivors(draw)) }
}

fn chain(seed: u64, tally: &mut Tally) {
    let mut draw = Draw::new(seed ^ 0x5eed);
    let shape = Shape::of(seed);
    let mut disk = SimDisk::new(seed);
    let mut told = Told::new();
    for generation in 0..GENERATIONS {
        // Now and then recovery itself is cut, some times in a row.
        while draw.below(3) == 0 {
            disk.crash_at(1 + draw.below(14));
            let opened = Session::open(&disk, shape, told.clone(), generation);
            if !disk.has_crashed() {
                drop(opened);
                disk = disk.fork();
                break;
            }
            tally.add("recoveries cut", 1);
            disk = left(&disk, &mut draw);
        }
        let mut session = oracle::open_and_check(&disk, shape, &told, generation * 100);
        if std::env::var("DBG").is_ok() {
            tally::say(&format!(
                "gen {generation} {:?} manifest {:?} first {:?} files {:?}",
                session.engine().recovery(),
                session.engine().manifest().checkpoint,
                session.engine().log().first_lsn(),
                disk.files()
            ));
            disk.record_operations();
        }
        let at = disk.operations() + 1 + draw.below(120);
        disk.crash_at(at);
        let outcome = session.run(&mut draw, 60);
        assert_eq!(outcome.is_err(), disk.has_crashed(), "generation {generation}: {outcome:?}");
        told = session.told.clone();
        if std::env::var("DBG").is_ok() {
            tally::say(&format!(
                "manifest {:?} first {:?} told {:?} {:?}",
                session.engine.as_ref().map(|e| e.manifest().checkpoint),
                session.engine.as_ref().map(|e| e.log().first_lsn()),
                told.acknowledged,
                told.history.last_lsn()
            ));
            for op in disk.recorded() {
                tally::say(&format!("   {op}"));
            }
        }
        disk = left(&disk, &mut draw);
        tally.add("generations", 1);
    }
    oracle::goes_on(oracle::open_and_check(&disk, shape, &told, GENERATIONS * 100));
}

#[test]
fn generations_of_crashes_on_one_disk() {
    let only = tally::number("MAINSTAY_CRASH_SEED");
    let chains = only.map_or(CHAINS * tally::depth(), |_| 1);
    tally::on_all_cores("generations", chains, |piece, tally| {
        let seed = only.unwrap_or(piece);
        tally::case(
            || {
                format!(
                    "seed {seed}; repeat with MAINSTAY_CRASH_SEED={seed} \
                     cargo test --test crash generations"
                )
            },
            || chain(seed, tally),
        );
    });
}
