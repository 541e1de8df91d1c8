//! Starting a child, reading what it acknowledges, and killing it.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ack::{Ack, parse_acks};
use crate::exit::{Exit, Failure};

/// What a child acknowledged before it was killed.
#[derive(Debug)]
pub struct Killed {
    /// In the order in which they came.
    pub acks: Vec<Ack>,
    /// From its first acknowledgement to the kill; nothing if it was killed before the first.
    pub worked: Duration,
}

/// When to kill a child.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after it was started: it may not even have opened its database, or be in the midst
    /// of recovery.
    AfterStart(Duration),
    /// So long after its first acknowledgement of a write.
    AfterFirstAck(Duration),
}

/// How a child ended.
#[derive(Debug)]
pub enum Outcome {
    /// By our signal.
    Killed(Killed),
    /// By itself, which it should not have: what it said on its standard error.
    Failed(String),
}

/// A child at work.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: JoinHandle<io::Result<String>>,
    errors: JoinHandle<io::Result<String>>,
    /// Tells when the first acknowledgement of a write was there; closed when the output has
    /// ended.
    begun: mpsc::Receiver<Instant>,
}

impl Running {
    /// Starts a child, which prints [`Ack`] lines.
    pub fn start(mut command: Command) -> Result<Running, Failure> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| stopped("start", &error))?;
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(stopped("read", &"it has no output"));
        };
        let (first, begun) = mpsc::channel();
        let output = std::thread::spawn(move || read_all(out, &first));
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            BufReader::new(err).read_to_string(&mut text).map(|_| text)
        });
        Ok(Running { child, output, errors, begun })
    }

    /// Lets it work, and kills it with SIGKILL (or what is nearest to it where there are no
    /// signals).
    ///
    /// All that reached the pipe counts, however late it is read.
    pub fn kill(mut self, when: When) -> Result<Outcome, Failure> {
        let started = match when {
            When::AfterStart(time) => {
                std::thread::sleep(time);
                self.begun.try_recv().ok()
            }
            When::AfterFirstAck(time) => {
                // An error here means that the output ended before that: the child ended by itself.
                let started = self.begun.recv().ok();
                if started.is_some() {
                    std::thread::sleep(time);
                }
                started
            }
        };
        let by_itself = self.child.try_wait().map_err(|error| stopped("wait for", &error))?;
        let worked = started.map(|started| started.elapsed()).unwrap_or_default();
        // Killing one that has just ended does nothing.
        self.child.kill().map_err(|error| stopped("kill", &error))?;
        let status = self.child.wait().map_err(|error| stopped("wait for", &error))?;
        let output = join(self.output).map_err(|error| stopped("read", &error))?;
        let errors = join(self.errors).map_err(|error| stopped("read", &error))?;
        if by_itself.is_some() || status.code().is_some() && cfg!(unix) {
            return Ok(Outcome::Failed(format!("{status}: {}", errors.trim())));
        }
        match parse_acks(&output) {
            Ok(acks) => Ok(Outcome::Killed(Killed { acks, worked })),
            Err(line) => Ok(Outcome::Failed(format!("it printed {line:?}"))),
        }
    }
}

fn stopped(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Stopped(Exit::Unreadable, format!("cannot {what} the child: {error}"))
}

/// Reads to the end; tells when the first acknowledgement of a write was there.
fn read_all(out: impl Read, first: &mpsc::Sender<Instant>) -> io::Result<String> {
    let mut reader = BufReader::new(out);
    let mut text = String::new();
    let mut told = false;
    loop {
        let start = text.len();
        if reader.read_line(&mut text)? == 0 {
            return Ok(text);
        }
        if !told && text[start..].starts_with("ACK") {
            told = true;
            // Nobody listens any more only if nobody needs to know.
            let _heard = first.send(Instant::now());
        }
    }
}

fn join(thread: JoinHandle<io::Result<String>>) -> Result<String, String> {
    match thread.join() {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => Err("the thread that reads it panicked".to_owned()),
    }
}
