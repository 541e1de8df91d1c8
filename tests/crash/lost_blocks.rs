//! A medium worse than what the log assumes: a crash may leave whole blocks of 4 KiB as zeros, durable bytes
//! included. Nothing can survive that in every case. What is asked for is detection: an error, or contents that
//! some record once left behind.
//!
//! What cannot be found out, and is counted: when the last groups of the log are among the zeros, and nothing
//! that survived says that they were durable, the log ends earlier.

use mainstay_wal::disk::{SimDisk, Survivors};

use crate::draw::Draw;
use crate::oracle;
use crate::session::{Session, Shape, Told};
use crate::tally;

const CRASHES: u64 = 4000;

#[test]
fn lost_blocks_are_never_wrong_data() {
    let tally = tally::on_all_cores("lost blocks", CRASHES * tally::depth(), |seed, tally| {
        let shape = Shape::of(seed);
        let disk = SimDisk::new(seed);
        let mut draw = Draw::new(seed);
        disk.crash_at(20 + draw.below(400));
        let Ok(mut session) = Session::open(&disk, shape, Told::new(), 0) else { return };
        if session.run(&mut draw, 250).is_ok() {
            return;
        }
        let told = session.told.clone();
        tally.add("crashes", 1);
        let left = disk.crash(Survivors::LoseBlocks { seed });
        tally::case(
            || format!("lost blocks, seed {seed}"),
            || match shape.open(&left, 1) {
                Err(error) => tally.add(kind(&error), 1),
                Ok(engine) => match oracle::read_all(&engine) {
                    Err(error) => tally.add(kind(&error), 1),
                    Ok(found) => {
                        let end = engine.log().end().lsn;
                        assert!(end <= told.history.last_lsn(), "something was invented");
                        assert!(found == *told.history.at(end), "wrong data: {found:?}");
                        let whole = end >= told.acknowledged;
                        tally.add(if whole { "whole" } else { "lost at the end, unnoticed" }, 1);
                    }
                },
            },
        );
    });
    assert!(tally.count("whole") > 0 && tally.count("refused as corrupt") > 0);
}

fn kind(error: &mainstay_engine::Error) -> &'static str {
    assert_eq!(error.kind(), mainstay_engine::ErrorKind::Corrupt, "{error}");
    "refused as corrupt"
}
