//! Requests and responses read for the screen: what they are about, what they carry, each field.

use std::fmt::Debug;
use std::rc::Rc;

use bytes::Bytes;
use shore_wire::batch;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{decode_request, decode_request_head, decode_response};
use shore_wire::messages::*;

use crate::fields::{self, Field};
use crate::message::{BatchDetails, FrameDetails, RecordDetails};
use crate::text;

/// As many bytes of a frame or batch are shown.
const SHOWN_BYTES: usize = 2_048;
/// As many records of a batch are shown.
const SHOWN_RECORDS: usize = 100;
const SHOWN_TEXT: usize = 2_000;
/// More than this is not inflated to be looked at.
const INFLATE_CAP: usize = 16 * 1024 * 1024;

/// Decodes a request by its key, for every API that the broker serves.
macro_rules! by_api {
    ($key:expr, $decode:ident, $body:expr, $version:expr, $($api:literal => $message:ident),* $(,)?) => {
        match $key {
            $($api => debug($decode::<$message>($body, $version)),)*
            _ => None,
        }
    };
}

fn debug<M: Debug, E>(decoded: Result<M, E>) -> Option<String> {
    decoded.ok().map(|message| format!("{message:?}"))
}

/// A request's body as Rust's `Debug` writes it.
fn request_text(api_key: i16, version: i16, body: Bytes) -> Option<String> {
    by_api!(api_key, decode_request, body, version,
        0 => ProduceRequest, 1 => FetchRequest, 2 => ListOffsetsRequest, 3 => MetadataRequest,
        8 => OffsetCommitRequest, 9 => OffsetFetchRequest, 10 => FindCoordinatorRequest,
        11 => JoinGroupRequest, 12 => HeartbeatRequest, 13 => LeaveGroupRequest, 14 => SyncGroupRequest,
        15 => DescribeGroupsRequest, 16 => ListGroupsRequest, 18 => ApiVersionsRequest,
        19 => CreateTopicsRequest, 20 => DeleteTopicsRequest, 21 => DeleteRecordsRequest, 22 => InitProducerIdRequest,
        24 => AddPartitionsToTxnRequest, 25 => AddOffsetsToTxnRequest, 26 => EndTxnRequest, 28 => TxnOffsetCommitRequest,
        32 => DescribeConfigsRequest, 37 => CreatePartitionsRequest, 42 => DeleteGroupsRequest, 44 => IncrementalAlterConfigsRequest,
        47 => OffsetDeleteRequest, 60 => DescribeClusterRequest,
    )
}

fn response_text(api_key: i16, version: i16, frame: Bytes) -> Option<String> {
    by_api!(api_key, decode_response, frame, version,
        0 => ProduceResponse, 1 => FetchResponse, 2 => ListOffsetsResponse, 3 => MetadataResponse,
        8 => OffsetCommitResponse, 9 => OffsetFetchResponse, 10 => FindCoordinatorResponse,
        11 => JoinGroupResponse, 12 => HeartbeatResponse, 13 => LeaveGroupResponse, 14 => SyncGroupResponse,
        15 => DescribeGroupsResponse, 16 => ListGroupsResponse, 18 => ApiVersionsResponse,
        19 => CreateTopicsResponse, 20 => DeleteTopicsResponse, 21 => DeleteRecordsResponse, 22 => InitProducerIdResponse,
        24 => AddPartitionsToTxnResponse, 25 => AddOffsetsToTxnResponse, 26 => EndTxnResponse, 28 => TxnOffsetCommitResponse,
        32 => DescribeConfigsResponse, 37 => CreatePartitionsResponse, 42 => DeleteGroupsResponse, 44 => IncrementalAlterConfigsResponse,
        47 => OffsetDeleteResponse, 60 => DescribeClusterResponse,
    )
    // The correlation id stands beside the message in a pair.
    .map(|pair| pair.split_once(", ").map_or(String::new(), |(_, message)| message.trim_end_matches(')').to_owned()))
}

/// Records that a request or response carries for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub topic: TopicRef,
    pub partition: i32,
    pub bytes: u32,
    pub records: u64,
}

/// Newer versions name topics by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    Name(Rc<str>),
    Id([u8; 16]),
}

impl TopicRef {
    fn of(name: &StrBytes, id: &Uuid) -> Self {
        if name.is_empty() { Self::Id(*id.as_bytes()) } else { Self::Name(name.as_str().into()) }
    }
}

/// What a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Records that it brings.
    pub loads: Vec<Load>,
    /// Partitions that it asks for.
    pub asks: Vec<(TopicRef, i32)>,
    /// A group, a topic, a key: where there is one.
    pub name: Option<Rc<str>>,
    pub error: Option<Rc<str>>,
}

pub fn about_request(api_key: i16, version: i16, body: &Bytes) -> About {
    let mut about = About::default();
    match api_key {
        0 => {
            let Ok(request) = decode_request::<ProduceRequest>(body.clone(), version) else { return about };
            for topic in &request.topic_data {
                let name = TopicRef::of(&topic.name, &topic.topic_id);
                for partition in &topic.partition_data {
                    about.loads.extend(load(&name, partition.index, partition.records.as_ref()));
                }
            }
        }
        1 => {
            let Ok(request) = decode_request::<FetchRequest>(body.clone(), version) else { return about };
            for topic in &request.topics {
                let name = TopicRef::of(&topic.topic, &topic.topic_id);
                about.asks.extend(topic.partitions.iter().map(|partition| (name.clone(), partition.partition)));
            }
        }
        _ => {
            let lines = request_text(api_key, version, body.clone()).map(|text| fields::message(&text));
            about.name = lines.and_then(|lines| first_name(&lines));
        }
    }
    about
}

pub fn about_response(api_key: i16, version: i16, frame: &Bytes) -> About {
    let mut about = About::default();
    match api_key {
        0 => {
            let Ok((_, response)) = decode_response::<ProduceResponse>(frame.clone(), version) else { return about };
            let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
            about.error = first_error(partitions.map(|partition| partition.error_code));
        }
        1 => {
            let Ok((_, response)) = decode_response::<FetchResponse>(frame.clone(), version) else { return about };
            let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
            let codes = std::iter::once(response.error_code).chain(partitions.map(|partition| partition.error_code));
            about.error = first_error(codes);
            for topic in &response.responses {
                let name = TopicRef::of(&topic.topic, &topic.topic_id);
                for partition in &topic.partitions {
                    about.loads.extend(load(&name, partition.partition_index, partition.records.as_ref()));
                }
            }
        }
        _ => {
            let lines = response_text(api_key, version, frame.clone()).map(|text| fields::message(&text));
            let codes = lines.iter().flatten().filter(|line| &*line.name == "ErrorCode");
            about.error = first_error(codes.filter_map(|line| line.value.parse().ok()));
        }
    }
    about
}

fn load(topic: &TopicRef, partition: i32, records: Option<&Bytes>) -> Option<Load> {
    let records = records.filter(|records| !records.is_empty())?;
    let counts = batch::batches(records).filter_map(Result::ok).map(|batch| batch.count().max(0) as u64);
    Some(Load { topic: topic.clone(), partition, bytes: records.len() as u32, records: counts.sum() })
}

fn first_error(codes: impl Iterator<Item = i16>) -> Option<Rc<str>> {
    let code = codes.into_iter().find(|&code| code != 0)?;
    Some(ErrorCode::from_code(code).map_or_else(|| format!("error {code}").into(), |error| error.name().into()))
}

/// A group, topic or key in the lines of a request.
fn first_name(lines: &[Field]) -> Option<Rc<str>> {
    let named = |wanted: &[&str]| {
        let line = lines.iter().find(|line| wanted.contains(&&*line.name) && line.value.len() > 2)?;
        Some(line.value.trim_matches('"').into())
    };
    named(&["GroupId"]).or_else(|| named(&["Key", "Name", "ResourceName"])).or_else(|| {
        let keys = lines.iter().position(|line| ["CoordinatorKeys", "Groups", "TopicNames"].contains(&&*line.name))?;
        lines
            .get(keys + 1)
            .filter(|line| line.depth > lines[keys].depth)
            .map(|line| line.value.trim_matches('"').into())
    })
}

/// A request, head and body.
pub fn request_details(frame: &Bytes) -> FrameDetails {
    let mut lines = Vec::new();
    if let Ok((head, body)) = decode_request_head(frame) {
        let client = head.client_id.as_ref().map_or("null".into(), |id| text::shown(id.as_str().as_bytes(), 200));
        let mut at = 0;
        let mut line = |name: &str, value: String, len: u32| {
            lines.push(Field { name: name.into(), value: value.into(), bytes: Some((at, len)), ..Field::default() });
            at += len;
        };
        line("ApiKey", format!("{} ({})", head.api_key, crate::api::name(head.api_key)), 2);
        line("ApiVersion", head.api_version.to_string(), 2);
        line("CorrelationId", head.correlation_id.to_string(), 4);
        let client_bytes = head.client_id.as_ref().map_or(0, |id| id.as_str().len() as u32);
        line("ClientId", client, 2 + client_bytes);
        let text = request_text(head.api_key, head.api_version, body);
        lines.extend(text.iter().flat_map(|text| fields::message(text)));
    }
    frame_details(frame, lines)
}

/// A response, head and body.
pub fn response_details(api_key: i16, version: i16, frame: &Bytes) -> FrameDetails {
    let mut lines = Vec::new();
    if let Some(correlation) = shore_wire::frame::response_correlation_id(frame) {
        let value = correlation.to_string().into();
        lines.push(Field { name: "CorrelationId".into(), value, bytes: Some((0, 4)), ..Field::default() });
        let text = response_text(api_key, version, frame.clone());
        lines.extend(text.iter().flat_map(|text| fields::message(text)));
    }
    frame_details(frame, lines)
}

fn frame_details(frame: &Bytes, fields: Vec<Field>) -> FrameDetails {
    let bytes = frame[..frame.len().min(SHOWN_BYTES)].to_vec();
    FrameDetails { bytes, total_bytes: frame.len() as u64, fields }
}

/// A stored batch: header, bytes, records.
pub fn batch_details(bytes: &[u8]) -> BatchDetails {
    let mut details = BatchDetails {
        bytes: bytes[..bytes.len().min(SHOWN_BYTES)].to_vec(),
        total_bytes: bytes.len() as u64,
        fields: fields::batch_header(bytes),
        ..BatchDetails::default()
    };
    let unreadable = |error: &dyn std::fmt::Display| Some(format!("The records cannot be read: {error}").into());
    let view = match batch::BatchView::parse(bytes) {
        Ok(view) => view,
        Err(error) => return BatchDetails { unreadable: unreadable(&error), ..details },
    };
    details.total_records = view.count().max(0) as u32;
    match view.records(INFLATE_CAP) {
        Err(error) => details.unreadable = unreadable(&error),
        Ok(records) => {
            for record in records.iter().take(SHOWN_RECORDS) {
                match record {
                    Ok(record) => details.records.push(record_details(&record)),
                    Err(error) => details.unreadable = unreadable(&error),
                }
            }
        }
    }
    details
}

fn record_details(record: &batch::Record<'_>) -> RecordDetails {
    let shown = |bytes: &[u8]| Rc::<str>::from(text::shown(bytes, SHOWN_TEXT));
    RecordDetails {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(shown),
        value: record.value.map(shown),
        headers: record.headers.map(|header| (shown(header.key), header.value.map(shown))).take(50).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shore_wire::batch::{BatchBuilder, BatchOptions};
    use shore_wire::frame::{encode_request, encode_response};
    use shore_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};

    fn batch() -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(1_000, Some(b"key"), Some(b"value"), [batch::Header { key: b"trace", value: Some(b"7") }]);
        builder.append(1_001, None, None, []);
        builder.finish()
    }

    #[test]
    fn a_produce_request_says_what_it_brings() {
        let mut partition = PartitionProduceData::default();
        partition.index = 2;
        partition.records = Some(batch());
        let mut topic = TopicProduceData::default();
        topic.name = "orders".into();
        topic.partition_data = vec![partition];
        let mut request = ProduceRequest::default();
        request.acks = -1;
        request.topic_data = vec![topic];
        let frame = encode_request(7, Some("shop"), 9, &request).unwrap().body();
        let (head, body) = decode_request_head(&frame).unwrap();
        let about = about_request(head.api_key, head.api_version, &body);
        let load = &about.loads[0];
        assert_eq!((&load.topic, load.partition, load.records), (&TopicRef::Name("orders".into()), 2, 2));
        let details = request_details(&frame);
        let line =
            |name: &str| details.fields.iter().find(|line| &*line.name == name).map(|line| line.value.to_string());
        assert_eq!(line("ClientId").as_deref(), Some("shop"));
        assert_eq!(line("Acks").as_deref(), Some("-1"));
        assert_eq!(line("Name").as_deref(), Some("\"orders\""));
        assert_eq!(line("UnknownTaggedFields"), None, "what is not there is not shown");
    }

    #[test]
    fn names_and_errors_of_other_requests_are_found() {
        let mut heartbeat = HeartbeatRequest::default();
        heartbeat.group_id = "billing".into();
        let frame = encode_request(1, None, 4, &heartbeat).unwrap().body();
        let (head, body) = decode_request_head(&frame).unwrap();
        assert_eq!(about_request(head.api_key, head.api_version, &body).name.as_deref(), Some("billing"));
        let mut response = HeartbeatResponse::default();
        response.error_code = 27;
        let frame = encode_response(1, 4, &response).unwrap().body();
        assert_eq!(about_response(12, 4, &frame).error.as_deref(), Some("REBALANCE_IN_PROGRESS"));
        assert!(response_details(12, 4, &frame).fields.iter().any(|line| &*line.name == "ErrorCode"));
    }

    #[test]
    fn a_batch_gives_its_records() {
        let details = batch_details(&batch());
        assert_eq!((details.total_records, details.unreadable), (2, None));
        let first = &details.records[0];
        assert_eq!((first.key.as_deref(), first.value.as_deref()), (Some("key"), Some("value")));
        assert_eq!(first.headers, [("trace".into(), Some("7".into()))]);
        assert_eq!((details.records[1].offset, &details.records[1].value), (1, &None));
    }

    #[test]
    fn nonsense_is_shown_as_bytes() {
        let nonsense = Bytes::from_static(&[0, 0, 0, 9, 1, 2]);
        assert_eq!(request_details(&nonsense).fields, []);
        assert_eq!(about_request(0, 9, &nonsense), About::default());
        assert_eq!(about_response(1, 12, &nonsense), About::default());
        assert!(batch_details(&nonsense).unreadable.is_some());
    }
}
