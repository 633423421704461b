//! A client of a few lines, which can also misbehave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use shore_wire::batch::{BatchBuilder, BatchOptions, batches};
use shore_wire::error::ErrorCode;
use shore_wire::frame;
use shore_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use shore_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use shore_wire::messages::*;

/// Longer than any answer takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;

pub struct Client {
    pub socket: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub fn connect(address: &str) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, correlation_id: 0 }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// The next answer's body, or `None` if the broker has closed the connection.
    pub fn receive(&mut self) -> Option<Bytes> {
        let mut prefix = [0; 4];
        if let Err(error) = self.socket.read_exact(&mut prefix) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "neither an answer nor an end");
            return None;
        }
        let mut body = vec![0; u32::from_be_bytes(prefix) as usize];
        self.socket.read_exact(&mut body).ok()?;
        Some(Bytes::from(body))
    }

    pub fn is_closed(&mut self) -> bool {
        self.receive().is_none()
    }

    pub fn ask<M: KafkaRequest>(&mut self, version: i16, request: &M) {
        self.correlation_id += 1;
        let frame = frame::encode_request(self.correlation_id, Some("it"), version, request).unwrap();
        self.send(&frame.into_bytes());
    }

    pub fn call<M: KafkaRequest, R: KafkaResponse>(&mut self, version: i16, request: &M) -> R {
        self.ask(version, request);
        let (correlation_id, response) = frame::decode_response(self.receive().expect("an answer"), version).unwrap();
        assert_eq!(correlation_id, self.correlation_id);
        response
    }

    /// The names of all topics that are not internal.
    pub fn topics(&mut self) -> Vec<(String, usize)> {
        let mut request = MetadataRequest::default();
        request.topics = None;
        let response: MetadataResponse = self.call(9, &request);
        let outer = response.topics.iter().filter(|topic| !topic.is_internal);
        outer.map(|topic| (topic.name.as_ref().unwrap().as_str().to_owned(), topic.partitions.len())).collect()
    }

    /// Sends one record and does not wait for the answer.
    pub fn ask_to_produce(&mut self, topic: &str, partition: i32, value: &[u8]) {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(1_700_000_000_000, Some(b"key"), Some(value), std::iter::empty());
        let mut data = PartitionProduceData::default();
        data.index = partition;
        data.records = Some(builder.finish());
        let mut topic_data = TopicProduceData::default();
        topic_data.name = StrBytes::from(topic.to_owned());
        topic_data.partition_data.push(data);
        let mut request = ProduceRequest::default();
        request.acks = -1;
        request.timeout_ms = 30_000;
        request.topic_data.push(topic_data);
        self.ask(PRODUCE, &request);
    }

    /// The offset of the oldest record that is not yet answered, or its error; `None` if the broker is gone.
    pub fn answer_to_produce(&mut self) -> Option<Result<i64, i16>> {
        let (_, response) = frame::decode_response::<ProduceResponse>(self.receive()?, PRODUCE).unwrap();
        let partition = &response.responses[0].partition_responses[0];
        let is_good = partition.error_code == ErrorCode::None.code();
        Some(if is_good { Ok(partition.base_offset) } else { Err(partition.error_code) })
    }

    /// As above, for a record that must have been taken.
    pub fn acknowledged(&mut self) -> Option<i64> {
        self.answer_to_produce().map(|answer| answer.expect("no error"))
    }

    pub fn produce(&mut self, topic: &str, partition: i32, value: &[u8]) -> i64 {
        self.ask_to_produce(topic, partition, value);
        self.acknowledged().expect("an acknowledgement")
    }

    pub fn ask_to_fetch(&mut self, topic: &str, partition: i32, offset: i64) {
        let mut wanted = FetchPartition::default();
        wanted.partition = partition;
        wanted.fetch_offset = offset;
        wanted.partition_max_bytes = 8 << 20;
        let mut fetch_topic = FetchTopic::default();
        fetch_topic.topic = StrBytes::from(topic.to_owned());
        fetch_topic.partitions.push(wanted);
        let mut request = FetchRequest::default();
        request.max_bytes = 8 << 20;
        request.min_bytes = 0;
        request.session_epoch = -1;
        request.topics.push(fetch_topic);
        self.ask(FETCH, &request);
    }

    /// Every record of a partition: its offset and its value.
    pub fn read_all(&mut self, topic: &str, partition: i32) -> Vec<(i64, Vec<u8>)> {
        let mut records = Vec::new();
        let mut offset = 0;
        loop {
            self.ask_to_fetch(topic, partition, offset);
            let body = self.receive().expect("an answer");
            let (_, response) = frame::decode_response::<FetchResponse>(body, FETCH).unwrap();
            let fetched = &response.responses[0].partitions[0];
            assert_eq!(fetched.error_code, ErrorCode::None.code());
            for batch in batches(fetched.records.as_deref().unwrap_or_default()) {
                let batch = batch.unwrap();
                assert!(batch.crc_matches());
                for record in batch.records(1 << 20).unwrap().iter() {
                    let record = record.unwrap();
                    records.push((record.offset, record.value.unwrap().to_vec()));
                }
                offset = batch.next_offset();
            }
            if offset >= fetched.high_watermark {
                return records;
            }
        }
    }
}
