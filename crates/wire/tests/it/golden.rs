//! Frames that real clients and Apache Kafka exchanged (tests/wire/*.hex): read and written again
//! they are the same bytes.

use bytes::Bytes;
use shore_base::collections::BTreeSet;
use shore_wire::api::{ApiKey, Versions};
use shore_wire::batch::batches;
use shore_wire::compress::{Codec, MAX_INFLATED};
use shore_wire::error::ErrorCode;
use shore_wire::frame::{
    decode_request, decode_request_head, decode_response, encode_request, encode_response, response_correlation_id,
};
use shore_wire::messages::{FetchResponse, KafkaRequest, KafkaResponse, ProduceRequest};

use crate::apis::{Visitor, visit};
use crate::recorded::{Golden, frames};

/// Reads and writes every frame of the APIs that it visits.
struct Again {
    frames: Vec<Golden>,
    checked: usize,
}

impl Visitor for Again {
    fn api<Q: KafkaRequest, S: KafkaResponse>(&mut self, api: ApiKey, _: Versions) {
        for golden in self.frames.iter().filter(|golden| golden.api == api) {
            let Golden { place, version, frame, .. } = golden;
            let again = if golden.is_request {
                let (head, body) = decode_request_head(frame).expect(place);
                assert_eq!((head.api_key, head.api_version), (api.key(), *version), "{place}");
                let request: Q = decode_request(body, *version).expect(place);
                encode_request(head.correlation_id, head.client_id.as_deref(), *version, &request)
            } else {
                let version = answered_version(golden);
                let (correlation_id, response): (i32, S) = decode_response(frame.clone(), version).expect(place);
                assert_eq!(Some(correlation_id), response_correlation_id(frame), "{place}");
                encode_response(correlation_id, version, &response)
            };
            assert_eq!(again.expect(place).body(), frame, "{place}");
            self.checked += 1;
        }
    }
}

/// The version of a response: that of its request, unless Kafka refused that one. A client that asks
/// with an ApiVersions of the future is answered in version 0.
fn answered_version(golden: &Golden) -> i16 {
    let unsupported = ErrorCode::UnsupportedVersion.code().to_be_bytes();
    let refused = golden.api == ApiKey::ApiVersions && golden.frame.get(4..6) == Some(&unsupported);
    if refused { 0 } else { golden.version }
}

#[test]
fn every_frame_comes_back_byte_for_byte() {
    let mut again = Again { frames: frames(), checked: 0 };
    visit(&mut again);
    assert_eq!(again.checked, again.frames.len(), "a recorded API is not visited");
}

#[test]
fn every_batch_in_them_is_sound() {
    // Which codecs were sent in requests, and which in responses.
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    let mut count = 0;
    for golden in frames() {
        for (place, records) in record_sets(&golden) {
            for batch in batches(&records) {
                let batch = batch.expect(&place);
                assert!(batch.crc_matches(), "{place}");
                seen[usize::from(golden.is_request)].insert(batch.codec().expect(&place));
                let records = batch.records(MAX_INFLATED).expect(&place);
                let offsets = records.iter().map(|record| record.expect(&place).offset);
                assert!(offsets.eq(batch.base_offset()..batch.next_offset()), "{place}");
                count += 1;
            }
        }
    }
    let all = BTreeSet::from([Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd]);
    assert_eq!(seen, [all.clone(), all]);
    assert!(count >= 20, "only {count} batches in tests/wire");
}

/// What a frame carries to or from partitions.
pub fn record_sets(golden: &Golden) -> Vec<(String, Bytes)> {
    let sets: Vec<Bytes> = match (golden.api, golden.is_request) {
        (ApiKey::Produce, true) => {
            let (head, body) = decode_request_head(&golden.frame).expect(&golden.place);
            let request: ProduceRequest = decode_request(body, head.api_version).expect(&golden.place);
            let partitions = request.topic_data.into_iter().flat_map(|topic| topic.partition_data);
            partitions.filter_map(|partition| partition.records).collect()
        }
        (ApiKey::Fetch, false) => {
            let (_, response): (_, FetchResponse) =
                decode_response(golden.frame.clone(), golden.version).expect(&golden.place);
            let partitions = response.responses.into_iter().flat_map(|topic| topic.partitions);
            partitions.filter_map(|partition| partition.records).collect()
        }
        _ => Vec::new(),
    };
    sets.into_iter().map(|set| (golden.place.clone(), set)).collect()
}
