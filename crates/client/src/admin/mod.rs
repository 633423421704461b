//! An admin client: one request per call, sent to whom it concerns, tried again where that helps.

mod messages;

use std::collections::VecDeque;

use bytes::Bytes;
use core::time::Duration;
use shore_base::Instant;
use shore_base::collections::BTreeMap;
use shore_wire::frame::decode_response;
use shore_wire::messages::{
    CreatePartitionsResponse, CreateTopicsResponse, DeleteRecordsResponse, DeleteTopicsResponse,
    DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse, IncrementalAlterConfigsResponse,
    KafkaMessage, KafkaRequest, ListGroupsRequest, ListGroupsResponse, StrBytes,
};

use self::messages::{
    BROKER, TOPIC, alter_configs, create_partitions, create_topics, delete_records, delete_topics, describe_configs,
    list_offsets, read_answer, retriable_code,
};
use crate::cluster::{Cluster, TopicPartition};
use crate::config::ClientConfig;
use crate::error::{ClientError, is_retriable, is_stale_metadata};
use crate::io::{Input, Output};
use crate::network::{Arrival, Network, Target};

/// Names a call and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// A topic to be made. -1 takes the broker's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: i32,
    pub replication: i16,
    pub configs: BTreeMap<String, String>,
}

/// What an admin can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminCall {
    CreateTopics {
        topics: Vec<NewTopic>,
        validate_only: bool,
    },
    DeleteTopics {
        names: Vec<String>,
    },
    /// `total` is how many the topic then has.
    CreatePartitions {
        topic: String,
        total: i32,
    },
    /// Moves the log's start up to `offset`; -1 is the high watermark.
    DeleteRecords {
        partition: TopicPartition,
        offset: i64,
    },
    /// Sets the configs that have a value, and takes back those that have none.
    AlterTopicConfigs {
        topic: String,
        configs: BTreeMap<String, Option<String>>,
    },
    DescribeTopicConfigs {
        topic: String,
    },
    DescribeBrokerConfigs {
        broker: i32,
    },
    DescribeCluster,
    DescribeGroup {
        group: String,
    },
    ListGroups,
    /// -2 for the first offset, -1 for the last, otherwise the first at or after these milliseconds.
    ListOffsets {
        partitions: Vec<TopicPartition>,
        timestamp: i64,
    },
}

/// The answer, as the broker gave it; errors of single topics or groups stand in it.
#[derive(Clone, Debug, PartialEq)]
pub enum AdminResult {
    CreateTopics(CreateTopicsResponse),
    DeleteTopics(DeleteTopicsResponse),
    CreatePartitions(CreatePartitionsResponse),
    DeleteRecords(DeleteRecordsResponse),
    AlterConfigs(IncrementalAlterConfigsResponse),
    DescribeConfigs(DescribeConfigsResponse),
    DescribeCluster(DescribeClusterResponse),
    DescribeGroup(DescribeGroupsResponse),
    ListGroups(ListGroupsResponse),
    /// Offset and timestamp, or an error code.
    ListOffsets(BTreeMap<TopicPartition, Result<(i64, i64), i16>>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct AdminEvent {
    pub call: CallId,
    pub result: Result<AdminResult, ClientError>,
}

/// An admin client. Drive it so: one call or [`Admin::handle`], then [`Admin::poll`] until it returns
/// `None`, then sleep until [`Admin::next_wake`].
#[derive(Clone)]
pub struct Admin {
    network: Network<Purpose>,
    calls: BTreeMap<CallId, Pending>,
    events: VecDeque<AdminEvent>,
    next_call: u64,
    now: Instant,
    stirred: bool,
}

/// `default.api.timeout.ms`.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Pending {
    call: AdminCall,
    deadline: Instant,
    attempts: u32,
    not_before: Instant,
    /// Requests of this call that are not answered.
    in_flight: u32,
    /// Who coordinates the group that the call is about.
    coordinator: Option<i32>,
    offsets: BTreeMap<TopicPartition, Result<(i64, i64), i16>>,
}

#[derive(Clone, Debug)]
enum Purpose {
    Coordinator(CallId),
    Call(CallId),
}

impl Admin {
    pub fn new(config: ClientConfig) -> Self {
        Self {
            network: Network::new(config, "admin network"),
            calls: BTreeMap::new(),
            events: VecDeque::new(),
            next_call: 0,
            now: Instant::ZERO,
            stirred: false,
        }
    }

    pub fn call(&mut self, now: Instant, call: AdminCall) -> CallId {
        self.now = now;
        self.stirred = true;
        let id = CallId(self.next_call);
        self.next_call += 1;
        for at in led(&call) {
            self.network.want_topic(&at.topic);
        }
        let pending = Pending {
            call,
            deadline: now + CALL_TIMEOUT,
            attempts: 0,
            not_before: now,
            in_flight: 0,
            coordinator: None,
            offsets: BTreeMap::new(),
        };
        self.calls.insert(id, pending);
        id
    }

    pub fn cluster(&self) -> &Cluster {
        &self.network.cluster
    }

    /// Calls that are not answered.
    pub fn unanswered(&self) -> usize {
        self.calls.len()
    }

    pub fn close(&mut self, now: Instant) {
        self.now = now;
        self.calls.clear();
        self.network.close();
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.network.handle(now, input);
        while let Some(arrival) = self.network.next_arrival() {
            match arrival {
                Arrival::Metadata => {}
                Arrival::Response { what: Purpose::Coordinator(id), version, frame, .. } => {
                    self.coordinator_found(id, version, frame);
                }
                Arrival::Response { what: Purpose::Call(id), version, frame, .. } => self.answered(id, version, frame),
                Arrival::Failed { what: Purpose::Coordinator(id) | Purpose::Call(id), .. } => {
                    if let Some(pending) = self.calls.get_mut(&id) {
                        pending.in_flight = pending.in_flight.saturating_sub(1);
                    }
                    self.again(id);
                }
            }
        }
        self.stirred = true;
    }

    pub fn poll(&mut self) -> Option<Output<AdminEvent>> {
        if core::mem::take(&mut self.stirred) {
            self.pump();
        }
        self.network.poll(&mut self.events)
    }

    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let deadlines = self.calls.values().map(|pending| (pending.deadline, "a call takes too long"));
        let again = self.calls.values().filter(|pending| pending.in_flight == 0 && pending.not_before > self.now);
        let again = again.map(|pending| (pending.not_before, "call again"));
        deadlines.chain(again).chain(self.network.next_wake()).min_by_key(|(at, _)| *at)
    }

    fn pump(&mut self) {
        self.network.maybe_ask_metadata(self.now);
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            let pending = &self.calls[&id];
            if pending.deadline <= self.now {
                self.done(id, Err(ClientError::Timeout("default.api.timeout.ms")));
            } else if pending.in_flight == 0 && pending.not_before <= self.now {
                self.begin(id);
            }
        }
    }

    /// Sends what the call needs next, if whom it concerns can be reached.
    fn begin(&mut self, id: CallId) {
        let pending = &self.calls[&id];
        let call = pending.call.clone();
        let sent = match call {
            AdminCall::CreateTopics { topics, validate_only } => {
                self.send_any(id, |_| create_topics(&topics, validate_only))
            }
            AdminCall::DeleteTopics { names } => self.send_any(id, |version| delete_topics(&names, version)),
            AdminCall::CreatePartitions { topic, total } => self.send_any(id, |_| create_partitions(&topic, total)),
            AdminCall::DeleteRecords { partition, offset } => self.delete_records(id, &partition, offset),
            AdminCall::AlterTopicConfigs { topic, configs } => {
                self.send_any(id, |_| alter_configs(TOPIC, &topic, &configs))
            }
            AdminCall::DescribeTopicConfigs { topic } => self.send_any(id, |_| describe_configs(TOPIC, &topic)),
            AdminCall::DescribeBrokerConfigs { broker } => {
                self.send_to(id, Target::Broker(broker), |_| describe_configs(BROKER, &broker.to_string()))
            }
            AdminCall::DescribeCluster => self.send_any(id, |_| DescribeClusterRequest::default()),
            AdminCall::ListGroups => self.send_any(id, |_| ListGroupsRequest::default()),
            AdminCall::DescribeGroup { group } => match pending.coordinator {
                None => self.ask_coordinator(id, &group),
                Some(node) => self.send_to(id, Target::Broker(node), |_| {
                    let mut request = DescribeGroupsRequest::default();
                    request.groups = vec![StrBytes::from(group.as_str())];
                    request
                }),
            },
            AdminCall::ListOffsets { partitions, timestamp } => self.list_offsets(id, &partitions, timestamp),
        };
        if let Err(error) = sent {
            self.done(id, Err(error));
        }
    }

    fn send_any<M: KafkaRequest>(&mut self, id: CallId, request: impl Fn(i16) -> M) -> Result<(), ClientError> {
        match self.network.any_ready(self.now) {
            Some(target) => self.send_to(id, target, request),
            None => Ok(()),
        }
    }

    fn send_to<M: KafkaRequest>(
        &mut self,
        id: CallId,
        target: Target,
        request: impl Fn(i16) -> M,
    ) -> Result<(), ClientError> {
        if !self.network.ready(self.now, target) {
            return Ok(());
        }
        let version = self.network.version::<M>(target, i16::MAX).ok_or(ClientError::Unsupported(M::NAME))?;
        self.network.send(self.now, target, version, &request(version), Purpose::Call(id))?;
        if let Some(pending) = self.calls.get_mut(&id) {
            pending.in_flight += 1;
        }
        Ok(())
    }

    fn ask_coordinator(&mut self, id: CallId, group: &str) -> Result<(), ClientError> {
        let Some(target) = self.network.any_ready(self.now) else { return Ok(()) };
        let version = self.network.version::<FindCoordinatorRequest>(target, 6);
        let version = version.ok_or(ClientError::Unsupported(FindCoordinatorRequest::NAME))?;
        let mut request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.coordinator_keys = vec![StrBytes::from(group)];
        } else {
            request.key = StrBytes::from(group);
        }
        self.network.send(self.now, target, version, &request, Purpose::Coordinator(id))?;
        if let Some(pending) = self.calls.get_mut(&id) {
            pending.in_flight += 1;
        }
        Ok(())
    }

    fn delete_records(&mut self, id: CallId, at: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        match self.network.cluster.leader(&at.topic, at.partition).map(|partition| partition.leader) {
            Some(leader) => self.send_to(id, Target::Broker(leader), |_| delete_records(at, offset)),
            None => {
                self.network.refresh_metadata();
                self.network.maybe_ask_metadata(self.now);
                Ok(())
            }
        }
    }

    fn list_offsets(&mut self, id: CallId, partitions: &[TopicPartition], timestamp: i64) -> Result<(), ClientError> {
        let known = &self.calls[&id].offsets;
        let mut by_leader: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for at in partitions.iter().filter(|at| !known.contains_key(at)) {
            match self.network.cluster.leader(&at.topic, at.partition) {
                Some(partition) => by_leader.entry(partition.leader).or_default().push(at.clone()),
                None => self.network.refresh_metadata(),
            }
        }
        self.network.maybe_ask_metadata(self.now);
        for (leader, partitions) in by_leader {
            self.send_to(id, Target::Broker(leader), |version| list_offsets(&partitions, timestamp, version))?;
        }
        Ok(())
    }

    fn coordinator_found(&mut self, id: CallId, version: i16, frame: Bytes) {
        let Some(pending) = self.calls.get_mut(&id) else { return };
        pending.in_flight = 0;
        let (code, node) = match decode_response::<FindCoordinatorResponse>(frame, version) {
            Ok((_, mut response)) => match response.coordinators.pop() {
                Some(found) if version >= 4 => (found.error_code, found.node_id),
                _ => (response.error_code, response.node_id),
            },
            Err(error) => return self.done(id, Err(ClientError::BadResponse(error.to_string()))),
        };
        match code {
            0 => pending.coordinator = Some(node),
            code if is_retriable(code) => self.again(id),
            code => self.done(id, Err(ClientError::from_code(code))),
        }
    }

    fn answered(&mut self, id: CallId, version: i16, frame: Bytes) {
        let Some(pending) = self.calls.get_mut(&id) else { return };
        pending.in_flight -= 1;
        match read_answer(&pending.call, version, frame) {
            Err(error) => self.done(id, Err(error)),
            Ok(AdminResult::ListOffsets(found)) => self.offsets_listed(id, found),
            Ok(result) => match retriable_code(&result) {
                Some(code) => {
                    pending.coordinator = None;
                    if is_stale_metadata(code) {
                        self.network.refresh_metadata();
                    }
                    self.again(id);
                }
                None => self.done(id, Ok(result)),
            },
        }
    }

    fn offsets_listed(&mut self, id: CallId, found: BTreeMap<TopicPartition, Result<(i64, i64), i16>>) {
        let Some(pending) = self.calls.get_mut(&id) else { return };
        let AdminCall::ListOffsets { partitions, .. } = &pending.call else { return };
        pending
            .offsets
            .extend(found.into_iter().filter(|(_, offset)| !matches!(offset, Err(code) if is_retriable(*code))));
        if partitions.iter().all(|at| pending.offsets.contains_key(at)) {
            let offsets = core::mem::take(&mut pending.offsets);
            self.done(id, Ok(AdminResult::ListOffsets(offsets)));
        } else if pending.in_flight == 0 {
            self.network.refresh_metadata();
            self.again(id);
        }
    }

    fn again(&mut self, id: CallId) {
        let Some(pending) = self.calls.get_mut(&id) else { return };
        pending.attempts += 1;
        pending.not_before = self.now + self.network.backoff(pending.attempts);
    }

    fn done(&mut self, call: CallId, result: Result<AdminResult, ClientError>) {
        self.calls.remove(&call);
        self.events.push_back(AdminEvent { call, result });
    }
}

/// The partitions whose leaders a call goes to.
fn led(call: &AdminCall) -> &[TopicPartition] {
    match call {
        AdminCall::ListOffsets { partitions, .. } => partitions,
        AdminCall::DeleteRecords { partition, .. } => core::slice::from_ref(partition),
        _ => &[],
    }
}
