use shore_log::{CleanupPolicy, Compression, LogConfig, Origin};
use shore_wire::batch::{self, BatchBuilder, BatchOptions, BatchView, TimestampType};
use shore_wire::compress::Codec;
use shore_wire::crc32c::crc32c;
use shore_wire::error::ErrorCode;

use crate::support::{Disk, NOW, at, batch, batch_at, batch_of, outline};

fn mended(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// A good batch with some bytes changed, and the checksum as it then is.
fn changed(at: usize, to: &[u8]) -> Vec<u8> {
    let mut bytes = batch(3).to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    mended(bytes)
}

fn keyless() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for key in [Some(&b"a"[..]), None, Some(b"b"), None] {
        builder.append(NOW.as_millis(), key, Some(b"value"), []);
    }
    builder.finish().to_vec()
}

#[test]
fn offsets_and_epochs_are_assigned() {
    let mut disk = Disk::new(LogConfig::default());
    let appended = disk.append_in(3, &batch(2));
    assert_eq!((appended.base_offset, appended.last_offset, appended.duplicate), (0, 1, false));
    assert_eq!(appended.log_append_time, -1);
    disk.append_in(3, &batch(1));
    disk.append_in(5, &batch(4));
    assert_eq!(disk.log.end_offset(), 7);
    let contents = disk.contents();
    assert_eq!(outline(&contents), [(0, 1, 3), (2, 2, 3), (3, 6, 5)]);
    assert_eq!(disk.log.end_offset_for_epoch(3), (3, 3));
    assert_eq!(disk.log.end_offset_for_epoch(5), (5, 7));
    // The bytes are those that came, apart from base offset and epoch.
    assert_eq!(contents[16..batch(2).len()], batch(2)[16..]);
}

#[test]
fn what_a_client_must_not_send_is_refused_with_kafkas_code() {
    let good = batch(3).to_vec();
    let mut torn_crc = good.clone();
    torn_crc[70] ^= 1;
    let control = batch_at(&[1], BatchOptions { control: true, ..BatchOptions::default() });
    let producer = |id: i64, sequence: i32| {
        mended([&good[..43], &id.to_be_bytes(), &0_i16.to_be_bytes(), &sequence.to_be_bytes(), &good[57..]].concat())
    };
    let unknown_codec = changed(21, &5_i16.to_be_bytes());
    let garbled_gzip = changed(21, &1_i16.to_be_bytes());
    let cases: Vec<(&str, Vec<u8>, ErrorCode)> = vec![
        ("nothing", Vec::new(), ErrorCode::InvalidRecord),
        ("a torn batch", good[..good.len() - 1].to_vec(), ErrorCode::InvalidRecord),
        ("two batches", [&good[..], &good].concat(), ErrorCode::InvalidRecord),
        ("a wrong checksum", torn_crc, ErrorCode::CorruptMessage),
        ("a length too short for a batch", [&[0; 8][..], &[0, 0, 0, 5], &[0; 60]].concat(), ErrorCode::CorruptMessage),
        (
            "an older format, in which the checksum stands elsewhere",
            {
                let mut old = good.clone();
                old[16] = 1;
                old
            },
            ErrorCode::CorruptMessage,
        ),
        (
            "a format that never was",
            {
                let mut never = good.clone();
                never[16] = 3;
                never
            },
            ErrorCode::CorruptMessage,
        ),
        (
            "a base offset",
            {
                let mut moved = good.clone();
                moved[7] = 1;
                moved
            },
            ErrorCode::InvalidRecord,
        ),
        ("a negative last offset", changed(23, &(-1_i32).to_be_bytes()), ErrorCode::InvalidRecord),
        ("a larger offset range", changed(23, &3_i32.to_be_bytes()), ErrorCode::InvalidRecord),
        ("no records", changed(57, &0_i32.to_be_bytes()), ErrorCode::InvalidRecord),
        ("a negative count", changed(57, &(-3_i32).to_be_bytes()), ErrorCode::InvalidRecord),
        ("a count larger than the range", changed(57, &4_i32.to_be_bytes()), ErrorCode::InvalidRecord),
        (
            "count and range beyond the records",
            {
                let bytes = changed(57, &4_i32.to_be_bytes());
                mended([&bytes[..23], &3_i32.to_be_bytes(), &bytes[27..]].concat())
            },
            ErrorCode::InvalidRecord,
        ),
        ("a control batch", control.to_vec(), ErrorCode::InvalidRecord),
        ("a producer without a sequence", producer(7, -1), ErrorCode::InvalidRecord),
        ("an unknown codec", unknown_codec, ErrorCode::UnknownServerError),
        ("what is not gzip", garbled_gzip, ErrorCode::UnknownServerError),
    ];
    let mut disk = Disk::new(LogConfig::default());
    for (what, bytes, code) in cases {
        let refused = disk.append(&bytes).expect_err(what);
        assert_eq!(refused.code, code, "{what}: {}", refused.message);
        assert_eq!(disk.log.end_offset(), 0, "{what}");
        assert!(disk.log.take_ops().is_empty(), "{what}");
    }
    disk.append(&good).expect("the batch that the others were made of");
    disk.append(&producer(7, 0)).expect("a producer with a sequence");
}

#[test]
fn a_broken_tail_after_a_whole_batch_is_ignored() {
    let mut disk = Disk::new(LogConfig::default());
    let bytes = [&batch(3)[..], &batch(3)[..20]].concat();
    assert_eq!(disk.append(&bytes).expect("one whole batch").bytes, batch(3).len());
    assert_eq!(outline(&disk.contents()), [(0, 2, 0)]);
}

#[test]
fn every_prefix_and_every_flipped_bit_is_refused_or_harmless() {
    let good = batch_of(7, 0, 0, 2).to_vec();
    for len in 0..good.len() {
        Disk::new(LogConfig::default()).append(&good[..len]).expect_err("a torn batch");
    }
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut disk = Disk::new(LogConfig::default());
        let outcome = disk.append(&bytes);
        // Offset and epoch are assigned anyway, and not under the checksum.
        let harmless = (12..16).contains(&(bit / 8));
        assert_eq!(outcome.is_ok(), harmless, "bit {bit}: {outcome:?}");
        // The same with a checksum that fits: whatever is taken can be read back.
        if bit / 8 >= 21 && disk.append(&mended(bytes)).is_ok() {
            let contents = disk.contents();
            assert_eq!(outline(&contents).len(), 1);
        }
    }
}

#[test]
fn a_batch_is_no_larger_than_max_message_bytes_nor_than_a_segment() {
    let size = batch(3).len() as u32;
    let cases = [
        (LogConfig { max_message_bytes: size - 1, ..LogConfig::default() }, Some(ErrorCode::MessageTooLarge)),
        (LogConfig { segment_bytes: size - 1, ..LogConfig::default() }, Some(ErrorCode::RecordListTooLarge)),
        (LogConfig { max_message_bytes: size, segment_bytes: size, ..LogConfig::default() }, None),
    ];
    for (config, code) in cases {
        assert_eq!(Disk::new(config).append(&batch(3)).err().map(|error| error.code), code);
    }
}

#[test]
fn a_compacted_topic_takes_no_record_without_a_key() {
    let cleanup_policy = CleanupPolicy { delete: false, compact: true };
    let mut disk = Disk::new(LogConfig { cleanup_policy, ..LogConfig::default() });
    let refused = disk.append(&keyless()).expect_err("no key");
    assert_eq!(refused.code, ErrorCode::InvalidRecord);
    let indices: Vec<i32> = refused.records.iter().map(|record| record.index).collect();
    assert_eq!(indices, [1, 3]);
    assert_eq!(
        refused.records[0].message,
        "Compacted topic cannot accept message without key in topic partition orders-0"
    );
    assert!(refused.message.starts_with("One or more records have been rejected due to 2 record errors in total"));
    Disk::new(LogConfig::default()).append(&keyless()).expect("other topics take it");
}

#[test]
fn create_times_must_lie_within_their_limits() {
    let config = LogConfig { timestamp_before_max_ms: 1000, timestamp_after_max_ms: 500, ..LogConfig::default() };
    let now = NOW.as_millis();
    let cases =
        [(now, true), (now - 1000, true), (now - 1001, false), (now + 500, true), (now + 501, false), (-1, true)];
    for (timestamp, fits) in cases {
        let outcome = Disk::new(config.clone()).append(&batch_at(&[now, timestamp], BatchOptions::default()));
        match outcome {
            Ok(_) => assert!(fits, "{timestamp}"),
            Err(refused) => {
                assert!(!fits, "{timestamp}");
                assert_eq!(refused.code, ErrorCode::InvalidTimestamp);
                assert_eq!(refused.records[0].index, 1);
                assert_eq!(refused.message, "One or more records have been rejected due to invalid timestamp");
            }
        }
    }
    let stamping = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..config };
    Disk::new(stamping).append(&batch_at(&[1], BatchOptions::default())).expect("it is stamped anyway");
}

#[test]
fn log_append_time_stamps_the_batch_and_mends_its_checksum() {
    let config = LogConfig { timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    for codec in Codec::ALL {
        let mut disk = Disk::new(config.clone());
        let sent = batch_at(&[5, 9, 7], BatchOptions { codec, ..BatchOptions::default() });
        let appended =
            disk.log.append(&sent, Origin::Client { leader_epoch: 0, guard: None }, at(70)).expect("a good batch");
        assert_eq!(appended.log_append_time, at(70).as_millis());
        let contents = disk.contents();
        assert_eq!(outline(&contents), [(0, 2, 0)]);
        let view = BatchView::parse(&contents).expect("a batch");
        assert_eq!(view.timestamp_type(), TimestampType::LogAppendTime);
        for record in &view.records(1 << 20).expect("records") {
            assert_eq!(record.expect("a record").timestamp, at(70).as_millis());
        }
        let already =
            batch_at(&[5], BatchOptions { timestamp_type: TimestampType::LogAppendTime, ..BatchOptions::default() });
        let refused = disk.append(&already).expect_err("only the broker stamps");
        assert_eq!(refused.code, ErrorCode::InvalidTimestamp);
    }
}

#[test]
fn a_wrong_largest_timestamp_is_mended() {
    for codec in Codec::ALL {
        let mut wrong = batch_at(&[5, 9, 7], BatchOptions { codec, ..BatchOptions::default() }).to_vec();
        wrong[35..43].copy_from_slice(&12345_i64.to_be_bytes());
        let mut disk = Disk::new(LogConfig::default());
        disk.append(&mended(wrong)).expect("a batch");
        let contents = disk.contents();
        assert_eq!(outline(&contents).len(), 1);
        assert_eq!(BatchView::parse(&contents).expect("a batch").max_timestamp(), 9);
    }
}

#[test]
fn the_topics_codec_stands_over_the_producers() {
    let targets = [
        (Compression::Producer, None),
        (Compression::Uncompressed, Some(Codec::None)),
        (Compression::Gzip { level: -1 }, Some(Codec::Gzip)),
        (Compression::Snappy, Some(Codec::Snappy)),
        (Compression::Lz4 { level: 9 }, Some(Codec::Lz4)),
        (Compression::Zstd { level: 3 }, Some(Codec::Zstd)),
    ];
    for (compression, target) in targets {
        for codec in Codec::ALL {
            let options =
                BatchOptions { codec, producer_id: 4, producer_epoch: 1, base_sequence: 8, ..BatchOptions::default() };
            let sent = batch_at(&[5, 9, 7], options);
            let mut disk = Disk::new(LogConfig { compression, ..LogConfig::default() });
            disk.append(&sent).expect("a good batch");
            let contents = disk.contents();
            assert_eq!(outline(&contents), [(0, 2, 0)]);
            let view = BatchView::parse(&contents).expect("a batch");
            assert_eq!(view.codec(), Some(target.unwrap_or(codec)));
            assert_eq!((view.producer_id(), view.producer_epoch(), view.base_sequence()), (4, 1, 8));
            assert_eq!(view.max_timestamp(), 9);
            let values = |bytes: &[u8]| -> Vec<(i64, Vec<u8>)> {
                let records = BatchView::parse(bytes).expect("a batch").records(1 << 20).expect("records");
                records
                    .iter()
                    .map(|record| record.expect("a record"))
                    .map(|record| (record.timestamp, record.value.expect("a value").to_vec()))
                    .collect()
            };
            assert_eq!(values(&contents), values(&sent));
        }
    }
}

#[test]
fn wrong_offsets_within_a_compressed_batch_are_mended() {
    let mut builder = BatchBuilder::new(BatchOptions { codec: Codec::Gzip, ..BatchOptions::default() });
    builder.append_at(0, 5, None, Some(b"a"), []);
    builder.append_at(2, 5, None, Some(b"b"), []);
    builder.append_at(7, 5, None, Some(b"c"), []);
    let mut sent = builder.finish().to_vec();
    sent[23..27].copy_from_slice(&2_i32.to_be_bytes());
    let mut disk = Disk::new(LogConfig::default());
    disk.append(&mended(sent)).expect("it is mended");
    let contents = disk.contents();
    let records = BatchView::parse(&contents).expect("a batch").records(1 << 20).expect("records");
    let offsets: Vec<i64> = records.iter().map(|record| record.expect("a record").offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
}

#[test]
fn a_follower_keeps_offsets_and_epochs() {
    let mut leader = Disk::new(LogConfig::default());
    for (epoch, records) in [(0, 2), (0, 1), (4, 3)] {
        leader.append_in(epoch, &batch(records));
    }
    let copied = leader.contents();
    let mut follower = Disk::new(LogConfig::default());
    let torn = [&copied[..], &copied[..50]].concat();
    let appended = follower.log.append(&torn, Origin::Replica, NOW).expect("the leader's batches");
    assert_eq!((appended.base_offset, appended.last_offset, appended.bytes), (0, 5, copied.len()));
    assert_eq!(follower.contents(), copied);
    assert_eq!(follower.log.end_offset_for_epoch(0), (0, 3));
    let again = follower.log.append(&copied, Origin::Replica, NOW).expect_err("below the log's end");
    assert_eq!(again.code, ErrorCode::CorruptMessage);
    assert_eq!(follower.contents(), copied);
}

#[test]
fn a_batch_is_written_as_one_append() {
    let mut disk = Disk::new(LogConfig::default());
    disk.append(&batch(3)).expect("a good batch");
    disk.append(&batch(1)).expect("a good batch");
    let ops = disk.log.take_ops();
    let written = crate::support::files(&ops);
    assert_eq!(
        written,
        [
            "replace leader-epoch-checkpoint".to_owned(),
            "append 00000000000000000000.log 0".to_owned(),
            format!("append 00000000000000000000.log {}", batch(3).len())
        ]
    );
    assert_eq!(batch::batches(&batch(3)).count(), 1);
}
