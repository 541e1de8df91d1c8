//! A backup while writes go on, and another database made from it.
//!
//! `cargo run --example backup_restore`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program, not a core")]

use mainstay::{Db, RestoreOptions, restore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let (backup, copy) = (directory.path().join("backup"), directory.path().join("copy"));
    let db = Db::open(directory.path().join("data"))?;
    for number in 0..1000u32 {
        db.insert(number.to_be_bytes(), b"value")?;
    }
    let writer = {
        let db = db.clone();
        std::thread::spawn(move || -> mainstay::Result<()> {
            for number in 1000..1200u32 {
                db.insert(number.to_be_bytes(), b"written meanwhile")?;
            }
            Ok(())
        })
    };
    println!("{:?}", db.backup(&backup)?);
    writer.join().map_err(|_| "the writer panicked")??;
    db.close()?;

    println!("{:?}", restore(&backup, &copy, RestoreOptions::default())?);
    let copy = Db::open(&copy)?;
    let count = copy.iter()?.count();
    assert!((1000..=1200).contains(&count), "{count} entries");
    copy.close()?;
    Ok(())
}
