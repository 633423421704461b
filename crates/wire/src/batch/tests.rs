//! The rules of the format that no referee holds: what a batch may not be, and what is done to it.

use super::*;
use crate::compress::MAX_INFLATED;

fn header<'a>(key: &'a str, value: Option<&'a [u8]>) -> Header<'a> {
    Header { key: key.as_bytes(), value }
}

fn two_records(codec: Codec) -> Vec<u8> {
    let mut batch = BatchBuilder::new(BatchOptions { base_offset: 40, codec, ..BatchOptions::default() });
    batch.append(1_000, Some(b"key"), Some(b"value"), [header("trace", Some(b"1")), header("trace", None)]);
    batch.append(900, None, None, []);
    batch.finish().to_vec()
}

fn reseal(batch: &mut [u8]) {
    let crc = crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// The first error that reading everything comes to.
fn refusal(bytes: &[u8]) -> Result<(), BatchError> {
    for batch in batches(bytes) {
        for record in &batch?.records(MAX_INFLATED)? {
            record?;
        }
    }
    Ok(())
}

#[test]
fn records_come_back_in_order_with_every_header() {
    for codec in Codec::ALL {
        let bytes = two_records(codec);
        let batch = BatchView::parse(&bytes).unwrap();
        assert!(batch.crc_matches());
        assert_eq!((batch.base_offset(), batch.last_offset(), batch.count()), (40, 41, 2));
        assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_000, 1_000));
        let records = batch.records(MAX_INFLATED).unwrap();
        let records: Vec<_> = records.iter().map(Result::unwrap).collect();
        assert_eq!((records[0].offset, records[0].timestamp), (40, 1_000));
        assert_eq!((records[0].key, records[0].value), (Some(&b"key"[..]), Some(&b"value"[..])));
        let headers: Vec<_> = records[0].headers.collect();
        assert_eq!(headers, [header("trace", Some(b"1")), header("trace", None)]);
        assert_eq!((records[1].offset, records[1].timestamp), (41, 900));
        assert_eq!((records[1].key, records[1].value, records[1].headers.len()), (None, None, 0));
    }
}

#[test]
fn the_builder_knows_its_size_and_compaction_may_leave_gaps() {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    for delta in [0, 3, 200] {
        batch.append_at(delta, 5, None, Some(b"kept"), []);
    }
    let estimated = batch.estimated_size();
    let bytes = batch.finish();
    assert_eq!(bytes.len(), estimated);
    let batch = BatchView::parse(&bytes).unwrap();
    assert_eq!((batch.count(), batch.last_offset_delta()), (3, 200));
    let records = batch.records(MAX_INFLATED).unwrap();
    assert_eq!(records.iter().map(|record| record.unwrap().offset).collect::<Vec<_>>(), [0, 3, 200]);
}

#[test]
fn the_broker_stamps_every_record_at_once() {
    let mut bytes = two_records(Codec::Zstd);
    set_log_append_time(&mut bytes, 5_555);
    let batch = BatchView::parse(&bytes).unwrap();
    assert!(batch.crc_matches());
    assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_000, 5_555));
    let records = batch.records(MAX_INFLATED).unwrap();
    assert_eq!(records.iter().map(|record| record.unwrap().timestamp).collect::<Vec<_>>(), [5_555, 5_555]);

    set_max_timestamp(&mut bytes, 1_000);
    assert_eq!(bytes, two_records(Codec::Zstd));
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(increment_sequence(5, 3), 8);
    assert_eq!(increment_sequence(i32::MAX, 1), 0);
    assert_eq!(increment_sequence(i32::MAX - 1, 3), 1);
}

#[test]
fn a_marker_names_its_kind_and_its_coordinator() {
    for (kind, id) in [(ControlKind::Commit, 1), (ControlKind::Abort, 0)] {
        let bytes = end_transaction_marker(kind, 9, 3, 12, 1_000);
        let batch = BatchView::parse(&bytes).unwrap();
        assert!(batch.crc_matches() && batch.is_control() && batch.is_transactional());
        assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (9, 3, -1));
        assert_eq!(batch.last_sequence(), -1);
        let records = batch.records(MAX_INFLATED).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        assert_eq!(record.key, Some(&[0, 0, 0, id][..]));
        assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 12][..]));
        assert_eq!(ControlKind::of(&record), Some(kind));
    }
}

#[test]
fn a_torn_tail_is_told_from_nonsense() {
    let bytes = two_records(Codec::None);
    for end in 1..bytes.len() {
        let needed = if end < LOG_OVERHEAD { LOG_OVERHEAD } else { bytes.len() };
        assert_eq!(refusal(&bytes[..end]), Err(BatchError::Torn { needed, remaining: end }));
    }
    let twice = [bytes.clone(), bytes.clone(), bytes[..30].to_vec()].concat();
    let mut found = batches(&twice);
    assert!(found.next().unwrap().is_ok() && found.next().unwrap().is_ok());
    assert_eq!(found.position(), 2 * bytes.len());
    assert_eq!(found.next(), Some(Err(BatchError::Torn { needed: bytes.len(), remaining: 30 })));
    assert_eq!(found.next(), None);
}

/// One change to a sound batch, and what it is refused for.
type Break = (fn(&mut Vec<u8>), BatchError);

#[test]
fn what_is_no_batch_is_refused() {
    let cases: [Break; 12] = [
        (|bytes| bytes[8..12].fill(0xff), BatchError::BadLength { length: -1 }),
        (|bytes| bytes[8..12].copy_from_slice(&13_i32.to_be_bytes()), BatchError::BadLength { length: 13 }),
        (|bytes| bytes[8..12].copy_from_slice(&48_i32.to_be_bytes()), BatchError::BadLength { length: 48 }),
        (|bytes| bytes[MAGIC_AT] = 1, BatchError::Magic { magic: 1 }),
        (|bytes| bytes[MAGIC_AT] = 3, BatchError::Magic { magic: 3 }),
        (|bytes| bytes[ATTRIBUTES_AT + 1] = 5, BatchError::UnknownCodec { id: 5 }),
        (|bytes| bytes[COUNT_AT + 3] = 1, BatchError::BadCount { count: 1 }),
        (|bytes| bytes[COUNT_AT + 3] = 3, BatchError::BadCount { count: 3 }),
        (|bytes| bytes[COUNT_AT] = 0x7f, BatchError::BadCount { count: 0x7f00_0002 }),
        (|bytes| bytes[COUNT_AT] = 0xff, BatchError::BadCount { count: 0xff00_0002_u32 as i32 }),
        (|bytes| bytes[BATCH_HEADER] = 1, BatchError::BadRecord { index: 0, what: "its length is negative" }),
        (|bytes| bytes[BATCH_HEADER] += 2, BatchError::BadRecord { index: 0, what: "it is longer than its fields" }),
    ];
    for (break_it, error) in cases {
        let mut bytes = two_records(Codec::None);
        break_it(&mut bytes);
        assert_eq!(refusal(&bytes), Err(error));
    }
    // The CRC covers everything from the attributes on, and nothing before.
    let sound = two_records(Codec::None);
    for at in 0..sound.len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        let Ok(batch) = BatchView::parse(&bytes) else { continue };
        assert_eq!(batch.crc_matches(), at < 16 && !(8..12).contains(&at), "byte {at}");
    }
}

#[test]
fn a_codec_named_wrongly_is_corrupt_and_not_more() {
    for codec in Codec::ALL {
        let mut bytes = two_records(Codec::None);
        bytes[ATTRIBUTES_AT + 1] = codec.id() as u8;
        reseal(&mut bytes);
        match (codec, refusal(&bytes)) {
            (Codec::None, Ok(())) | (_, Err(BatchError::Compression(_))) => {}
            (codec, other) => panic!("{}: {other:?}", codec.name()),
        }
    }
}

/// The rule of a survey, record by record.
fn surveyed(records: &Records<'_>) -> Result<Survey, BatchError> {
    let mut survey = Survey {
        lowest_timestamp: i64::MAX,
        highest_timestamp: -1,
        every_record_has_a_key: true,
        offsets_in_order: true,
    };
    for (index, record) in records.iter().enumerate() {
        let record = record?;
        let stamped = Some(record.timestamp).filter(|&timestamp| timestamp != -1);
        survey.lowest_timestamp = survey.lowest_timestamp.min(stamped.unwrap_or(i64::MAX));
        survey.highest_timestamp = survey.highest_timestamp.max(record.timestamp);
        survey.every_record_has_a_key &= record.key.is_some();
        survey.offsets_in_order &= record.offset_delta == index as i32;
    }
    Ok(survey)
}

#[test]
fn a_survey_finds_what_the_records_say_and_nothing_in_what_is_malformed() {
    let mut gaps = BatchBuilder::new(BatchOptions::default());
    for (delta, timestamp) in [(0, 7), (2, -1), (3, -20), (500, i64::MAX)] {
        gaps.append_at(delta, timestamp, Some(b"key"), Some(&[0; 200]), [header("h", None)]);
    }
    let sound = [two_records(Codec::None), two_records(Codec::Gzip), gaps.finish().to_vec()];
    let mut malformed = 0;
    for sound in sound {
        for (at, bit) in (0..sound.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << bit;
            for bytes in [&sound, &bytes] {
                let Ok(batch) = BatchView::parse(bytes) else { continue };
                let Ok(records) = batch.records(MAX_INFLATED) else { continue };
                if batch.timestamp_type() == TimestampType::CreateTime {
                    malformed += usize::from(records.survey().is_none());
                    assert_eq!(records.survey(), surveyed(&records).ok(), "bit {bit} of byte {at}");
                }
            }
        }
    }
    assert!(malformed > 100, "{malformed}");
}
