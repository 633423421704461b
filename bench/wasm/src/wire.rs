//! What the wire costs: checksums, batches, messages, codecs.

use bytes::Bytes;
use shore_base::Random;
use shore_wire::batch::{BatchBuilder, BatchOptions, BatchView, Header};
use shore_wire::compress::Codec;
use shore_wire::error::ErrorCode;
use shore_wire::fetch::{FetchResponseBuilder, FetchedPartition, FetchedTopic};
use shore_wire::frame::{decode_request, decode_request_head, encode_request};
use shore_wire::messages::{ProduceRequest, StrBytes, produce_request};

use crate::Measured;

pub const TOPIC: &str = "orders";
pub const PRODUCE_VERSION: i16 = 9;

/// A case is repeated for so long; what it did before, for as long again, it did to get warm.
const MILLIS: f64 = 100.0;

/// One round of every case.
pub fn round(now: &dyn Fn() -> f64) -> Vec<Measured> {
    let mut measured = Vec::new();
    let mut case = |name: String, bytes: usize, work: &mut dyn FnMut() -> usize| {
        measured.push(Measured { name, megabytes_per_second: bytes as f64 / seconds(now, work) / 1e6 });
    };
    for (label, size) in [("1 KiB", 1 << 10), ("16 KiB", 1 << 14), ("1 MiB", 1 << 20)] {
        let mut bytes = vec![0; size];
        Random::stream(1, "bench").fill(&mut bytes);
        case(format!("CRC-32C, ours, {label}"), size, &mut || shore_wire::crc32c::crc32c(&bytes) as usize);
        case(format!("CRC-32C, crate crc32c, {label}"), size, &mut || crc32c::crc32c(&bytes) as usize);
    }
    for (label, size) in [("16 KiB", 1 << 14), ("1 MiB", 1 << 20)] {
        let batch = batch(size, Codec::None);
        case(format!("batch checked and walked, {label} of 100 B records"), batch.len(), &mut || walk(&batch));
        case(format!("batch built, {label} of 100 B records"), batch.len(), &mut || {
            self::batch(size, Codec::None).len()
        });
        let produce = produce(&batch);
        case(format!("Produce request read, one batch of {label}"), produce.len(), &mut || read_produce(&produce));
        case(format!("Fetch response written, one slice of {label}"), batch.len(), &mut || write_fetch(&batch));
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let size = 1 << 20;
        let plain = batch(size, Codec::None);
        let compressed = codec.compress(&plain, None).expect("compressible");
        let name = codec.name();
        case(format!("{name} compresses 1 MiB"), plain.len(), &mut || {
            codec.compress(&plain, None).map_or(0, |c| c.len())
        });
        case(format!("{name} inflates 1 MiB"), plain.len(), &mut || {
            codec.decompress(&compressed, 2 * size).map_or(0, |inflated| inflated.len())
        });
    }
    measured
}

/// How long the work takes once.
fn seconds(now: &dyn Fn() -> f64, work: &mut dyn FnMut() -> usize) -> f64 {
    let mut times = 1;
    loop {
        let start = now();
        for _ in 0..times {
            std::hint::black_box(work());
        }
        let millis = now() - start;
        if millis >= MILLIS {
            return millis / 1e3 / f64::from(times);
        }
        times *= 2;
    }
}

/// What every record holds; only their keys differ. With its key it takes 100 bytes.
const VALUE: &[u8] = br#"{"id":1042,"item":"item-037","quantity":12,"price":49999,"note":"none","paid":true}"#;

pub fn batch(size: usize, codec: Codec) -> Bytes {
    let mut batch = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
    let mut id = 0_i64;
    while batch.estimated_size() + 110 <= size {
        let key = (id * 7_919 % 99_991).to_be_bytes();
        batch.append(1_700_000_000_000 + id, Some(&key), Some(VALUE), [] as [Header; 0]);
        id += 1;
    }
    batch.finish()
}

fn walk(bytes: &[u8]) -> usize {
    let batch = BatchView::parse(bytes).expect("our own batch");
    assert!(batch.crc_matches());
    let records = batch.records(usize::MAX).expect("our own records");
    records.iter().map(|record| record.map_or(0, |record| record.value.map_or(0, <[u8]>::len))).sum()
}

pub fn produce(batch: &Bytes) -> Bytes {
    produce_to(0, batch)
}

pub fn produce_to(partition_index: i32, batch: &Bytes) -> Bytes {
    let mut partition = produce_request::PartitionProduceData::default();
    partition.index = partition_index;
    partition.records = Some(batch.clone());
    let mut topic = produce_request::TopicProduceData::default();
    topic.name = StrBytes::from(TOPIC);
    topic.partition_data.push(partition);
    let mut request = ProduceRequest::default();
    request.acks = -1;
    request.topic_data.push(topic);
    encode_request(1, Some("bench"), PRODUCE_VERSION, &request).expect("our own request").body()
}

fn read_produce(frame: &Bytes) -> usize {
    let (head, body) = decode_request_head(frame).expect("our own head");
    let request: ProduceRequest = decode_request(body, head.api_version).expect("our own request");
    request.topic_data[0].partition_data[0].records.as_ref().map_or(0, Bytes::len)
}

fn write_fetch(records: &Bytes) -> usize {
    let partition =
        FetchedPartition { error: ErrorCode::None, records: vec![records.clone()], ..FetchedPartition::default() };
    let topic = FetchedTopic { name: StrBytes::from(TOPIC), partitions: vec![partition], ..FetchedTopic::default() };
    FetchResponseBuilder { topics: vec![topic], ..FetchResponseBuilder::default() }.finish(1, 12).len()
}
