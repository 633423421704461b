//! A producer, a consumer or an admin talks to a broker whose answers come changed: cut, overwritten,
//! doubled, kept back, or not at all. No client breaks; every record that was sent has one end; and when
//! the answers are sound again a consumer reads. The first byte says which client, the rest what happens
//! to the answers.
#![no_main]

use shore_base::collections::BTreeMap;
use std::cell::LazyCell;
use std::time::Duration;

use bytes::Bytes;
use shore_base::{ConnId, Instant};
use shore_client::{
    Admin, AdminCall, AdminEvent, ClientConfig, Consumer, ConsumerConfig, ConsumerEvent, Input, NewTopic, Output,
    Producer, ProducerConfig, ProducerEvent, Record, TopicPartition,
};
use shore_fuzz::server::Server;

thread_local! {
    static BOOTED: LazyCell<Server> = LazyCell::new(Server::boot);
}

/// The longest that a client may take: `delivery.timeout.ms` and `metadata.max.age.ms` pass in it.
const SPAN: Duration = Duration::from_secs(400);
/// How long a consumer, which is never done, goes on with sound answers.
const SOUND: Duration = Duration::from_secs(10);
/// More turns than a client that does not spin can use in that time.
const TURNS: usize = 20_000;
const RECORDS: usize = 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, faults)) = bytes.split_first() else { return };
    let server = BOOTED.with(|booted| (**booted).clone());
    let client = ClientConfig { bootstrap: vec![("localhost".to_owned(), 9092)], ..ClientConfig::default() };
    match kind % 4 {
        0 => produce(server, client, faults),
        1 => consume(server, client, faults, true),
        2 => consume(server, client, faults, false),
        _ => administer(server, client, faults),
    }
});

fn produce(server: Server, client: ClientConfig, faults: &[u8]) {
    let mut producer = Producer::new(ProducerConfig { client, ..ProducerConfig::default() });
    let mut link = Link::new(server, faults);
    send_some(&mut producer, link.server.now);
    let mut ends = BTreeMap::new();
    link.drive(&mut producer, |event| {
        let (ProducerEvent::Delivered { records, .. } | ProducerEvent::Failed { records, .. }) = event else {
            panic!("nobody began a transaction: {event:?}");
        };
        for id in records {
            *ends.entry(id).or_insert(0) += 1;
        }
    });
    assert_eq!(producer.unfinished(), 0, "records without an end");
    assert!(ends.len() == RECORDS && ends.values().all(|count| *count == 1), "{ends:?}");
}

fn send_some(producer: &mut Producer, now: Instant) {
    for index in 0..RECORDS {
        let record = Record {
            partition: None,
            timestamp: 1_700_000_000_000,
            key: Some(Bytes::from(index.to_string())),
            value: Some(Bytes::from_static(b"value")),
            headers: Vec::new(),
        };
        producer.send(now, "orders", record).expect("room for it");
    }
}

fn consume(server: Server, client: ClientConfig, faults: &[u8], in_group: bool) {
    let mut producer = Producer::new(ProducerConfig { client: client.clone(), ..ProducerConfig::default() });
    let mut link = Link::new(server, &[]);
    send_some(&mut producer, link.server.now);
    link.drive(&mut producer, |_| {});
    let mut link = Link::new(link.server, faults);
    let group_id = in_group.then(|| "group".to_owned());
    let mut consumer = Consumer::new(ConsumerConfig { client, group_id, ..ConsumerConfig::default() });
    if in_group {
        consumer.subscribe(link.server.now, &["orders".to_owned()]);
    } else {
        let all: Vec<_> = (0..3).map(|partition| TopicPartition::new("orders", partition)).collect();
        consumer.assign(link.server.now, &all);
    }
    link.drive(&mut consumer, |_| {});
    consumer.close(link.server.now);
    link.sound_since = Some(link.server.now + SPAN);
    link.drive(&mut consumer, |_| {});
    assert!(consumer.is_closed());
}

fn administer(server: Server, client: ClientConfig, faults: &[u8]) {
    let mut admin = Admin::new(client);
    let mut link = Link::new(server, faults);
    let topic = NewTopic { name: "new".to_owned(), partitions: 1, replication: 1, configs: BTreeMap::new() };
    for call in [
        AdminCall::CreateTopics { topics: vec![topic], validate_only: false },
        AdminCall::DescribeTopicConfigs { topic: "orders".to_owned() },
        AdminCall::DescribeBrokerConfigs { broker: 1 },
        AdminCall::DescribeCluster,
        AdminCall::ListGroups,
        AdminCall::DescribeGroup { group: "group".to_owned() },
        AdminCall::DeleteTopics { names: vec!["life".to_owned()] },
    ] {
        admin.call(link.server.now, call);
    }
    link.drive(&mut admin, |_| {});
    assert_eq!(admin.unanswered(), 0, "calls without an answer");
}

/// What a driver needs of a client.
trait Client {
    type Event;
    fn handle(&mut self, now: Instant, input: Input);
    fn poll(&mut self, now: Instant) -> Option<Output<Self::Event>>;
    fn next_wake(&self) -> Option<Instant>;
    /// Whether nothing more is to be seen, after this time with sound answers.
    fn is_done(&self, sound: Duration) -> bool;
}

macro_rules! client {
    ($client:ty, $event:ty, $before:expr, $is_done:expr) => {
        impl Client for $client {
            type Event = $event;

            fn handle(&mut self, now: Instant, input: Input) {
                self.handle(now, input);
            }

            fn poll(&mut self, now: Instant) -> Option<Output<$event>> {
                let before: fn(&mut $client, Instant) = $before;
                before(self, now);
                self.poll()
            }

            fn next_wake(&self) -> Option<Instant> {
                self.next_wake().map(|(at, _)| at)
            }

            fn is_done(&self, sound: Duration) -> bool {
                let is_done: fn(&$client, Duration) -> bool = $is_done;
                is_done(self, sound)
            }
        }
    };
}

client!(Producer, ProducerEvent, |_, _| {}, |producer, _| producer.unfinished() == 0);
client!(Admin, AdminEvent, |_, _| {}, |admin, _| admin.unanswered() == 0);
// Its owner takes whatever it has, as `poll` in a loop does.
client!(Consumer, ConsumerEvent, |consumer, now| drop(consumer.poll_records(now)), |consumer, sound| consumer
    .is_closed()
    || sound > SOUND);

/// Between a client and a broker: changes the answers.
struct Link<'a> {
    server: Server,
    faults: Faults<'a>,
    /// The client's connections and the broker's.
    connections: BTreeMap<ConnId, ConnId>,
    kept_back: Vec<(ConnId, Bytes)>,
    /// Since when no answer is changed any more.
    sound_since: Option<Instant>,
}

impl<'a> Link<'a> {
    fn new(server: Server, faults: &'a [u8]) -> Self {
        Self {
            server,
            faults: Faults::new(faults),
            connections: BTreeMap::new(),
            kept_back: Vec::new(),
            sound_since: None,
        }
    }

    /// Lets client and broker run until the client is done, for [`SPAN`] at most.
    fn drive<C: Client>(&mut self, client: &mut C, mut event: impl FnMut(C::Event)) {
        let end = self.server.now + SPAN;
        for _ in 0..TURNS {
            while let Some(output) = client.poll(self.server.now) {
                self.carry_out(client, output, &mut event);
            }
            if self.deliver(client) {
                continue;
            }
            if self.faults.bytes.is_empty() && self.sound_since.is_none() {
                self.sound_since = Some(self.server.now);
            }
            let sound = self.sound_since.map_or(Duration::ZERO, |since| self.server.now.since(since));
            let wakes = [client.next_wake(), self.server.next_wake()];
            let next = wakes.into_iter().flatten().min().unwrap_or(end);
            if next >= end || client.is_done(sound) {
                return;
            }
            self.server.let_pass(next.since(self.server.now).max(Duration::from_millis(1)));
            client.handle(self.server.now, Input::Wake);
        }
        panic!("the client spins");
    }

    fn carry_out<C: Client>(&mut self, client: &mut C, output: Output<C::Event>, event: &mut impl FnMut(C::Event)) {
        let now = self.server.now;
        match output {
            Output::Dial { conn, host, port } if (&*host, port) == ("localhost", 9092) => {
                self.connections.insert(conn, self.server.connect());
                client.handle(now, Input::Connected { conn });
            }
            // Nobody is where a changed answer sent it.
            Output::Dial { conn, .. } => client.handle(now, Input::Closed { conn }),
            Output::Send { conn, frame } => {
                if let Some(&theirs) = self.connections.get(&conn) {
                    self.server.send(theirs, frame.body());
                }
            }
            Output::Hangup { conn } => {
                if let Some(theirs) = self.connections.remove(&conn) {
                    self.server.hang_up(theirs);
                }
            }
            Output::Event(happened) => event(happened),
        }
    }

    /// Hands over what the broker has said. Says whether there was anything.
    fn deliver<C: Client>(&mut self, client: &mut C) -> bool {
        let mut any = false;
        for (ours, theirs) in self.connections.clone() {
            let is_open = self.server.is_open(theirs);
            for frame in self.server.take_answers(theirs) {
                any = true;
                self.answer(client, ours, frame);
            }
            if !is_open && self.connections.remove(&ours).is_some() {
                any = true;
                client.handle(self.server.now, Input::Closed { conn: ours });
            }
        }
        any
    }

    fn answer<C: Client>(&mut self, client: &mut C, conn: ConnId, frame: Bytes) {
        let now = self.server.now;
        let mut changed = frame.to_vec();
        match self.faults.next() {
            Fault::None => {}
            Fault::Overwrite(at, with) => {
                let at = at % changed.len().max(1);
                for (byte, with) in changed[at..].iter_mut().zip(with) {
                    *byte = *with;
                }
            }
            Fault::Insert(at, more) => {
                let at = at % (changed.len() + 1);
                changed.splice(at..at, more.iter().copied());
            }
            Fault::Cut(at) => changed.truncate(at % (changed.len() + 1)),
            Fault::Twice => client.handle(now, Input::Response { conn, frame }),
            Fault::KeepBack => return self.kept_back.push((conn, frame)),
            Fault::Release => {
                for (conn, frame) in std::mem::take(&mut self.kept_back) {
                    if self.connections.contains_key(&conn) {
                        client.handle(now, Input::Response { conn, frame });
                    }
                }
            }
            Fault::Close => {
                if let Some(theirs) = self.connections.remove(&conn) {
                    self.server.hang_up(theirs);
                    client.handle(now, Input::Closed { conn });
                }
                return;
            }
        }
        if self.connections.contains_key(&conn) {
            client.handle(now, Input::Response { conn, frame: changed.into() });
        }
    }
}

/// What happens to the answers, one after another; nothing once the bytes are used up.
struct Faults<'a> {
    bytes: &'a [u8],
    /// Answers that go through before the next one is changed.
    sound: u8,
}

enum Fault<'a> {
    None,
    Overwrite(usize, &'a [u8]),
    Insert(usize, &'a [u8]),
    Cut(usize),
    Twice,
    KeepBack,
    Release,
    Close,
}

impl<'a> Faults<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut faults = Self { bytes, sound: 0 };
        faults.sound = faults.byte().unwrap_or(0);
        faults
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    fn place(&mut self) -> usize {
        usize::from(self.byte().unwrap_or(0)) << 8 | usize::from(self.byte().unwrap_or(0))
    }

    fn some_bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte().unwrap_or(0) % 32);
        let (taken, rest) = self.bytes.split_at(length.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    fn next(&mut self) -> Fault<'a> {
        if self.sound > 0 {
            self.sound -= 1;
            return Fault::None;
        }
        let Some(kind) = self.byte() else { return Fault::None };
        let fault = match kind % 8 {
            0 | 1 => Fault::Overwrite(self.place(), self.some_bytes()),
            2 => Fault::Insert(self.place(), self.some_bytes()),
            3 => Fault::Cut(self.place()),
            4 => Fault::Twice,
            5 => Fault::KeepBack,
            6 => Fault::Release,
            _ => Fault::Close,
        };
        self.sound = self.byte().unwrap_or(0) % 16;
        fault
    }
}
