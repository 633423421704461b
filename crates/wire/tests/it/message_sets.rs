//! Message sets against Apache Kafka 3.9.1 (tests/wire/message-sets.txt, by MessageSets.java), and damaged ones.

use std::path::Path;

use shore_wire::batch::{BatchBuilder, BatchOptions, BatchView, Record, batches};
use shore_wire::compress::Codec;
use shore_wire::message_set::{DownConvertError, Message, MessageSet, down_convert, is_torn, messages};

/// Where the reader of the `down` lines begins, as in MessageSets.java.
const FETCH_OFFSET: i64 = 501;
const CAP: usize = 1 << 20;

/// Direction, codec, format, what was there, what Apache Kafka made of it.
fn vectors(direction: &str) -> Vec<(Codec, i8, Vec<u8>, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/message-sets.txt");
    let text = std::fs::read_to_string(path).expect("run `node tests/wire/message-sets.mjs`");
    let parse = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let bytes = |digits: &str| -> Vec<u8> {
            let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
            (0..digits.len()).step_by(2).map(byte).collect()
        };
        let codec = Codec::from_name(words[1]).expect("a codec");
        (words[0] == direction).then(|| (codec, words[2].parse().expect("a format"), bytes(words[3]), bytes(words[4])))
    };
    let found: Vec<_> = text.lines().filter_map(parse).collect();
    assert!(found.len() >= 8, "only {} lines {direction}", found.len());
    found
}

#[test]
fn messages_are_read_as_the_records_that_apache_kafka_stores() {
    for (codec, magic, set, stored) in vectors("up") {
        let place = format!("{codec:?} format {magic}");
        let set = MessageSet::open(&set, CAP).expect(&place);
        assert_eq!((set.magic, set.codec, set.is_compressed()), (magic, codec, codec != Codec::None), "{place}");
        let batch = BatchView::parse(&stored).expect(&place);
        let records = batch.records(CAP).expect(&place);
        let fields =
            |record: Record<'_>| (record.timestamp, record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
        let ours: Vec<_> = set.records().map(|record| fields(record.expect(&place))).collect();
        let theirs: Vec<_> = records.iter().map(|record| fields(record.expect(&place))).collect();
        assert_eq!(ours, theirs, "{place}");
        assert_eq!(
            (ours.len(), batch.max_timestamp()),
            (5, if magic == 0 { -1 } else { 1_600_000_000_009 }),
            "{place}"
        );
    }
}

#[test]
fn batches_become_the_messages_that_apache_kafka_makes_of_them() {
    for (codec, magic, log, answer) in vectors("down") {
        let place = format!("{codec:?} format {magic}");
        let ours = down_convert(&log, magic, FETCH_OFFSET).expect(&place);
        if codec == Codec::None {
            assert_eq!(ours, answer, "{place}");
            continue;
        }
        // Compressors differ, and with them lengths and checksums; what is compressed does not.
        let opened = |bytes: &[u8]| {
            let mut wrappers = Vec::new();
            let mut at = 0;
            for message in messages(bytes) {
                let Message { offset, attributes, timestamp, key, .. } = message.clone().expect(&place);
                assert_eq!(key, None, "{place}");
                let end = at + message.expect(&place).size();
                let inner = MessageSet::open(&bytes[at..end], CAP).expect(&place).payload().to_vec();
                wrappers.push((offset, attributes, timestamp, inner));
                at = end;
            }
            assert_eq!(at, bytes.len(), "{place}");
            wrappers
        };
        assert_eq!(opened(&ours), opened(&answer), "{place}");
        assert_eq!(opened(&ours).len(), 3, "{place}");
    }
}

fn batch(options: BatchOptions, values: &[&str]) -> Vec<u8> {
    let mut batch = BatchBuilder::new(options);
    for value in values {
        batch.append(1_600_000_000_000, None, Some(value.as_bytes()), []);
    }
    batch.finish().to_vec()
}

#[test]
fn a_set_ends_within_a_message_where_it_would_be_longer_than_its_batches() {
    // Without their headers of 61 bytes, many small records are shorter in a batch than as messages.
    let first = batch(BatchOptions::default(), &["a"; 100]);
    let second = batch(BatchOptions { base_offset: 100, ..BatchOptions::default() }, &["b"; 100]);
    let alone = down_convert(&first, 1, 0).expect("messages");
    assert!(alone.len() > first.len());
    assert_eq!(messages(&alone).count(), 100);
    // The first batch is always given whole, and what follows takes no more than the batches did.
    let both = down_convert(&[first.clone(), second.clone()].concat(), 1, 0).expect("messages");
    assert_eq!(both.len(), alone.len().max(first.len() + second.len()));
    assert_eq!(&both[..alone.len()], &alone[..]);
    assert!(messages(&both).all(|message| message.is_ok()));
}

#[test]
fn zstd_cannot_be_converted_and_what_precedes_it_can() {
    let plain = batch(BatchOptions::default(), &["a"]);
    let zstd = batch(BatchOptions { base_offset: 1, codec: Codec::Zstd, ..BatchOptions::default() }, &["b"]);
    assert_eq!(down_convert(&zstd, 1, 1), Err(DownConvertError::Zstd));
    assert_eq!(down_convert(&[plain.clone(), zstd].concat(), 1, 0), down_convert(&plain, 1, 0));
    assert_eq!(down_convert(&[], 0, 0), Ok(Vec::new()));
}

#[test]
fn where_all_is_left_out_the_beginning_of_a_message_tells_so() {
    let options = BatchOptions { control: true, ..BatchOptions::default() };
    let answer = down_convert(&batch(options, &["marker"]), 1, 0).expect("an answer");
    assert_eq!((answer.len(), is_torn(&answer), messages(&answer).count()), (12, true, 0));
}

#[test]
fn damaged_sets_are_refused_and_torn_ones_end_early() {
    for (codec, magic, set, _) in vectors("up") {
        for at in 0..set.len() {
            let place = format!("{codec:?} format {magic} byte {at}");
            let mut damaged = set.clone();
            damaged[at] ^= 0x10;
            let all = |set: &MessageSet<'_>| set.records().all(|record| record.is_ok());
            // Only offsets and sizes are not under a checksum; a size that is too large tears the set.
            let is_taken = MessageSet::open(&damaged, CAP).is_ok_and(|set| all(&set));
            let is_framing = codec != Codec::None
                || messages(&damaged[..at]).map(|it| it.map_or(0, |it| it.size())).sum::<usize>() + 12 > at;
            assert!(!is_taken || is_framing, "{place}");
            assert!(!is_taken || codec == Codec::None || at < 12, "{place}");
            let torn = &set[..at];
            let count = MessageSet::open(torn, CAP).map_or(0, |set| set.records().count());
            assert!(count < 5 && (count == 0) == is_torn(torn), "{place}");
        }
    }
}

#[test]
fn an_old_lz4_may_have_either_checksum_of_its_header() {
    let found = vectors("down").into_iter().find(|(codec, magic, ..)| (*codec, *magic) == (Codec::Lz4, 0));
    let (_, magic, log, answer) = found.expect("a line");
    // The frame's header is the wrapper's first bytes after 26 bytes of fields, its checksum the seventh of them.
    let checksum = |set: &[u8]| set[26 + 6];
    let ours = down_convert(&log, magic, FETCH_OFFSET).expect("messages");
    assert_eq!((checksum(&ours), checksum(&answer)), (0x1a, 0x1a));
    let newer = down_convert(&log, 1, FETCH_OFFSET).expect("messages");
    assert_eq!(newer[26 + 8 + 6], 0x82);
    let batches = batches(&log).count();
    assert_eq!(batches, 4);
}
