//! Fetch of the metadata log, by brokers.

use shore_base::{Duration, Instant};
use shore_log::Read;
use shore_wire::error::ErrorCode;
use shore_wire::fetch::{CurrentLeader, FetchResponseBuilder, FetchedPartition, FetchedTopic};
use shore_wire::messages::FetchRequest;

use super::{Call, Controller, ControllerOutput, METADATA_TOPIC_ID};
use crate::api::{from_wire, to_wire};
use crate::topic_name::METADATA_TOPIC;

/// A fetch that waits for the high watermark to pass its offset.
#[derive(Clone)]
pub(super) struct ParkedFetch {
    pub call: Call,
    pub deadline: Instant,
    from: i64,
    max_bytes: usize,
}

impl Controller {
    pub(super) fn fetch(&mut self, call: Call, request: FetchRequest) {
        let asked = request
            .topics
            .first()
            .filter(|topic| match call.version {
                ..13 => topic.topic.as_str() == METADATA_TOPIC,
                _ => from_wire(topic.topic_id) == METADATA_TOPIC_ID,
            })
            .and_then(|topic| topic.partitions.first());
        let Some(partition) = asked.filter(|partition| partition.partition == 0) else {
            let refusal = FetchResponseBuilder { error: ErrorCode::UnknownTopicId, ..FetchResponseBuilder::default() };
            let frame = refusal.finish(call.correlation_id, call.version);
            return self.outputs.push_back(ControllerOutput::Respond { peer: call.peer, frame });
        };
        let parked = ParkedFetch {
            call,
            deadline: self.now + Duration::from_millis(request.max_wait_ms.max(0) as u64),
            from: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes.max(0) as usize,
        };
        if parked.from >= self.high_watermark() && parked.from <= self.log.end_offset() && request.max_wait_ms > 0 {
            self.fetches.push(parked);
        } else {
            self.answer_fetch(&parked);
        }
    }

    pub(super) fn wake_fetches(&mut self) {
        let high_watermark = self.high_watermark();
        self.answer_fetches(|fetch| fetch.from < high_watermark);
    }

    pub(super) fn expire_fetches(&mut self) {
        let now = self.now;
        self.answer_fetches(|fetch| fetch.deadline <= now);
    }

    fn answer_fetches(&mut self, due: impl Fn(&ParkedFetch) -> bool) {
        let (answered, parked) = std::mem::take(&mut self.fetches).into_iter().partition(due);
        self.fetches = parked;
        let answered: Vec<ParkedFetch> = answered;
        for fetch in answered {
            self.answer_fetch(&fetch);
        }
    }

    fn answer_fetch(&mut self, fetch: &ParkedFetch) {
        let mut partition = FetchedPartition {
            high_watermark: self.high_watermark(),
            last_stable_offset: self.high_watermark(),
            log_start_offset: self.log.start_offset(),
            current_leader: Some(CurrentLeader { leader_id: self.node.node_id.0, leader_epoch: self.epoch }),
            ..FetchedPartition::default()
        };
        match self.log.read(fetch.from, self.high_watermark(), fetch.max_bytes, true) {
            Ok(Read::Ready { slices, .. }) => partition.records = slices,
            // The metadata log is never evicted from memory.
            Ok(Read::Load(_)) => partition.error = ErrorCode::KafkaStorageError,
            Err(error) => partition.error = error.code(),
        }
        let response = FetchResponseBuilder {
            topics: vec![FetchedTopic {
                name: METADATA_TOPIC.into(),
                id: to_wire(METADATA_TOPIC_ID),
                partitions: vec![partition],
            }],
            ..FetchResponseBuilder::default()
        };
        let frame = response.finish(fetch.call.correlation_id, fetch.call.version);
        self.outputs.push_back(ControllerOutput::Respond { peer: fetch.call.peer, frame });
    }
}
