//! The cluster as the page knows it. The worker builds a [`Screen`] from a snapshot and sends what has
//! changed since the last one.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::happening::Happening;
use crate::rebalance::Rebalance;

/// Everything that is drawn all the time. What is looked at closely is asked for ([`crate::message::Question`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Screen {
    pub clock: Clock,
    pub broker: Rc<Broker>,
    pub topics: Vec<Rc<Topic>>,
    pub producers: Vec<Rc<Producer>>,
    pub groups: Vec<Rc<Group>>,
    pub transactions: Vec<Rc<Transaction>>,
    /// The last of each group, in the order in which they began.
    pub rebalances: Vec<Rc<Rebalance>>,
    pub storage: Rc<Storage>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    pub now_micros: u64,
    pub wall_millis: i64,
    pub paused: bool,
    pub percent: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broker {
    pub node: i32,
    pub cluster_id: Rc<str>,
    /// It is registered, unfenced and serves clients.
    pub ready: bool,
    pub connections: u32,
    pub requests: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    pub name: Rc<str>,
    pub id: Rc<str>,
    pub internal: bool,
    /// The topic's own, by name.
    pub configs: Vec<(Rc<str>, Rc<str>)>,
    pub partitions: Vec<Rc<Partition>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    pub index: i32,
    pub log_start: i64,
    /// Below it no transaction is open.
    pub last_stable: i64,
    pub high_watermark: i64,
    pub durable_end: i64,
    pub log_end: i64,
    pub bytes: u64,
    pub segments: u32,
    pub leader_epoch: i32,
    /// The newest batches, in order.
    pub batches: Vec<Batch>,
    /// First offsets of open transactions, by producer.
    pub open: Vec<(i64, i64)>,
    /// `None` for a log that is not compacted.
    pub cleaning: Option<Cleaning>,
}

/// How dirty a compacted log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaning {
    /// Below this the log was cleaned before.
    pub first_dirty: i64,
    /// From here on nothing is cleaned yet.
    pub first_uncleanable: i64,
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
    pub under_way: bool,
}

impl Cleaning {
    /// The share that decides when a log is cleaned (`min.cleanable.dirty.ratio`), in percent.
    pub fn dirty_percent(&self) -> u64 {
        (self.dirty_bytes * 100).checked_div(self.clean_bytes + self.dirty_bytes).unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    pub base_offset: i64,
    pub last_offset: i64,
    pub records: u32,
    pub bytes: u32,
    /// -1 for a producer without one.
    pub producer_id: i64,
    pub fate: Fate,
}

/// What became of the transaction that a batch belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It belongs to none.
    #[default]
    Plain,
    /// Not settled yet: readers of what is committed wait here.
    Open,
    Committed,
    /// Nobody who reads only what is committed gets to see it.
    Aborted,
    /// No record but the marker that ended a transaction.
    CommitMarker,
    AbortMarker,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    pub name: Rc<str>,
    pub topic: Rc<str>,
    /// Records per second, in thousandths.
    pub rate_milli: u32,
    pub running: bool,
    pub sent: u64,
    pub acked: u64,
    pub failed: u64,
    pub last_error: Option<Rc<str>>,
    /// It sends in transactions.
    pub transactions: Option<Transactions>,
}

/// What a transactional producer has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transactions {
    pub id: Rc<str>,
    /// Records in the one that is open, or was last.
    pub records: u64,
    pub committed: u64,
    pub aborted: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: Rc<str>,
    pub state: Rc<str>,
    pub protocol: Rc<str>,
    /// All its members keep what they have while it rebalances.
    pub cooperative: bool,
    pub generation: i32,
    /// Since when it has been in its state, in milliseconds since 1970.
    pub since_millis: Option<i64>,
    pub members: Vec<Rc<Member>>,
    /// Committed offsets, whoever committed them.
    pub committed: Vec<Committed>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The client behind it, if it lives in this world.
    pub actor: Option<Rc<str>>,
    pub member_id: Rc<str>,
    pub client_id: Rc<str>,
    /// `group.instance.id`: it is the same member when it comes back in time.
    pub instance: Option<Rc<str>>,
    pub state: Rc<str>,
    pub leader: bool,
    pub running: bool,
    pub last_error: Option<Rc<str>>,
    pub read: u64,
    /// What a copier does with what it reads.
    pub copies: Option<Copies>,
    pub assignment: Vec<Assigned>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    pub from: Rc<str>,
    pub to: Rc<str>,
    /// Records of transactions that were committed.
    pub copied: u64,
    /// One of its transactions is open.
    pub is_open: bool,
    pub transactions: Transactions,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    pub topic: Rc<str>,
    pub partition: i32,
    /// The next offset it will read, if it knows.
    pub position: Option<i64>,
    pub lag: Option<i64>,
    pub hold: Hold,
}

/// How a member stands to a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    #[default]
    Reads,
    /// It reads it until it hears that it has to give it back.
    Leaving,
    /// It read it when the rebalance began; who reads it now.
    GivenBack { to: Option<Rc<str>> },
    /// It has been given it and has not heard of that yet.
    Awaited,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    pub topic: Rc<str>,
    pub partition: i32,
    pub offset: i64,
}

/// A transactional id as its coordinator knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub id: Rc<str>,
    pub state: Rc<str>,
    /// What it is about to become, once that is stored.
    pub pending: Option<Rc<str>>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub timeout_millis: i32,
    /// When its last transaction began, in milliseconds since 1970.
    pub started_millis: Option<i64>,
    /// While it ends, those that have no marker yet.
    pub partitions: Vec<(Rc<str>, i32)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// Where it lies: "IndexedDB", or "memory".
    pub kind: Rc<str>,
    /// Why it lies in memory, and is gone with the tab.
    pub volatile: Option<Rc<str>>,
    pub used: u64,
    /// What the browser would give this site; 0 if it does not say.
    pub quota: u64,
    pub persisted: bool,
    /// Why the last write failed, until one succeeds.
    pub full: Option<Rc<str>>,
}

/// A request and, once it is there, its response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub id: u64,
    pub sent_micros: u64,
    /// The client id of the sender.
    pub client: Rc<str>,
    pub api_key: i16,
    pub version: i16,
    pub correlation: i32,
    pub request_bytes: u32,
    pub answer: Option<Answer>,
    /// What it is about, in a few words: partitions, a group.
    pub about: Rc<str>,
    /// Partitions whose records it carries.
    pub carries: Vec<Carried>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub micros: u64,
    pub bytes: u32,
    /// The first error code in it, by name.
    pub error: Option<Rc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    pub topic: Rc<str>,
    pub partition: i32,
    pub bytes: u32,
}

/// What makes one [`Screen`] into the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub clock: Clock,
    pub broker: Option<Rc<Broker>>,
    pub topics: Option<Listed<Topic>>,
    pub producers: Option<Listed<Producer>>,
    pub groups: Option<Listed<Group>>,
    pub transactions: Option<Listed<Transaction>>,
    pub rebalances: Option<Listed<Rebalance>>,
    pub storage: Option<Rc<Storage>>,
    /// New exchanges, and known ones that now have an answer.
    pub exchanges: Vec<Exchange>,
    pub happenings: Vec<Happening>,
}

/// A list in which most entries stay as they were.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listed<T> {
    entries: Vec<Entry<T>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Entry<T> {
    /// The one that was at this place.
    Kept(u32),
    New(Rc<T>),
}

impl<T: PartialEq> Listed<T> {
    fn between(old: &[Rc<T>], new: &[Rc<T>]) -> Option<Self> {
        if old == new {
            return None;
        }
        let entry = |item: &Rc<T>| match old.iter().position(|known| known == item) {
            Some(place) => Entry::Kept(place as u32),
            None => Entry::New(item.clone()),
        };
        Some(Self { entries: new.iter().map(entry).collect() })
    }

    fn onto(self, old: &[Rc<T>]) -> Vec<Rc<T>> {
        let entries = self.entries.into_iter();
        entries
            .filter_map(|entry| match entry {
                Entry::Kept(place) => old.get(place as usize).cloned(),
                Entry::New(item) => Some(item),
            })
            .collect()
    }
}

impl Screen {
    pub fn delta_to(&self, next: &Self) -> Delta {
        Delta {
            clock: next.clock,
            broker: (self.broker != next.broker).then(|| next.broker.clone()),
            topics: Listed::between(&self.topics, &next.topics),
            producers: Listed::between(&self.producers, &next.producers),
            groups: Listed::between(&self.groups, &next.groups),
            transactions: Listed::between(&self.transactions, &next.transactions),
            rebalances: Listed::between(&self.rebalances, &next.rebalances),
            storage: (self.storage != next.storage).then(|| next.storage.clone()),
            exchanges: Vec::new(),
            happenings: Vec::new(),
        }
    }

    pub fn apply(&mut self, delta: Delta) {
        self.clock = delta.clock;
        if let Some(broker) = delta.broker {
            self.broker = broker;
        }
        if let Some(topics) = delta.topics {
            self.topics = topics.onto(&self.topics);
        }
        if let Some(producers) = delta.producers {
            self.producers = producers.onto(&self.producers);
        }
        if let Some(groups) = delta.groups {
            self.groups = groups.onto(&self.groups);
        }
        if let Some(transactions) = delta.transactions {
            self.transactions = transactions.onto(&self.transactions);
        }
        if let Some(rebalances) = delta.rebalances {
            self.rebalances = rebalances.onto(&self.rebalances);
        }
        if let Some(storage) = delta.storage {
            self.storage = storage;
        }
    }

    pub fn topic(&self, name: &str) -> Option<&Rc<Topic>> {
        self.topics.iter().find(|topic| &*topic.name == name)
    }

    pub fn partition(&self, topic: &str, index: i32) -> Option<&Rc<Partition>> {
        self.topic(topic)?.partitions.iter().find(|partition| partition.index == index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, log_end: i64) -> Rc<Topic> {
        let partition = Rc::new(Partition { log_end, ..Partition::default() });
        Rc::new(Topic { name: name.into(), partitions: vec![partition], ..Topic::default() })
    }

    #[test]
    fn a_delta_makes_the_old_screen_into_the_new_one() {
        let old = Screen { topics: vec![topic("a", 1), topic("b", 2)], ..Screen::default() };
        let mut new = Screen { topics: vec![topic("b", 2), topic("c", 0), topic("a", 9)], ..old.clone() };
        new.clock.now_micros = 7;
        let mut followed = old.clone();
        followed.apply(old.delta_to(&new));
        assert_eq!(followed, new);
        assert!(Rc::ptr_eq(&followed.topics[0], &old.topics[1]), "what did not change is not drawn again");
        assert_eq!(new.delta_to(&new), Delta { clock: new.clock, ..Delta::default() });
    }
}
