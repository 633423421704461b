//! WriteTxnMarkers (27): a transaction coordinator, or an administrator, ends transactions in partitions
//! that this broker leads. Version 2 says by which transaction version (KIP-1228).

use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::write_txn_markers_request::WritableTxnMarker;
use shore_wire::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use shore_wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::{RequestContext, RequestId, Served, text};
use crate::broker::{Broker, Coordinator, Parked};
use crate::event::Event;
use crate::group::{GroupMarker, RequestId as GroupRequestId};
use crate::replica::{PartitionId, Waiter};

/// A request whose markers are appended and not all durable yet.
#[derive(Clone, Debug)]
pub(crate) struct ParkedMarkers {
    ctx: RequestContext,
    slots: Vec<Slot>,
    waiting: usize,
}

/// One marker in one partition.
#[derive(Clone, Debug)]
struct Slot {
    producer_id: i64,
    topic: Arc<str>,
    partition: i32,
    /// Where it was appended, if it was.
    id: Option<PartitionId>,
    error: ErrorCode,
}

impl ParkedMarkers {
    /// The partitions that it may still wait for.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.slots.iter().filter_map(|slot| slot.id)
    }
}

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: WriteTxnMarkersRequest = ctx.decode(body)?;
    let id = ctx.id;
    let mut work = Vec::new();
    let mut slots = Vec::new();
    for marker in &request.markers {
        for topic in &marker.topics {
            let name: Arc<str> = topic.name.as_str().into();
            for &partition in &topic.partition_indexes {
                let found = broker.image.topic_id(&name).map(|topic| PartitionId { topic, partition });
                let found = found.filter(|id| broker.replicas.get(*id).is_some());
                let error = if found.is_some() { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
                if let Some(found) = found {
                    work.push((marker, found, slots.len()));
                }
                slots.push(Slot { producer_id: marker.producer_id, topic: name.clone(), partition, id: found, error });
            }
        }
    }
    let waiting = work.len();
    let parked = ParkedMarkers { ctx, slots, waiting };
    if waiting == 0 {
        return Ok(Served::Answer(parked.answer()));
    }
    broker.parked.insert(id, Parked::Markers(parked));
    for (marker, partition, slot) in work {
        broker.write_marker(id, slot, partition, marker);
    }
    Ok(Served::Parked)
}

impl Broker {
    fn write_marker(&mut self, request: RequestId, slot: usize, id: PartitionId, marker: &WritableTxnMarker) {
        let wall = self.wall;
        let marker = GroupMarker {
            producer_id: marker.producer_id,
            producer_epoch: marker.producer_epoch,
            coordinator_epoch: marker.coordinator_epoch,
            commit: marker.transaction_result,
            transaction_version: marker.transaction_version.into(),
        };
        if self.internal_partition(Coordinator::Groups, id.partition) == Some(id) {
            // Offsets that were committed in the transaction are the group coordinator's.
            let caller = (GroupRequestId(request.0), slot);
            self.groups.complete_transaction(self.now, wall, id.partition, marker, caller);
            return self.drain_groups();
        }
        let batch = marker.batch(wall);
        let appended = self.leading_mut(id).and_then(|partition| {
            let appended =
                partition.append_marker(&batch, marker.transaction_version, wall).map_err(|error| error.code)?;
            partition.wait(appended.last_offset + 1, Waiter::Marker { request, slot });
            Ok((partition.topic.clone(), appended))
        });
        match appended {
            Ok((topic, appended)) => self.emit(|| Event::Appended {
                topic,
                partition: id.partition,
                base_offset: appended.base_offset,
                last_offset: appended.last_offset,
                bytes: appended.bytes,
            }),
            Err(error) => self.marker_settled(request, slot, Some(error)),
        }
    }

    /// A marker is durable, or is not there.
    pub(crate) fn marker_settled(&mut self, request: RequestId, slot: usize, error: Option<ErrorCode>) {
        let Some(Parked::Markers(parked)) = self.parked.get_mut(&request) else { return };
        if let Some(error) = error {
            parked.slots[slot].error = error;
        }
        parked.slots[slot].id = None;
        parked.waiting -= 1;
        if parked.waiting == 0
            && let Some(Parked::Markers(parked)) = self.parked.remove(&request)
        {
            self.respond(request, parked.answer());
        }
    }
}

impl ParkedMarkers {
    /// One result per producer, and in it one per partition: the last marker's counts.
    fn answer(self) -> shore_wire::frame::Frame {
        let mut producers: BTreeMap<i64, BTreeMap<Arc<str>, BTreeMap<i32, ErrorCode>>> = BTreeMap::new();
        for slot in self.slots {
            producers
                .entry(slot.producer_id)
                .or_default()
                .entry(slot.topic)
                .or_default()
                .insert(slot.partition, slot.error);
        }
        let mut response = WriteTxnMarkersResponse::default();
        for (producer_id, topics) in producers {
            let mut marker = WritableTxnMarkerResult::default();
            marker.producer_id = producer_id;
            for (name, partitions) in topics {
                let mut topic = WritableTxnMarkerTopicResult::default();
                topic.name = text(&name);
                for (index, error) in partitions {
                    let mut partition = WritableTxnMarkerPartitionResult::default();
                    (partition.partition_index, partition.error_code) = (index, error.code());
                    topic.partitions.push(partition);
                }
                marker.topics.push(topic);
            }
            response.markers.push(marker);
        }
        self.ctx.respond(&response)
    }
}
