//! Files with one offset per partition, in Kafka's format: `log-start-offset-checkpoint` and
//! `cleaner-offset-checkpoint`, one of each per disk.

use std::fmt::Write;

use bytes::Bytes;
use shore_base::collections::BTreeMap;

/// Offsets by the names of the partitions' directories, as in `orders-0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCheckpoint {
    offsets: BTreeMap<String, i64>,
}

pub const START_OFFSET_CHECKPOINT: &str = "log-start-offset-checkpoint";
pub const CLEANER_OFFSET_CHECKPOINT: &str = "cleaner-offset-checkpoint";

const VERSION: &str = "0";

impl OffsetCheckpoint {
    pub fn get(&self, partition: &str) -> Option<i64> {
        self.offsets.get(partition).copied()
    }

    /// Says whether anything changed.
    pub fn set(&mut self, partition: &str, offset: Option<i64>) -> bool {
        match offset {
            _ if self.get(partition) == offset => return false,
            Some(offset) => self.offsets.insert(partition.to_owned(), offset),
            None => self.offsets.remove(partition),
        };
        true
    }

    pub fn encode(&self) -> Bytes {
        let mut text = format!("{VERSION}\n{}\n", self.offsets.len());
        for (name, offset) in &self.offsets {
            if let Some((topic, partition)) = name.rsplit_once('-') {
                writeln!(text, "{topic} {partition} {offset}").expect("a string takes all");
            }
        }
        text.into()
    }

    /// `None` where the bytes are no checkpoint.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        if lines.next()?.trim() != VERSION {
            return None;
        }
        let count: usize = lines.next()?.trim().parse().ok()?;
        let mut checkpoint = Self::default();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let mut words = line.split_whitespace();
            let (topic, partition) = (words.next()?, words.next()?.parse::<i32>().ok()?);
            let offset: i64 = words.next()?.parse().ok().filter(|offset| *offset >= 0)?;
            checkpoint.offsets.insert(format!("{topic}-{partition}"), offset);
        }
        (checkpoint.offsets.len() == count).then_some(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_kafkas() {
        let mut checkpoint = OffsetCheckpoint::default();
        assert!(checkpoint.set("orders-0", Some(17)) && checkpoint.set("a-b-12", Some(0)));
        assert!(!checkpoint.set("orders-0", Some(17)));
        assert_eq!(&checkpoint.encode()[..], b"0\n2\na-b 12 0\norders 0 17\n");
        assert_eq!(OffsetCheckpoint::decode(&checkpoint.encode()), Some(checkpoint.clone()));
        assert!(checkpoint.set("orders-0", None) && checkpoint.set("a-b-12", None));
        assert_eq!(&checkpoint.encode()[..], b"0\n0\n");
        for bad in ["", "1\n0\n", "0\n2\norders 0 1\n", "0\n1\norders 0\n", "0\n1\norders 0 -1\n"] {
            assert_eq!(OffsetCheckpoint::decode(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
