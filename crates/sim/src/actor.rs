//! Clients with a script of their own: a producer with a rate, a member with a pace, an admin.

use std::collections::VecDeque;

use bytes::Bytes;
use core::time::Duration;
use shore_base::collections::BTreeMap;
use shore_base::{ConnId, Instant, Random, Wall};
use shore_client::{
    Admin, AdminCall, AdminEvent, AdminResult, CallId, ClientConfig, Consumer, ConsumerConfig, ConsumerEvent, Input,
    Output, Producer, ProducerConfig, ProducerEvent, Record, SendError, SendId, TopicPartition,
};
use shore_wire::error::ErrorCode;

use crate::action::{ConsumerSpec, OneRecord, ProducerSpec};
use crate::copier::CopierActor;
use crate::event::ActorEvent;
use crate::transacting::{Footing, Transacting, step};

/// Names a client within its world. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    Producer,
    Consumer,
    Copier,
    Admin,
}

#[derive(Clone)]
pub(crate) struct Actor {
    pub name: String,
    pub role: RoleOf,
    /// The world's connection behind each of the client's own numbers.
    pub conns: BTreeMap<ConnId, ConnId>,
}

#[derive(Clone)]
pub(crate) enum RoleOf {
    Producer(Box<ProducerActor>),
    Consumer(Box<ConsumerActor>),
    Copier(Box<CopierActor>),
    Admin(Box<AdminActor>),
}

/// The time an actor is told.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    pub now: Instant,
    pub wall: Wall,
}

impl Actor {
    pub fn new(name: String, role: RoleOf) -> Self {
        Self { name, role, conns: BTreeMap::new() }
    }

    pub fn kind(&self) -> ActorKind {
        match self.role {
            RoleOf::Producer(_) => ActorKind::Producer,
            RoleOf::Consumer(_) => ActorKind::Consumer,
            RoleOf::Copier(_) => ActorKind::Copier,
            RoleOf::Admin(_) => ActorKind::Admin,
        }
    }

    pub fn handle(&mut self, clock: Clock, input: Input) {
        match &mut self.role {
            RoleOf::Producer(actor) => actor.producer.handle(clock.now, input),
            RoleOf::Consumer(actor) => actor.consumer.handle(clock.now, input),
            RoleOf::Copier(actor) => actor.handle(clock.now, input),
            RoleOf::Admin(actor) => actor.admin.handle(clock.now, input),
        }
    }

    /// What it does of its own accord now.
    pub fn live(&mut self, clock: Clock) {
        match &mut self.role {
            RoleOf::Producer(actor) => actor.live(&self.name, clock),
            RoleOf::Consumer(actor) => actor.live(clock),
            RoleOf::Copier(actor) => actor.live(clock),
            RoleOf::Admin(_) => {}
        }
    }

    pub fn poll(&mut self) -> Option<Output<ActorEvent>> {
        match &mut self.role {
            RoleOf::Producer(actor) => actor.poll(),
            RoleOf::Consumer(actor) => actor.poll(),
            RoleOf::Copier(actor) => actor.poll(),
            RoleOf::Admin(actor) => actor.poll(),
        }
    }

    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        match &self.role {
            RoleOf::Producer(actor) => actor.next_wake(),
            RoleOf::Consumer(actor) => actor.next_wake(),
            RoleOf::Copier(actor) => actor.next_wake(),
            RoleOf::Admin(actor) => actor.admin.next_wake(),
        }
    }

    pub fn stop(&mut self, clock: Clock) {
        match &mut self.role {
            RoleOf::Producer(actor) => actor.stop(clock.now),
            RoleOf::Consumer(actor) => actor.consumer.close(clock.now),
            RoleOf::Copier(actor) => actor.stop(),
            RoleOf::Admin(actor) => actor.admin.close(clock.now),
        }
    }

    /// Whether it has stopped and said all it had to say.
    pub fn is_done(&self) -> bool {
        match &self.role {
            RoleOf::Producer(actor) => actor.producer.is_closed(),
            RoleOf::Consumer(actor) => actor.consumer.is_closed(),
            RoleOf::Copier(actor) => actor.is_done(),
            RoleOf::Admin(_) => false,
        }
    }
}

/// A producer that makes records on its own, or only those it is told to send.
#[derive(Clone)]
pub(crate) struct ProducerActor {
    pub producer: Producer,
    pub spec: ProducerSpec,
    random: Random,
    /// When its next record is due.
    next_at: Option<Instant>,
    /// Records made so far, and where the counting of the present rate began.
    pub made: u64,
    rate_began: (Instant, u64),
    pub acknowledged: u64,
    pub failed: u64,
    pub transacting: Option<Transacting>,
    /// It ends what it has begun, then closes.
    stopping: bool,
    events: VecDeque<ActorEvent>,
}

/// A fast producer makes all that is due once in so long.
const TICK: Duration = Duration::from_millis(1);

impl ProducerActor {
    pub fn new(client: ClientConfig, spec: ProducerSpec, now: Instant) -> Self {
        let random = Random::stream(client.seed, "records");
        let idempotence = spec.idempotence && spec.acks == shore_client::Acks::All;
        let transactions = spec.transactions.clone().filter(|_| idempotence);
        let transacting = transactions.map(|spec| Transacting::new(spec, client.seed));
        let producer = Producer::new(ProducerConfig {
            client,
            acks: spec.acks,
            idempotence,
            linger: spec.linger,
            batch_size: spec.batch_bytes,
            compression: spec.compression,
            transactional_id: transacting.as_ref().map(|transacting| transacting.spec.id.clone()),
            transaction_timeout: transacting.as_ref().map_or(Duration::from_secs(60), |it| it.spec.timeout),
            ..ProducerConfig::default()
        });
        let mut actor = Self {
            producer,
            spec,
            random,
            next_at: None,
            made: 0,
            rate_began: (now, 0),
            acknowledged: 0,
            failed: 0,
            transacting,
            stopping: false,
            events: VecDeque::new(),
        };
        actor.plan(now);
        actor
    }

    pub fn set_rate(&mut self, now: Instant, millirate: u64) {
        self.spec.millirate = millirate;
        self.rate_began = (now, self.made);
        self.plan(now);
    }

    /// When the next record is due at the present rate.
    fn plan(&mut self, now: Instant) {
        let over = self.spec.limit.is_some_and(|limit| self.made >= limit);
        self.next_at = (self.spec.millirate > 0 && !over).then(|| {
            let (began, made) = self.rate_began;
            let micros = u128::from(self.made - made) * 1_000_000_000 / u128::from(self.spec.millirate);
            let due = began + Duration::from_micros(micros as u64);
            if due > now { due.max(now + TICK) } else { due }
        });
    }

    /// A transaction that is open is committed first.
    fn stop(&mut self, now: Instant) {
        self.next_at = None;
        self.stopping = true;
        if self.transacting.is_none() {
            self.producer.close(now);
        }
    }

    fn live(&mut self, name: &str, clock: Clock) {
        if self.transacting.is_some() {
            self.transact(name, clock);
        } else {
            self.make(name, clock, u64::MAX);
        }
    }

    /// As `live`, a transaction at a time.
    fn transact(&mut self, name: &str, clock: Clock) {
        while !self.producer.is_closing() {
            let Some(transacting) = &mut self.transacting else { return };
            let open = match transacting.live(&mut self.producer, clock.now, &mut self.events) {
                Footing::Free { open } => open,
                Footing::Over | Footing::Waits if self.stopping && transacting.may_close() => {
                    return self.producer.close(clock.now);
                }
                Footing::Over => {
                    self.next_at = None;
                    return;
                }
                Footing::Waits => return,
            };
            let limit = u64::from(transacting.spec.records.max(1));
            let full = open && transacting.records >= limit;
            let last = self.stopping || self.spec.limit.is_some_and(|limit| self.made >= limit);
            if open && (full || last) {
                return transacting.end_as_planned(&mut self.producer, clock.now, &mut self.events);
            }
            if self.stopping {
                return self.producer.close(clock.now);
            }
            if self.next_at.is_none_or(|at| at > clock.now) {
                return;
            }
            if !open {
                transacting.begin(&mut self.producer, clock.now, &mut self.events);
            }
            let room = limit - transacting.records;
            let made = self.make(name, clock, room);
            if let Some(transacting) = &mut self.transacting {
                transacting.records += made;
            }
            if made == 0 {
                return;
            }
        }
    }

    /// Makes the records that are due, so many at most. How many it made.
    fn make(&mut self, name: &str, clock: Clock, most: u64) -> u64 {
        let mut values = Vec::new();
        let mut keys = Vec::new();
        let first = self.made;
        while self.made - first < most && self.next_at.is_some_and(|at| at <= clock.now) {
            let (key, value) = self.spec.generator.record(&mut self.random, name, self.made, self.spec.keys);
            let record = Record {
                timestamp: clock.wall.as_millis(),
                key: key.clone(),
                value: Some(value.clone()),
                ..Record::default()
            };
            match self.producer.send(clock.now, &self.spec.topic, record) {
                Ok(_) => {
                    values.push(value);
                    keys.push(key);
                    self.made += 1;
                    self.plan(clock.now);
                }
                Err(SendError::BufferFull) => {
                    // It goes on from here once there is room, and does not make up for the time.
                    let later = clock.now + Duration::from_millis(100);
                    self.rate_began = (later, self.made);
                    self.next_at = Some(later);
                }
                Err(error) => {
                    self.next_at = None;
                    self.events.push_back(ActorEvent::Said(error.to_string()));
                }
            }
        }
        if !values.is_empty() {
            self.events.push_back(ActorEvent::Produced { topic: self.spec.topic.clone(), first, values, keys });
        }
        self.made - first
    }

    /// One record that it is told to send.
    pub fn send(&mut self, clock: Clock, record: OneRecord) -> Result<(), String> {
        let (key, value) = (record.key.map(Bytes::from), record.value.map(Bytes::from));
        let sent = Record {
            partition: record.partition,
            timestamp: clock.wall.as_millis(),
            key: key.clone(),
            value: value.clone(),
            headers: record.headers.into_iter().map(|(name, value)| (name, Some(value.into()))).collect(),
        };
        let id = self.producer.send(clock.now, &record.topic, sent).map_err(|error| error.to_string())?;
        self.made += 1;
        let (values, keys) = (vec![value.unwrap_or_default()], vec![key]);
        self.events.push_back(ActorEvent::Produced { topic: record.topic, first: id.0, values, keys });
        Ok(())
    }

    fn poll(&mut self) -> Option<Output<ActorEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        Some(match self.producer.poll()? {
            Output::Dial { conn, host, port } => Output::Dial { conn, host, port },
            Output::Send { conn, frame } => Output::Send { conn, frame },
            Output::Hangup { conn } => Output::Hangup { conn },
            Output::Event(ProducerEvent::Transaction { call, result }) => {
                let transacting = self.transacting.as_mut()?;
                Output::Event(step(transacting.heard(&self.producer, call, result)?))
            }
            Output::Event(event) => {
                let event = delivered(event);
                match &event {
                    ActorEvent::Acknowledged { numbers, .. } => self.acknowledged += numbers.len() as u64,
                    ActorEvent::Failed { numbers, .. } => self.failed += numbers.len() as u64,
                    _ => {}
                }
                Output::Event(event)
            }
        })
    }

    fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let next = self.next_at.map(|at| (at, "the next record"));
        let next = match &self.transacting {
            Some(transacting) => transacting.next_wake(&self.producer, self.stopping, next),
            None => next,
        };
        next.into_iter().chain(self.producer.next_wake()).min_by_key(|(at, _)| *at)
    }
}

/// A member whose owner works through records at a pace.
#[derive(Clone)]
pub(crate) struct ConsumerActor {
    pub consumer: Consumer,
    pub spec: ConsumerSpec,
    /// The owner works on what it was given until then.
    pub busy_until: Instant,
    pub consumed: u64,
    pub paused: bool,
    events: VecDeque<ActorEvent>,
}

impl ConsumerActor {
    pub fn new(client: ClientConfig, spec: ConsumerSpec, now: Instant) -> Self {
        // A slow owner takes little at a time, so that it is not away for long.
        let max_poll_records = match spec.records_per_second {
            0 => 500,
            pace => (pace / 5).clamp(1, 500) as u32,
        };
        let mut consumer = Consumer::new(ConsumerConfig {
            client,
            group_id: Some(spec.group.clone()),
            group_instance_id: spec.instance_id.clone(),
            auto_offset_reset: spec.reset,
            isolation: spec.isolation,
            auto_commit: spec.auto_commit,
            session_timeout: spec.session_timeout,
            assignors: spec.assignors.clone(),
            max_poll_records,
            ..ConsumerConfig::default()
        });
        consumer.subscribe(now, &spec.topics);
        Self { consumer, spec, busy_until: now, consumed: 0, paused: false, events: VecDeque::new() }
    }

    pub fn set_paused(&mut self, now: Instant, paused: bool) {
        self.paused = paused;
        if paused {
            self.pause_assigned(now);
        } else {
            let partitions: Vec<TopicPartition> = self.consumer.assignment().cloned().collect();
            self.consumer.resume(now, &partitions);
        }
    }

    /// A consumer forgets its pauses when its partitions change; an owner who is away does not come back for that.
    fn pause_assigned(&mut self, now: Instant) {
        let flowing = self.consumer.assignment().filter(|at| !self.consumer.is_paused(at));
        let flowing: Vec<TopicPartition> = flowing.cloned().collect();
        if !flowing.is_empty() {
            self.consumer.pause(now, &flowing);
        }
    }

    fn live(&mut self, clock: Clock) {
        if self.paused {
            self.pause_assigned(clock.now);
        }
        while self.busy_until <= clock.now && !self.consumer.is_closed() {
            let Some(taken) = self.consumer.poll_records(clock.now) else { return };
            let mut count = 0;
            for records in taken {
                count += records.records.len() as u64;
                let shown = records.records.into_iter().map(|record| (record.offset, record.value)).collect();
                let TopicPartition { topic, partition } = records.at;
                self.events.push_back(ActorEvent::Consumed { topic, partition, records: shown });
            }
            self.consumed += count;
            if let Some(micros) = (count * 1_000_000).checked_div(self.spec.records_per_second) {
                self.busy_until = clock.now + Duration::from_micros(micros);
            }
        }
    }

    fn poll(&mut self) -> Option<Output<ActorEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        Some(match self.consumer.poll()? {
            Output::Dial { conn, host, port } => Output::Dial { conn, host, port },
            Output::Send { conn, frame } => Output::Send { conn, frame },
            Output::Hangup { conn } => Output::Hangup { conn },
            Output::Event(event) => Output::Event(told(event)),
        })
    }

    fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let waits = self.consumer.has_records() && !self.consumer.is_closed();
        let busy = waits.then_some((self.busy_until, "the owner is done"));
        // Also without records: a rebalance waits for the owner to be done.
        let away = (!waits && self.busy_until > Instant::ZERO && !self.consumer.is_closed() && self.consumer.is_away())
            .then_some((self.busy_until, "the owner is done"));
        busy.into_iter().chain(away).chain(self.consumer.next_wake()).min_by_key(|(at, _)| *at)
    }
}

/// What a member's owner is told, for whoever watches.
pub(crate) fn told(event: ConsumerEvent) -> ActorEvent {
    let pairs = |partitions: Vec<TopicPartition>| partitions.into_iter().map(|at| (at.topic, at.partition)).collect();
    match event {
        ConsumerEvent::Assigned { generation, partitions } => {
            ActorEvent::Assigned { generation, partitions: pairs(partitions) }
        }
        ConsumerEvent::Revoked { partitions } => ActorEvent::Revoked { partitions: pairs(partitions) },
        ConsumerEvent::Lost { partitions } => ActorEvent::Lost { partitions: pairs(partitions) },
        ConsumerEvent::Positioned { at, offset, committed } => {
            ActorEvent::Positioned { topic: at.topic, partition: at.partition, offset, committed }
        }
        ConsumerEvent::Committed { offsets } => {
            let offsets = offsets.into_iter().map(|(at, offset)| (at.topic, at.partition, offset)).collect();
            ActorEvent::Committed { offsets }
        }
        ConsumerEvent::CommitFailed { error } => ActorEvent::CommitFailed { error: error.to_string() },
        ConsumerEvent::NoOffset { at } => ActorEvent::Said(format!("no offset to begin with at {at}")),
        ConsumerEvent::Failed { what, error } => ActorEvent::Said(format!("{what}: {error}")),
    }
}

/// What became of a producer's records, for whoever watches.
pub(crate) fn delivered(event: ProducerEvent) -> ActorEvent {
    let numbers = |records: Vec<SendId>| records.into_iter().map(|id| id.0).collect();
    match event {
        ProducerEvent::Delivered { topic, partition, base_offset, records, .. } => {
            ActorEvent::Acknowledged { topic, partition, base_offset, numbers: numbers(records) }
        }
        ProducerEvent::Failed { topic, partition, error, records } => {
            ActorEvent::Failed { topic, partition, error: error.to_string(), numbers: numbers(records) }
        }
        ProducerEvent::Transaction { call, result } => {
            ActorEvent::Said(format!("{call}: {}", result.map_or_else(|error| error.to_string(), |()| "done".into())))
        }
    }
}

/// The client behind actions on topics.
#[derive(Clone)]
pub(crate) struct AdminActor {
    pub admin: Admin,
    asked: BTreeMap<CallId, String>,
}

impl AdminActor {
    pub fn new(client: ClientConfig) -> Self {
        Self { admin: Admin::new(client), asked: BTreeMap::new() }
    }

    pub fn call(&mut self, now: Instant, call: AdminCall, what: String) {
        let id = self.admin.call(now, call);
        self.asked.insert(id, what);
    }

    fn poll(&mut self) -> Option<Output<ActorEvent>> {
        Some(match self.admin.poll()? {
            Output::Dial { conn, host, port } => Output::Dial { conn, host, port },
            Output::Send { conn, frame } => Output::Send { conn, frame },
            Output::Hangup { conn } => Output::Hangup { conn },
            Output::Event(AdminEvent { call, result }) => {
                let what = self.asked.remove(&call).unwrap_or_default();
                Output::Event(ActorEvent::Done { what, error: refusal(result) })
            }
        })
    }
}

/// Why a call did not do what it was for.
fn refusal(result: Result<AdminResult, shore_client::ClientError>) -> Option<String> {
    let words = |code: i16, message: Option<&str>| {
        let name = ErrorCode::from_code(code).map_or("UNKNOWN", ErrorCode::name);
        message.map_or(name.to_owned(), |message| format!("{name}: {message}"))
    };
    match result {
        Err(error) => Some(error.to_string()),
        Ok(AdminResult::CreateTopics(response)) => {
            let refused = response.topics.iter().find(|topic| topic.error_code != 0)?;
            Some(words(refused.error_code, refused.error_message.as_deref()))
        }
        Ok(AdminResult::DeleteTopics(response)) => {
            let refused = response.responses.iter().find(|topic| topic.error_code != 0)?;
            Some(words(refused.error_code, refused.error_message.as_deref()))
        }
        Ok(AdminResult::AlterConfigs(response)) => {
            let refused = response.responses.iter().find(|resource| resource.error_code != 0)?;
            Some(words(refused.error_code, refused.error_message.as_deref()))
        }
        Ok(AdminResult::CreatePartitions(response)) => {
            let refused = response.results.iter().find(|topic| topic.error_code != 0)?;
            Some(words(refused.error_code, refused.error_message.as_deref()))
        }
        Ok(AdminResult::DeleteRecords(response)) => {
            let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            Some(words(partitions.find(|partition| partition.error_code != 0)?.error_code, None))
        }
        Ok(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use shore_base::{NodeId, Uuid};
    use shore_broker::{Durability, NodeConfig};

    use crate::action::{ConsumerSpec, ProducerSpec};
    use crate::disk::{Disk, DiskModel};
    use crate::event::{ActorEvent, EventKind};
    use crate::snapshot::Doing;
    use crate::{Action, World};
    use shore_base::{Duration, Instant};

    fn orders() -> World {
        let mut world = World::new(7);
        let config = NodeConfig {
            node_id: NodeId(1),
            cluster_id: Uuid([1; 16]),
            directory: "n1/d0".into(),
            advertised_host: "localhost".into(),
            advertised_port: 9092,
            static_configs: [("offsets.topic.replication.factor".to_owned(), "1".to_owned())].into(),
            durability: Durability::Written,
            cache_bytes: u64::MAX,
            memory_ceiling_bytes: None,
            seed: 7,
        };
        world.boot(config, Disk::Model(DiskModel::default()));
        let configs = Default::default();
        world.act(Action::CreateTopic { topic: "orders".into(), partitions: 2, replication: 1, configs }).unwrap();
        world.act(Action::AddProducer(ProducerSpec::new("shop", "orders"))).unwrap();
        world
    }

    /// What a member has read, and how many partitions it has.
    fn of(world: &World, name: &str) -> (u64, usize) {
        let actors = world.snapshot().actors;
        let actor = actors.iter().find(|actor| actor.name == name).expect("it was added");
        match &actor.doing {
            Doing::Consuming { consumed, partitions, .. } => (*consumed, partitions.len()),
            other => panic!("{name} does not consume: {other:?}"),
        }
    }

    /// Until then the member has its partitions, and records have come to them.
    const LATER: Instant = Instant::from_millis(30_000);

    #[test]
    fn a_paused_member_reads_nothing_of_what_it_is_given_later() {
        let mut world = orders();
        world.act(Action::AddConsumer(ConsumerSpec::new("away", "billing", "orders"))).unwrap();
        world.act(Action::PauseConsumer { actor: "away".into() }).unwrap();
        world.advance(LATER);
        assert_eq!(of(&world, "away"), (0, 2), "paused before its first assignment");
        world.act(Action::AddConsumer(ConsumerSpec::new("there", "billing", "orders"))).unwrap();
        world.advance(LATER + Duration::from_secs(30));
        assert_eq!(of(&world, "away"), (0, 1), "a rebalance does not wake it");
        assert!(of(&world, "there").0 > 0);
        world.act(Action::ResumeConsumer { actor: "away".into() }).unwrap();
        world.advance(LATER + Duration::from_secs(60));
        assert!(of(&world, "away").0 > 0);
    }

    /// What the admin client is told of each line, as its answers come.
    fn answers(world: &mut World, lines: &[&str]) -> Vec<String> {
        world.subscribe();
        let mut told = Vec::new();
        for line in lines {
            world.act(line.parse().unwrap()).unwrap();
            world.advance(world.now() + Duration::from_secs(5));
            for event in world.events() {
                if let EventKind::Actor { event: ActorEvent::Done { what, error }, .. } = event.kind {
                    told.push(format!("{what}: {}", error.as_deref().unwrap_or("done")));
                }
            }
        }
        told
    }

    #[test]
    fn what_an_admin_asks_is_done_or_refused_in_the_brokers_words() {
        let mut world = orders();
        world.advance(LATER);
        let told = answers(
            &mut world,
            &[
                "create-topic name=kept partitions=1 config.cleanup.policy=never",
                "create-partitions topic=orders total=3",
                "create-partitions topic=orders total=2",
                "create-partitions topic=nothing total=2",
                "alter-configs topic=orders config.retention.ms=60000 config.segment.bytes=1048576",
                "alter-configs topic=orders config.retention.ms=1000 reset=segment.bytes",
                "alter-configs topic=orders config.retention.ms=soon",
                "delete-records topic=orders partition=0 offset=3",
                "delete-records topic=orders partition=0 offset=999999",
                "delete-records topic=orders partition=1",
            ],
        );
        let expected = [
            "create topic kept: INVALID_CONFIG: Invalid value never for configuration cleanup.policy: \
             String must be one of: compact, delete",
            "create partitions of orders, 3 in all: done",
            "create partitions of orders, 2 in all: INVALID_PARTITIONS: The topic orders currently has 3 partition(s); \
             2 would not be an increase.",
            "create partitions of nothing, 2 in all: UNKNOWN_TOPIC_OR_PARTITION",
            "alter configs of orders: done",
            "alter configs of orders: done",
            "alter configs of orders: INVALID_CONFIG: Invalid value soon for configuration retention.ms: \
             Not a number of type LONG",
            "delete records of orders-0 before 3: done",
            "delete records of orders-0 before 999999: OFFSET_OUT_OF_RANGE",
            "delete records of orders-1: done",
        ];
        assert_eq!(told, expected);
        let view = world.node(NodeId(1)).unwrap().view();
        let topic = view.topics.iter().find(|topic| &*topic.name == "orders").unwrap();
        let starts: Vec<i64> =
            topic.partitions.iter().map(|partition| partition.log.as_ref().unwrap().start_offset).collect();
        assert_eq!((starts[0], starts[1] > 3, starts[2]), (3, true, 0));
        let configs: Vec<_> = topic.configs.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(configs, [("retention.ms", "1000")]);
    }
}
