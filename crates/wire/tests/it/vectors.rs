//! Every message as Apache Kafka's own classes write it (tests/wire/messages, by Messages.java).

use std::fmt::Debug;
use std::path::Path;

use bytes::Bytes;
use kafka_wire_core::{ApiVersion, DecodeLimits};
use shore_base::collections::BTreeMap;
use shore_wire::api::{ApiKey, Versions};
use shore_wire::messages::{KafkaMessage, KafkaRequest, KafkaResponse};

use crate::apis::{Visitor, visit};

#[test]
fn every_message_is_read_and_written_as_by_apache_kafka() {
    let mut kafkas = Kafkas::default();
    visit(&mut kafkas);
    assert!(kafkas.checked >= 600, "only {} messages", kafkas.checked);
    assert!(kafkas.fields >= 2_000, "only {} fields", kafkas.fields);
}

#[derive(Default)]
struct Kafkas {
    checked: usize,
    fields: usize,
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
        for ((version, direction, content), bytes) in vectors {
            if versions.contains(version) {
                let place = format!("{api} v{version} {direction} {content:?}");
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
enum Content {
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

/// Fields that the generated messages, of a newer Kafka, may have under another name.
const RENAMED: [(&str, &str); 1] = [("generationidormemberepoch", "generationid")];

/// Counts the values in the debugging text of a message. Each follows from its field's name, but for the
/// defaults of fields that the version lacks.
fn named_values(text: &str, place: &str) -> usize {
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
    if let Some(text) = value.trim_start_matches("StrBytes(").strip_prefix("b\"") {
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
        let is_default = ["0", "1", "16", "9223372036854775807"].contains(&digits);
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

fn vectors(file: &str) -> BTreeMap<(i16, String, Content), Bytes> {
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
