//! What happens to parked requests: the controller answers, the store answers, time passes, a
//! connection is gone.

use bytes::Bytes;
use shore_base::Duration;
use shore_base::collections::BTreeSet;
use shore_wire::error::ErrorCode;
use shore_wire::frame;
use shore_wire::messages::CreateTopicsResponse;

use super::{Broker, LoadFor, Parked, Timer};
use crate::api::{RequestContext, RequestId};
use crate::event::Event;
use crate::link::Asked;
use crate::replica::{Partition, PartitionId, Stored, Waiter};

/// Partitions that retention looks at in one turn.
const MAINTENANCE_BUDGET: usize = 64;
/// Bytes that are appended between two looks at how much memory is used.
const MEMORY_STEP: u64 = 1 << 20;

impl Broker {
    /// The controller's answer to one of the broker's own requests.
    pub fn link_answered(&mut self, response: Bytes) {
        let Some((asked, version)) = self.link.answered(&response) else { return };
        match asked {
            Asked::Registration => self.registered(version, response),
            Asked::Heartbeat => self.heartbeat_answered(version, response),
            Asked::Metadata => self.metadata_fetched(version, response),
            Asked::ProducerIds => self.producer_ids_allocated(version, response),
            // Brokers are asked these, not the controller.
            Asked::Markers(_) | Asked::Verification(_) => {}
            Asked::Forwarded(ctx) => {
                if self.parked.remove(&ctx.id).is_some() {
                    match pass_on(&ctx, &response) {
                        Ok(frame) => self.respond(ctx.id, frame),
                        Err(why) => self.close(ctx.id, why),
                    }
                }
            }
            Asked::ConfigsAltered(ctx, prepared) => {
                if self.parked.remove(&ctx.id).is_some() {
                    match prepared.complete(&ctx, response) {
                        Ok(frame) => self.respond(ctx.id, frame),
                        Err(error) => self.close(ctx.id, format!("the controller's answer cannot be read: {error}")),
                    }
                }
            }
            Asked::AutoCreation { topics } => {
                for topic in topics {
                    self.creating.remove(&topic);
                }
                let created = frame::decode_response::<CreateTopicsResponse>(response, version);
                let refused = created.map(|(_, response)| response.topics).unwrap_or_default();
                for topic in refused.into_iter().filter(|topic| topic.error_code != 0) {
                    let why = topic.error_message.unwrap_or_default();
                    self.log_line(format!("{} could not be created: {why}", topic.name));
                }
            }
        }
    }

    /// A broker's answer, maybe our own, to one of ours.
    pub fn peer_answered(&mut self, broker: i32, response: Bytes) {
        match self.peers.to(broker).answered(&response) {
            Some((Asked::Markers(markers), version)) => self.markers_answered(version, response, &markers),
            Some((Asked::Verification(asked), version)) => {
                self.verification_answered(broker, version, response, asked);
            }
            _ => {}
        }
    }

    /// A store is done.
    pub fn stored(&mut self, covered: &[Stored]) {
        for &stored in covered {
            if let Some(partition) = self.replicas.get_soft(stored.id) {
                partition.stored(stored);
            }
        }
        self.durable(covered);
    }

    /// These logs are durable so far.
    pub fn durable(&mut self, covered: &[Stored]) {
        for &stored in covered {
            let Some(partition) = self.replicas.get_soft(stored.id) else { continue };
            let (topic, from) = (partition.topic.clone(), partition.log.high_watermark());
            let stable = partition.log.last_stable_offset();
            let (done, passed) = partition.durable(stored);
            let to = partition.log.high_watermark();
            let is_stable_moved = partition.log.last_stable_offset() > stable;
            self.grown += passed;
            let woken: Vec<RequestId> =
                if to > from { partition.fetches.iter().copied().collect() } else { Vec::new() };
            if to > from {
                let partition = stored.id.partition;
                self.emit(|| Event::HighWatermarkMoved { topic, partition, from, to });
            }
            for waiter in done {
                self.append_committed(waiter);
            }
            for request in woken {
                self.fetch_advanced(request, passed, is_stable_moved);
            }
        }
    }

    /// A store failed. Everything that is not durable is gone.
    pub fn store_failed(&mut self, covered: &[PartitionId]) {
        self.replicas.starts_were_lost();
        for &id in covered {
            let Some(partition) = self.replicas.get_mut(id) else { continue };
            for waiter in partition.store_failed() {
                self.append_failed(waiter, ErrorCode::KafkaStorageError);
            }
        }
    }

    fn append_committed(&mut self, waiter: Waiter) {
        match waiter {
            Waiter::Produce { request, slot } => self.produce_settled(request, slot, ErrorCode::None),
            Waiter::Group { write, last_offset } => self.group_written(write, Ok(last_offset)),
            Waiter::Transaction { write } => self.transaction_written(write, Ok(())),
            Waiter::Marker { request, slot } => self.marker_settled(request, slot, None),
        }
    }

    pub(super) fn append_failed(&mut self, waiter: Waiter, error: ErrorCode) {
        match waiter {
            Waiter::Produce { request, slot } => self.produce_settled(request, slot, error),
            Waiter::Group { write, .. } => self.group_written(write, Err(error)),
            Waiter::Transaction { write } => self.transaction_written(write, Err(error)),
            Waiter::Marker { request, slot } => self.marker_settled(request, slot, Some(error)),
        }
    }

    /// Bytes that were asked for are there, or cannot be read.
    pub fn loaded(&mut self, purpose: LoadFor, result: Result<Vec<Bytes>, String>) {
        match (purpose, result) {
            (LoadFor::Cleaner { asked }, result) => self.cleaner_loaded(asked, result),
            (LoadFor::Recovery(wanted), Ok(bytes)) => self.recovery_loaded(wanted, bytes),
            (LoadFor::Recovery(_), Err(why)) => self.recovery_failed(&why),
            (LoadFor::Coordinator { load, ranges }, Ok(bytes)) => self.coordinator_loaded(load, ranges, &bytes),
            (LoadFor::Coordinator { load, .. }, Err(why)) => {
                self.log_line(format!("a coordinator's log cannot be read: {why}"));
                self.load_coordinator(load);
            }
            (LoadFor::Request { request, ranges }, Ok(bytes)) => {
                for ((id, range), bytes) in ranges.iter().zip(bytes) {
                    if let Some(partition) = self.replicas.get_soft(*id) {
                        partition.log.loaded(std::slice::from_ref(range), &[bytes]);
                    }
                }
                self.loads.keep(Some(request), ranges);
                self.resume(request);
            }
            (LoadFor::Request { request, .. }, Err(why)) => {
                self.log_line(format!("a log cannot be read: {why}"));
                self.load_failed(request);
            }
        }
    }

    fn resume(&mut self, request: RequestId) {
        match self.parked.get(&request) {
            Some(Parked::Fetch(_)) => self.resume_fetch(request),
            Some(Parked::ListOffsets(_)) => self.resume_list_offsets(request),
            _ => {}
        }
    }

    fn load_failed(&mut self, request: RequestId) {
        match self.parked.get(&request) {
            Some(Parked::Fetch(_)) => self.fail_fetch(request, ErrorCode::KafkaStorageError),
            Some(Parked::ListOffsets(_)) => self.fail_list_offsets(request, ErrorCode::KafkaStorageError),
            _ => {}
        }
    }

    pub(super) fn request_timed_out(&mut self, request: RequestId) {
        match self.parked.get(&request) {
            Some(Parked::Fetch(_)) => self.finish_fetch(request),
            Some(Parked::Produce(_)) => self.produce_timed_out(request),
            Some(Parked::UnverifiedProduce(_)) => self.verify_produce_again(request),
            _ => {}
        }
    }

    /// The connection is gone: what it waited for is dropped.
    pub fn forget(&mut self, request: RequestId) {
        match self.parked.remove(&request) {
            Some(Parked::Produce(parked)) => {
                self.cancel_timer(parked.deadline, Timer::Request(request));
                for id in parked.partitions() {
                    if let Some(partition) = self.replicas.get_soft(id) {
                        partition.forget(request);
                    }
                }
            }
            Some(Parked::Fetch(parked)) => {
                self.cancel_timer(parked.deadline, Timer::Request(request));
                self.unwatch(request, &parked);
            }
            Some(Parked::Markers(parked)) => {
                for id in parked.partitions() {
                    if let Some(partition) = self.replicas.get_soft(id) {
                        partition.forget(request);
                    }
                }
            }
            _ => {}
        }
    }

    /// Keeps what is cached within `cache` bytes and, if there is a ceiling, all logs within that.
    pub fn bound_memory(&mut self, cache: u64, ceiling: Option<u64>) {
        self.drop_loaded(cache);
        if self.grown < MEMORY_STEP {
            return;
        }
        self.grown = 0;
        if let Some(ceiling) = ceiling {
            self.drop_oldest(ceiling);
        }
        let cached: u64 = self.replicas.iter().map(|partition| partition.log.cached_bytes()).sum();
        if cached <= cache {
            return;
        }
        // Each log keeps the same share of what it has.
        for id in self.replicas.ids_after(None).collect::<Vec<_>>() {
            if let Some(partition) = self.replicas.get_soft(id) {
                let share = u128::from(partition.log.cached_bytes()) * u128::from(cache) / u128::from(cached);
                partition.log.evict(share as u64);
            }
        }
    }

    /// Drops the segments with the oldest records until the logs fit.
    fn drop_oldest(&mut self, ceiling: u64) {
        let mut total: u64 = self.replicas.iter().map(|partition| partition.log.size_bytes()).sum();
        if total <= ceiling {
            return;
        }
        let mut oldest: BTreeSet<(i64, PartitionId)> =
            self.replicas.iter().filter_map(|partition| Some((oldest_record(partition)?, partition.id))).collect();
        while let Some((_, id)) = oldest.pop_first().filter(|_| total > ceiling) {
            let wall = self.wall;
            let Some(partition) = self.replicas.get_mut(id) else { continue };
            let from = partition.log.start_offset();
            let Some(freed) = partition.log.drop_oldest(wall) else { continue };
            total -= freed;
            let (topic, to) = (partition.topic.clone(), partition.log.start_offset());
            oldest.extend(oldest_record(partition).map(|at| (at, id)));
            self.log_line(format!(
                "memory is at its ceiling of {ceiling} bytes: {topic}-{} now begins at offset {to}, {freed} bytes are gone",
                id.partition
            ));
            self.emit(|| Event::LogStartMoved { topic, partition: id.partition, from, to });
        }
    }

    /// One step of retention: a bounded number of partitions, then the next step at once or the next
    /// round after `log.retention.check.interval.ms`.
    pub(super) fn maintain(&mut self) {
        let ids: Vec<PartitionId> = self.replicas.ids_after(self.maintained).take(MAINTENANCE_BUDGET).collect();
        for &id in &ids {
            self.maintain_partition(id);
        }
        if ids.len() == MAINTENANCE_BUDGET {
            self.maintained = ids.last().copied();
            self.set_timer(self.now + Duration::from_millis(1), Timer::Maintenance);
        } else {
            self.maintained = None;
            let interval = self.settings.millis("log.retention.check.interval.ms");
            self.set_timer(self.now + interval, Timer::Maintenance);
        }
    }

    pub(super) fn maintain_partition(&mut self, id: PartitionId) {
        let wall = self.wall;
        let Some(partition) = self.replicas.get_mut(id) else { return };
        let from = partition.log.start_offset();
        let dropped = partition.log.maintain(wall);
        let (topic, to) = (partition.topic.clone(), partition.log.start_offset());
        if dropped > 0 {
            self.emit(|| Event::LogStartMoved { topic, partition: id.partition, from, to });
            self.await_deletion(id);
        }
    }

    /// Deletes the files that have waited for `file.delete.delay.ms`.
    pub(super) fn delete_due(&mut self, id: PartitionId) {
        let wall = self.wall;
        if let Some(partition) = self.replicas.get_mut(id) {
            partition.log.delete_due(wall);
            self.await_deletion(id);
        }
    }

    pub(super) fn await_deletion(&mut self, id: PartitionId) {
        let Some(due) = self.replicas.get(id).and_then(|partition| partition.log.next_deletion()) else { return };
        let wait = u64::try_from(due.as_millis() - self.wall.as_millis()).unwrap_or(0);
        self.set_timer(self.now + Duration::from_millis(wait), Timer::Deletion(id));
    }
}

/// The time of the newest record in a log's oldest segment, if it has any records.
fn oldest_record(partition: &Partition) -> Option<i64> {
    partition.log.segments().next().filter(|segment| segment.size > 0).map(|segment| segment.max_timestamp)
}

/// The controller's answer as an answer to the client that it was asked for.
fn pass_on(ctx: &RequestContext, response: &Bytes) -> Result<frame::Frame, String> {
    let (_, body) = frame::decode_response_head(ctx.api, ctx.api_version, response)
        .map_err(|error| format!("the controller's answer cannot be read: {error}"))?;
    frame::response_with_body(ctx.api, ctx.correlation_id, ctx.api_version, &body).map_err(|error| error.to_string())
}
