//! Every message as Apache Kafka's own classes write it (tests/wire/messages, by Messages.java).

use std::fmt::Debug;
use std::path::Path;

use bytes::Bytes;
use kafka_wire_core::{ApiVersion, DecodeLimits};
use shore_base::collections::BTreeMap;
use shore_wire::api::{ApiKey, Versions};
use shore_wire::frame::{decode_request, encode_response};
use shore_wire::messages::{KafkaMessage, KafkaRequest, KafkaResponse};

use crate::apis::{Visitor, visit};

#[test]
fn every_message_is_read_and_written_as_by_apache_kafka() {
    let mut kafkas = Kafkas::default();
    visit(&mut kafkas);
    assert!(kafkas.checked >= 600, "only {} messages", kafkas.checked);
    assert!(kafkas.fields >= 2_000, "only {} fields", kafkas.fields);
    assert!(kafkas.dropped >= 100, "only {} messages of versions that Apache Kafka 4 dropped", kafkas.dropped);
}

#[derive(Default)]
struct Kafkas {
    checked: usize,
    fields: usize,
    /// Messages of versions that Apache Kafka 4 dropped.
    dropped: usize,
}

impl Visitor for Kafkas {
    fn api<Q: KafkaRequest + PartialEq + Debug, S: KafkaResponse + PartialEq + Debug>(
        &mut self,
        api: ApiKey,
        versions: Versions,
    ) {
        let vectors = vectors(&format!("messages/{:02}-{api}.hex", api.key()));
        // The generated messages know some versions that Apache Kafka 4.3.1 does not have yet.
        let newest = vectors.keys().map(|(version, ..)| *version).max().expect("a vector");
        for version in versions.min..=versions.max.min(newest) {
            for direction in ["request", "response"] {
                let has = |content| vectors.contains_key(&(version, direction.to_owned(), content));
                assert!(
                    has(Content::Default),
                    "{api} v{version} has no {direction}: run `node tests/wire/messages.mjs`"
                );
            }
        }
        for ((version, direction, content), bytes) in vectors.clone() {
            let place = format!("{api} v{version} {direction} {content:?}");
            if version < versions.min && !NOT_REWRITTEN.contains(&api) {
                match &*direction {
                    "request" => self.fields += check_dropped_request::<Q>(&place, version, content, bytes.clone()),
                    _ => {
                        // Where nothing may be null, there is no third content.
                        let kept = [content, Content::Filled]
                            .into_iter()
                            .find_map(|content| vectors.get(&(versions.min, direction.clone(), content)).cloned());
                        check_dropped_response::<S>(&place, version, versions.min, kept.expect(&place), &bytes);
                    }
                }
                self.dropped += 1;
            }
            if versions.contains(version) {
                self.fields += match &*direction {
                    "request" => check::<Q>(&place, version, content, bytes),
                    _ => check::<S>(&place, version, content, bytes),
                };
                self.checked += 1;
            }
        }
    }
}

/// What a message has in it: nothing, something in every field, or that with null wherever it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    Default,
    Filled,
    Nulls,
}

/// Reads and writes one message, and returns how many of its fields held what their name says.
fn check<M: KafkaMessage + PartialEq + Debug>(place: &str, version: i16, content: Content, bytes: Bytes) -> usize {
    let version = ApiVersion::new(version);
    let message = M::decode_from_bytes(bytes.clone(), version, DecodeLimits::default()).expect(place);
    assert_eq!(message.encode_to_bytes(version).expect(place), bytes, "{place}");
    if content == Content::Default { 0 } else { named_values(&format!("{message:?}"), place) }
}

/// Fields that have another name here: those of a newer Kafka, and those of our own records.
const RENAMED: [(&str, &str); 12] = [
    ("generationidormemberepoch", "generationid"),
    ("commitoffset", "offset"),
    ("lastupdatetimestamp", "transactionlastupdatetimestampms"),
    ("level", "featurelevel"),
    ("max", "maxsupportedversion"),
    ("min", "minsupportedversion"),
    ("partition", "partitionid"),
    ("partitions", "partitionids"),
    ("starttimestamp", "transactionstarttimestampms"),
    ("status", "transactionstatus"),
    ("timeoutms", "transactiontimeoutms"),
    ("topic", "topicname"),
];

/// ListOffsets 0 is read and written by the broker itself. WriteTxnMarkers 0 is not served: only brokers sent it.
const NOT_REWRITTEN: [ApiKey; 2] = [ApiKey::ListOffsets, ApiKey::WriteTxnMarkers];

/// Reads a request of a version that Apache Kafka 4 dropped. Fields that it lacks have their defaults.
fn check_dropped_request<M: KafkaRequest + Debug>(place: &str, version: i16, content: Content, bytes: Bytes) -> usize {
    for end in 0..bytes.len() {
        assert!(decode_request::<M>(bytes.slice(..end), version).is_err(), "{place} of {end} bytes");
    }
    let message: M = decode_request(bytes, version).expect(place);
    if content == Content::Default { 0 } else { named_values(&format!("{message:?}"), place) }
}

/// Writes a response in a version that Apache Kafka 4 dropped: what the oldest kept version holds, without what the
/// dropped one lacks. As values follow from the names of fields, the bytes have to be Apache Kafka's.
fn check_dropped_response<M: KafkaResponse>(place: &str, version: i16, min: i16, kept: Bytes, bytes: &[u8]) {
    let message = M::decode_from_bytes(kept, ApiVersion::new(min), DecodeLimits::default()).expect(place);
    let frame = encode_response(7, version, &message).expect(place).body();
    let (head, body) = frame.split_at(4);
    let mut expected = bytes.to_vec();
    if place == "DescribeConfigs v0 response Filled" || place == "DescribeConfigs v0 response Nulls" {
        // Whether a config is a default: Apache Kafka 3.9 never says so.
        let at = expected.len() - 2;
        assert_eq!(std::mem::take(&mut expected[at]), 1, "{place}");
    }
    assert_eq!((head, body), (&[0, 0, 0, 7][..], &expected[..]), "{place}");
}

/// Counts the values in the debugging text of a message. Each follows from its field's name, but for the
/// defaults of fields that the version lacks.
pub fn named_values(text: &str, place: &str) -> usize {
    let mut count = 0;
    let pieces: Vec<&str> = text.split(": ").collect();
    for pair in pieces.windows(2) {
        let [before, after] = pair else { unreachable!("a window of two") };
        let name = before.rsplit([' ', '(']).next().unwrap_or_default().replace('_', "");
        let value = after.trim_start_matches("Some(").trim_start_matches('[');
        let before = RENAMED.iter().find(|(new, _)| *new == name).map(|(_, old)| *old);
        match follows(value, &name) {
            Some(true) => count += 1,
            Some(false) => {
                let found = before.is_some_and(|before| follows(value, before) == Some(true));
                assert!(found, "{place}: {name} holds {value:.40}");
            }
            None => {}
        }
    }
    count
}

/// Whether a value follows from a name, or is a default. `None` for what is no value: a null, a flag, a structure.
fn follows(value: &str, name: &str) -> Option<bool> {
    let number = fnv1a(name);
    if let Some(text) = value.trim_start_matches("StrBytes(b").strip_prefix('"') {
        let text = text.split('"').next()?;
        Some(text.is_empty() || text == name)
    } else if let Some(bytes) = value.strip_prefix("Uuid([") {
        let bytes: Option<Vec<u8>> = bytes.split(']').next()?.split(", ").map(|byte| byte.parse().ok()).collect();
        let bytes = bytes?;
        Some(bytes == [0; 16] || bytes == [number.to_be_bytes(), number.to_be_bytes()].concat())
    } else if value.starts_with(|first: char| first.is_ascii_digit()) {
        let digits = value.split([',', ' ', ')', ']']).next()?;
        let widths = [0x7f, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX];
        let is_fraction = digits == ((number & 0xffff) as f64 / 4.0).to_string();
        let is_default = ["0", "1", "3", "16", "2147483647", "9223372036854775807"].contains(&digits);
        Some(is_default || is_fraction || widths.iter().any(|width| digits == (number & width).to_string()))
    } else {
        None
    }
}

/// A field's value is this hash of its name, as wide as the field is.
fn fnv1a(name: &str) -> i64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, letter| (hash ^ u64::from(letter)).wrapping_mul(0x0100_0000_01b3));
    (hash & i64::MAX as u64 | 1) as i64
}

pub fn vectors(file: &str) -> BTreeMap<(i16, String, Content), Bytes> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("{file}: {line}"))).collect()
}

/// `v07 request filled 0000..`
fn parse(line: &str) -> Option<((i16, String, Content), Bytes)> {
    let mut words = line.split(' ');
    let version = words.next()?.strip_prefix('v')?.parse().ok()?;
    let direction = words.next()?.to_owned();
    let content = match words.next()? {
        "default" => Content::Default,
        "filled" => Content::Filled,
        "nulls" => Content::Nulls,
        _ => return None,
    };
    let digits = words.next().unwrap_or_default();
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes = (0..digits.len()).step_by(2).map(byte).collect::<Option<Vec<u8>>>()?;
    Some(((version, direction, content), bytes.into()))
}
