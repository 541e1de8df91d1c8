//! Runs a program in a process of its own, kills it or cuts the power under it, and judges what is
//! found afterwards.
//!
//! Operation number `n` writes the value `n` under one or two keys that follow from `n`, and
//! operations follow each other without a gap. So the content of a store names the last operation
//! that is in it, and the only right contents are those after some number of operations, at least
//! those acknowledged and at most those tried: none lost, none invented, none by halves, no hole.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::medium::Survivors;
use super::mount::Mounted;

/// A child that neither ends nor meets its end by then hangs. Nothing else depends on time.
const PATIENCE: Duration = Duration::from_secs(60);
const CHILD_TEST: &str = "workload::child_process";
const CHILD_VARIABLE: &str = "MAINSTAY_POWER_CUT_CHILD";

pub(crate) type Content = BTreeMap<u64, u64>;
pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Something that keeps keys and values in a directory.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// How many of the pairs of an operation it writes, all or none of them.
    pub(crate) pairs: usize,
    /// Opens it, or makes it.
    pub(crate) open: fn(&Path) -> Outcome<Box<dyn Opened>>,
}

/// A program that is open.
pub(crate) trait Opened {
    /// All that it holds. What was seen here counts as acknowledged.
    fn content(&self) -> Outcome<Content>;
    /// Does one operation, which is acknowledged when this returns.
    fn operate(&mut self, number: u64) -> Outcome<()>;
}

static PROGRAMS: &[&Program] = &[
    &super::log::DIRECT,
    &super::log::PLAIN,
    &super::database::OVER_MEMORY,
    &super::database::OVER_SLED,
    &super::database::OVER_LSM,
    &super::sled_flush::PLAIN,
    &super::sled_flush::SYNCED,
];

/// The pairs of an operation.
pub(crate) fn operation(number: u64, pairs: usize) -> impl Iterator<Item = (u64, u64)> {
    [(number % 13, number), (100 + number % 29, number)].into_iter().take(pairs)
}

/// What a store holds after operations `1..=last`.
fn content_after(last: u64, pairs: usize) -> Content {
    (last.saturating_sub(40) + 1..=last).flat_map(|number| operation(number, pairs)).collect()
}

impl Program {
    /// The last operation that is in `content`, if it is right.
    fn last_in(&self, content: &Content) -> Result<u64, String> {
        let last = content.values().max().copied().unwrap_or(0);
        if *content == content_after(last, self.pairs) {
            Ok(last)
        } else {
            Err(format!("{}: not the content after {last} operations: {content:?}", self.name))
        }
    }

    /// What a child does: goes on where the store ends, until it is killed or something fails.
    fn write(&self, directory: &Path, report: &mut Report) -> Outcome<()> {
        let mut opened = (self.open)(directory)?;
        let last = self.last_in(&opened.content()?)?;
        report.line("acknowledged", last);
        report.line("ready", last);
        for number in last + 1.. {
            report.line("tried", number);
            opened.operate(number)?;
            report.line("acknowledged", number);
        }
        Ok(())
    }

    /// What a child does: says what it finds.
    fn read(&self, directory: &Path, report: &mut Report) -> Outcome<()> {
        let last = self.last_in(&(self.open)(directory)?.content()?)?;
        report.line("found", last);
        Ok(())
    }
}

/// Where a child writes what it does: on an ordinary file system, one call a line, so that nothing
/// is lost when it is killed.
#[derive(Debug)]
struct Report(File);

impl Report {
    fn line(&mut self, word: &str, number: u64) {
        self.0.write_all(format!("{word} {number}\n").as_bytes()).expect("the report takes a line");
    }
}

/// What a report says: the last number behind each word.
#[derive(Debug, Default)]
struct Account(BTreeMap<String, u64>);

impl Account {
    fn read(path: &Path) -> Account {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().map(|line| line.split_once(' ').expect("a word and a number"));
        Account(lines.map(|(word, number)| (word.to_owned(), number.parse().unwrap())).collect())
    }

    fn last(&self, word: &str) -> Option<u64> {
        self.0.get(word).copied()
    }
}

/// Not a test: what the child processes run. Without the variable it has nothing to do.
#[test]
fn child_process() {
    let Ok(task) = std::env::var(CHILD_VARIABLE) else { return };
    let words: Vec<&str> = task.split('\n').collect();
    let [name, action, directory, report] = words[..] else { panic!("what is {task:?}?") };
    let program = PROGRAMS.iter().find(|program| program.name == name).expect("a known program");
    let mut report = Report(OpenOptions::new().append(true).create(true).open(report).unwrap());
    let directory = Path::new(directory);
    let act = if action == "write" { Program::write } else { Program::read };
    act(program, directory, &mut report).unwrap_or_else(|failure| panic!("{action}: {failure}"));
}

/// A child process, killed at the latest when dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Holds its report and its error stream.
    scratch: tempfile::TempDir,
}

impl Running {
    fn start(program: &Program, action: &str, directory: &Path) -> Running {
        let scratch = tempfile::tempdir().unwrap();
        let report = scratch.path().join("report");
        let (directory, report) = (directory.to_str().unwrap(), report.to_str().unwrap());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD_TEST, "--nocapture", "--test-threads", "1"])
            .env(CHILD_VARIABLE, format!("{}\n{action}\n{directory}\n{report}", program.name))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(scratch.path().join("errors")).unwrap())
            .spawn()
            .expect("a child process");
        Running { child, scratch }
    }

    fn account(&self) -> Account {
        Account::read(&self.scratch.path().join("report"))
    }

    /// Waits until the report says `word`, or the child has ended; says which number stands behind
    /// the word.
    fn wait_for(&mut self, word: &str) -> Option<u64> {
        let started = Instant::now();
        loop {
            let has_ended = self.child.try_wait().unwrap().is_some();
            if let Some(number) = self.account().last(word) {
                return Some(number);
            }
            if has_ended || started.elapsed() > PATIENCE {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The last lines that the child wrote to its error stream.
    fn last_words(&self) -> String {
        let errors = self.scratch.path().join("errors");
        let text = std::fs::read_to_string(errors).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("  ")).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    fn kill(&mut self) {
        // Fails only if it has ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("the child can be waited for");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// When a program meets its end.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Moment {
    /// So many changes after its process was started: while it makes or recovers its store, or soon
    /// after.
    AfterStart(u64),
    /// So many changes after it was open.
    AfterReady(u64),
}

/// One store through any number of ends.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    mounted: &'a Mounted,
    program: &'a Program,
    directory: PathBuf,
    /// The last operation that was acknowledged, or seen.
    pub(crate) acknowledged: u64,
    /// The last operation that was tried.
    pub(crate) tried: u64,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(mounted: &'a Mounted, program: &'a Program, name: &str) -> Trial<'a> {
        let directory = mounted.path().join(name);
        Trial { mounted, program, directory, acknowledged: 0, tried: 0 }
    }

    /// Lets the program write until everything stops at `moment`, and kills it.
    fn write_until(&mut self, moment: Moment) {
        let medium = &self.mounted.medium;
        if let Moment::AfterStart(changes) = moment {
            medium.lock().stop_after(changes);
        }
        let mut running = Running::start(self.program, "write", &self.directory);
        if let Moment::AfterReady(changes) = moment {
            assert!(running.wait_for("ready").is_some(), "{}", running.last_words());
            medium.lock().stop_after(changes);
        }
        let started = Instant::now();
        while !medium.wait_until_stopped(Duration::from_millis(100)) {
            let has_ended = running.child.try_wait().unwrap().is_some();
            let is_hopeless = has_ended || started.elapsed() > PATIENCE;
            assert!(!is_hopeless, "{:?}\n{}", running.account(), running.last_words());
        }
        running.kill();
        let account = running.account();
        self.tried = self.tried.max(account.last("tried").unwrap_or(0));
        self.acknowledged = self.acknowledged.max(account.last("acknowledged").unwrap_or(0));
    }

    /// Lets the program write, and kills it: what was unsynced is still there, and still unsynced.
    pub(crate) fn kill(&mut self, moment: Moment) {
        self.write_until(moment);
        self.mounted.medium.lock().resume();
    }

    /// Lets the program write, and cuts the power under it; `survivors` is what is left.
    pub(crate) fn power_cut(&mut self, moment: Moment, survivors: Survivors, seed: u64) {
        self.write_until(moment);
        self.mounted.power_cut(survivors, seed);
    }

    /// Opens the store again; what it holds must be right, and not less than was acknowledged.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        let mut running = Running::start(self.program, "read", &self.directory);
        let found = running.wait_for("found");
        let found = found.ok_or_else(|| format!("not readable: {}", running.last_words()))?;
        if found < self.acknowledged || found > self.tried {
            let Trial { acknowledged, tried, .. } = self;
            return Err(format!("{acknowledged} acknowledged, {found} found, {tried} tried"));
        }
        self.acknowledged = found;
        Ok(())
    }
}
