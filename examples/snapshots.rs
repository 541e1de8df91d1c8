//! A view that later writes do not change, and ranges from both ends.
//!
//! `cargo run --example snapshots`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program, not a core")]

use mainstay::Db;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let db = Db::open(directory.path().join("data"))?;
    for (name, price) in [("apple", "30"), ("pear", "40"), ("plum", "55")] {
        db.insert(name, price)?;
    }
    let before = db.snapshot();
    db.insert("apple", "99")?;
    db.remove("plum")?;
    db.checkpoint()?; // the Store changes; the snapshot does not

    assert_eq!(before.get(&db, "apple")?.as_deref(), Some(&b"30"[..]));
    assert_eq!(before.iter(&db).count(), 3);
    assert_eq!(db.iter()?.count(), 2);

    // Double-ended: the highest names first.
    for entry in before.range(&db, "b"..).rev() {
        let (name, price) = entry?;
        println!("{} costs {}", name.escape_ascii(), price.escape_ascii());
    }
    println!("the snapshot stands at LSN {}, the database at {}", before.lsn(), db.visible_lsn());
    db.close()?;
    Ok(())
}
