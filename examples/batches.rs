//! Several changes over several keyspaces that happen together or not at all, and writes that do not wait.
//!
//! `cargo run --example batches`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program, not a core")]

use mainstay::{Batch, Db, Durability, Error};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let db = Db::open(directory.path().join("data"))?;
    let (users, emails) = (db.keyspace("users")?, db.keyspace("emails")?);

    // Both or none; and only if nobody has the address yet.
    let sign_up = |name: &str, email: &str| {
        let mut batch = Batch::new();
        batch.require(&emails, email, None);
        batch.insert(&users, name, email).insert(&emails, email, name);
        db.write(batch)?.wait()
    };
    sign_up("ada", "ada@example.org")?;
    match sign_up("another ada", "ada@example.org") {
        Err(Error::PreconditionFailed { found, .. }) => println!("taken by {found:?}"),
        other => return Err(format!("expected a refusal, got {other:?}").into()),
    }
    assert!(!users.contains_key("another ada")?);

    // Tickets: a thousand writes under way, one wait. They share the syncs of the disk.
    let mut last = None;
    for number in 0..1000u32 {
        let mut batch = Batch::new();
        batch.insert(&db, number.to_be_bytes(), b"value");
        last = Some(db.write(batch)?);
    }
    if let Some(ticket) = last {
        println!("durable up to LSN {}", ticket.wait()?);
    }

    // Acknowledged from memory: quicker, and a crash may lose the newest.
    db.insert_with("page views", b"12", Durability::Buffered)?;
    db.sync()?;
    println!("{} syncs", db.stats()?.log.syncs);
    db.close()?;
    Ok(())
}
