//! A service with worker threads on one database: each request is answered when its write is durable, figures are
//! printed, and the end is orderly.
//!
//! `cargo run --example embed_in_a_service`

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program, not a core")]

use std::sync::mpsc;
use std::time::Duration;

use mainstay::{Db, ErrorKind, Options};

enum Request {
    Set { name: String, value: String, answer: mpsc::Sender<Result<u64, String>> },
    Stop,
}

fn serve(db: &Db, requests: &mpsc::Receiver<Request>) {
    while let Ok(Request::Set { name, value, answer }) = requests.recv() {
        let outcome = db.insert(&name, &value).map(|lsn| lsn.0).map_err(|error| {
            match error.kind() {
                ErrorKind::Input => format!("bad request: {error}"),
                ErrorKind::Retry => format!("try again: {error}"),
                // Neither yes nor no: the client must not take it for either.
                ErrorKind::Indeterminate => format!("unknown: {error}"),
                _ => format!("the service must be restarted: {error}"),
            }
        });
        // A client that has gone away needs no answer.
        let _gone = answer.send(outcome);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let db = Options::new().memory_bytes(64 << 20).open(directory.path().join("data"))?;
    println!("opened in {:?}: {:?}", db.stats()?.opened_in, db.recovery().log);

    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (requests, queue) = mpsc::channel();
            let db = db.clone();
            (requests, std::thread::spawn(move || serve(&db, &queue)))
        })
        .collect();
    let mut answers = Vec::new();
    for number in 0..800 {
        let (answer, receiver) = mpsc::channel();
        let (name, value) = (format!("user {number}"), "signed up".to_owned());
        workers[number % workers.len()].0.send(Request::Set { name, value, answer })?;
        answers.push(receiver);
    }
    for answer in answers {
        answer.recv_timeout(Duration::from_secs(60))??;
    }
    for (requests, worker) in workers {
        requests.send(Request::Stop)?;
        worker.join().map_err(|_| "a worker panicked")?;
    }
    let stats = db.stats()?;
    println!("{} writes in {} syncs", stats.log.appended_records, stats.log.syncs);
    assert_eq!(db.prefix("user ")?.count(), 800);
    db.close()?;
    Ok(())
}
