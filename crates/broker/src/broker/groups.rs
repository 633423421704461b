//! Driving the group coordinator: its requests and its writes.

use shore_base::Uuid;
use shore_wire::batch::BatchOptions;
use shore_wire::error::ErrorCode;

use super::coordinators::Coordinator;
use super::{Broker, Parked};
use crate::api::RequestContext;
use crate::event::Event;
use crate::group::{
    Caller, GroupConfig, GroupMarker, GroupOutput, Producer, Records, RequestId as GroupRequestId, Topics, WriteId,
};
use crate::image::MetadataImage;
use crate::replica::Waiter;

impl Broker {
    /// Passes a request to the coordinator; its answer comes as an output.
    pub fn ask_groups(
        &mut self,
        ctx: RequestContext,
        ask: impl FnOnce(&mut crate::group::GroupCoordinator, &Caller<'_>, &MetadataImage),
    ) {
        let caller = Caller {
            request: GroupRequestId(ctx.id.0),
            version: ctx.api_version,
            client_id: ctx.client_id(),
            client_host: &ctx.client_host,
        };
        ask(&mut self.groups, &caller, &self.image);
        self.parked.insert(ctx.id, Parked::Group(ctx));
        self.drain_groups();
    }

    /// Does what the coordinator wants done.
    pub fn drain_groups(&mut self) {
        while let Some(output) = self.groups.poll() {
            match output {
                GroupOutput::Append { records, write, producer } => {
                    self.write_group_records(&records, write, producer);
                }
                GroupOutput::AppendMarker { marker, write } => self.write_group_marker(&marker, write),
                GroupOutput::Respond { request, response } => {
                    let id = crate::api::RequestId(request.0);
                    if let Some(Parked::Group(ctx)) = self.parked.remove(&id) {
                        let frame = response
                            .encode(ctx.correlation_id, ctx.api_version)
                            .unwrap_or_else(|error| panic!("{} v{}: {error}", ctx.api, ctx.api_version));
                        self.respond(id, frame);
                    }
                }
                GroupOutput::MarkerWritten { request, slot, result } => {
                    self.marker_settled(crate::api::RequestId(request.0), slot, result.err());
                }
                GroupOutput::Event(event) => self.emit(|| Event::Group(event)),
            }
        }
    }

    fn write_group_records(&mut self, records: &Records, write: WriteId, producer: Option<Producer>) {
        // Apache Kafka counts the records of these batches, whether or not there is a producer.
        let mut options = BatchOptions { base_sequence: 0, ..BatchOptions::default() };
        if let Some(producer) = producer {
            (options.producer_id, options.producer_epoch, options.transactional) = (producer.id, producer.epoch, true);
        }
        let guard = producer.and_then(|producer| producer.guard);
        let waiter = |last_offset| Waiter::Group { write, last_offset };
        let appended = self.append_records_for(Coordinator::Groups, write.partition, records, (options, guard), waiter);
        if let Err(error) = appended {
            self.group_written(write, Err(error));
        }
    }

    fn write_group_marker(&mut self, marker: &GroupMarker, write: WriteId) {
        let wall = self.wall;
        let batch = marker.batch(wall);
        let waiter = |last_offset| Waiter::Group { write, last_offset };
        let appended = self.append_for(Coordinator::Groups, write.partition, waiter, |replica| {
            replica.append_marker(&batch, marker.transaction_version, wall)
        });
        if let Err(error) = appended {
            self.group_written(write, Err(error));
        }
    }

    pub(super) fn group_written(&mut self, write: WriteId, result: Result<i64, ErrorCode>) {
        self.groups.written(self.now, self.wall, write, result);
        self.drain_groups();
    }

    pub(super) fn wake_groups(&mut self) {
        if self.groups.next_wake().is_some_and(|(at, _)| at <= self.now) {
            self.groups.wake(self.now, self.wall);
            self.drain_groups();
        }
    }
}
pub(super) fn group_config(settings: &crate::config::Settings) -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay: settings.millis("group.initial.rebalance.delay.ms"),
        min_session_timeout_ms: settings.int("group.min.session.timeout.ms"),
        max_session_timeout_ms: settings.int("group.max.session.timeout.ms"),
        max_size: settings.long("group.max.size").max(0) as usize,
        offset_metadata_max_bytes: settings.long("offset.metadata.max.bytes").max(0) as usize,
        offsets_retention: settings.millis("offsets.retention.minutes") * 60_000,
        offsets_retention_check_interval: settings.millis("offsets.retention.check.interval.ms"),
        offsets_topic_partitions: settings.int("offsets.topic.num.partitions"),
    }
}

impl Topics for MetadataImage {
    fn topic_id(&self, name: &str) -> Option<Uuid> {
        Self::topic_id(self, name)
    }

    fn topic_name(&self, id: Uuid) -> Option<&str> {
        self.topics.get(&id).map(|topic| &*topic.name)
    }

    fn has_partition(&self, name: &str, partition: i32) -> bool {
        self.topic(name).is_some_and(|(_, topic)| (0..topic.partitions.len() as i32).contains(&partition))
    }
}
