//! Fetch responses, written by hand: the generated message would copy every record byte.

use bytes::{Bytes, BytesMut};

use crate::api::ApiKey;
use crate::codec::Writer;
use crate::error::ErrorCode;
use crate::frame::{Frame, LENGTH_PREFIX, response_head};
use crate::messages::{StrBytes, Uuid};

/// A Fetch response of versions 0 to 18 on its way to a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchResponseBuilder {
    /// Version 1 on.
    pub throttle_time_ms: i32,
    /// Version 7 on.
    pub error: ErrorCode,
    /// Version 7 on.
    pub session_id: i32,
    pub topics: Vec<FetchedTopic>,
    /// Where the leaders named in the partitions listen: version 16 on.
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FetchedTopic {
    /// Up to version 12.
    pub name: StrBytes,
    /// Version 13 on.
    pub id: Uuid,
    pub partitions: Vec<FetchedPartition>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FetchedPartition {
    pub partition: i32,
    pub error: ErrorCode,
    pub high_watermark: i64,
    /// Version 4 on.
    pub last_stable_offset: i64,
    /// Version 5 on.
    pub log_start_offset: i64,
    /// The end of the last epoch that reader and leader share: version 12 on.
    pub diverging_epoch: Option<EpochEnd>,
    /// Version 12 on.
    pub current_leader: Option<CurrentLeader>,
    /// The snapshot to fetch instead: version 12 on.
    pub snapshot_id: Option<EpochEnd>,
    /// `None` is null: the reader did not ask for committed records only. Version 4 on.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// -1 is none: version 11 on.
    pub preferred_read_replica: i32,
    /// The records, in slices that follow one another. They are not copied.
    pub records: Vec<Bytes>,
}

impl Default for FetchedPartition {
    fn default() -> Self {
        Self {
            partition: 0,
            error: ErrorCode::None,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: None,
            current_leader: None,
            snapshot_id: None,
            aborted_transactions: None,
            preferred_read_replica: -1,
            records: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    pub epoch: i32,
    pub end_offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentLeader {
    pub leader_id: i32,
    pub leader_epoch: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

impl FetchResponseBuilder {
    /// The response as a frame. What `version` does not have is left out.
    pub fn finish(self, correlation_id: i32, version: i16) -> Frame {
        let flexible = ApiKey::Fetch.is_flexible(version);
        let mut frame = FrameWriter { head: response_head(ApiKey::Fetch, correlation_id, version), parts: Vec::new() };
        let head = &mut frame.head;
        if version >= 1 {
            head.i32(self.throttle_time_ms);
        }
        if version >= 7 {
            head.i16(self.error.code());
            head.i32(self.session_id);
        }
        array_len(head, self.topics.len(), flexible);
        for topic in self.topics {
            write_topic(&mut frame, topic, version, flexible);
        }
        if flexible {
            let endpoints = (version >= 16 && !self.node_endpoints.is_empty()).then(|| {
                let mut value = Writer::new();
                value.compact_array(&self.node_endpoints, write_endpoint);
                value
            });
            let fields = endpoints.as_ref().map(|value| (0, value.as_slice()));
            frame.head.tagged_fields(fields.as_slice());
        }
        frame.finish()
    }
}

fn write_topic(frame: &mut FrameWriter, topic: FetchedTopic, version: i16, flexible: bool) {
    let head = &mut frame.head;
    if version >= 13 {
        head.raw(topic.id.as_bytes());
    } else if flexible {
        head.compact_nullable_bytes(Some(topic.name.as_bytes()));
    } else {
        head.i16(i16::try_from(topic.name.len()).expect("a topic name within an int16 length"));
        head.raw(topic.name.as_bytes());
    }
    array_len(head, topic.partitions.len(), flexible);
    for partition in topic.partitions {
        write_partition(frame, partition, version, flexible);
    }
    if flexible {
        frame.head.no_tagged_fields();
    }
}

fn write_partition(frame: &mut FrameWriter, partition: FetchedPartition, version: i16, flexible: bool) {
    let head = &mut frame.head;
    head.i32(partition.partition);
    head.i16(partition.error.code());
    head.i64(partition.high_watermark);
    if version >= 4 {
        head.i64(partition.last_stable_offset);
    }
    if version >= 5 {
        head.i64(partition.log_start_offset);
    }
    let aborted = partition.aborted_transactions.as_deref();
    if flexible {
        head.compact_nullable_array_len(aborted.map(<[_]>::len));
    } else if version >= 4 {
        head.nullable_array_len(aborted.map(<[_]>::len));
    }
    for transaction in aborted.filter(|_| version >= 4).unwrap_or_default() {
        head.i64(transaction.producer_id);
        head.i64(transaction.first_offset);
        if flexible {
            head.no_tagged_fields();
        }
    }
    if version >= 11 {
        head.i32(partition.preferred_read_replica);
    }
    array_len(head, partition.records.iter().map(Bytes::len).sum(), flexible);
    frame.append(partition.records);
    if flexible {
        let diverging_epoch = partition.diverging_epoch.map(|end| {
            let mut value = Writer::with_capacity(13);
            value.i32(end.epoch);
            value.i64(end.end_offset);
            value.no_tagged_fields();
            value
        });
        let current_leader = partition.current_leader.map(|leader| {
            let mut value = Writer::with_capacity(9);
            value.i32(leader.leader_id);
            value.i32(leader.leader_epoch);
            value.no_tagged_fields();
            value
        });
        let snapshot_id = partition.snapshot_id.map(|end| {
            let mut value = Writer::with_capacity(13);
            value.i64(end.end_offset);
            value.i32(end.epoch);
            value.no_tagged_fields();
            value
        });
        let values = [(0, &diverging_epoch), (1, &current_leader), (2, &snapshot_id)];
        let mut fields = [(0, &[][..]); 3];
        let mut count = 0;
        for (tag, value) in values {
            if let Some(value) = value {
                fields[count] = (tag, value.as_slice());
                count += 1;
            }
        }
        frame.head.tagged_fields(&fields[..count]);
    }
}

fn write_endpoint(writer: &mut Writer, endpoint: &NodeEndpoint) {
    writer.i32(endpoint.node_id);
    writer.compact_string(&endpoint.host);
    writer.i32(endpoint.port);
    writer.compact_nullable_string(endpoint.rack.as_deref());
    writer.no_tagged_fields();
}

/// The count of an array, or the length of record bytes, which is encoded alike.
fn array_len(writer: &mut Writer, length: usize, flexible: bool) {
    if flexible { writer.compact_array_len(length) } else { writer.array_len(length) }
}

/// Writes fields, and puts slices between them.
struct FrameWriter {
    /// What was written since the last slice.
    head: Writer,
    parts: Vec<Bytes>,
}

impl FrameWriter {
    fn append(&mut self, slices: Vec<Bytes>) {
        if slices.iter().all(Bytes::is_empty) {
            return;
        }
        self.parts.push(std::mem::take(&mut self.head).into_bytes());
        self.parts.extend(slices.into_iter().filter(|slice| !slice.is_empty()));
    }

    fn finish(mut self) -> Frame {
        if !self.head.is_empty() {
            self.parts.push(self.head.into_bytes());
        }
        let length = self.parts.iter().map(Bytes::len).sum::<usize>() - LENGTH_PREFIX;
        let length = i32::try_from(length).expect("a response within an int32 length");
        let mut first = BytesMut::from(std::mem::take(&mut self.parts[0]));
        first[..LENGTH_PREFIX].copy_from_slice(&length.to_be_bytes());
        self.parts[0] = first.freeze();
        Frame::new(self.parts)
    }
}
