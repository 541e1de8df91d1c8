use mainstay::{Batch, Db, Durability};

fn main() -> mainstay::Result<()> {
    let db = Db::open("data")?;
    db.insert("ada", b"1815")?; // on the disk when it returns
    let users = db.keyspace("users")?; // made on first use
    let mut batch = Batch::new(); // several keyspaces, all or nothing
    batch.insert(&users, "alan", b"1912").remove(&db, "ada");
    let ticket = db.write(batch)?; // does not wait
    println!("durable at LSN {}", ticket.wait()?); // or: ticket.await
    let snapshot = db.snapshot(); // reads repeat
    for entry in snapshot.prefix(&users, "al") {
        let (key, value) = entry?;
        println!("{} {}", key.escape_ascii(), value.escape_ascii());
    }
    db.transact(|tx| {
        // serialisable; runs again on a conflict
        let visits = tx.get(&db, "visits")?.map_or(0, |value| value[0]);
        tx.insert(&db, "visits", [visits + 1])
    })?;
    users.insert_with("grace", b"1906", Durability::Buffered)?;
    db.close()
}
