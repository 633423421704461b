//! Bytes and messages field by field, for the panel.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::text;

/// One line of a dissection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    pub depth: u8,
    pub name: Rc<str>,
    pub value: Rc<str>,
    /// What the value says, where the number alone does not.
    pub meaning: Rc<str>,
    /// Where it lies in the bytes shown beside it.
    pub bytes: Option<(u32, u32)>,
}

/// The header of a record batch of format 2, from its own bytes.
pub fn batch_header(bytes: &[u8]) -> Vec<Field> {
    let mut lines = Vec::new();
    let mut at = 0;
    for &(name, len) in &BATCH_HEADER {
        let Some(raw) = bytes.get(at..at + len) else { break };
        let value =
            raw.iter().fold(if raw[0] & 0x80 == 0 { 0 } else { -1_i64 }, |sum, &byte| (sum << 8) | i64::from(byte));
        lines.push(Field {
            depth: 0,
            name: name.into(),
            value: batch_value(name, value).into(),
            meaning: batch_meaning(name, value, bytes).into(),
            bytes: Some((at as u32, len as u32)),
        });
        at += len;
    }
    lines
}

const BATCH_HEADER: [(&str, usize); 13] = [
    ("baseOffset", 8),
    ("batchLength", 4),
    ("partitionLeaderEpoch", 4),
    ("magic", 1),
    ("crc", 4),
    ("attributes", 2),
    ("lastOffsetDelta", 4),
    ("baseTimestamp", 8),
    ("maxTimestamp", 8),
    ("producerId", 8),
    ("producerEpoch", 2),
    ("baseSequence", 4),
    ("recordsCount", 4),
];

fn batch_value(name: &str, value: i64) -> String {
    match name {
        "crc" => format!("0x{:08x}", value as u32),
        "attributes" => format!("0b{:08b}", value as u16),
        _ => text::grouped(value),
    }
}

fn batch_meaning(name: &str, value: i64, bytes: &[u8]) -> String {
    match name {
        "baseOffset" => "offset of the first record, given by the broker".into(),
        "batchLength" => "bytes after this field".into(),
        "partitionLeaderEpoch" => "which leader appended it".into(),
        "magic" => format!("format {value}"),
        "crc" => match bytes.get(21..).filter(|_| bytes.len() as i64 >= declared_size(bytes)) {
            Some(covered) if shore_wire::crc32c::crc32c(covered) == value as u32 => {
                "CRC-32C of what follows, matches".into()
            }
            Some(_) => "CRC-32C of what follows, does not match".into(),
            None => "CRC-32C of what follows".into(),
        },
        "attributes" => attributes(value),
        "lastOffsetDelta" => "last offset minus base offset".into(),
        "baseTimestamp" | "maxTimestamp" if value >= 0 => text::timestamp(value),
        "producerId" | "producerEpoch" | "baseSequence" if value < 0 => "none: not idempotent".into(),
        "producerId" => "who produced it".into(),
        "producerEpoch" => "which life of that producer".into(),
        "baseSequence" => "tells a retry from a new batch".into(),
        _ => String::new(),
    }
}

fn declared_size(bytes: &[u8]) -> i64 {
    let length = bytes.get(8..12).and_then(|raw| raw.try_into().ok()).map_or(0, i32::from_be_bytes);
    i64::from(length) + 12
}

fn attributes(value: i64) -> String {
    let codec = ["no compression", "gzip", "snappy", "lz4", "zstd"].get((value & 7) as usize).copied();
    let mut said = vec![codec.unwrap_or("unknown compression")];
    said.push(if value & 8 == 0 { "create time" } else { "log append time" });
    if value & 16 != 0 {
        said.push("transactional");
    }
    if value & 32 != 0 {
        said.push("control");
    }
    said.join(", ")
}

/// A message from the text that `{:?}` gives of it: names, values, depth. A list's entries are numbered.
pub fn message(debug: &str) -> Vec<Field> {
    let mut parser = Parser { rest: debug, lines: Vec::new() };
    parser.value(0, "");
    parser.lines
}

/// More lines than this help nobody.
const MAX_LINES: usize = 400;
const MAX_VALUE: usize = 160;

struct Parser<'a> {
    rest: &'a str,
    lines: Vec<Field>,
}

impl<'a> Parser<'a> {
    /// Reads one value. A scalar becomes a line; a struct or list becomes a line and its children.
    fn value(&mut self, depth: u8, name: &str) {
        let wrapped = ["Some(", "StrBytes(b", "StrBytes("].iter().find_map(|token| self.rest.strip_prefix(token));
        if let Some(inner) = wrapped {
            self.rest = inner;
            self.value(depth, name);
            self.take(")");
        } else if let Some(id) = self.uuid() {
            self.line(depth, name, &id);
        } else if self.rest.starts_with('[') {
            self.list(depth, name);
        } else if let Some(at) = self.struct_body() {
            self.rest = &self.rest[at..];
            self.fields(depth, name);
        } else {
            let value = self.scalar();
            self.line(depth, name, value);
        }
    }

    /// A topic id or the like, as Kafka prints it.
    fn uuid(&mut self) -> Option<String> {
        let (numbers, rest) = self.rest.strip_prefix("Uuid([")?.split_once("])")?;
        let bytes: Result<Vec<u8>, _> = numbers.split(", ").map(str::parse).collect();
        let id = shore_base::Uuid(bytes.ok()?.try_into().ok()?);
        self.rest = rest;
        Some(id.to_string())
    }

    /// Where the fields begin, if a named struct comes next.
    fn struct_body(&self) -> Option<usize> {
        let name = self.rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
        (name > 0 && self.rest[name..].starts_with(" { ")).then_some(name + 3)
    }

    fn fields(&mut self, depth: u8, name: &str) {
        let below = if name.is_empty() {
            depth
        } else {
            self.line(depth, name, "");
            depth + 1
        };
        while let Some(colon) = self.rest.find(": ") {
            let field = &self.rest[..colon];
            self.rest = &self.rest[colon + 2..];
            let lines = self.lines.len();
            self.value(below, field.trim_start_matches("r#"));
            // The messages keep tagged fields that they do not know. They are hardly ever there.
            if field == "unknown_tagged_fields" {
                self.lines.truncate(lines);
            }
            if !self.take(", ") {
                break;
            }
        }
        self.take(" }");
    }

    fn list(&mut self, depth: u8, name: &str) {
        self.rest = &self.rest[1..];
        if self.take("]") {
            self.line(depth, name, "[]");
            return;
        }
        let place = self.lines.len();
        self.line(depth, name, "");
        let mut entries = 0;
        loop {
            let label = format!("[{entries}]");
            self.value(depth + 1, &label);
            entries += 1;
            if !self.take(", ") {
                break;
            }
        }
        self.take("]");
        if let Some(head) = self.lines.get_mut(place) {
            head.value = format!("{entries} {}", if entries == 1 { "entry" } else { "entries" }).into();
        }
    }

    /// Up to the comma or bracket that ends it, past quoted text and nested parentheses.
    fn scalar(&mut self) -> &'a str {
        let (mut quoted, mut escaped, mut depth) = (false, false, 0);
        let end = self.rest.char_indices().find(|&(_, letter)| {
            if quoted {
                quoted = escaped || letter != '"';
                escaped = !escaped && letter == '\\';
                return false;
            }
            match letter {
                '"' => quoted = true,
                '(' | '{' | '[' => depth += 1,
                ')' | '}' | ']' if depth > 0 => depth -= 1,
                ',' | ')' | ']' | '}' => return depth == 0,
                _ => {}
            }
            false
        });
        let end = end.map_or(self.rest.len(), |(at, _)| at);
        let (value, rest) = self.rest.split_at(end);
        // A unit's last field is followed by " }", whose space is not the value's.
        let value = value.trim_end();
        self.rest = &self.rest[value.len()..];
        let _ = rest;
        value
    }

    fn line(&mut self, depth: u8, name: &str, value: &str) {
        if self.lines.len() >= MAX_LINES {
            return;
        }
        let value = if value == "None" { "null" } else { value };
        self.lines.push(Field {
            depth,
            name: kafka_name(name).into(),
            value: text::shown(value.as_bytes(), MAX_VALUE).into(),
            ..Field::default()
        });
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// `max_wait_ms` as the protocol spells it: `MaxWaitMs`.
fn kafka_name(name: &str) -> String {
    if name.starts_with('[') {
        return name.into();
    }
    let words = name.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(debug: &str) -> Vec<(u8, String, String)> {
        message(debug).into_iter().map(|field| (field.depth, field.name.to_string(), field.value.to_string())).collect()
    }

    #[test]
    fn a_message_is_shown_field_by_field() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "read through Debug")]
        struct Topic {
            name: &'static str,
            partitions: Vec<i32>,
        }
        #[derive(Debug)]
        #[expect(dead_code, reason = "read through Debug")]
        struct Request {
            max_wait_ms: i32,
            rack_id: Option<&'static str>,
            topics: Vec<Topic>,
            forgotten: Vec<i32>,
        }
        let request = Request {
            max_wait_ms: 500,
            rack_id: Some("a, \"b\" }"),
            topics: vec![Topic { name: "orders", partitions: vec![0, 2] }],
            forgotten: vec![],
        };
        let expected = [
            (0, "MaxWaitMs", "500"),
            (0, "RackId", "\"a, \\\"b\\\" }\""),
            (0, "Topics", "1 entry"),
            (1, "[0]", ""),
            (2, "Name", "\"orders\""),
            (2, "Partitions", "2 entries"),
            (3, "[0]", "0"),
            (3, "[1]", "2"),
            (0, "Forgotten", "[]"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|&(depth, name, value)| (depth, name.into(), value.into())).collect();
        assert_eq!(lines(&format!("{request:?}")), expected);
    }

    #[test]
    fn ids_are_printed_as_kafka_prints_them() {
        let text = format!("A {{ topic_id: Uuid({:?}), name: StrBytes(b\"x\") }}", [0_u8; 16]);
        let expected = [(0, "TopicId".into(), "AAAAAAAAAAAAAAAAAAAAAA".into()), (0, "Name".into(), "\"x\"".into())];
        assert_eq!(lines(&text), expected);
    }

    #[test]
    fn any_text_ends() {
        for debug in ["", "{", "[", "[[[", "Some(", "A { b: ", "A { b: \"", "]", "a, b"] {
            message(debug);
        }
    }

    #[test]
    fn a_batch_header_says_what_its_bytes_mean() {
        let mut bytes = vec![0; 61];
        bytes[7] = 42;
        bytes[11] = 49;
        bytes[16] = 2;
        bytes[22] = 0b1010;
        bytes[43..57].fill(0xff);
        let fields = batch_header(&bytes);
        let said = |name: &str| {
            let field = fields.iter().find(|field| &*field.name == name).unwrap();
            (field.value.to_string(), field.meaning.to_string(), field.bytes.unwrap())
        };
        assert_eq!(said("baseOffset").0, "42");
        assert_eq!(said("attributes").1, "snappy, log append time");
        assert_eq!(said("crc").1, "CRC-32C of what follows, does not match");
        assert_eq!(said("producerId").1, "none: not idempotent");
        assert_eq!(said("recordsCount").2, (57, 4));
        assert_eq!(batch_header(&bytes[..20]).len(), 4, "a part of a batch gives a part of the fields");
    }
}
