//! Connections, versions and metadata: what producer, consumer and admin share. Kafka's `NetworkClient`.

use std::collections::VecDeque;

use bytes::Bytes;
use core::time::Duration;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{ConnId, Instant, Random};
use shore_wire::api::ApiKey;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{Frame, decode_response, encode_request, response_correlation_id};
use shore_wire::messages::metadata_request::MetadataRequestTopic;
use shore_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, KafkaRequest, MetadataRequest, MetadataResponse, StrBytes,
};

use crate::cluster::Cluster;
use crate::config::ClientConfig;
use crate::error::ClientError;
use crate::io::{Input, Output};

/// Whom a connection is for. A coordinator has one of its own, so that a long fetch does not hold up a
/// heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Bootstrap(u32),
    Broker(i32),
    Coordinator(i32),
}

/// What the network has for its client.
#[derive(Clone, Debug)]
pub(crate) enum Arrival<T> {
    /// A response to what was sent with `what`.
    Response { what: T, version: i16, frame: Bytes },
    /// No response will come: the connection is gone, or took too long.
    Failed { what: T },
    /// The cluster is known better.
    Metadata,
}

#[derive(Clone)]
pub(crate) struct Network<T> {
    pub config: ClientConfig,
    pub cluster: Cluster,
    conns: BTreeMap<ConnId, Connection<T>>,
    targets: BTreeMap<Target, Reach>,
    next_conn: u64,
    next_correlation: i32,
    next_bootstrap: u32,
    outputs: VecDeque<Wanted>,
    arrivals: VecDeque<Arrival<T>>,
    metadata: Metadata,
    /// The newest epoch of the cluster's features that a broker told, and its `transaction.version`.
    features: (i64, i16),
    random: Random,
    closed: bool,
}

#[derive(Clone, Debug)]
enum Wanted {
    Dial(ConnId, String, u16),
    Send(ConnId, Frame),
    Hangup(ConnId),
}

/// How a target can be reached.
#[derive(Clone, Debug, Default)]
struct Reach {
    conn: Option<ConnId>,
    failures: u32,
    /// No dialling before this.
    not_before: Instant,
    /// Somebody wants to send there.
    wanted: bool,
}

#[derive(Clone)]
struct Connection<T> {
    target: Target,
    state: ConnState,
    in_flight: VecDeque<InFlight<T>>,
}

/// Dialling -> Negotiating -> Ready.
#[derive(Clone, Debug)]
enum ConnState {
    Dialling { until: Instant },
    Negotiating,
    Ready { versions: BTreeMap<i16, (i16, i16)> },
}

#[derive(Clone)]
struct InFlight<T> {
    correlation_id: i32,
    version: i16,
    deadline: Instant,
    what: Sent<T>,
}

#[derive(Clone)]
enum Sent<T> {
    ApiVersions,
    Metadata,
    Client(T),
}

/// Which topics are wanted and when they are asked for next.
#[derive(Clone, Debug)]
struct Metadata {
    topics: BTreeSet<String>,
    /// Somebody needs it newer than it is.
    stale: bool,
    in_flight: bool,
    attempts: u32,
    not_before: Instant,
    refresh_at: Option<Instant>,
}

impl<T> Network<T> {
    pub fn new(config: ClientConfig, stream: &str) -> Self {
        let random = Random::stream(config.seed, stream);
        Self {
            config,
            cluster: Cluster::default(),
            conns: BTreeMap::new(),
            targets: BTreeMap::new(),
            next_conn: 1,
            next_correlation: 0,
            next_bootstrap: 0,
            outputs: VecDeque::new(),
            arrivals: VecDeque::new(),
            metadata: Metadata {
                topics: BTreeSet::new(),
                stale: false,
                in_flight: false,
                attempts: 0,
                not_before: Instant::ZERO,
                refresh_at: None,
            },
            features: (-1, 0),
            random,
            closed: false,
        }
    }

    /// The epoch of the cluster's features, -1 before one is known, and `transaction.version`.
    pub fn features(&self) -> (i64, i16) {
        self.features
    }

    /// Whether the last attempt to reach a target did not succeed.
    pub fn is_failing(&self, target: Target) -> bool {
        self.targets.get(&target).is_some_and(|reach| reach.failures > 0)
    }

    /// Adds a topic to those whose metadata is kept, and asks for it if it is new.
    pub fn want_topic(&mut self, topic: &str) {
        if !self.metadata.topics.contains(topic) {
            self.metadata.topics.insert(topic.to_owned());
            self.metadata.stale = true;
        }
    }

    /// What is known is not good enough: ask again, after a backoff.
    pub fn refresh_metadata(&mut self) {
        self.metadata.stale = true;
    }

    /// Whether a request can be sent there now. If not, a connection is on its way.
    pub fn ready(&mut self, now: Instant, target: Target) -> bool {
        self.ready_below(now, target, u32::MAX)
    }

    /// As `ready`, with fewer than `limit` requests in flight.
    pub fn ready_below(&mut self, now: Instant, target: Target, limit: u32) -> bool {
        if self.closed {
            return false;
        }
        let reach = self.targets.entry(target).or_default();
        reach.wanted = true;
        let Some(conn) = reach.conn else {
            if reach.not_before <= now {
                self.dial(now, target);
            }
            return false;
        };
        self.conns.get(&conn).is_some_and(|connection| {
            matches!(connection.state, ConnState::Ready { .. })
                && (connection.in_flight.len() as u64) < u64::from(limit)
        })
    }

    /// Any broker that can be sent to now; if there is none, one is being dialled.
    pub fn any_ready(&mut self, now: Instant) -> Option<Target> {
        let ready = |connection: &&Connection<T>| matches!(connection.state, ConnState::Ready { .. });
        let least = self.conns.values().filter(ready).min_by_key(|connection| connection.in_flight.len());
        if let Some(connection) = least {
            return Some(connection.target);
        }
        let dialling = self.conns.values().any(|connection| !matches!(connection.state, ConnState::Ready { .. }));
        if !dialling && let Some(target) = self.next_target(now) {
            self.ready(now, target);
        }
        None
    }

    /// The newest version of an API that both sides know, not above `cap`.
    pub fn version<M: KafkaRequest>(&self, target: Target, cap: i16) -> Option<i16> {
        let conn = self.targets.get(&target)?.conn?;
        let ConnState::Ready { versions } = &self.conns.get(&conn)?.state else { return None };
        let (min, max) = *versions.get(&M::API_KEY.value())?;
        let ours = M::SUPPORTED_VERSIONS;
        let newest = max.min(ours.max().value()).min(cap);
        (newest >= min.max(ours.min().value())).then_some(newest)
    }

    /// Sends a request to a target that is ready. `what` comes back with the response.
    pub fn send<M: KafkaRequest>(
        &mut self,
        now: Instant,
        target: Target,
        version: i16,
        request: &M,
        what: T,
    ) -> Result<(), ClientError> {
        self.send_within(now, target, version, request, what, self.config.request_timeout)
    }

    /// As `send`, for requests that a broker may hold longer than the usual timeout.
    pub fn send_within<M: KafkaRequest>(
        &mut self,
        now: Instant,
        target: Target,
        version: i16,
        request: &M,
        what: T,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        let frame = self.encode(version, request)?;
        self.put(now, target, version, frame, Sent::Client(what), timeout);
        Ok(())
    }

    /// Sends a request that gets no response (`acks=0`).
    pub fn send_and_forget<M: KafkaRequest>(
        &mut self,
        target: Target,
        version: i16,
        request: &M,
    ) -> Result<(), ClientError> {
        let frame = self.encode(version, request)?;
        self.next_correlation = self.next_correlation.wrapping_add(1) & i32::MAX;
        if let Some(conn) = self.targets.get(&target).and_then(|reach| reach.conn) {
            self.outputs.push_back(Wanted::Send(conn, frame));
        }
        Ok(())
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Connected { conn } => self.connected(now, conn),
            Input::Response { conn, frame } => self.response(now, conn, frame),
            Input::Closed { conn } => self.lost(now, conn),
            Input::Wake => {}
        }
        self.time_out(now);
        self.maybe_ask_metadata(now);
    }

    pub fn next_arrival(&mut self) -> Option<Arrival<T>> {
        self.arrivals.pop_front()
    }

    /// What a client has for its owner: its events first, then what is to be done.
    pub fn poll<E>(&mut self, events: &mut VecDeque<E>) -> Option<Output<E>> {
        if let Some(event) = events.pop_front() {
            return Some(Output::Event(event));
        }
        Some(match self.outputs.pop_front()? {
            Wanted::Dial(conn, host, port) => Output::Dial { conn, host, port },
            Wanted::Send(conn, frame) => Output::Send { conn, frame },
            Wanted::Hangup(conn) => Output::Hangup { conn },
        })
    }

    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let dials = self.conns.values().filter_map(|connection| match connection.state {
            ConnState::Dialling { until } => Some((until, "a connection takes too long")),
            _ => None,
        });
        let requests =
            self.conns.values().filter_map(|connection| connection.in_flight.iter().map(|sent| sent.deadline).min());
        let requests = requests.map(|deadline| (deadline, "a request takes too long"));
        let backoffs = self.targets.values().filter(|reach| reach.wanted && reach.conn.is_none());
        let backoffs = backoffs.map(|reach| (reach.not_before, "reconnect"));
        let metadata = match &self.metadata {
            metadata if metadata.in_flight || self.closed => None,
            metadata if metadata.stale => {
                self.soonest_reach().map(|at| (at.max(metadata.not_before), "ask for metadata"))
            }
            metadata => metadata.refresh_at.map(|at| (at, "metadata is old")),
        };
        dials.chain(requests).chain(backoffs).chain(metadata).min_by_key(|(at, _)| *at)
    }

    /// Hangs up everything. No more is sent.
    pub fn close(&mut self) {
        self.closed = true;
        for (conn, _) in core::mem::take(&mut self.conns) {
            self.outputs.push_back(Wanted::Hangup(conn));
        }
        self.targets.clear();
    }

    /// A backoff before try `attempts` (from 1), with Kafka's jitter of a fifth.
    pub fn backoff(&mut self, attempts: u32) -> Duration {
        let (initial, max) = (self.config.retry_backoff, self.config.retry_backoff_max);
        self.jittered(initial, max, attempts)
    }

    fn jittered(&mut self, initial: Duration, max: Duration, attempts: u32) -> Duration {
        let grown = initial.as_micros() as u64 * (1 << attempts.saturating_sub(1).min(16));
        let capped = grown.min(max.as_micros() as u64);
        Duration::from_micros(capped * 4 / 5 + self.random.below(capped * 2 / 5 + 1))
    }

    /// When somebody can be asked something, as far as time decides it; `None` while that depends on a
    /// connection that is being made.
    fn soonest_reach(&self) -> Option<Instant> {
        let is_ready = |connection: &Connection<T>| matches!(connection.state, ConnState::Ready { .. });
        if self.conns.values().any(is_ready) {
            return Some(Instant::ZERO);
        }
        if !self.conns.is_empty() {
            return None;
        }
        let reach = |target: Target| self.targets.get(&target).map_or(Instant::ZERO, |reach| reach.not_before);
        let brokers = self.cluster.brokers.keys().map(|id| Target::Broker(*id));
        brokers.chain((0..self.config.bootstrap.len() as u32).map(Target::Bootstrap)).map(reach).min()
    }

    fn encode<M: KafkaRequest>(&self, version: i16, request: &M) -> Result<Frame, ClientError> {
        encode_request(self.next_correlation, Some(&self.config.client_id), version, request)
            .map_err(|error| ClientError::BadResponse(format!("cannot encode a request: {error}")))
    }

    fn put(&mut self, now: Instant, target: Target, version: i16, frame: Frame, what: Sent<T>, timeout: Duration) {
        let conn = self.targets.get(&target).and_then(|reach| reach.conn).expect("sent to a target that is ready");
        let connection = self.conns.get_mut(&conn).expect("a target's connection is there");
        let correlation_id = self.next_correlation;
        self.next_correlation = self.next_correlation.wrapping_add(1) & i32::MAX;
        connection.in_flight.push_back(InFlight { correlation_id, version, deadline: now + timeout, what });
        self.outputs.push_back(Wanted::Send(conn, frame));
    }

    fn dial(&mut self, now: Instant, target: Target) {
        let address = match target {
            Target::Bootstrap(index) => self.config.bootstrap.get(index as usize).cloned(),
            Target::Broker(id) | Target::Coordinator(id) => self.cluster.brokers.get(&id).cloned(),
        };
        let Some((host, port)) = address else {
            // Nobody knows where it is: whoever still wants it says so again.
            self.targets.remove(&target);
            self.metadata.stale = true;
            return;
        };
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let state = ConnState::Dialling { until: now + self.config.connection_setup_timeout };
        self.conns.insert(conn, Connection { target, state, in_flight: VecDeque::new() });
        self.targets.entry(target).or_default().conn = Some(conn);
        self.outputs.push_back(Wanted::Dial(conn, host, port));
    }

    /// Whom to dial to learn anything at all: known brokers first, then the bootstrap addresses in turn.
    fn next_target(&mut self, now: Instant) -> Option<Target> {
        let brokers: Vec<Target> = self.cluster.brokers.keys().map(|id| Target::Broker(*id)).collect();
        let free = |target: &Target| {
            self.targets.get(target).is_none_or(|reach| reach.conn.is_none() && reach.not_before <= now)
        };
        if let Some(target) = brokers.into_iter().find(free) {
            return Some(target);
        }
        let count = self.config.bootstrap.len() as u32;
        let turn = (0..count).map(|step| Target::Bootstrap((self.next_bootstrap + step) % count));
        let target = turn.into_iter().find(free)?;
        self.next_bootstrap = (self.next_bootstrap + 1) % count;
        Some(target)
    }

    fn connected(&mut self, now: Instant, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.state = ConnState::Negotiating;
        let target = connection.target;
        if let Some(reach) = self.targets.get_mut(&target) {
            reach.failures = 0;
        }
        self.ask_versions(now, target, API_VERSIONS_NEWEST.min(self.newest(ApiKey::ApiVersions.key())));
    }

    /// The newest version of an API that it may speak.
    fn newest(&self, api_key: i16) -> i16 {
        let limits = self.config.newest_versions.iter();
        limits.filter(|(api, _)| api.key() == api_key).map(|(_, newest)| *newest).min().unwrap_or(i16::MAX)
    }

    fn ask_versions(&mut self, now: Instant, target: Target, version: i16) {
        let mut request = ApiVersionsRequest::default();
        if version >= 3 {
            request.client_software_name = StrBytes::from("kafka-shore");
            request.client_software_version = StrBytes::from(env!("CARGO_PKG_VERSION"));
        }
        let frame = self.encode(version, &request).expect("ApiVersions encodes");
        self.put(now, target, version, frame, Sent::ApiVersions, self.config.request_timeout);
    }

    fn response(&mut self, now: Instant, conn: ConnId, frame: Bytes) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let target = connection.target;
        let expected = connection.in_flight.front().map(|sent| sent.correlation_id);
        if expected.is_none() || response_correlation_id(&frame) != expected {
            // The peer does not keep to the protocol.
            self.hang_up(now, conn);
            return;
        }
        let Some(sent) = connection.in_flight.pop_front() else { return };
        match sent.what {
            Sent::Client(what) => self.arrivals.push_back(Arrival::Response { what, version: sent.version, frame }),
            Sent::ApiVersions => self.versions_known(now, conn, target, sent.version, frame),
            Sent::Metadata => self.metadata_known(now, conn, sent.version, frame),
        }
    }

    fn versions_known(&mut self, now: Instant, conn: ConnId, target: Target, version: i16, frame: Bytes) {
        // A broker that does not know the version answers in version 0, with code 35.
        let code = frame.get(4..6).map(|code| i16::from_be_bytes([code[0], code[1]]));
        if code == Some(ErrorCode::UnsupportedVersion.code()) && version > 0 {
            self.ask_versions(now, target, 0);
            return;
        }
        let Ok((_, response)) = decode_response::<ApiVersionsResponse>(frame, version) else {
            self.hang_up(now, conn);
            return;
        };
        if response.error_code != 0 {
            self.hang_up(now, conn);
            return;
        }
        if response.finalized_features_epoch > self.features.0 {
            let version = response.finalized_features.iter().find(|feature| &*feature.name == "transaction.version");
            let version = version.map_or(0, |feature| feature.max_version_level);
            self.features = (response.finalized_features_epoch, version);
        }
        let versions = response.api_keys.iter();
        let versions =
            versions.map(|api| (api.api_key, (api.min_version, api.max_version.min(self.newest(api.api_key)))));
        let versions = versions.collect();
        if let Some(connection) = self.conns.get_mut(&conn) {
            connection.state = ConnState::Ready { versions };
        }
        // Every broker serves Metadata. Who would wait for this one to serve it would be woken in vain without end.
        if self.version::<MetadataRequest>(target, i16::MAX).is_none() {
            self.hang_up(now, conn);
            return;
        }
        // Whoever waits for the connection is told in passing.
        self.arrivals.push_back(Arrival::Metadata);
    }

    fn metadata_known(&mut self, now: Instant, conn: ConnId, version: i16, frame: Bytes) {
        self.metadata.in_flight = false;
        match decode_response::<MetadataResponse>(frame, version) {
            Ok((_, response)) => {
                let whole = self.cluster.update(response) && self.is_all_known();
                self.metadata.refresh_at = Some(now + self.config.metadata_max_age);
                if whole {
                    self.metadata.attempts = 0;
                    self.metadata.stale = false;
                    // However often it is asked for, not more often than this.
                    self.metadata.not_before = now + self.config.retry_backoff;
                } else {
                    self.retry_metadata(now);
                }
                self.arrivals.push_back(Arrival::Metadata);
            }
            Err(_) => {
                self.hang_up(now, conn);
                self.retry_metadata(now);
            }
        }
    }

    fn is_all_known(&self) -> bool {
        self.metadata.topics.iter().all(|topic| self.cluster.topics.contains_key(topic))
    }

    fn retry_metadata(&mut self, now: Instant) {
        self.metadata.stale = true;
        self.metadata.attempts += 1;
        self.metadata.not_before = now + self.backoff(self.metadata.attempts);
    }

    pub fn maybe_ask_metadata(&mut self, now: Instant) {
        let old = self.metadata.refresh_at.is_some_and(|at| at <= now);
        if self.metadata.in_flight || self.closed || !(self.metadata.stale || old) || self.metadata.not_before > now {
            return;
        }
        let Some(target) = self.any_ready(now) else { return };
        let Some(version) = self.version::<MetadataRequest>(target, i16::MAX) else { return };
        let mut request = MetadataRequest::default();
        let topic = |name: &String| {
            let mut topic = MetadataRequestTopic::default();
            topic.name = Some(StrBytes::from(name.as_str()));
            topic
        };
        request.topics = Some(self.metadata.topics.iter().map(topic).collect());
        if version >= 4 {
            request.allow_auto_topic_creation = self.config.allow_auto_create_topics;
        }
        let frame = self.encode(version, &request).expect("Metadata encodes");
        self.put(now, target, version, frame, Sent::Metadata, self.config.request_timeout);
        self.metadata.in_flight = true;
    }

    fn time_out(&mut self, now: Instant) {
        let late = |connection: &Connection<T>| match connection.state {
            ConnState::Dialling { until } => until <= now,
            _ => connection.in_flight.iter().any(|sent| sent.deadline <= now),
        };
        let late: Vec<ConnId> = self.conns.iter().filter(|(_, c)| late(c)).map(|(conn, _)| *conn).collect();
        for conn in late {
            self.hang_up(now, conn);
        }
        // Whoever was wanted and is not reached is tried again.
        let again = |reach: &Reach| reach.wanted && reach.conn.is_none() && reach.not_before <= now;
        let again: Vec<Target> =
            self.targets.iter().filter(|(_, reach)| again(reach)).map(|(target, _)| *target).collect();
        for target in again {
            self.dial(now, target);
        }
    }

    fn hang_up(&mut self, now: Instant, conn: ConnId) {
        self.outputs.push_back(Wanted::Hangup(conn));
        self.lost(now, conn);
    }

    fn lost(&mut self, now: Instant, conn: ConnId) {
        let Some(connection) = self.conns.remove(&conn) else { return };
        let failures = self.targets.get(&connection.target).map_or(0, |reach| reach.failures) + 1;
        let backoff = self.jittered(self.config.reconnect_backoff, self.config.reconnect_backoff_max, failures);
        if let Some(reach) = self.targets.get_mut(&connection.target) {
            *reach = Reach { conn: None, failures, not_before: now + backoff, wanted: false };
        }
        for sent in connection.in_flight {
            match sent.what {
                Sent::Client(what) => self.arrivals.push_back(Arrival::Failed { what }),
                Sent::Metadata => {
                    self.metadata.in_flight = false;
                    self.retry_metadata(now);
                }
                Sent::ApiVersions => {}
            }
        }
        // A broker that went away may have gone for good.
        self.metadata.stale = true;
        self.arrivals.push_back(Arrival::Metadata);
    }
}

const API_VERSIONS_NEWEST: i16 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Or its host would wake it again and again, and a simulated one forever in the same instant.
    #[test]
    fn a_broker_that_nobody_knows_is_waited_for_without_spinning() {
        let now = Instant::from_millis(1_000);
        let bootstrap = vec![("localhost".to_owned(), 9092)];
        let mut network = Network::<()>::new(ClientConfig { bootstrap, ..ClientConfig::default() }, "test");
        assert_eq!(network.any_ready(now), None);
        let dialled = network.poll::<()>(&mut VecDeque::new());
        let Some(Output::Dial { conn, .. }) = dialled else { panic!("{dialled:?}") };
        network.handle(now, Input::Connected { conn });
        for _ in 0..3 {
            assert!(!network.ready(now, Target::Broker(7)));
            network.maybe_ask_metadata(now);
            let (at, why) = network.next_wake().expect("versions were asked for");
            assert!(at > now, "{why}");
            network.handle(now, Input::Wake);
        }
    }

    #[test]
    fn a_broker_that_serves_no_metadata_is_left_and_tried_again_later() {
        let now = Instant::from_millis(1_000);
        let bootstrap = vec![("localhost".to_owned(), 9092)];
        let mut network = Network::<()>::new(ClientConfig { bootstrap, ..ClientConfig::default() }, "test");
        network.refresh_metadata();
        assert_eq!(network.any_ready(now), None);
        let dialled = network.poll::<()>(&mut VecDeque::new());
        let Some(Output::Dial { conn, .. }) = dialled else { panic!("{dialled:?}") };
        network.handle(now, Input::Connected { conn });
        let asked = network.poll::<()>(&mut VecDeque::new());
        let Some(Output::Send { frame, .. }) = asked else { panic!("{asked:?}") };
        // ApiVersions 4 without an error, and without an API.
        let answer = [&frame.body()[4..8], &[0, 0, 1, 0, 0, 0, 0, 0]].concat();
        network.handle(now, Input::Response { conn, frame: answer.into() });
        let left = network.poll::<()>(&mut VecDeque::new());
        assert!(matches!(left, Some(Output::Hangup { conn: gone }) if gone == conn), "{left:?}");
        let (at, why) = network.next_wake().expect("it is tried again");
        assert!(at > now, "{why}");
    }
}
