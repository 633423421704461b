//! Metadata (3): brokers, and topics with their partitions.
//!
//! Version 0 takes an empty list for all topics, later ones null. Topic ids can be asked for from
//! version 12 on; a request that names one is answered by ids alone. A missing topic is created if both
//! the request (from version 4 on) and the broker allow it: this request is still told that it is
//! unknown, as in Kafka, and the client asks again.

use bytes::Bytes;
use shore_base::Uuid;
use shore_base::collections::BTreeSet;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use shore_wire::messages::{MetadataRequest, MetadataResponse};

use super::{CLUSTER_OPERATIONS, NOT_ASKED, RequestContext, Served, TOPIC_OPERATIONS, from_wire, text, to_wire};
use crate::broker::Broker;
use crate::image::Topic;
use crate::topic_name;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: MetadataRequest = ctx.decode(body)?;
    let version = ctx.api_version;
    if let Some(refusal) = refuse_ids(version, &request) {
        return Ok(Served::Answer(ctx.respond(&refusal)));
    }
    let mut response = MetadataResponse::default();
    for (id, registration) in broker.image.live_brokers() {
        let Some(end_point) = registration.end_points.first() else { continue };
        let mut node = MetadataResponseBroker::default();
        node.node_id = id;
        node.host = text(&end_point.host);
        node.port = end_point.port.into();
        if version >= 1 {
            node.rack = registration.rack.as_deref().map(text);
        }
        response.brokers.push(node);
    }
    if version >= 1 {
        // Clients send what is meant for the controller to any live broker.
        response.controller_id = response.brokers.first().map_or(-1, |node| node.node_id);
    }
    if version >= 2 {
        response.cluster_id = Some(text(&broker.node.cluster_id.to_string()));
    }
    if (8..=10).contains(&version) {
        let asked = request.include_cluster_authorized_operations;
        response.cluster_authorized_operations = if asked { CLUSTER_OPERATIONS } else { NOT_ASKED };
    }
    response.topics = topics(broker, version, &request);
    Ok(Served::Answer(ctx.respond(&response)))
}

/// Versions 10 and 11 have room for topic ids and cannot be asked for them; a topic without a name and an id cannot be
/// asked for at all. Nothing else is answered.
fn refuse_ids(version: i16, request: &MetadataRequest) -> Option<MetadataResponse> {
    let asked = request.topics.as_deref().unwrap_or_default();
    let mut without_id = asked.iter().filter(|topic| from_wire(topic.topic_id) == Uuid::ZERO);
    let is_by_name = without_id.clone().count() == asked.len();
    let is_nameless = without_id.any(|topic| topic.name.is_none());
    let error = match version {
        12.. if is_by_name && is_nameless => ErrorCode::UnknownServerError,
        10..12 if is_nameless || !is_by_name => ErrorCode::InvalidRequest,
        _ => return None,
    };
    let describe = Describe { version, with_operations: false };
    let mut response = MetadataResponse::default();
    response.topics = asked
        .iter()
        .map(|topic| {
            let name = topic.name.as_ref().map_or("", |name| name.as_str());
            let mut topic = describe.missing(Some(name), from_wire(topic.topic_id), error);
            topic.is_internal = false;
            topic
        })
        .collect();
    Some(response)
}

fn topics(broker: &mut Broker, version: i16, request: &MetadataRequest) -> Vec<MetadataResponseTopic> {
    let describe = Describe { version, with_operations: request.include_topic_authorized_operations };
    let all = || broker.image.named_topics().map(|(_, id, topic)| describe.topic(id, topic)).collect();
    let Some(asked) = &request.topics else { return all() };
    if version == 0 && asked.is_empty() {
        return all();
    }
    let ids: BTreeSet<Uuid> =
        asked.iter().map(|topic| from_wire(topic.topic_id)).filter(|&id| id != Uuid::ZERO).collect();
    if !ids.is_empty() {
        let by_id = |id| match broker.image.topics.get(&id) {
            Some(topic) => describe.topic(id, topic),
            None => describe.missing(None, id, ErrorCode::UnknownTopicId),
        };
        return ids.into_iter().map(by_id).collect();
    }
    let creates = request.allow_auto_topic_creation && broker.settings.flag("auto.create.topics.enable");
    let mut seen = BTreeSet::new();
    let mut described = Vec::with_capacity(asked.len());
    let mut wanted = Vec::new();
    for name in asked.iter().filter_map(|topic| topic.name.as_ref()).map(|name| name.as_str()) {
        if !seen.insert(name) {
            continue;
        }
        match broker.image.topic(name) {
            Some((id, topic)) => described.push(describe.topic(id, topic)),
            None if topic_name::check(name).is_err() => {
                described.push(describe.missing(Some(name), Uuid::ZERO, ErrorCode::InvalidTopicException));
            }
            None => {
                described.push(describe.missing(Some(name), Uuid::ZERO, ErrorCode::UnknownTopicOrPartition));
                wanted.push(name.to_owned());
            }
        }
    }
    if creates {
        broker.create_automatically(wanted);
    }
    described
}

#[derive(Clone, Copy)]
struct Describe {
    version: i16,
    with_operations: bool,
}

impl Describe {
    fn topic(self, id: Uuid, topic: &Topic) -> MetadataResponseTopic {
        let mut described = self.missing(Some(&topic.name), id, ErrorCode::None);
        described.partitions = topic
            .partitions
            .iter()
            .map(|record| {
                let mut partition = MetadataResponsePartition::default();
                partition.partition_index = record.partition;
                partition.leader_id = record.leader;
                if record.leader < 0 {
                    partition.error_code = ErrorCode::LeaderNotAvailable.code();
                }
                if self.version >= 7 {
                    partition.leader_epoch = record.leader_epoch;
                }
                partition.replica_nodes = record.replicas.clone();
                partition.isr_nodes = record.isr.clone();
                partition
            })
            .collect();
        described
    }

    /// A topic of which there is no more to say than its name or id, and why.
    fn missing(self, name: Option<&str>, id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
        let mut topic = MetadataResponseTopic::default();
        topic.error_code = error.code();
        topic.name = name.map(text);
        if self.version >= 10 {
            topic.topic_id = to_wire(id);
        }
        if self.version >= 1 {
            topic.is_internal = name.is_some_and(topic_name::is_internal);
        }
        // What is asked for by an id that nobody has is not looked up; a name that nobody has is.
        let is_told = self.version >= 8 && self.with_operations && name.is_some();
        topic.topic_authorized_operations = if is_told { TOPIC_OPERATIONS } else { NOT_ASKED };
        topic
    }
}
