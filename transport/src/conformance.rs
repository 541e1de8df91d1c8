//! The contract of a [`Transport`] as a test that any implementation must pass.

use std::time::Duration;

use crate::{Event, NodeId, SendError, Transport};

/// How often a frame is sent before it is taken to be lost for good.
const TRIES: usize = 1000;

/// How long one try waits.
const PATIENCE: Duration = Duration::from_millis(10);

/// Past this a queue is taken to have no bound.
const UNBOUNDED_BYTES: usize = 1 << 30;

/// Checks the contract of a transport over two nodes that are joined. Panics where it is not kept,
/// naming the rule by its number.
///
/// `pair` makes two joined nodes anew for each part. Lost and repeated frames are no fault, unless
/// all of them are lost.
pub fn check<T: Transport>(mut pair: impl FnMut() -> (T, T)) {
    let (one, two) = pair();
    assert_ne!(one.node(), two.node(), "two nodes with one number");
    what_arrives_was_sent(&one, &two);
    what_arrives_was_sent(&two, &one);
    let (one, two) = pair();
    refusals_are_told(&one, &two);
    let (one, two) = pair();
    queues_are_bounded(&one, &two);
}

/// The bytes of test frame `number`.
fn frame(number: u64, bytes: usize) -> Vec<u8> {
    let pattern = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    pattern.iter().copied().cycle().take(bytes).collect()
}

fn what_arrives_was_sent<T: Transport>(from: &T, to: &T) {
    let sizes = [0, 1, 100, 4096, 65_536, from.max_frame_bytes()];
    assert!(from.max_frame_bytes() >= 65_536, "largest frame: {} bytes", from.max_frame_bytes());
    let frames: Vec<_> = (0..).zip(sizes).map(|(number, bytes)| frame(number, bytes)).collect();
    for wanted in &frames {
        let mut arrived = false;
        for _ in 0..TRIES {
            let sent = from.send(to.node(), wanted);
            assert!(matches!(sent, Ok(()) | Err(SendError::Busy { .. })), "rule 1: {sent:?}");
            arrived = drain(to, from.node(), &frames).contains(wanted);
            if arrived {
                break;
            }
        }
        assert!(arrived, "rule 4: a frame of {} bytes never arrived", wanted.len());
    }
}

/// Receives until nothing comes; every frame must be one of those that were sent.
fn drain<T: Transport>(at: &T, from: NodeId, sent: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut arrived = Vec::new();
    let mut is_up = None;
    loop {
        let received = at.receive(PATIENCE);
        assert!(received.is_ok(), "closed while it is in use");
        match received.ok().flatten() {
            Some(Event::Frame { from: sender, bytes }) => {
                assert_eq!(sender, from, "rule 3: sender");
                assert!(sent.contains(&bytes), "rule 3: {} bytes nobody sent", bytes.len());
                arrived.push(bytes);
            }
            Some(Event::Up(peer) | Event::Down(peer)) if peer != from => {
                assert_eq!(peer, from, "rule 6: news of a node that is no peer");
            }
            Some(event) => {
                let up = matches!(event, Event::Up(_));
                assert_ne!(is_up.replace(up), Some(up), "rule 6: {event:?} twice in a row");
            }
            None => return arrived,
        }
    }
}

fn refusals_are_told<T: Transport>(one: &T, two: &T) {
    let limit_bytes = one.max_frame_bytes();
    let too_large = vec![7; limit_bytes + 1];
    let refused = one.send(two.node(), &too_large);
    let expected = SendError::TooLarge { bytes: limit_bytes + 1, limit_bytes };
    assert_eq!(refused, Err(expected), "a frame past the limit");
    let numbers = [one.node(), two.node()].map(NodeId::number);
    let stranger = (1..).filter_map(NodeId::new).find(|id| !numbers.contains(&id.number()));
    if let Some(to) = stranger {
        assert_eq!(one.send(to, b"?"), Err(SendError::UnknownPeer { to }), "a frame to a stranger");
    }
    assert_eq!(drain(two, one.node(), &[]), Vec::<Vec<u8>>::new(), "refused frames arrived");
}

fn queues_are_bounded<T: Transport>(one: &T, two: &T) {
    let (large, mut taken_bytes) = (frame(9, 65_536), 0);
    // Nobody receives: the queue fills up.
    loop {
        match one.send(two.node(), &large) {
            Ok(()) => taken_bytes += large.len(),
            Err(error) => {
                assert_eq!(error, SendError::Busy { to: two.node() }, "rule 1");
                break;
            }
        }
        assert!(taken_bytes < UNBOUNDED_BYTES, "rule 1: a queue took {taken_bytes} bytes");
    }
    let sent = [large];
    let emptied = (0..TRIES).any(|_| {
        drain(two, one.node(), &sent);
        one.send(two.node(), &sent[0]).is_ok()
    });
    assert!(emptied, "rule 1: the queue stays full although its peer receives");
}
