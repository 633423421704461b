//! Driving the group coordinator: its requests, its partitions of `__consumer_offsets`, its writes.

use bytes::Bytes;
use shore_base::Uuid;
use shore_log::Read;
use shore_log::storage::ReadRange;
use shore_wire::batch::{BatchBuilder, BatchOptions, batches};
use shore_wire::error::ErrorCode;
use shore_wire::messages::StrBytes;

use super::{Broker, LoadFor, Parked};
use crate::api::{Coordinators, RequestContext, text};
use crate::event::Event;
use crate::group::{Caller, GroupConfig, GroupOutput, RequestId as GroupRequestId, Topics, WriteId};
use crate::image::MetadataImage;
use crate::replica::{PartitionId, Waiter};
use crate::topic_name::OFFSETS_TOPIC;

const LOAD_BYTES: usize = 1 << 20;
const LARGEST_RECORDS: usize = 64 << 20;

/// A partition of `__consumer_offsets` whose records are being replayed.
#[derive(Clone, Debug)]
pub(crate) struct GroupLoad {
    id: PartitionId,
    next_offset: i64,
}

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
    pub(super) fn drain_groups(&mut self) {
        while let Some(output) = self.groups.poll() {
            match output {
                GroupOutput::Append { records, write } => self.write_group_records(&records, write),
                GroupOutput::Respond { request, response } => {
                    let id = crate::api::RequestId(request.0);
                    if let Some(Parked::Group(ctx)) = self.parked.remove(&id) {
                        let frame = response
                            .encode(ctx.correlation_id, ctx.api_version)
                            .unwrap_or_else(|error| panic!("{} v{}: {error}", ctx.api, ctx.api_version));
                        self.respond(id, frame);
                    }
                }
                GroupOutput::Event(event) => self.emit(|| Event::Group(event)),
            }
        }
    }

    fn write_group_records(&mut self, records: &[(Bytes, Option<Bytes>)], write: WriteId) {
        let at = self.wall.as_millis();
        let mut batch = BatchBuilder::new(BatchOptions::default());
        for (key, value) in records {
            batch.append(at, Some(key), value.as_deref(), []);
        }
        let wall = self.wall;
        let appended = match self.offsets_partition(write.partition).map(|id| (id, self.leading_mut(id))) {
            Some((id, Ok(partition))) => match partition.append(&batch.finish(), false, wall) {
                Ok(appended) => {
                    let waiter = Waiter::Group { write, last_offset: appended.last_offset };
                    partition.wait(appended.last_offset + 1, waiter);
                    Ok((id, appended))
                }
                Err(error) => Err(error.code),
            },
            Some((_, Err(error))) => Err(error),
            None => Err(ErrorCode::NotCoordinator),
        };
        match appended {
            Ok((id, appended)) => self.emit(|| Event::Appended {
                topic: OFFSETS_TOPIC.into(),
                partition: id.partition,
                base_offset: appended.base_offset,
                last_offset: appended.last_offset,
                bytes: appended.bytes,
            }),
            Err(error) => self.group_written(write, Err(error)),
        }
    }

    pub(super) fn group_written(&mut self, write: WriteId, result: Result<i64, ErrorCode>) {
        self.groups.written(self.now, self.wall, write, result);
        self.drain_groups();
    }

    fn offsets_partition(&self, partition: i32) -> Option<PartitionId> {
        Some(PartitionId { topic: self.image.topic_id(OFFSETS_TOPIC)?, partition })
    }

    /// This broker leads a partition from here on. If it is one of `__consumer_offsets`, its groups are
    /// loaded.
    pub(super) fn leads(&mut self, id: PartitionId) {
        if self.offsets_partition(id.partition) != Some(id) {
            return;
        }
        let partitions = self.image.topics[&id.topic].partitions.len() as i32;
        self.groups.set_partitions(partitions);
        self.groups.load_begin(id.partition);
        let next_offset = self.replicas.get(id).map_or(0, |partition| partition.log.start_offset());
        self.load_groups(GroupLoad { id, next_offset });
    }

    /// Another broker leads it, or none.
    pub(super) fn leads_no_more(&mut self, id: PartitionId) {
        if self.offsets_partition(id.partition) == Some(id) {
            self.groups.unload(self.now, self.wall, id.partition);
            self.drain_groups();
        }
    }

    /// Replays a partition as far as it is in memory, and loads the rest.
    pub fn load_groups(&mut self, mut load: GroupLoad) {
        let partition = load.id.partition;
        while let Some(log) = self.replicas.get(load.id).map(|partition| &partition.log) {
            let end = log.high_watermark();
            if load.next_offset >= end {
                break;
            }
            match log.read(load.next_offset, end, LOAD_BYTES, true) {
                Ok(Read::Load(ranges)) => {
                    let reads = ranges.clone();
                    return self.load(LoadFor::Groups { load, ranges }, reads);
                }
                Ok(Read::Ready { slices, next_offset, .. }) if next_offset > load.next_offset => {
                    load.next_offset = next_offset;
                    self.replay_groups(partition, &slices.concat());
                }
                Ok(Read::Ready { .. }) => break,
                Err(error) => {
                    self.log_line(format!("groups of {OFFSETS_TOPIC}-{partition} cannot be loaded: {error:?}"));
                    break;
                }
            }
        }
        self.groups.load_end(self.now, self.wall, partition);
        self.drain_groups();
    }

    pub(super) fn groups_loaded(&mut self, load: GroupLoad, ranges: &[ReadRange], bytes: &[Bytes]) {
        if let Some(partition) = self.replicas.get_soft(load.id) {
            partition.log.loaded(ranges, bytes);
        }
        self.load_groups(load);
    }

    fn replay_groups(&mut self, partition: i32, bytes: &[u8]) {
        let mut unreadable = 0;
        for batch in batches(bytes).map_while(Result::ok).filter(|batch| !batch.is_control()) {
            let Ok(records) = batch.records(LARGEST_RECORDS) else {
                unreadable += batch.count();
                continue;
            };
            for record in records.iter().map_while(Result::ok) {
                let key = record.key.unwrap_or_default();
                unreadable += i32::from(self.groups.apply(partition, key, record.value).is_err());
            }
        }
        if unreadable > 0 {
            self.log_line(format!("{unreadable} records of {OFFSETS_TOPIC}-{partition} cannot be read"));
        }
    }

    /// A deleted topic's committed offsets go with it.
    pub(super) fn groups_forget_topic(&mut self, name: &str, id: Uuid) {
        if name == OFFSETS_TOPIC {
            for partition in 0..self.settings.int("offsets.topic.num.partitions") {
                self.groups.unload(self.now, self.wall, partition);
            }
        } else {
            self.groups.topic_deleted(self.now, self.wall, name, id);
        }
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

impl Coordinators for Broker {
    fn offsets_partitions(&mut self) -> Option<i32> {
        if let Some((_, topic)) = self.image.topic(OFFSETS_TOPIC) {
            return Some(topic.partitions.len() as i32);
        }
        self.create_automatically(vec![OFFSETS_TOPIC.to_owned()]);
        None
    }

    fn offsets_leader(&self, partition: i32) -> Option<(i32, StrBytes, i32)> {
        let id = self.offsets_partition(partition)?;
        let leader = self.image.partition(id.topic, partition)?.leader;
        let end_point = self.image.brokers.get(&leader)?.end_points.first()?;
        Some((leader, text(&end_point.host), end_point.port.into()))
    }
}
