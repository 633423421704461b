//! Driving the transaction coordinator: its requests, its writes, its markers.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, Wall};
use shore_wire::batch::BatchOptions;
use shore_wire::error::ErrorCode;
use shore_wire::frame;
use shore_wire::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use shore_wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use super::coordinators::Coordinator;
use super::{Broker, Parked};
use crate::api::{RequestContext, text};
use crate::event::Event;
use crate::group::{Records, WriteId};
use crate::link::Asked;
use crate::replica::Waiter;
use crate::txn::{Markers, TxnConfig, TxnCoordinator, TxnOutput};

const MARKERS_VERSION: i16 = 2;

impl Broker {
    /// Passes a request to the coordinator, with the time and the producer ids that may be given out; its
    /// answer comes as an output.
    pub fn ask_transactions(
        &mut self,
        ctx: RequestContext,
        ask: impl FnOnce(&mut TxnCoordinator, Instant, Wall, &mut Range<i64>),
    ) {
        ask(&mut self.transactions, self.now, self.wall, &mut self.producer_ids);
        self.parked.insert(ctx.id, Parked::Transaction(ctx));
        self.drain_transactions();
    }

    /// Does what the coordinator wants done.
    pub fn drain_transactions(&mut self) {
        while let Some(output) = self.transactions.poll() {
            match output {
                TxnOutput::Append { records, write } => self.write_transaction_records(&records, write),
                TxnOutput::Respond { request, response } => {
                    if let Some(Parked::Transaction(ctx)) = self.parked.remove(&request) {
                        let frame = response
                            .encode(ctx.correlation_id, ctx.api_version)
                            .unwrap_or_else(|error| panic!("{} v{}: {error}", ctx.api, ctx.api_version));
                        self.respond(request, frame);
                    }
                }
                TxnOutput::SendMarkers(markers) => self.send_markers(markers),
                TxnOutput::Event(event) => self.emit(|| Event::Transaction(event)),
            }
        }
    }

    fn write_transaction_records(&mut self, records: &Records, write: WriteId) {
        let options = (BatchOptions::default(), None);
        let waiter = |_| Waiter::Transaction { write };
        if let Err(error) =
            self.append_records_for(Coordinator::Transactions, write.partition, records, options, waiter)
        {
            self.transaction_written(write, Err(error));
        }
    }

    pub(super) fn transaction_written(&mut self, write: WriteId, result: Result<(), ErrorCode>) {
        self.transactions.written(self.now, self.wall, write, result);
        self.drain_transactions();
    }

    pub(super) fn wake_transactions(&mut self) {
        if self.transactions.next_wake().is_some_and(|(at, _)| at <= self.now) {
            self.transactions.wake(self.now, self.wall, &mut self.producer_ids);
            self.drain_transactions();
            self.restock_producer_ids();
        }
    }

    /// Sends markers to the leaders of their partitions. A partition that is not there any more needs none;
    /// one without a leader is tried again.
    fn send_markers(&mut self, markers: Markers) {
        let mut by_leader: BTreeMap<i32, Markers> = BTreeMap::new();
        let mut settled = Vec::new();
        for (topic, partition) in &markers.partitions {
            let record = self.image.topic_id(topic).and_then(|id| self.image.partition(id, *partition));
            match record {
                None => settled.push((topic.clone(), *partition, ErrorCode::None)),
                Some(record) if !self.image.brokers.contains_key(&record.leader) => {
                    settled.push((topic.clone(), *partition, ErrorCode::NotLeaderOrFollower));
                }
                Some(record) => by_leader
                    .entry(record.leader)
                    .or_insert_with(|| Markers { partitions: Vec::new(), ..markers.clone() })
                    .partitions
                    .push((topic.clone(), *partition)),
            }
        }
        for (leader, markers) in by_leader {
            let mut request = WriteTxnMarkersRequest::default();
            request.markers = vec![to_wire(&markers)];
            let node = self.id();
            self.peers.to(leader).send(node, MARKERS_VERSION, &request, Asked::Markers(markers));
        }
        if !settled.is_empty() {
            self.transactions.markers_answered(self.now, self.wall, &markers, settled);
        }
    }

    /// The leader of some partitions has written markers, or could not.
    pub(super) fn markers_answered(&mut self, version: i16, response: Bytes, markers: &Markers) {
        let Ok((_, response)) = frame::decode_response::<WriteTxnMarkersResponse>(response, version) else { return };
        let of_producer = response.markers.iter().filter(|marker| marker.producer_id == markers.producer_id);
        let results = of_producer.flat_map(|marker| &marker.topics).flat_map(|topic| {
            let name: Arc<str> = topic.name.as_str().into();
            topic.partitions.iter().map(move |partition| {
                let error = ErrorCode::from_code(partition.error_code).unwrap_or(ErrorCode::UnknownServerError);
                (name.clone(), partition.partition_index, error)
            })
        });
        self.transactions.markers_answered(self.now, self.wall, markers, results);
        self.drain_transactions();
    }
}

fn to_wire(markers: &Markers) -> WritableTxnMarker {
    let mut marker = WritableTxnMarker::default();
    marker.producer_id = markers.producer_id;
    marker.producer_epoch = markers.producer_epoch;
    marker.transaction_result = markers.commit;
    marker.coordinator_epoch = markers.coordinator_epoch;
    marker.transaction_version = markers.version.0 as i8;
    for (topic, partition) in &markers.partitions {
        match marker.topics.last_mut().filter(|last| last.name.as_str() == &**topic) {
            Some(last) => last.partition_indexes.push(*partition),
            None => {
                let mut named = WritableTxnMarkerTopic::default();
                named.name = text(topic);
                named.partition_indexes.push(*partition);
                marker.topics.push(named);
            }
        }
    }
    marker
}

pub(super) fn txn_config(settings: &crate::config::Settings) -> TxnConfig {
    TxnConfig {
        max_timeout_ms: settings.int("transaction.max.timeout.ms"),
        id_expiration: settings.millis("transactional.id.expiration.ms"),
        abort_interval: settings.millis("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
        expire_interval: settings.millis("transaction.remove.expired.transaction.cleanup.interval.ms"),
        partitions: settings.int("transaction.state.log.num.partitions"),
    }
}
