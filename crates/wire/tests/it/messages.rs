//! Every API in all its versions and both directions, against an independent codec (kafka-protocol).

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey as TheirKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, KafkaDecode};
use shore_base::Random;
use shore_base::collections::BTreeMap;
use shore_wire::api::{ApiKey, Versions, request_header_version, response_header_version};
use shore_wire::frame::{
    LENGTH_PREFIX, decode_request, decode_request_head, decode_response, encode_request, encode_response,
};
use shore_wire::messages::{KafkaRequest, KafkaResponse};

use crate::apis::{Visitor, visit};

/// Different messages of each version and direction that are compared.
const MESSAGES: usize = 10;

#[test]
fn requests_and_responses_are_those_of_an_independent_codec() {
    let mut referee = Referee::default();
    visit(&mut referee);
    // What the referee's schemas, of Kafka 4.1, do not have yet. Apache Kafka's own bytes stand in for it (vectors.rs).
    let missing = [
        ("ApiVersions", vec![5]),
        ("BrokerHeartbeat", vec![2]),
        ("DeleteGroups", vec![3]),
        ("DescribeLogDirs", vec![5]),
        ("InitProducerId", vec![6]),
        ("ListOffsets", vec![11]),
        ("OffsetCommit", vec![10]),
        ("OffsetFetch", vec![10]),
        ("TxnOffsetCommit", vec![6]),
        ("WriteTxnMarkers", vec![2]),
    ];
    assert_eq!(referee.missing, BTreeMap::from(missing));
    assert!(referee.compared >= 2 * MESSAGES * 100, "only {} messages were compared", referee.compared);
}

#[derive(Default)]
struct Referee {
    compared: usize,
    missing: BTreeMap<&'static str, Vec<i16>>,
}

impl Visitor for Referee {
    fn api<Q: KafkaRequest + PartialEq + std::fmt::Debug, S: KafkaResponse + PartialEq + std::fmt::Debug>(
        &mut self,
        api: ApiKey,
        versions: Versions,
    ) {
        let key = TheirKey::try_from(api.key()).expect("a key that the referee knows");
        for version in versions.min..=versions.max {
            if !referee_knows(key, version) {
                self.missing.entry(api.name()).or_default().push(version);
                continue;
            }
            for request in generate::<Q>(api, version) {
                compare_request(key, api, version, &request);
                self.compared += 1;
            }
            for response in generate::<S>(api, version) {
                compare_response(key, api, version, &response);
                self.compared += 1;
            }
        }
    }
}

fn referee_knows(key: TheirKey, version: i16) -> bool {
    let refusal = RequestKind::decode(key, &mut Bytes::new(), version).map(drop);
    !refusal.is_err_and(|error| format!("{error:#}").contains("version not supported"))
}

fn compare_request<M: KafkaRequest + PartialEq + std::fmt::Debug>(
    key: TheirKey,
    api: ApiKey,
    version: i16,
    request: &M,
) {
    let place = format!("{api} v{version} {request:?}");
    let ours = encode_request(5, Some("client"), version, request).expect(&place).body();

    // They read what we wrote, and write the same.
    let header_version = key.request_header_version(version);
    assert_eq!(header_version, request_header_version(api, version), "{place}");
    let mut rest = ours.clone();
    let header = RequestHeader::decode(&mut rest, header_version).expect(&place);
    let body = RequestKind::decode(key, &mut rest, version).expect(&place);
    assert!(rest.is_empty(), "{place}");
    let mut theirs = BytesMut::new();
    header.encode(&mut theirs, header_version).expect(&place);
    body.encode(&mut theirs, version).expect(&place);
    assert_eq!(theirs, ours, "{place}");

    // We read what they wrote.
    let (head, body) = decode_request_head(&theirs.freeze()).expect(&place);
    assert_eq!((head.api_key, head.api_version, head.correlation_id), (api.key(), version, 5), "{place}");
    assert_eq!(head.client_id.as_deref(), Some("client"), "{place}");
    let longer = Bytes::from([&body[..], &[1]].concat());
    assert_eq!(decode_request::<M>(body, version).as_ref(), Ok(request), "{place}");
    assert_eq!(decode_request::<M>(longer, version).as_ref(), Ok(request), "{place}: what follows is ignored");
}

fn compare_response<M: KafkaResponse + PartialEq + std::fmt::Debug>(
    key: TheirKey,
    api: ApiKey,
    version: i16,
    response: &M,
) {
    let place = format!("{api} v{version} {response:?}");
    let frame = encode_response(5, version, response).expect(&place).into_bytes();
    let length = i32::from_be_bytes(*frame.first_chunk().expect("a length prefix"));
    assert_eq!(length as usize, frame.len() - LENGTH_PREFIX, "{place}");
    let ours = frame.slice(LENGTH_PREFIX..);

    let header_version = key.response_header_version(version);
    assert_eq!(header_version, response_header_version(api, version), "{place}");
    let mut rest = ours.clone();
    let header = ResponseHeader::decode(&mut rest, header_version).expect(&place);
    let body = ResponseKind::decode(key, &mut rest, version).expect(&place);
    assert!(rest.is_empty(), "{place}");
    let mut theirs = BytesMut::new();
    header.encode(&mut theirs, header_version).expect(&place);
    body.encode(&mut theirs, version).expect(&place);
    assert_eq!(theirs, ours, "{place}");

    assert_eq!(decode_response::<M>(theirs.freeze(), version), Ok((5, response.clone_by_wire(version))), "{place}");
}

/// Messages have no common way to be cloned; their bytes do.
trait CloneByWire {
    fn clone_by_wire(&self, version: i16) -> Self;
}

impl<M: KafkaResponse> CloneByWire for M {
    fn clone_by_wire(&self, version: i16) -> Self {
        let bytes = self.encode_to_bytes(ApiVersion::new(version)).expect("it was encoded before");
        Self::decode_from_bytes(bytes, ApiVersion::new(version), DecodeLimits::default()).expect("its own bytes")
    }
}

/// Different messages of one version: what the decoder makes of random bytes that lean towards
/// short lengths. So every field, null, array and tagged field comes up without a second schema.
fn generate<M: KafkaDecode + std::fmt::Debug>(api: ApiKey, version: i16) -> Vec<M> {
    let mut limits = DecodeLimits::default();
    limits.max_string_bytes = 24;
    limits.max_bytes_bytes = 48;
    limits.max_array_elements = 5;
    limits.max_tagged_fields = 2;
    limits.max_tag_bytes = 24;
    let mut random = Random::stream(version as u64, api.name());
    let mut messages = Vec::new();
    for _ in 0..200_000 {
        let decoder = &mut Decoder::new(tape(&mut random, api.is_flexible(version)), limits).expect("a short tape");
        if let Ok(message) = M::decode(decoder, ApiVersion::new(version)) {
            if has_foreseen_tag(&format!("{message:?}")) {
                continue;
            }
            messages.push(message);
            if messages.len() == MESSAGES {
                return messages;
            }
        }
    }
    panic!("only {} of {MESSAGES} messages of {api} v{version} were found", messages.len());
}

/// Whether a message has an unknown tag that a later version may know: the referee refuses it.
fn has_foreseen_tag(message: &str) -> bool {
    let mut tags = message.split("TaggedField { tag: ").skip(1).filter_map(|rest| rest.split(',').next());
    tags.any(|tag| tag.parse().is_ok_and(|tag: u32| tag < 10))
}

fn tape(random: &mut Random, flexible: bool) -> Bytes {
    let mut tape = Vec::with_capacity(2_048);
    while tape.len() < 1_500 {
        match random.below(17) {
            // One unknown tagged field.
            16 if flexible => tape.extend([1, 100, 1, 7]),
            0 => tape.extend([0xff, 0xff]),
            1 => tape.extend([0xff; 4]),
            2 => tape.extend([0, 0, 0, 1]),
            3 => tape.extend([0, 1, b'a' + random.below(26) as u8]),
            4 => tape.extend([0, 2, b'x', b'y']),
            5 => tape.extend([3, b'i', b'd']),
            6 => tape.extend([1, 0, 0]),
            7 => tape.push(random.below(128) as u8),
            8..=9 => tape.push(2),
            10..=12 => tape.push(u8::from(flexible)),
            _ => tape.push(0),
        }
    }
    // The end decodes as emptiness, so that long messages come to one.
    tape.extend([u8::from(flexible); 548]);
    tape.into()
}
