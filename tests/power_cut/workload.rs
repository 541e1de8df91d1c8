//! Runs a program in a process of its own, cuts the power under it, and judges what it finds afterwards.
//!
//! Operation number `n` writes the value `n` under one or two keys that follow from `n`. So the content of a store
//! names the last operation that is in it, and the only right contents are those after some number of operations,
//! at least those acknowledged and at most those tried: none lost, none invented, none by halves, no hole.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oorandom::Rand64;

use super::medium::Survivors;
use super::mount::Mounted;

/// A child that neither ends nor meets its power cut by then hangs. Nothing else depends on time.
const PATIENCE: Duration = Duration::from_secs(60);
const CHILD_TEST: &str = "workload::child_process";
const CHILD_VARIABLE: &str = "MAINSTAY_POWER_CUT_CHILD";

pub(crate) type Content = BTreeMap<u64, u64>;

/// Something that keeps keys and values in a directory.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// How many of the pairs of an operation it writes, all or none of them.
    pub(crate) pairs: usize,
    /// Opens the store, says [`Report::ready`], and does operations from `first` on until it is killed.
    pub(crate) write: fn(&Path, &mut Report, first: u64) -> Failure,
    /// Opens the store and reads all of it.
    pub(crate) read: fn(&Path) -> Result<Content, String>,
}

/// Why a program stopped writing: never, but for errors, and these are expected once the power is off.
pub(crate) type Failure = String;

static PROGRAMS: &[&Program] = &[&super::sled_flush::PLAIN, &super::sled_flush::SYNCED];

/// The pairs of an operation.
pub(crate) fn operation(number: u64, pairs: usize) -> impl Iterator<Item = (u64, u64)> {
    [(number % 13, number), (100 + number % 29, number)].into_iter().take(pairs)
}

/// What a store holds after operations `1..=last`.
fn content_after(last: u64, pairs: usize) -> Content {
    (last.saturating_sub(40) + 1..=last).flat_map(|number| operation(number, pairs)).collect()
}

/// Where a child writes what it tried and what was acknowledged: on an ordinary file system, one call a line, so
/// that nothing is lost when it is killed.
#[derive(Debug)]
pub(crate) struct Report(File);

impl Report {
    fn line(&mut self, word: &str, number: u64) {
        self.0.write_all(format!("{word} {number}\n").as_bytes()).expect("the report takes a line");
    }

    pub(crate) fn ready(&mut self) {
        self.line("ready", 0);
    }

    pub(crate) fn tried(&mut self, number: u64) {
        self.line("tried", number);
    }

    pub(crate) fn acknowledged(&mut self, number: u64) {
        self.line("acknowledged", number);
    }
}

/// What the lines of a report say.
#[derive(Debug, Default)]
struct Account {
    is_ready: bool,
    tried: u64,
    acknowledged: u64,
    content: Content,
    is_complete: bool,
}

impl Account {
    fn read(path: &Path) -> Account {
        let mut account = Account::default();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |index: usize| words[index].parse::<u64>().unwrap();
            match words[0] {
                "ready" => account.is_ready = true,
                "tried" => account.tried = number(1),
                "acknowledged" => account.acknowledged = number(1),
                "pair" => drop(account.content.insert(number(1), number(2))),
                "complete" => account.is_complete = true,
                _ => panic!("a report has no line {line:?}"),
            }
        }
        account
    }
}

/// Not a test: what the child processes run. Without the variable it has nothing to do.
#[test]
fn child_process() {
    let Ok(task) = std::env::var(CHILD_VARIABLE) else { return };
    let words: Vec<&str> = task.split('\n').collect();
    let [name, action, directory, report, first] = words[..] else { panic!("what is {task:?}?") };
    let program = PROGRAMS.iter().find(|program| program.name == name).expect("a known program");
    let mut report = Report(OpenOptions::new().append(true).create(true).open(report).unwrap());
    let directory = Path::new(directory);
    if action == "write" {
        let failure = (program.write)(directory, &mut report, first.parse().unwrap());
        panic!("{name} stopped: {failure}");
    }
    let content = (program.read)(directory).unwrap_or_else(|failure| panic!("{failure}"));
    for (key, value) in content {
        report.0.write_all(format!("pair {key} {value}\n").as_bytes()).unwrap();
    }
    report.line("complete", 0);
}

/// A child process, killed at the latest when dropped.
struct Running {
    child: Child,
    report: PathBuf,
    output: PathBuf,
}

impl Running {
    fn start(
        program: &Program,
        action: &str,
        directory: &Path,
        scratch: &Path,
        first: u64,
    ) -> Self {
        let report = scratch.join(format!("{action}.report"));
        let output = scratch.join(format!("{action}.output"));
        let _ = std::fs::remove_file(&report);
        let (directory, place) = (directory.to_str().unwrap(), report.to_str().unwrap());
        let task = format!("{}\n{action}\n{directory}\n{place}\n{first}", program.name);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD_TEST, "--nocapture", "--test-threads", "1"])
            .env(CHILD_VARIABLE, task)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&output).unwrap())
            .spawn()
            .expect("a child process");
        Running { child, report, output }
    }

    fn account(&self) -> Account {
        Account::read(&self.report)
    }

    /// Waits until `condition`, or the end of the child; false if it ended or hangs.
    fn wait_until(&mut self, condition: impl Fn(&Account) -> bool) -> bool {
        let started = Instant::now();
        loop {
            let has_ended = self.child.try_wait().unwrap().is_some();
            if condition(&self.account()) {
                return true;
            }
            if has_ended || started.elapsed() > PATIENCE {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The last lines that the child wrote to its error stream.
    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When the power goes.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Moment {
    /// So many changes after the store was opened.
    AfterReady(u64),
}

/// What one power cut showed.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) acknowledged: u64,
    pub(crate) tried: u64,
    /// The last operation that the store holds; or how what it holds is none of the right contents.
    pub(crate) found: Result<u64, String>,
}

impl Round {
    /// Whether all that was acknowledged is there.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.found, Ok(last) if last >= self.acknowledged)
    }
}

/// Lets `program` write from operation `first` on in `directory`, cuts the power at `moment`, brings back what
/// survives, and reads it. Operations below `first` count as acknowledged.
pub(crate) fn round(
    mounted: &Mounted,
    (program, directory): (&Program, &Path),
    first: u64,
    moment: Moment,
    (survivors, seed): (Survivors, u64),
) -> Round {
    let scratch = tempfile::tempdir().unwrap();
    let mut writer = Running::start(program, "write", directory, scratch.path(), first);
    match moment {
        Moment::AfterReady(changes) => {
            assert!(writer.wait_until(|account| account.is_ready), "{}", writer.last_words());
            mounted.medium.lock().cut_after(changes);
        }
    }
    assert!(
        mounted.medium.wait_until_off(PATIENCE),
        "the power is still on: {:?}\n{}",
        writer.account(),
        writer.last_words()
    );
    let report = writer.report.clone();
    drop(writer);
    let account = Account::read(&report);
    let (acknowledged, tried) = (account.acknowledged.max(first - 1), account.tried.max(first - 1));
    mounted.power_cut(survivors, seed);

    let mut reader = Running::start(program, "read", directory, scratch.path(), 0);
    let found = if reader.wait_until(|account| account.is_complete) {
        let content = reader.account().content;
        let last = content.values().max().copied().unwrap_or(0);
        if last <= tried && content == content_after(last, program.pairs) {
            Ok(last)
        } else {
            Err(format!("not the content after any of {tried} operations: {content:?}"))
        }
    } else {
        Err(format!("not readable: {}", reader.last_words()))
    };
    Round { acknowledged, tried, found }
}

/// A moment for the round of `seed`, within `changes` of what it is counted from.
pub(crate) fn some_changes(seed: u64, changes: u64) -> u64 {
    Rand64::new(u128::from(seed) ^ 0x7077_6375).rand_range(0..changes)
}
