//! A consumer: a member of a group, or on its own; it fetches ahead, its owner takes records and says
//! where it is.
//!
//! The owner is in `poll` from the moment it asks for records until it is given some. Only then does
//! the group rebalance and are offsets committed on their own: what was handed over is done with when the
//! owner asks for more. Heartbeats go on meanwhile.

mod assignor;
mod fetcher;
mod group;
mod offsets;
mod position;
pub mod protocol;
mod records;

use std::collections::VecDeque;

use bytes::Bytes;
use core::fmt;
use core::time::Duration;
use shore_base::Instant;
use shore_base::collections::{BTreeMap, sort_by};

pub use assignor::{Assignor, Member};

use crate::cluster::{Cluster, TopicPartition};
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::io::{Input, Output};
use crate::network::{Arrival, Network};
use fetcher::Sessions;
use group::{Coordinator, Membership};
use offsets::Commits;
use position::{Position, Slot};

/// Where to begin where nothing was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    Earliest,
    Latest,
    /// The owner is told, and seeks.
    None,
}

impl fmt::Display for OffsetReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earliest => "earliest",
            Self::Latest => "latest",
            Self::None => "none",
        })
    }
}

/// `isolation.level`: which records of transactions are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All, also of transactions that are open or were aborted.
    #[default]
    ReadUncommitted,
    /// Those of committed transactions alone, once every transaction before them has ended.
    ReadCommitted,
}

impl Isolation {
    pub const fn code(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadUncommitted => "read_uncommitted",
            Self::ReadCommitted => "read_committed",
        })
    }
}

/// What a consumer can be told. Defaults are those of Kafka's Java consumer.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    pub client: ClientConfig,
    pub group_id: Option<String>,
    pub group_instance_id: Option<String>,
    pub auto_offset_reset: OffsetReset,
    pub isolation: Isolation,
    /// `enable.auto.commit` and `auto.commit.interval.ms`.
    pub auto_commit: Option<Duration>,
    pub session_timeout: Duration,
    pub heartbeat_interval: Duration,
    pub max_poll_interval: Duration,
    pub max_poll_records: u32,
    pub fetch_min_bytes: i32,
    pub fetch_max_wait: Duration,
    pub fetch_max_bytes: i32,
    pub max_partition_fetch_bytes: i32,
    /// `partition.assignment.strategy`, the preferred first. If all are cooperative, members keep what they have
    /// while the group rebalances.
    pub assignors: Vec<Assignor>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            client: ClientConfig::default(),
            group_id: None,
            group_instance_id: None,
            auto_offset_reset: OffsetReset::Latest,
            isolation: Isolation::ReadUncommitted,
            auto_commit: Some(Duration::from_secs(5)),
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            max_poll_records: 500,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            fetch_max_bytes: 52_428_800,
            max_partition_fetch_bytes: 1_048_576,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
        }
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumedRecord {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Records of one partition, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    pub at: TopicPartition,
    pub records: Vec<ConsumedRecord>,
}

/// Who a member is in its group: what a producer says that commits the member's offsets in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    pub group_id: String,
    pub generation: i32,
    pub member_id: String,
    pub instance_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ConsumerEvent {
    /// The member's partitions from now on.
    Assigned {
        generation: i32,
        partitions: Vec<TopicPartition>,
    },
    /// They are given back: a rebalance begins or has given them to others, or the member leaves.
    Revoked {
        partitions: Vec<TopicPartition>,
    },
    /// They were taken away: somebody else may have them already.
    Lost {
        partitions: Vec<TopicPartition>,
    },
    /// Reading of a partition begins here: at the committed offset, or where the reset policy says.
    Positioned {
        at: TopicPartition,
        offset: i64,
        committed: bool,
    },
    Committed {
        offsets: Vec<(TopicPartition, i64)>,
    },
    CommitFailed {
        error: ClientError,
    },
    /// Nothing was committed and the policy is to tell the owner; or the offset is gone.
    NoOffset {
        at: TopicPartition,
    },
    /// What the consumer cannot mend.
    Failed {
        what: &'static str,
        error: ClientError,
    },
}

/// A consumer. Drive it so: one call or [`Consumer::handle`], then [`Consumer::poll`] until it returns
/// `None`, then sleep until [`Consumer::next_wake`].
#[derive(Clone)]
pub struct Consumer {
    config: ConsumerConfig,
    network: Network<Purpose>,
    /// Topics subscribed to; empty if partitions were assigned by hand.
    topics: Vec<String>,
    partitions: BTreeMap<TopicPartition, Slot>,
    coordinator: Coordinator,
    membership: Membership,
    member_id: String,
    generation: i32,
    /// What the sticky assignor is told next time.
    last_assignment: Vec<TopicPartition>,
    /// The partition counts on which the leader based the assignment.
    assigned_counts: Option<BTreeMap<String, i32>>,
    next_heartbeat: Instant,
    heartbeat_in_flight: bool,
    commits: Commits,
    offsets_asked: bool,
    offsets_not_before: Instant,
    sessions: Sessions,
    events: VecDeque<ConsumerEvent>,
    now: Instant,
    /// The owner has asked for records and waits.
    in_poll: bool,
    last_poll: Instant,
    /// It was closed; then everything is dropped as it is.
    close_by: Option<Instant>,
    closed: bool,
    stirred: bool,
}

/// How long closing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a response is for.
#[derive(Clone, Debug)]
enum Purpose {
    FindCoordinator,
    Join,
    Sync { generation: i32 },
    Heartbeat { generation: i32 },
    Leave,
    Commit { generation: i32, offsets: Vec<(TopicPartition, i64)> },
    FetchOffsets,
    ListOffsets { partitions: Vec<TopicPartition> },
    Fetch { node: i32, asked: BTreeMap<TopicPartition, i64> },
}

impl Consumer {
    pub fn new(config: ConsumerConfig) -> Self {
        Self {
            network: Network::new(config.client.clone(), "consumer network"),
            config,
            topics: Vec::new(),
            partitions: BTreeMap::new(),
            coordinator: Coordinator::Unknown,
            membership: Membership::Out,
            member_id: String::new(),
            generation: -1,
            last_assignment: Vec::new(),
            assigned_counts: None,
            next_heartbeat: Instant::ZERO,
            heartbeat_in_flight: false,
            commits: Commits::default(),
            offsets_asked: false,
            offsets_not_before: Instant::ZERO,
            sessions: Sessions::default(),
            events: VecDeque::new(),
            now: Instant::ZERO,
            in_poll: false,
            last_poll: Instant::ZERO,
            close_by: None,
            closed: false,
            stirred: false,
        }
    }

    /// Reads these topics as a member of the configured group.
    pub fn subscribe(&mut self, now: Instant, topics: &[String]) {
        assert!(self.config.group_id.is_some(), "a subscription needs a group.id");
        self.now = now;
        self.topics = topics.to_vec();
        sort_by(&mut self.topics, Ord::cmp);
        self.topics.dedup();
        for topic in &self.topics {
            self.network.want_topic(topic);
        }
        self.last_poll = now;
        self.rejoin();
        self.stirred = true;
    }

    /// Reads these partitions, outside of any group's rebalancing.
    pub fn assign(&mut self, now: Instant, partitions: &[TopicPartition]) {
        self.now = now;
        self.topics.clear();
        self.membership = Membership::Out;
        for at in partitions {
            self.network.want_topic(&at.topic);
        }
        self.set_partitions(partitions);
        self.stirred = true;
    }

    /// The owner is done with what it was given and asks for more. `None` while there is nothing: ask
    /// again when [`Consumer::has_records`].
    pub fn poll_records(&mut self, now: Instant) -> Option<Vec<Records>> {
        self.now = now;
        self.in_poll = true;
        self.last_poll = now;
        self.stirred = true;
        // What was read so far may be committed before anything new is handed out.
        self.pump();
        let taken = self.take_records(self.config.max_poll_records as usize);
        if taken.is_empty() {
            return None;
        }
        self.in_poll = false;
        Some(taken)
    }

    pub fn has_records(&self) -> bool {
        self.partitions.values().any(Slot::has_records)
    }

    /// Whether the owner works on what it was given.
    pub fn is_away(&self) -> bool {
        !self.in_poll
    }

    pub fn pause(&mut self, now: Instant, partitions: &[TopicPartition]) {
        self.set_paused(now, partitions, true);
    }

    pub fn resume(&mut self, now: Instant, partitions: &[TopicPartition]) {
        self.set_paused(now, partitions, false);
    }

    fn set_paused(&mut self, now: Instant, partitions: &[TopicPartition], paused: bool) {
        self.now = now;
        self.stirred = true;
        for at in partitions {
            if let Some(slot) = self.partitions.get_mut(at) {
                slot.paused = paused;
            }
        }
    }

    /// The next record to be read of a partition. False if the consumer does not have it.
    pub fn seek(&mut self, now: Instant, at: &TopicPartition, offset: i64) -> bool {
        self.now = now;
        self.stirred = true;
        let Some(slot) = self.partitions.get_mut(at) else { return false };
        slot.begin_at(offset);
        true
    }

    /// Goes back to what was committed, in all its partitions: what was handed over since comes again.
    pub fn rewind(&mut self, now: Instant) {
        self.now = now;
        self.stirred = true;
        for slot in self.partitions.values_mut() {
            slot.rewind();
        }
    }

    /// Commits what the owner was given.
    pub fn commit(&mut self, now: Instant) {
        self.now = now;
        self.commits.wanted = true;
        self.stirred = true;
    }

    /// Commits if that is automatic, leaves the group, hangs up.
    pub fn close(&mut self, now: Instant) {
        self.now = now;
        self.close_by.get_or_insert(now + CLOSE_TIMEOUT);
        self.in_poll = true;
        self.stirred = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.keys()
    }

    /// Offset of the next record the owner gets.
    pub fn position(&self, at: &TopicPartition) -> Option<i64> {
        self.partitions.get(at)?.position()
    }

    /// Records between the owner and the end of the partition, as far as the last fetch knew it.
    pub fn lag(&self, at: &TopicPartition) -> Option<i64> {
        let slot = self.partitions.get(at)?;
        Some((slot.end? - slot.position()?).max(0))
    }

    pub fn committed(&self, at: &TopicPartition) -> Option<i64> {
        self.partitions.get(at)?.committed
    }

    pub fn is_paused(&self, at: &TopicPartition) -> bool {
        self.partitions.get(at).is_some_and(|slot| slot.paused)
    }

    pub fn generation(&self) -> i32 {
        self.generation
    }

    pub fn member_id(&self) -> &str {
        &self.member_id
    }

    /// `None` without a `group.id`.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        Some(GroupMetadata {
            group_id: self.config.group_id.clone()?,
            generation: self.generation,
            member_id: self.member_id.clone(),
            instance_id: self.config.group_instance_id.clone(),
        })
    }

    /// Where it is in its group's life, in a word.
    pub fn state(&self) -> &'static str {
        self.membership.name()
    }

    pub fn cluster(&self) -> &Cluster {
        &self.network.cluster
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.network.handle(now, input);
        while let Some(arrival) = self.network.next_arrival() {
            match arrival {
                Arrival::Metadata => self.metadata_changed(),
                Arrival::Response { what, version, frame, .. } => self.answered(what, version, frame),
                Arrival::Failed { what, .. } => self.unanswered(what),
            }
        }
        self.stirred = true;
    }

    pub fn poll(&mut self) -> Option<Output<ConsumerEvent>> {
        if self.stirred {
            self.pump();
        }
        self.network.poll(&mut self.events)
    }

    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        if self.closed {
            return None;
        }
        let now = self.now;
        // What is due and was not done now waits for an answer, not for the time.
        let closing = self.close_by.map(|at| (at, "closing takes too long"));
        let own = [self.group_wake(), self.commit_wake(), self.offsets_wake(), self.fetch_wake(), closing];
        let own = own.into_iter().flatten().filter(|(at, _)| *at > now);
        own.chain(self.network.next_wake()).min_by_key(|(at, _)| *at)
    }

    /// Does everything that can be done now.
    fn pump(&mut self) {
        self.stirred = false;
        if self.closed {
            return;
        }
        self.network.maybe_ask_metadata(self.now);
        self.pump_group();
        self.pump_commits();
        if self.close_by.is_some() {
            self.pump_close();
            return;
        }
        self.pump_offsets();
        self.pump_fetches();
    }

    fn answered(&mut self, what: Purpose, version: i16, frame: Bytes) {
        match what {
            Purpose::FindCoordinator => self.coordinator_found(version, frame),
            Purpose::Join => self.joined(version, frame),
            Purpose::Sync { generation } => self.synced(generation, version, frame),
            Purpose::Heartbeat { generation } => self.heart_beaten(generation, version, frame),
            Purpose::Leave => self.left(),
            Purpose::Commit { generation, offsets } => self.committed_answer(generation, offsets, version, frame),
            Purpose::FetchOffsets => self.offsets_fetched(version, frame),
            Purpose::ListOffsets { partitions } => self.offsets_listed(partitions, version, frame),
            Purpose::Fetch { node, asked } => self.fetched(node, asked, version, frame),
        }
    }

    fn unanswered(&mut self, what: Purpose) {
        match what {
            Purpose::FindCoordinator => self.coordinator_lost(),
            Purpose::Join | Purpose::Sync { .. } => {
                self.coordinator_lost();
                self.rejoin_later();
            }
            Purpose::Heartbeat { .. } => {
                self.heartbeat_in_flight = false;
                self.coordinator_lost();
            }
            Purpose::Leave => self.left(),
            Purpose::Commit { .. } => {
                self.commits.in_flight = false;
                self.coordinator_lost();
                self.retry_commit();
            }
            Purpose::FetchOffsets => {
                self.offsets_asked = false;
                self.coordinator_lost();
            }
            Purpose::ListOffsets { partitions } => self.reset_later(&partitions),
            Purpose::Fetch { node, .. } => self.sessions.lost(node),
        }
    }

    fn set_partitions(&mut self, partitions: &[TopicPartition]) {
        self.partitions.clear();
        self.add_partitions(partitions);
    }

    /// Reads these partitions, from where it is where it has them already.
    fn add_partitions(&mut self, partitions: &[TopicPartition]) {
        self.sessions.renew();
        let begin = match self.config.group_id {
            Some(_) => Position::NeedsCommitted,
            None => Position::NeedsReset { asked: false, not_before: Instant::ZERO },
        };
        for at in partitions {
            self.partitions.entry(at.clone()).or_insert_with(|| Slot::new(begin.clone()));
        }
    }
}
