//! Record batches against an independent codec (kafka-protocol, with the C libraries of lz4 and zstd).

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType as TheirTimestampType,
};
use shore_base::Random;
use shore_wire::batch::{BatchBuilder, BatchOptions, BatchView, Header, TimestampType, batches, patch};
use shore_wire::compress::{Codec, MAX_INFLATED};

const CODECS: [(Codec, Compression); 5] = [
    (Codec::None, Compression::None),
    (Codec::Gzip, Compression::Gzip),
    (Codec::Snappy, Compression::Snappy),
    (Codec::Lz4, Compression::Lz4),
    (Codec::Zstd, Compression::Zstd),
];

/// From one record to more than any codec's block.
const SIZES: [u64; 5] = [1, 2, 17, 300, 4_000];

#[test]
fn they_read_what_we_write() {
    for (codec, compression) in CODECS {
        for (seed, size) in SIZES.into_iter().enumerate() {
            let records = generate(seed as u64, size);
            let set = RecordBatchDecoder::decode(&mut ours(&records, codec)).expect("a batch");
            assert_eq!(set.compression, compression);
            assert_eq!(set.records, records, "{} x {size}", codec.name());
        }
    }
}

#[test]
fn we_read_what_they_write() {
    for (codec, compression) in CODECS {
        for (seed, size) in SIZES.into_iter().enumerate() {
            let records = generate(seed as u64, size);
            let mut bytes = BytesMut::new();
            let options = RecordEncodeOptions { version: 2, compression };
            RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("encodable records");
            let batch = BatchView::parse(&bytes).expect("a batch");
            assert!(batch.crc_matches());
            assert_eq!(batch.size(), bytes.len());
            assert_eq!(batch.codec(), Some(codec));
            assert_eq!(read(batch), records, "{} x {size}", codec.name());
        }
    }
}

/// An uncompressed batch has only one form.
#[test]
fn without_a_codec_the_bytes_are_the_same() {
    for (seed, size) in SIZES.into_iter().enumerate() {
        let mut records = generate(seed as u64, size);
        // They take the least timestamp for the base, we the first, as Kafka does.
        records.sort_by_key(|record| record.timestamp);
        for (record, offset) in records.iter_mut().zip(BASE_OFFSET..) {
            record.offset = offset;
            record.sequence = BASE_SEQUENCE + (offset - BASE_OFFSET) as i32;
        }
        let mut theirs = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut theirs, &records, &options).expect("encodable records");
        assert_eq!(ours(&records, Codec::None), theirs, "{size} records");
    }
}

#[test]
fn a_patched_batch_is_still_sound() {
    let records = generate(9, 20);
    let mut set = [ours(&records, Codec::Lz4), ours(&records, Codec::None)].concat();
    let first = BatchView::parse(&set).expect("a batch").size();
    patch(&mut set, 1_000_000_000_000, 77);
    patch(&mut set[first..], -1, -1);
    let headers: Vec<_> = batches(&set)
        .map(|batch| batch.expect("a batch"))
        .map(|batch| (batch.base_offset(), batch.leader_epoch(), batch.crc_matches()))
        .collect();
    assert_eq!(headers, [(1_000_000_000_000, 77, true), (-1, -1, true)]);
}

const BASE_OFFSET: i64 = 100;
const BASE_SEQUENCE: i32 = 7;

fn ours(records: &[TheirRecord], codec: Codec) -> Bytes {
    let first = &records[0];
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: first.offset,
        leader_epoch: first.partition_leader_epoch,
        codec,
        producer_id: first.producer_id,
        producer_epoch: first.producer_epoch,
        base_sequence: first.sequence,
        transactional: first.transactional,
        ..BatchOptions::default()
    });
    for record in records {
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() }).collect();
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers);
    }
    builder.finish()
}

fn read(batch: BatchView<'_>) -> Vec<TheirRecord> {
    let records = batch.records(MAX_INFLATED).expect("sound records");
    records
        .iter()
        .map(|record| {
            let record = record.expect("a sound record");
            let headers = record.headers.map(|header| {
                let key = header.key_text().into_owned();
                (StrBytes::from_string(key), header.value.map(Bytes::copy_from_slice))
            });
            TheirRecord {
                transactional: batch.is_transactional(),
                control: batch.is_control(),
                delete_horizon: batch.delete_horizon().is_some(),
                partition_leader_epoch: batch.leader_epoch(),
                producer_id: batch.producer_id(),
                producer_epoch: batch.producer_epoch(),
                timestamp_type: match batch.timestamp_type() {
                    TimestampType::CreateTime => TheirTimestampType::Creation,
                    TimestampType::LogAppendTime => TheirTimestampType::LogAppend,
                },
                offset: record.offset,
                sequence: batch.base_sequence() + record.offset_delta,
                timestamp: record.timestamp,
                key: record.key.map(Bytes::copy_from_slice),
                value: record.value.map(Bytes::copy_from_slice),
                headers: headers.collect(),
            }
        })
        .collect()
}

fn generate(seed: u64, count: u64) -> Vec<TheirRecord> {
    let mut random = Random::stream(seed, "batches");
    let transactional = random.percent(50);
    (0..count)
        .map(|index| {
            let mut headers = IndexMap::new();
            for header in 0..random.below(4) {
                headers.insert(StrBytes::from_string(format!("header-{header}")), payload(&mut random, 20));
            }
            TheirRecord {
                transactional,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: 3,
                producer_id: 4_000,
                producer_epoch: 2,
                timestamp_type: TheirTimestampType::Creation,
                offset: BASE_OFFSET + index as i64,
                sequence: BASE_SEQUENCE + index as i32,
                // Not in order: a producer's clock may go back.
                timestamp: 1_700_000_000_000 + random.below(5_000) as i64,
                key: payload(&mut random, 30),
                value: payload(&mut random, 400),
                headers,
            }
        })
        .collect()
}

/// Null, empty, noise, or something that compresses.
fn payload(random: &mut Random, longest: u64) -> Option<Bytes> {
    let length = random.below(longest + 1) as usize;
    match random.below(4) {
        0 => None,
        1 => {
            let mut noise = vec![0; length];
            random.fill(&mut noise);
            Some(noise.into())
        }
        _ => Some(b"compressible ".iter().copied().cycle().take(length).collect()),
    }
}
