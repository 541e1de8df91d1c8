//! Serialisable transactions: money moves between accounts from several threads, and none is lost.
//!
//! `cargo run --example transactions`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program, not a core")]

use mainstay::{Db, Result, Transaction, Value};

const ACCOUNTS: u8 = 10;

fn balance(tx: &Transaction, db: &Db, account: u8) -> Result<u64> {
    let value: Option<Value> = tx.get(db, [account])?;
    Ok(value.and_then(|value| Some(u64::from_le_bytes(value[..].try_into().ok()?))).unwrap_or(0))
}

/// Runs again by itself where another transfer came between.
fn transfer(db: &Db, from: u8, to: u8, amount: u64) -> Result<bool> {
    db.transact(|tx| {
        let has = balance(tx, db, from)?;
        if from == to || has < amount {
            return Ok(false);
        }
        let other = balance(tx, db, to)?;
        tx.insert(db, [from], (has - amount).to_le_bytes())?;
        tx.insert(db, [to], (other + amount).to_le_bytes())?;
        Ok(true)
    })
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let db = Db::open(directory.path().join("data"))?;
    for account in 0..ACCOUNTS {
        db.insert([account], 100u64.to_le_bytes())?;
    }
    let threads: Vec<_> = (0..4u8)
        .map(|thread| {
            let db = db.clone();
            std::thread::spawn(move || -> Result<u32> {
                let mut moved = 0;
                for round in 0..50u8 {
                    let (from, to) = ((round + thread) % ACCOUNTS, (round * 3) % ACCOUNTS);
                    moved += u32::from(transfer(&db, from, to, 7)?);
                }
                Ok(moved)
            })
        })
        .collect();
    for thread in threads {
        let moved = thread.join().map_err(|_| "a thread panicked")??;
        println!("{moved} transfers");
    }
    let tx = db.transaction();
    let mut sum = 0;
    for account in 0..ACCOUNTS {
        sum += balance(&tx, &db, account)?;
    }
    assert_eq!(sum, 1000);
    println!("all accounts together: {sum}");
    db.close()?;
    Ok(())
}
