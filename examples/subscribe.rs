//! Following a database: an index of our own that is kept up to date from the feed of changes.
//!
//! `cargo run --example subscribe`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program, not a core")]

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay::{ChangeOp, Db};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let db = Db::open(directory.path().join("data"))?;
    db.insert("user/ada", "London")?;
    db.insert("user/alan", "London")?;

    // First everything as it is at one LSN, then every change from exactly there on.
    let snapshot = db.snapshot();
    let mut users_in: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for entry in snapshot.prefix(&db, "user/") {
        let (_, city) = entry?;
        *users_in.entry(city.to_vec()).or_default() += 1;
    }
    let mut feed = db.subscribe(snapshot.lsn())?.prefix(&db, "user/").hold()?;

    let writer = {
        let db = db.clone();
        std::thread::spawn(move || -> mainstay::Result<()> {
            db.insert("user/grace", "New York")?;
            db.insert("orders/1", "not of interest here")?;
            db.insert("user/edsger", "Austin")?;
            Ok(())
        })
    };
    let mut seen = 0;
    while seen < 2 {
        let Some(change) = feed.next_timeout(Duration::from_secs(30))? else {
            return Err("no change within 30 seconds".into());
        };
        for op in &change.ops {
            if let ChangeOp::Insert { key, value, .. } = op {
                println!("LSN {}: {} in {}", change.lsn, key.escape_ascii(), value.escape_ascii());
                *users_in.entry(value.to_vec()).or_default() += 1;
                seen += 1;
            }
        }
    }
    writer.join().map_err(|_| "the writer panicked")??;
    assert_eq!(users_in.len(), 3);
    db.close()?;
    Ok(())
}
