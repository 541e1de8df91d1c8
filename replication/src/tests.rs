//! A protocol of two nodes that is too small for the world, to try the contract: the primary
//! answers a request once both nodes have it on their disks. Its driver steps two engines on
//! simulated disks over a network that loses frames.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mainstay_engine::wal::disk::SimDisk;
use mainstay_engine::wal::{Bound, DatabaseId};
use mainstay_engine::{Batch, Identity, KeyspaceId, Options, ReplicaEngine, replicated::Appended};
use serde::{Deserialize, Serialize};

use crate::{
    ClientId, ClusterId, Command, ConfigurationNumber, Effect, Effects, Envelope, Epoch, Failure,
    Incarnation, Input, LogId, Lsn, NodeId, Outcome, Promise, Protocol, Refusal, RequestId,
    Standing, Time,
};

const CLUSTER: ClusterId = ClusterId(5);
const EPOCH: Epoch = Epoch(1);
const RETRY: Duration = Duration::from_millis(100);

/// A record's place as it travels.
type Place = (u64, u64);

fn place(id: LogId) -> Place {
    (id.epoch.0, id.lsn.0)
}

fn log_id((epoch, lsn): Place) -> LogId {
    LogId { epoch: Epoch(epoch), lsn: Lsn(lsn) }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Mirrored {
    Frames { previous: Place, frames: Vec<u8>, commit_lsn: u64 },
    Durable { up_to: Place },
}

/// Both roles of the toy. Who is primary is settled beforehand.
#[derive(Debug)]
struct Mirror {
    peer: NodeId,
    is_primary: bool,
    began: bool,
    /// What is durable here and there, as far as is known.
    own: LogId,
    theirs: LogId,
    commit_lsn: Lsn,
    applied: Lsn,
    waiting: BTreeMap<Lsn, (RequestId, LogId)>,
    refused: Vec<(Lsn, RequestId, Command)>,
    wake_at: Option<Time>,
}

impl Mirror {
    fn new(peer: NodeId, is_primary: bool) -> Mirror {
        Mirror {
            peer,
            is_primary,
            began: false,
            own: LogId::ZERO,
            theirs: LogId::ZERO,
            commit_lsn: Lsn::ZERO,
            applied: Lsn::ZERO,
            waiting: BTreeMap::new(),
            refused: Vec::new(),
            wake_at: Some(Time::ZERO),
        }
    }

    fn commit(&mut self, effects: &mut Effects<Mirrored>) {
        let both = self.own.min(self.theirs).lsn;
        if both > self.commit_lsn {
            self.commit_lsn = both;
            effects.push(Effect::Apply { up_to: both });
        }
    }

    fn load(&self, effects: &mut Effects<Mirrored>) {
        effects.push(Effect::Load { from: self.theirs.lsn.next(), max_bytes: 1000 });
    }

    fn answer(&mut self, up_to: Lsn, effects: &mut Effects<Mirrored>) {
        let later = self.waiting.split_off(&up_to.next());
        for (id, at) in std::mem::replace(&mut self.waiting, later).into_values() {
            effects.reply(id, Outcome::Done { at });
        }
        for (depends_on, id, why) in std::mem::take(&mut self.refused) {
            if depends_on <= up_to {
                effects.reply(id, Outcome::Refused { why });
            } else {
                self.refused.push((depends_on, id, why));
            }
        }
    }

    fn at_primary(&mut self, input: Input<Mirrored>, effects: &mut Effects<Mirrored>) {
        match input {
            Input::Promised(promise) => {
                effects.push(Effect::Lead { epoch: promise.epoch });
                self.began = true;
            }
            Input::Request { id, command } if self.began => {
                effects.push(Effect::Evaluate { id, command });
            }
            Input::Request { id, .. } => effects.reply(id, Outcome::Elsewhere { primary: None }),
            Input::Appended { id, at } => {
                self.waiting.insert(at.lsn, (id, at));
                self.load(effects);
            }
            Input::Refused { id, why, depends_on } => {
                self.refused.push((depends_on, id, why));
                self.answer(self.applied, effects);
            }
            // Without frames too: the follower learns what is committed.
            Input::Loaded { previous, frames } => {
                let (previous, commit_lsn) = (place(previous), self.commit_lsn.0);
                effects.send(self.peer, Mirrored::Frames { previous, frames, commit_lsn });
            }
            Input::Durable { up_to } => self.own = up_to,
            Input::Message { message: Mirrored::Durable { up_to }, .. } => {
                self.theirs = self.theirs.max(log_id(up_to));
                self.load(effects);
            }
            Input::Applied { up_to } => {
                self.applied = up_to;
                self.answer(up_to, effects);
            }
            _ => {}
        }
        self.commit(effects);
    }

    fn at_follower(&mut self, input: Input<Mirrored>, effects: &mut Effects<Mirrored>) {
        match input {
            Input::Message {
                message: Mirrored::Frames { previous, frames, commit_lsn }, ..
            } => {
                if log_id(previous) == self.own && !frames.is_empty() {
                    effects.push(Effect::Append { previous: self.own, frames });
                } else if log_id(previous) != self.own {
                    effects.send(self.peer, Mirrored::Durable { up_to: place(self.own) });
                }
                self.commit_lsn = self.commit_lsn.max(Lsn(commit_lsn));
                effects.push(Effect::Apply { up_to: self.commit_lsn });
            }
            Input::Durable { up_to } => {
                self.own = up_to;
                effects.send(self.peer, Mirrored::Durable { up_to: place(up_to) });
            }
            Input::Request { id, .. } => {
                effects.reply(id, Outcome::Elsewhere { primary: Some(self.peer) });
            }
            _ => {}
        }
    }
}

impl Protocol for Mirror {
    type Message = Mirrored;

    fn handle(&mut self, now: Time, input: Input<Mirrored>, effects: &mut Effects<Mirrored>) {
        if input == Input::Timeout {
            match (self.began, self.is_primary) {
                (false, _) => {
                    effects.push(Effect::Promise(Promise { epoch: EPOCH, vote: None }));
                }
                (true, true) => self.load(effects),
                (true, false) => {
                    effects.send(self.peer, Mirrored::Durable { up_to: place(self.own) });
                }
            }
            self.wake_at = Some(now.after(RETRY));
        } else if self.is_primary {
            self.at_primary(input, effects);
        } else {
            self.began |= matches!(input, Input::Promised(_));
            self.at_follower(input, effects);
        }
    }

    fn wake_at(&self) -> Option<(Time, &'static str)> {
        self.wake_at.map(|at| (at, "retry"))
    }
}

struct Host {
    id: NodeId,
    protocol: Mirror,
    replica: ReplicaEngine,
    standing: Standing,
    inputs: VecDeque<Input<Mirrored>>,
}

struct World {
    now: Time,
    hosts: Vec<Host>,
    network: VecDeque<(usize, NodeId, Envelope<Mirrored>)>,
    /// Of a hundred frames so many are lost.
    lost_percent: u64,
    chance: u64,
    trace: Vec<String>,
    replies: BTreeMap<RequestId, Outcome>,
}

fn node(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

fn host(number: u64) -> Host {
    let incarnation = Incarnation(100 + number);
    let database_id = DatabaseId(number.into());
    let identity = Identity { database_id, incarnation, salt_seed: number };
    let options = Options::new().memory_bytes(1 << 20).segment_bytes(4096, 4096).background(false);
    let disk = Arc::new(SimDisk::new(number));
    let replica = ReplicaEngine::open(disk, None, options, identity, CLUSTER).unwrap();
    let configuration = ConfigurationNumber(1);
    Host {
        id: node(number),
        protocol: Mirror::new(node(3 - number), number == 1),
        replica,
        standing: Standing { cluster: CLUSTER, configuration, incarnation, epoch: EPOCH },
        inputs: VecDeque::new(),
    }
}

fn request(number: u64) -> RequestId {
    RequestId { client: ClientId(9), number, lowest_unanswered: 1 }
}

impl Host {
    /// One arm an effect: what it leads to is put behind the other inputs.
    fn carry_out(&mut self, effect: Effect<Mirrored>) {
        let Host { replica, inputs, .. } = self;
        match effect {
            Effect::Promise(promise) => {
                replica.promise(promise.epoch, promise.vote.map(NodeId::number)).unwrap();
                inputs.push_back(Input::Promised(promise));
            }
            Effect::Lead { epoch } => replica.begin_epoch(epoch).unwrap(),
            Effect::Follow => replica.step_down().unwrap(),
            Effect::Evaluate { id, command } => {
                let mut batch = Batch::new();
                let default = replica.state().keyspace_ref(KeyspaceId::DEFAULT, "default");
                batch.require_absent(&default, &command.0);
                batch.insert(&default, &command.0, b"value");
                inputs.push_back(match replica.append(&batch).unwrap() {
                    Appended::At(at) => Input::Appended { id, at },
                    Appended::Refused { why, depends_on } => {
                        let why = Command(why.to_string().into_bytes());
                        Input::Refused { id, why, depends_on }
                    }
                });
            }
            Effect::Append { previous, frames } => {
                if replica.append_frames(previous, &frames).is_err() {
                    inputs.push_back(Input::Failed(Failure::NotAppended));
                }
            }
            Effect::TruncateAfter { last_kept } => {
                replica.truncate(last_kept).unwrap();
                inputs.push_back(Input::Durable { up_to: replica.log().durable() });
            }
            Effect::Apply { up_to } => {
                let up_to = replica.commit(up_to).unwrap();
                inputs.push_back(Input::Applied { up_to });
            }
            Effect::Load { from, max_bytes } => {
                let previous = replica.log().locate(from.previous()).unwrap().0;
                let mut reader = replica.log().reader(from, Bound::Appended).unwrap();
                let mut frames = Vec::new();
                while frames.len() < max_bytes
                    && let Some(frame) = reader.next_frame().unwrap()
                {
                    frame.encode_into(&mut frames);
                }
                inputs.push_back(Input::Loaded { previous, frames });
            }
            other => unreachable!("the toy never asks for {other:?}"),
        }
    }
}

impl World {
    fn new(seed: u64, lost_percent: u64) -> World {
        World {
            now: Time::ZERO,
            hosts: vec![host(1), host(2)],
            network: VecDeque::new(),
            lost_percent,
            chance: seed,
            trace: Vec::new(),
            replies: BTreeMap::new(),
        }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.chance >> 33) % below
    }

    fn feed(&mut self, at: usize, input: Input<Mirrored>) {
        let mut effects = Effects::new();
        let host = &mut self.hosts[at];
        self.trace.push(format!("{} {} <- {input:?}", self.now, host.id));
        host.protocol.handle(self.now, input, &mut effects);
        let effects: Vec<_> = effects.drain().collect();
        for effect in effects {
            self.trace.push(format!("{} {} -> {effect:?}", self.now, self.hosts[at].id));
            match effect {
                Effect::Send { to, message } => self.send(at, to, message),
                Effect::Reply { id, outcome } => self.reply(id, outcome),
                other => self.hosts[at].carry_out(other),
            }
        }
    }

    fn send(&mut self, from: usize, to: NodeId, message: Mirrored) {
        let (sender, from) = (self.hosts[from].standing, self.hosts[from].id);
        let at = self.hosts.iter().position(|host| host.id == to).unwrap();
        if self.draw(100) >= self.lost_percent {
            self.network.push_back((at, from, Envelope { sender, message }));
        }
    }

    /// The rule of the toy: done means on both disks.
    fn reply(&mut self, id: RequestId, outcome: Outcome) {
        if let Outcome::Done { at } = outcome {
            for host in &self.hosts {
                let durable = host.replica.log().durable();
                assert!(durable >= at, "{id} is answered, but {} ends at {durable}", host.id);
            }
        }
        assert_eq!(self.replies.insert(id, outcome), None, "{id} was answered twice");
    }

    /// Does one thing that can be done, whichever chance picks. False if there is none but waiting.
    fn step(&mut self) -> bool {
        let at = self.draw(2) as usize;
        match self.draw(3) {
            0 => {
                let Some((at, from, envelope)) = self.network.pop_front() else { return false };
                let host = &mut self.hosts[at];
                let message = envelope.open(&host.standing, None).unwrap();
                host.inputs.push_back(Input::Message { from, message });
            }
            1 => {
                let Some(input) = self.hosts[at].inputs.pop_front() else { return false };
                self.feed(at, input);
            }
            _ => {
                let log = self.hosts[at].replica.log();
                let Some(write) = log.begin_group() else { return false };
                let outcome = write.perform();
                log.finish_group(write, outcome);
                let up_to = log.durable();
                self.hosts[at].inputs.push_back(Input::Durable { up_to });
            }
        }
        true
    }

    fn run(&mut self, requests: u64) {
        let mut asked = 0;
        for _ in 0..200_000 {
            if asked < requests && self.draw(50) == 0 && self.hosts[0].protocol.began {
                asked += 1;
                // Every third one asks for what is there already.
                let command = Command(format!("key {}", asked - asked % 3 / 2).into_bytes());
                self.feed(0, Input::Request { id: request(asked), command });
            }
            if self.step() {
                continue;
            }
            self.now = self.now.after(Duration::from_millis(1));
            for at in 0..2 {
                if self.hosts[at].protocol.wake_at().is_some_and(|(at, _)| at <= self.now) {
                    self.feed(at, Input::Timeout);
                }
            }
            let visible = |at: usize| self.hosts[at].replica.visible_lsn();
            if self.replies.len() as u64 == requests && visible(0) == visible(1) {
                return;
            }
        }
        panic!("{} of {requests} requests are answered", self.replies.len());
    }
}

#[test]
fn a_toy_answers_only_what_is_on_both_disks_whatever_is_lost() {
    for (seed, lost_percent) in [(1, 0), (2, 20), (3, 60)] {
        let mut world = World::new(seed, lost_percent);
        world.run(60);
        let refused = |outcome: &&Outcome| matches!(outcome, Outcome::Refused { .. });
        assert_eq!(world.replies.values().filter(refused).count(), 20, "seed {seed}");
        let hashes = world.hosts.iter().map(|host| host.replica.snapshot().state_hash().unwrap());
        let hashes: Vec<_> = hashes.collect();
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
        let ends = world.hosts.iter().map(|host| host.replica.log().end_and_chain());
        assert_eq!(ends.collect::<Vec<_>>()[0].0.lsn, Lsn(40), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = |seed| {
        let mut world = World::new(seed, 30);
        world.run(20);
        world.trace
    };
    assert_eq!(trace(4), trace(4));
    assert_ne!(trace(4), trace(5));
}

#[test]
fn messages_of_strangers_are_not_opened() {
    let own = host(1).standing;
    let message = Mirrored::Durable { up_to: (1, 1) };
    let envelope = |sender| Envelope { sender, message: message.clone() };
    let peer = host(2).standing;
    assert_eq!(envelope(peer).open(&own, None).as_ref(), Ok(&message));
    assert_eq!(envelope(peer).open(&own, Some(peer.incarnation)).as_ref(), Ok(&message));
    let stranger = Standing { cluster: ClusterId(6), ..peer };
    assert_eq!(envelope(stranger).open(&own, None), Err(Refusal::OtherCluster(ClusterId(6))));
    let (expected, found) = (peer.incarnation, Incarnation(7));
    let reborn = Standing { incarnation: found, ..peer };
    let refused = Err(Refusal::OtherIncarnation { expected, found });
    assert_eq!(envelope(reborn).open(&own, Some(expected)), refused);
}

#[test]
fn time_is_counted_and_never_overflows() {
    let time = Time::from_nanos(1_500_000_000);
    assert_eq!(time.to_string(), "1.500000000");
    assert_eq!(time.after(Duration::from_millis(500)).as_nanos(), 2_000_000_000);
    assert_eq!(time.after(Duration::MAX), Time::MAX);
    assert_eq!(Time::ZERO.since(time), Duration::ZERO);
    assert_eq!(time.since(Time::ZERO), Duration::from_millis(1500));
}
