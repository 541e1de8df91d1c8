//! The contract over two queues in memory, and over such as do not keep it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::conformance::check;
use crate::{Closed, Event, NodeId, SendError, Transport};

const QUEUE_FRAMES: usize = 8;
const MAX_FRAME_BYTES: usize = 100_000;

/// What a queue does wrong, or may do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Habit {
    Faithful,
    /// Loses two of three frames, and repeats some: this is allowed.
    Loses,
    FlipsBits,
    LosesEverything,
    TakesEverything,
    TakesAnySize,
    SaysUpTwice,
    KnowsEverybody,
    StaysFull,
}

type Queue = Arc<Mutex<VecDeque<Event>>>;

struct Loop {
    node: NodeId,
    peer: NodeId,
    outgoing: Queue,
    incoming: Queue,
    habit: Habit,
    sent: Cell<usize>,
}

fn id(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

fn pair(habit: Habit) -> (Loop, Loop) {
    let queues: [Queue; 2] = Default::default();
    let end = |node: u64, peer: u64, outgoing: &Queue, incoming: &Queue| {
        let up = Event::Up(id(peer));
        incoming.lock().unwrap().push_back(up.clone());
        if habit == Habit::SaysUpTwice {
            incoming.lock().unwrap().push_back(up);
        }
        let (outgoing, incoming) = (outgoing.clone(), incoming.clone());
        Loop { node: id(node), peer: id(peer), outgoing, incoming, habit, sent: Cell::new(0) }
    };
    (end(1, 2, &queues[0], &queues[1]), end(2, 1, &queues[1], &queues[0]))
}

impl Transport for Loop {
    fn node(&self) -> NodeId {
        self.node
    }

    fn max_frame_bytes(&self) -> usize {
        MAX_FRAME_BYTES
    }

    fn send(&self, to: NodeId, frame: &[u8]) -> Result<(), SendError> {
        let (bytes, limit_bytes) = (frame.len(), MAX_FRAME_BYTES);
        if to != self.peer && self.habit != Habit::KnowsEverybody {
            return Err(SendError::UnknownPeer { to });
        }
        if bytes > limit_bytes && self.habit != Habit::TakesAnySize {
            return Err(SendError::TooLarge { bytes, limit_bytes });
        }
        let sent = self.sent.replace(self.sent.get() + 1);
        let mut queue = self.outgoing.lock().unwrap();
        let is_full = queue.len() >= QUEUE_FRAMES
            || (self.habit == Habit::StaysFull && sent >= QUEUE_FRAMES && bytes == 65_536);
        if is_full {
            return match self.habit {
                Habit::TakesEverything => Ok(()),
                _ => Err(SendError::Busy { to }),
            };
        }
        let mut bytes = frame.to_vec();
        let copies = match self.habit {
            Habit::LosesEverything => 0,
            Habit::Loses if sent % 3 != 2 => 0,
            Habit::Loses if sent.is_multiple_of(2) => 2,
            _ => 1,
        };
        if self.habit == Habit::FlipsBits && sent == 3 {
            bytes[0] ^= 1;
        }
        for _ in 0..copies {
            queue.push_back(Event::Frame { from: self.node, bytes: bytes.clone() });
        }
        Ok(())
    }

    fn receive(&self, _patience: Duration) -> Result<Option<Event>, Closed> {
        Ok(self.incoming.lock().unwrap().pop_front())
    }
}

#[test]
fn queues_that_keep_the_contract_pass() {
    check(|| pair(Habit::Faithful));
    check(|| pair(Habit::Loses));
}

#[test]
fn each_broken_rule_is_noticed() {
    let broken = [
        (Habit::FlipsBits, "rule 3"),
        (Habit::LosesEverything, "rule 4"),
        (Habit::TakesEverything, "rule 1"),
        (Habit::TakesAnySize, "past the limit"),
        (Habit::SaysUpTwice, "rule 6"),
        (Habit::KnowsEverybody, "stranger"),
        (Habit::StaysFull, "stays full"),
    ];
    for (habit, named) in broken {
        let panic = catch_unwind(AssertUnwindSafe(|| check(|| pair(habit)))).unwrap_err();
        let literal = panic.downcast_ref::<&str>().copied().unwrap_or_default();
        let text = panic.downcast_ref::<String>().map_or(literal, String::as_str);
        assert!(text.contains(named), "{habit:?}: {text}");
    }
}

#[test]
fn zero_is_no_node() {
    assert_eq!(NodeId::new(0), None);
    assert_eq!(id(7).number(), 7);
    assert_eq!(id(7).to_string(), "n7");
}
