//! Everything that can be done to a world, as plain data. The page's buttons, the tests' scripts and
//! the random swarms all speak it; `script.rs` gives it a text form.

use core::time::Duration;
use shore_base::NodeId;
use shore_base::collections::BTreeMap;
pub use shore_client::Isolation;
use shore_client::{Acks, Assignor, OffsetReset};
use shore_wire::api::ApiKey;
use shore_wire::compress::Codec;

use crate::generator::Generator;
use crate::speed::Speed;

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    CreateTopic {
        topic: String,
        partitions: i32,
        replication: i16,
        configs: BTreeMap<String, String>,
    },
    DeleteTopic {
        topic: String,
    },
    /// Sets some of a topic's configs, and gives others back to their default.
    AlterConfigs {
        topic: String,
        set: BTreeMap<String, String>,
        reset: Vec<String>,
    },
    /// `total` is how many the topic then has.
    CreatePartitions {
        topic: String,
        total: i32,
    },
    /// Moves the start of a partition's log up to `offset`; -1 is the high watermark.
    DeleteRecords {
        topic: String,
        partition: i32,
        offset: i64,
    },
    AddProducer(ProducerSpec),
    AddConsumer(ConsumerSpec),
    AddCopier(CopierSpec),
    /// Clients of this name that come from now on speak no newer version of an API, as older clients do.
    LimitVersion {
        actor: String,
        api: ApiKey,
        newest: i16,
    },
    /// How many records a producer makes in 1,000 seconds.
    SetRate {
        actor: String,
        millirate: u64,
    },
    /// How many records a member's owner gets through in a second; 0 for any number.
    SetPace {
        actor: String,
        records_per_second: u64,
    },
    /// Lets a member fetch nothing for a while.
    PauseConsumer {
        actor: String,
    },
    ResumeConsumer {
        actor: String,
    },
    /// The next record that a member reads of a partition.
    Seek {
        actor: String,
        topic: String,
        partition: i32,
        offset: i64,
    },
    /// Commits what a member has read.
    Commit {
        actor: String,
    },
    /// Stops a client cleanly: a producer sends what it holds, a member leaves its group.
    Stop {
        actor: String,
    },
    /// Drops a client as a killed process drops: connections close, nothing is said.
    Vanish {
        actor: String,
    },
    /// One record, from a producer that is there for such records.
    Send(OneRecord),
    /// Stops a node's process where it stands.
    KillNode {
        node: NodeId,
    },
    /// Takes the power away: what its disk has not synced may be gone.
    LosePower {
        node: NodeId,
    },
    /// Stops a node cleanly.
    StopNode {
        node: NodeId,
    },
    StartNode {
        node: NodeId,
    },
    /// Kills a node while its disk carries out the request this many ahead.
    CrashInCalls {
        node: NodeId,
        calls: u64,
        power: bool,
    },
    CutLink {
        actor: String,
        node: NodeId,
    },
    HealLink {
        actor: String,
        node: NodeId,
    },
    /// Breaks the connections between a client and a node: what is on its way over them is lost, and each side
    /// hears that they are gone. With `answers`, breaks the one that carries the answer this many ahead, so that
    /// what was asked is done and nobody is told.
    DropConnections {
        actor: String,
        node: NodeId,
        answers: u64,
    },
    /// Latency of every link, or of those of one actor.
    SetLatency {
        actor: Option<String>,
        latency: Duration,
        jitter: Duration,
    },
    SlowDisk {
        node: NodeId,
        latency: Duration,
    },
    FillDisk {
        node: NodeId,
    },
    FailDisk {
        node: NodeId,
    },
    HealDisk {
        node: NodeId,
    },
    SetSpeed(Speed),
}

impl Action {
    /// What the admin client is asked for, as its answer names it; `None` for what needs none.
    pub fn request(&self) -> Option<String> {
        Some(match self {
            Self::CreateTopic { topic, .. } => format!("create topic {topic}"),
            Self::DeleteTopic { topic } => format!("delete topic {topic}"),
            Self::AlterConfigs { topic, .. } => format!("alter configs of {topic}"),
            Self::CreatePartitions { topic, total } => format!("create partitions of {topic}, {total} in all"),
            Self::DeleteRecords { topic, partition, offset: -1 } => format!("delete records of {topic}-{partition}"),
            Self::DeleteRecords { topic, partition, offset } => {
                format!("delete records of {topic}-{partition} before {offset}")
            }
            _ => return None,
        })
    }
}

/// One record, as somebody writes it by hand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OneRecord {
    pub topic: String,
    /// Where it goes; by its key, or anywhere, if nothing is said.
    pub partition: Option<i32>,
    pub key: Option<String>,
    /// A record without a value is a tombstone.
    pub value: Option<String>,
    pub headers: BTreeMap<String, String>,
}

/// A client that produces on its own.
#[derive(Clone, Debug, PartialEq)]
pub struct ProducerSpec {
    pub name: String,
    pub topic: String,
    /// Records in 1,000 seconds.
    pub millirate: u64,
    pub generator: Generator,
    /// How many different keys its records have; 0 for none.
    pub keys: u32,
    /// How many records it makes before it stops.
    pub limit: Option<u64>,
    pub acks: Acks,
    pub idempotence: bool,
    pub linger: Duration,
    pub batch_bytes: u32,
    pub compression: Codec,
    /// It sends in transactions. Needs idempotence and `acks` of all.
    pub transactions: Option<TransactionSpec>,
}

/// How a producer sends in transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSpec {
    /// `transactional.id`. Of two producers that share one the later fences the earlier.
    pub id: String,
    /// How many records each transaction has.
    pub records: u32,
    /// How many of 100 transactions are aborted.
    pub abort_percent: u32,
    /// `transaction.timeout.ms`.
    pub timeout: Duration,
}

impl TransactionSpec {
    /// Transactions of five records, all committed, otherwise with Kafka's defaults.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), records: 5, abort_percent: 0, timeout: Duration::from_secs(60) }
    }
}

impl ProducerSpec {
    /// A producer of one `orders` record a second, otherwise with Kafka's defaults.
    pub fn new(name: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            topic: topic.into(),
            millirate: 1_000,
            generator: Generator::Orders,
            keys: 20,
            limit: None,
            acks: Acks::All,
            idempotence: true,
            linger: Duration::from_millis(5),
            batch_bytes: 16_384,
            compression: Codec::None,
            transactions: None,
        }
    }
}

/// A client that reads as a member of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsumerSpec {
    pub name: String,
    pub group: String,
    pub topics: Vec<String>,
    /// Records its owner gets through in a second; 0 for any number.
    pub records_per_second: u64,
    /// `partition.assignment.strategy`, the preferred first.
    pub assignors: Vec<Assignor>,
    pub reset: OffsetReset,
    pub isolation: Isolation,
    /// Commits on its own every so often; or only on [`Action::Commit`].
    pub auto_commit: Option<Duration>,
    pub session_timeout: Duration,
    pub instance_id: Option<String>,
}

impl ConsumerSpec {
    /// A member that reads everything from the start, otherwise with Kafka's defaults.
    pub fn new(name: impl Into<String>, group: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            group: group.into(),
            topics: vec![topic.into()],
            records_per_second: 0,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            reset: OffsetReset::Earliest,
            isolation: Isolation::ReadUncommitted,
            auto_commit: Some(Duration::from_secs(5)),
            session_timeout: Duration::from_secs(45),
            instance_id: None,
        }
    }

    /// By the names that clients are configured with, with commas between.
    pub fn set_assignors(&mut self, names: &str) -> Result<(), String> {
        self.assignors = crate::script::assignors(names)?;
        Ok(())
    }
}

/// A client that reads a topic as a member of a group and writes what it read to another topic, each record exactly
/// once: it reads what is committed, and its offsets are part of the transactions in which it writes.
#[derive(Clone, Debug, PartialEq)]
pub struct CopierSpec {
    pub name: String,
    pub group: String,
    pub from: String,
    pub to: String,
    /// Its producer's. `records` is the most that it takes into one.
    pub transactions: TransactionSpec,
    /// Records it gets through in a second, with the transaction open meanwhile; 0 for any number.
    pub records_per_second: u64,
    pub session_timeout: Duration,
}

impl CopierSpec {
    /// A copier of everything from the start, otherwise with Kafka's defaults.
    pub fn new(
        name: impl Into<String>,
        group: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
    ) -> Self {
        let name = name.into();
        Self {
            transactions: TransactionSpec { records: 100, ..TransactionSpec::new(name.clone()) },
            name,
            group: group.into(),
            from: from.into(),
            to: to.into(),
            records_per_second: 0,
            session_timeout: Duration::from_secs(45),
        }
    }
}
