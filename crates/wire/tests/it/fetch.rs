//! The Fetch response written by hand against the generated one.

use bytes::Bytes;
use shore_base::Random;
use shore_wire::api::Versions;
use shore_wire::error::ErrorCode;
use shore_wire::fetch::{
    AbortedTransaction, CurrentLeader, EpochEnd, FetchResponseBuilder, FetchedPartition, FetchedTopic, NodeEndpoint,
};
use shore_wire::frame::{decode_response, encode_response};
use shore_wire::messages::{self, FetchResponse, StrBytes, fetch_response};

use crate::recorded::frames;
use shore_wire::api::ApiKey;

#[test]
fn it_is_the_generated_one_in_every_version() {
    for version in versions() {
        for seed in 0..40 {
            let builder = generate(&mut Random::stream(seed, "fetch"), version);
            let expected = encode_response(77, version, &as_message(&builder)).expect("an encodable response");
            let frame = builder.clone().finish(77, version);
            assert_eq!(frame.clone().into_bytes(), expected.into_bytes(), "v{version} seed {seed}");
            let slices = builder.topics.iter().flat_map(|topic| &topic.partitions).flat_map(|part| &part.records);
            for slice in slices.filter(|slice| !slice.is_empty()) {
                let moved = frame.parts().iter().any(|part| part.as_ptr() == slice.as_ptr());
                assert!(moved, "v{version} seed {seed}: records were copied");
            }
        }
    }
}

#[test]
fn it_writes_what_apache_kafka_wrote() {
    let mut count = 0;
    for golden in frames().into_iter().filter(|golden| golden.api == ApiKey::Fetch && !golden.is_request) {
        let (correlation_id, response): (_, FetchResponse) =
            decode_response(golden.frame.clone(), golden.version).expect(&golden.place);
        let again = from_message(response).finish(correlation_id, golden.version);
        assert_eq!(again.body(), golden.frame, "{}", golden.place);
        count += 1;
    }
    assert!(count >= 6, "only {count} Fetch responses in tests/wire");
}

fn versions() -> std::ops::RangeInclusive<i16> {
    let Versions { min, max } = Versions::of::<FetchResponse>();
    assert_eq!((min, max), (4, 18));
    // And those that Apache Kafka 4 dropped.
    0..=max
}

/// A response that uses everything that `version` has.
fn generate(random: &mut Random, version: i16) -> FetchResponseBuilder {
    let some = |random: &mut Random| random.percent(50);
    let mut topics = Vec::new();
    for topic in 0..random.below(3) {
        let mut id = [0; 16];
        random.fill(&mut id);
        let mut partitions = Vec::new();
        for partition in 0..random.below(4) {
            let has_fields = version >= 12 && some(random);
            partitions.push(FetchedPartition {
                partition: partition as i32,
                error: ErrorCode::ALL[random.below(ErrorCode::ALL.len() as u64) as usize],
                high_watermark: random.next_u64() as i64,
                last_stable_offset: random.next_u64() as i64,
                log_start_offset: if version >= 5 { random.next_u64() as i64 } else { -1 },
                diverging_epoch: (has_fields && some(random))
                    .then(|| EpochEnd { epoch: random.next_u32() as i32, end_offset: random.next_u64() as i64 }),
                current_leader: (has_fields && some(random)).then(|| CurrentLeader {
                    leader_id: random.below(9) as i32,
                    leader_epoch: random.next_u32() as i32,
                }),
                snapshot_id: (has_fields && some(random))
                    .then(|| EpochEnd { epoch: random.next_u32() as i32, end_offset: random.next_u64() as i64 }),
                aborted_transactions: some(random).then(|| {
                    (0..random.below(3))
                        .map(|_| AbortedTransaction {
                            producer_id: random.next_u64() as i64,
                            first_offset: random.next_u64() as i64,
                        })
                        .collect()
                }),
                preferred_read_replica: if version >= 11 { random.below(5) as i32 - 1 } else { -1 },
                records: (0..random.below(4))
                    .map(|_| {
                        let mut slice = vec![0; random.below(300) as usize];
                        random.fill(&mut slice);
                        Bytes::from(slice)
                    })
                    .collect(),
            });
        }
        topics.push(FetchedTopic {
            name: if version <= 12 { StrBytes::from(format!("topic-{topic}")) } else { StrBytes::default() },
            id: if version >= 13 { messages::Uuid::from_bytes(id) } else { messages::Uuid::ZERO },
            partitions,
        });
    }
    let endpoints = if version >= 16 { random.below(3) } else { 0 };
    FetchResponseBuilder {
        throttle_time_ms: random.below(100) as i32,
        error: if version >= 7 && some(random) { ErrorCode::InvalidFetchSessionEpoch } else { ErrorCode::None },
        session_id: if version >= 7 { random.next_u32() as i32 } else { 0 },
        topics,
        node_endpoints: (0..endpoints)
            .map(|id| NodeEndpoint {
                node_id: id as i32,
                host: format!("host-{id}"),
                port: 9092,
                rack: some(random).then(|| "rack".to_owned()),
            })
            .collect(),
    }
}

fn as_message(builder: &FetchResponseBuilder) -> FetchResponse {
    let mut response = FetchResponse::default();
    response.throttle_time_ms = builder.throttle_time_ms;
    response.error_code = builder.error.code();
    response.session_id = builder.session_id;
    for topic in &builder.topics {
        let mut answer = fetch_response::FetchableTopicResponse::default();
        answer.topic = topic.name.clone();
        answer.topic_id = topic.id;
        answer.partitions = topic.partitions.iter().map(partition_as_message).collect();
        response.responses.push(answer);
    }
    for endpoint in &builder.node_endpoints {
        let mut node = fetch_response::NodeEndpoint::default();
        node.node_id = endpoint.node_id;
        node.host = StrBytes::from(endpoint.host.as_str());
        node.port = endpoint.port;
        node.rack = endpoint.rack.as_deref().map(StrBytes::from);
        response.node_endpoints.push(node);
    }
    response
}

fn partition_as_message(partition: &FetchedPartition) -> fetch_response::PartitionData {
    let mut data = fetch_response::PartitionData::default();
    data.partition_index = partition.partition;
    data.error_code = partition.error.code();
    data.high_watermark = partition.high_watermark;
    data.last_stable_offset = partition.last_stable_offset;
    data.log_start_offset = partition.log_start_offset;
    data.preferred_read_replica = partition.preferred_read_replica;
    data.records = Some(partition.records.concat().into());
    if let Some(end) = partition.diverging_epoch {
        data.diverging_epoch.epoch = end.epoch;
        data.diverging_epoch.end_offset = end.end_offset;
    }
    if let Some(leader) = partition.current_leader {
        data.current_leader.leader_id = leader.leader_id;
        data.current_leader.leader_epoch = leader.leader_epoch;
    }
    if let Some(end) = partition.snapshot_id {
        data.snapshot_id.epoch = end.epoch;
        data.snapshot_id.end_offset = end.end_offset;
    }
    data.aborted_transactions = partition.aborted_transactions.as_ref().map(|aborted| {
        aborted
            .iter()
            .map(|transaction| {
                let mut message = fetch_response::AbortedTransaction::default();
                message.producer_id = transaction.producer_id;
                message.first_offset = transaction.first_offset;
                message
            })
            .collect()
    });
    data
}

fn from_message(response: FetchResponse) -> FetchResponseBuilder {
    FetchResponseBuilder {
        throttle_time_ms: response.throttle_time_ms,
        error: ErrorCode::from_code(response.error_code).expect("a known error"),
        session_id: response.session_id,
        topics: response
            .responses
            .into_iter()
            .map(|topic| FetchedTopic {
                name: topic.topic,
                id: topic.topic_id,
                partitions: topic.partitions.into_iter().map(partition_from_message).collect(),
            })
            .collect(),
        node_endpoints: Vec::new(),
    }
}

fn partition_from_message(data: fetch_response::PartitionData) -> FetchedPartition {
    FetchedPartition {
        partition: data.partition_index,
        error: ErrorCode::from_code(data.error_code).expect("a known error"),
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start_offset: data.log_start_offset,
        aborted_transactions: data.aborted_transactions.map(|aborted| {
            aborted
                .into_iter()
                .map(|transaction| AbortedTransaction {
                    producer_id: transaction.producer_id,
                    first_offset: transaction.first_offset,
                })
                .collect()
        }),
        preferred_read_replica: data.preferred_read_replica,
        records: data.records.into_iter().collect(),
        ..FetchedPartition::default()
    }
}
