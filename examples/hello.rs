//! The smallest program: a durable write, and reading it back.
//!
//! `cargo run --example hello`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program, not a core")]

use mainstay::Db;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let db = Db::open(directory.path().join("data"))?;
    db.insert("ada", b"1815")?; // survives a power cut from here on
    db.insert("alan", b"1912")?;
    println!("ada: {:?}", db.get("ada")?);
    for entry in db.prefix("a")? {
        let (name, year) = entry?;
        println!("{} {}", name.escape_ascii(), year.escape_ascii());
    }
    assert_eq!(db.get("grace")?, None);
    db.close()?;
    Ok(())
}
