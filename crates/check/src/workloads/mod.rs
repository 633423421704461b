//! What the clients of a run do. Each seed draws some of these; those it draws go on side by side, on one node.
//! A workload plans its topics and clients and what becomes of them until the unrest ends, from a random stream of
//! its own. The run sees to the rest: that producers come to their end and groups to the end of their topics, and that
//! everything is read and compared with what was promised.

mod groups;
mod orders;
mod topics;
mod transactions;
pub(crate) mod versions;

use core::ops::Range;
use core::time::Duration;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, Random};
use shore_client::{Acks, Assignor};
use shore_sim::{Action, ConsumerSpec, Generator, ProducerSpec, World};
use shore_wire::compress::Codec;

use versions::Kind;

pub(crate) struct Workload {
    pub name: &'static str,
    /// How many of a hundred seeds have it.
    pub percent: u64,
    pub begin: fn(&mut Plan<'_>),
}

pub(crate) const WORKLOADS: [Workload; 4] = [
    Workload { name: "orders", percent: 100, begin: orders::begin },
    Workload { name: "groups", percent: 50, begin: groups::begin },
    Workload { name: "topics", percent: 50, begin: topics::begin },
    Workload { name: "transactions", percent: 50, begin: transactions::begin },
];

/// What is going to happen, as it is drawn.
pub(crate) struct Plan<'a> {
    pub world: &'a mut World,
    pub random: Random,
    /// The clients that were planned: faults befall them.
    pub clients: &'a mut Vec<String>,
    /// Topics are deleted and made anew. Who does not know of topic ids goes by the old one's leader epochs for ever,
    /// as Java's clients do.
    pub needs_topic_ids: bool,
}

impl Plan<'_> {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.random.percent(percent)
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.below(choices.len() as u64) as usize]
    }

    /// A time of so many milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.random.below(range.end - range.start))
    }

    /// Has something done so long after the start.
    pub fn at(&mut self, after: Duration, action: Action) {
        let client = match &action {
            Action::AddProducer(spec) if spec.transactions.is_some() => Some((&spec.name, Kind::TransactionalProducer)),
            Action::AddProducer(spec) => Some((&spec.name, Kind::Producer)),
            Action::AddConsumer(spec) if spec.instance_id.is_some() => Some((&spec.name, Kind::StaticMember)),
            Action::AddConsumer(spec) => Some((&spec.name, Kind::Member)),
            Action::AddCopier(spec) => Some((&spec.name, Kind::Copier)),
            _ => None,
        };
        if let Some((name, kind)) = client
            && !self.clients.contains(name)
        {
            self.clients.push(name.clone());
            versions::draw(self, name, kind);
        }
        self.world.act_at(Instant::ZERO + after, action);
    }

    /// Before anything else.
    pub fn now(&mut self, action: Action) {
        self.world.act_at(Instant::ZERO, action);
    }

    pub fn within(&mut self, range: Range<u64>, action: Action) {
        let after = self.millis(range);
        self.at(after, action);
    }

    pub fn create(&mut self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Action {
        let configs = configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Action::CreateTopic { topic: topic.to_owned(), partitions, replication: 1, configs: configs.collect() }
    }

    pub fn alter(&mut self, topic: &str, name: &str, value: &str) -> Action {
        let set = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Action::AlterConfigs { topic: topic.to_owned(), set, reset: Vec::new() }
    }

    /// An idempotent producer of some hundred numbered records, at some rate, in batches of some size.
    pub fn producer(&mut self, name: &str, topic: &str) -> ProducerSpec {
        let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
        ProducerSpec {
            millirate: 20_000 + self.below(80_000),
            generator: Generator::Numbered,
            keys: self.one_of(&[0, 7]),
            limit: Some(200 + self.below(300)),
            acks: Acks::All,
            idempotence: true,
            linger: Duration::from_millis(self.below(20)),
            batch_bytes: self.one_of(&[200, 1_000, 16_384]),
            compression: self.one_of(&codecs),
            ..ProducerSpec::new(name, topic)
        }
    }

    /// A member with some pace and some timeout.
    pub fn member(&mut self, name: &str, group: &str, topic: &str, assignor: Assignor) -> ConsumerSpec {
        ConsumerSpec {
            records_per_second: self.one_of(&[0, 50, 400]),
            assignors: vec![assignor],
            auto_commit: Some(self.millis(200..2_200)),
            session_timeout: Duration::from_secs(6 + self.below(10)),
            ..ConsumerSpec::new(name, group, topic)
        }
    }

    pub fn assignor(&mut self) -> Assignor {
        self.one_of(&Assignor::ALL)
    }
}
