//! The request versions that Apache Kafka 4 dropped, answered as 3.9.1 did (tests/wire/dropped.txt, by dropped.mjs).

use bytes::Bytes;
use shore_base::Duration;
use shore_broker::Input;
use shore_wire::api::ApiKey;
use shore_wire::batch::{BatchOptions, BatchView};
use shore_wire::codec::Reader;
use shore_wire::compress::Codec;
use shore_wire::error::ErrorCode;
use shore_wire::frame;
use shore_wire::message_set::{MessageSet, messages};
use shore_wire::messages::{FetchRequest, fetch_request};

use crate::harness::{Server, WALL, batch, batch_with, produce_request, produced};

/// Asks what has no struct that could be written: the body of a request for the body of its answer.
fn ask(server: &mut Server, key: i16, version: i16, body: &[u8]) -> Bytes {
    let api = ApiKey::from_key(key).expect("a key");
    let conn = server.connect();
    let frame = frame::request_with_body(api, 7, Some("x"), version, body).expect("a request");
    server.input(Input::Request { conn, frame: frame.body() });
    // A fetch of nothing waits for a tenth of a second.
    if api == ApiKey::Fetch {
        server.advance(Duration::from_millis(100));
    }
    let answer = server.raw_answer(conn).unwrap_or_else(|| panic!("{api} v{version}: {:?}", server.closed.get(&conn)));
    server.input(Input::Disconnected { conn });
    answer.slice(4..)
}

fn bytes(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[test]
fn requests_are_answered_as_by_apache_kafka_3_9() {
    let mut server = Server::start();
    let transcript = include_str!("../../../../tests/wire/dropped.txt");
    assert!(transcript.lines().count() >= 50);
    for line in transcript.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |word: &str| word.parse().expect("a number");
        let (key, version, request, theirs) = (number(words[1]), number(words[2]), bytes(words[3]), bytes(words[4]));
        let ours = ask(&mut server, key, version, &request);
        if key == ApiKey::Fetch.key() {
            assert_eq!(fetched(&ours, version), fetched(&theirs, version), "{line}");
        } else {
            assert_eq!(ours, theirs, "{line}");
        }
    }
}

/// The answer for one partition, without what Apache Kafka fills its message set up with: it says how long the set is
/// before it has converted it.
fn fetched(body: &[u8], version: i16) -> (Vec<u8>, Vec<u8>) {
    let mut reader = Reader::new(body);
    let mut head = || {
        if version >= 1 {
            reader.i32()?;
        }
        reader.array_len()?;
        reader.string()?;
        reader.array_len()?;
        reader.take(4 + 2 + 8)?;
        reader.bytes()
    };
    let set = head().expect("an answer for one partition");
    let whole = messages(set).map_while(Result::ok).map(|message| message.size()).sum();
    (body[..body.len() - set.len() - 4].to_vec(), set[..whole].to_vec())
}

/// The body of a Fetch request of versions 0 to 3 for partition 0.
fn fetch(server: &mut Server, version: i16, topic: &str, offset: i64, max_bytes: i32) -> Bytes {
    let mut body = vec![0xff; 4];
    body.extend([0, 0, 0, 100, 0, 0, 0, 1]);
    if version >= 3 {
        body.extend(i32::MAX.to_be_bytes());
    }
    body.extend([0, 0, 0, 1, 0, topic.len() as u8]);
    body.extend(topic.as_bytes());
    body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    body.extend(offset.to_be_bytes());
    body.extend(max_bytes.to_be_bytes());
    ask(server, 1, version, &body)
}

/// Error code and message set of an answer for one partition.
fn set_of(body: &[u8], version: i16) -> (i16, Vec<u8>) {
    let at = if version >= 1 { 4 } else { 0 };
    let mut reader = Reader::new(&body[at + 4..]);
    reader.string().expect("a topic");
    reader.take(8).expect("a count and a partition");
    let error = reader.i16().expect("an error");
    reader.i64().expect("a high watermark");
    (error, reader.bytes().expect("a message set").to_vec())
}

#[test]
fn a_message_set_is_stored_as_one_batch_with_its_codec() {
    let mut server = Server::start();
    for (name, compression) in [("kept", "producer"), ("own", "lz4")] {
        server.create_topic(name, 1, &[("compression.type", compression)]);
        let sets =
            include_str!("../../../../tests/wire/message-sets.txt").lines().filter(|line| line.starts_with("up "));
        let mut next = 0;
        for line in sets {
            let words: Vec<&str> = line.split(' ').collect();
            let (set, stored) = (bytes(words[3]), bytes(words[4]));
            let mut body = vec![0, 1, 0, 0, 0, 100, 0, 0, 0, 1, 0, name.len() as u8];
            body.extend(name.as_bytes());
            body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
            body.extend((set.len() as i32).to_be_bytes());
            body.extend(set);
            let version = if words[2] == "0" { 1 } else { 2 };
            let answer = ask(&mut server, 0, version, &body);
            let mut place = Reader::new(&answer[4 + 2 + name.len() + 4 + 4..]);
            assert_eq!((place.i16(), place.i64()), (Ok(0), Ok(next)), "{name} {}", words[1]);

            let mut request = FetchRequest::default();
            request.max_bytes = i32::MAX;
            let mut partition = fetch_request::FetchPartition::default();
            (partition.fetch_offset, partition.partition_max_bytes) = (next, i32::MAX);
            let mut topic = fetch_request::FetchTopic::default();
            (topic.topic, topic.partitions) = (name.into(), vec![partition]);
            request.topics = vec![topic];
            request.session_epoch = -1;
            let response = server.ask(12, &request);
            let records = response.responses[0].partitions[0].records.clone().expect("records");
            let (ours, theirs) =
                (BatchView::parse(&records).expect("a batch"), BatchView::parse(&stored).expect("a batch"));
            let codec = if name == "own" { Some(Codec::Lz4) } else { Codec::from_name(words[1]) };
            assert_eq!((ours.codec(), ours.base_offset(), ours.count()), (codec, next, 5));
            let says = |batch: &BatchView<'_>| {
                let records = batch.records(1 << 20).expect("records");
                (batch.base_timestamp(), batch.max_timestamp(), batch.producer_id(), records.payload().to_vec())
            };
            assert_eq!(says(&ours), says(&theirs), "{name} {} {}", words[1], words[2]);
            next += 5;
        }
        assert_eq!(next, 40);
    }
}

#[test]
fn old_and_new_formats_keep_to_their_versions_of_produce() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let set = include_str!("../../../../tests/wire/message-sets.txt").lines().next().expect("a line");
    let set = bytes(set.split(' ').nth(3).expect("a set"));
    let torn = batch(&["a"]).slice(..60);
    let two = [batch(&["a"]), batch(&["b"])].concat().into();
    for records in [set.into(), torn, two] {
        for version in [5, 9] {
            let response = server.ask(version, &produce_request("t", 0, -1, Bytes::clone(&records)));
            assert_eq!(produced(&response), (-1, ErrorCode::InvalidRecord.code()), "v{version}");
            // The log has not had a look at it.
            assert_eq!(response.responses[0].partition_responses[0].log_start_offset, -1, "v{version}");
        }
    }
    // A batch in an old version was never refused, whatever its codec.
    let zstd = batch_with(BatchOptions { codec: Codec::Zstd, ..BatchOptions::default() }, &["a"]);
    for (offset, records) in [batch(&["a"]), zstd].into_iter().enumerate() {
        let mut body = vec![0, 1, 0, 0, 0, 100, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0];
        body.extend((records.len() as i32).to_be_bytes());
        body.extend(&records);
        let answer = ask(&mut server, 0, 2, &body);
        let mut place = Reader::new(&answer[15..]);
        assert_eq!((place.i16(), place.i64()), (Ok(0), Ok(offset as i64)));
    }
    // What cannot be converted ends a set, or is an error of its own.
    let (error, converted) = set_of(&fetch(&mut server, 2, "t", 0, 1 << 20), 2);
    assert_eq!((error, messages(&converted).count()), (0, 1));
    let (error, converted) = set_of(&fetch(&mut server, 2, "t", 1, 1 << 20), 2);
    assert_eq!((error, converted.len()), (ErrorCode::UnsupportedCompressionType.code(), 0));
}

#[test]
fn the_brokers_time_goes_with_messages_that_have_one() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    server.produce("t", 0, &["a", "b"]);
    for (version, magic, attributes, timestamp) in [(1, 0, 0, -1), (2, 1, 8, WALL)] {
        let (error, set) = set_of(&fetch(&mut server, version, "t", 1, 1 << 20), version);
        let set = MessageSet::open(&set, 1 << 20).expect("a set");
        let found: Vec<_> = messages(set.payload()).map(|message| message.expect("a message")).collect();
        assert_eq!((error, found.len()), (0, 1), "v{version}");
        let message = found[0];
        assert_eq!(
            (message.offset, message.magic, message.attributes, message.value),
            (1, magic, attributes, Some(&b"b"[..]))
        );
        // The node's clock may have moved on since it started.
        assert!(message.timestamp >= timestamp && (message.timestamp < 0) == (timestamp < 0), "v{version}");
    }
}

#[test]
fn before_version_3_no_limit_gives_way_to_the_first_batch() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.produce("t", 0, &["a".repeat(1_000).as_str()]);
    for (version, count) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
        let (error, set) = set_of(&fetch(&mut server, version, "t", 0, 100), version);
        assert_eq!((error, messages(&set).count()), (0, count), "v{version}");
    }
}

#[test]
fn replicas_are_moved_nowhere_in_version_0_either() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let body = [&[0, 0, 0, 1, 0, 1][..], b"/", &[0, 0, 0, 1, 0, 1], b"t", &[0, 0, 0, 1, 0, 0, 0, 0]].concat();
    let answer = ask(&mut server, 34, 0, &body);
    let error = ErrorCode::LogDirNotFound.code() as u8;
    let expected = [&[0, 0, 0, 0, 0, 0, 0, 1, 0, 1][..], b"t", &[0, 0, 0, 1, 0, 0, 0, 0, 0, error]].concat();
    assert_eq!(&answer[..], expected);
}
