//! The `mainstay` command as a library: so that its parsers can be tested and fuzzed on their own.

#![allow(
    clippy::disallowed_methods,
    reason = "the command is no core: it measures time, waits and starts threads"
)]

mod args;
mod commands;
mod database;
mod demo;
mod log_view;

pub mod bench;
pub mod crash;
pub mod escape;
pub mod exit;
pub mod import;
pub mod output;
pub mod progress;
pub mod rejects;
pub mod rows;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Command, CommandLine};
use exit::{Exit, Failure};
use output::Output;

/// Runs the command of this process's command line.
#[must_use]
pub fn run() -> Exit {
    let command = match CommandLine::try_parse() {
        Ok(line) => line.command,
        Err(error) => return usage(&error),
    };
    let mut output = Output::standard();
    let ended = execute(command, &mut output);
    let flushed = output.finish().map_err(Failure::from);
    match ended.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => {
            if !matches!(failure, Failure::OutputClosed) {
                eprintln!("mainstay: {failure}");
            }
            failure.exit()
        }
    }
}

/// Prints what is wrong with the command line, or the help that was asked for.
fn usage(error: &clap::Error) -> Exit {
    // Nothing is left to be told to somebody who closed both outputs.
    let _printed = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
        _ => Exit::Usage,
    }
}

fn execute(command: Command, output: &mut Output) -> Result<Exit, Failure> {
    match command {
        Command::Demo(args) => commands::demo::run(&args, output),
        Command::DemoChild(args) => commands::demo::run_child(&args),
        Command::Import(args) => commands::import::run(&args, output),
        Command::Export(args) => commands::export::run(&args, output),
        Command::Get(args) => commands::get::run(&args, output),
        Command::Insert(args) => commands::edit::insert(&args),
        Command::Remove(args) => commands::edit::remove(&args),
        Command::Scan(args) => commands::scan::run(&args, output),
        Command::Keyspaces(args) => commands::keyspaces::run(&args, output),
        Command::Load(args) => commands::load::run(&args, output),
        Command::Inspect(args) => commands::inspect::run(&args, output),
        Command::Wal(args) => commands::wal::run(&args, output),
        Command::Diff(args) => commands::diff::run(&args, output),
        Command::Store(args) => commands::store::run(&args, output),
        Command::Backup(args) => commands::backup::backup(&args, output),
        Command::Restore(args) => commands::backup::restore(&args, output),
        Command::Bench(args) => commands::bench::run(&args, output),
        Command::Completions(args) => commands::completions::run(&args, output),
        Command::CrashChild(args) => commands::crash_child::run(&args),
    }
}
