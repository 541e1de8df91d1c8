//! The workloads of mainstay's benchmark, run over other stores beside it.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- --json peers.json --html peers.html
//! ```
//!
//! [`peer`] says what a store is asked to do, and [`peers`] has the stores, and how they share out
//! the memory that each is given. [`workload`] lists what is measured; [`schedule`] has all stores
//! take turns, each in a process of its own, which [`run`] carries out; [`report`] tells.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark reads clocks, runs threads, prints, and rounds"
)]

mod arguments;
mod comparison;
mod machine;
mod peer;
mod peers;
mod report;
mod result;
mod run;
mod schedule;
mod workload;

use clap::Parser as _;

use arguments::Arguments;
use peer::{KINDS, Result};
use schedule::{ORDER, Schedule};
use workload::Workload;

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(ORDER) {
        let order = serde_json::from_str(&words.next().unwrap_or_default())?;
        println!("{}", serde_json::to_string(&run::carry_out(&order)?)?);
        return Ok(());
    }
    let arguments = Arguments::parse();
    let workloads = Workload::chosen(&arguments.workloads)?;
    let kinds = if arguments.peers.is_empty() {
        KINDS.iter().collect()
    } else {
        arguments.peers.iter().map(|name| peer::kind(name)).collect::<Result<_>>()?
    };
    let mut results = match &arguments.json {
        Some(file) => result::load(file)?,
        None => Vec::new(),
    };
    if arguments.rounds > 0 {
        Schedule::new(&arguments, workloads, kinds)?.run(&mut results)?;
    }
    print!("{}", report::table::markdown(&results));
    if let Some(file) = &arguments.html {
        std::fs::write(file, report::html::page(&results)?)?;
    }
    Ok(())
}
