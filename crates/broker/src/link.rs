//! The broker's own requests, to the controller and to brokers, itself among them: real frames, with
//! what their answers are for.
//!
//! Inside a combined node they arrive without latency; nothing here relies on it.

use std::collections::VecDeque;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_wire::frame;
use shore_wire::messages::KafkaRequest;

use crate::api::RequestContext;
use crate::broker::Verification;
use crate::txn::Markers;

/// What an answer is for.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Registration,
    Heartbeat,
    Metadata,
    ProducerIds,
    /// A client's request: the answer goes on to it.
    Forwarded(RequestContext),
    /// A client's AlterConfigs or IncrementalAlterConfigs, of which some resources were refused here.
    ConfigsAltered(RequestContext, crate::api::PreparedAlteration),
    /// Topics that came into being because somebody asked for them.
    AutoCreation {
        topics: Vec<String>,
    },
    /// A partition's leader: markers were to be written.
    Markers(Markers),
    /// A transaction coordinator: whether partitions are in these transactions.
    Verification(Vec<Verification>),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    next_correlation_id: i32,
    asked: BTreeMap<i32, (Asked, i16)>,
    outbox: VecDeque<Bytes>,
}

impl Link {
    /// The client id of a broker's own requests.
    fn client_id(node: i32) -> String {
        node.to_string()
    }

    pub fn send<M: KafkaRequest>(&mut self, node: i32, version: i16, request: &M, asked: Asked) {
        let id = self.next_id();
        let frame = frame::encode_request(id, Some(&Self::client_id(node)), version, request)
            .unwrap_or_else(|error| panic!("a broker's own request: {error}"));
        self.asked.insert(id, (asked, version));
        self.outbox.push_back(frame.body());
    }

    /// Sends a client's request as it came.
    pub fn forward(&mut self, node: i32, ctx: &RequestContext, body: &[u8]) {
        let id = self.next_id();
        let frame = frame::request_with_body(ctx.api, id, Some(&Self::client_id(node)), ctx.api_version, body)
            .unwrap_or_else(|error| panic!("a request that fitted a frame: {error}"));
        self.asked.insert(id, (Asked::Forwarded(ctx.clone()), ctx.api_version));
        self.outbox.push_back(frame.body());
    }

    fn next_id(&mut self) -> i32 {
        let id = self.next_correlation_id;
        self.next_correlation_id = id.wrapping_add(1) & i32::MAX;
        id
    }

    /// The next request to deliver.
    pub fn poll(&mut self) -> Option<Bytes> {
        self.outbox.pop_front()
    }

    /// What a response answers, and in which version.
    pub fn answered(&mut self, response: &Bytes) -> Option<(Asked, i16)> {
        self.asked.remove(&frame::response_correlation_id(response)?)
    }
}

/// Links to brokers, by their id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    links: BTreeMap<i32, Link>,
}

impl Peers {
    pub fn to(&mut self, broker: i32) -> &mut Link {
        self.links.entry(broker).or_default()
    }

    /// The next request to deliver, and to whom.
    pub fn poll(&mut self) -> Option<(i32, Bytes)> {
        self.links.iter_mut().find_map(|(&broker, link)| Some((broker, link.poll()?)))
    }
}
