//! What members tell each other through JoinGroup and SyncGroup: Kafka's consumer protocol.

use bytes::Bytes;
use shore_wire::codec::{DecodeError, Reader, Writer};

use crate::cluster::TopicPartition;

/// The version written. Every version is read; fields of later ones are left alone.
const VERSION: i16 = 3;

/// What a member wants, and what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub topics: Vec<String>,
    /// What its assignor remembers.
    pub user_data: Option<Bytes>,
    /// What it keeps while it joins: nothing, if it rebalances eagerly.
    pub owned: Vec<TopicPartition>,
    /// The generation in which it got that, -1 for none.
    pub generation: i32,
}

impl Default for Subscription {
    fn default() -> Self {
        Self { topics: Vec::new(), user_data: None, owned: Vec::new(), generation: -1 }
    }
}

impl Subscription {
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::new();
        w.i16(VERSION);
        w.array(&self.topics, |w, topic| w.string(topic));
        w.nullable_bytes(self.user_data.as_deref());
        write_partitions(&mut w, &self.owned);
        w.i32(self.generation);
        // It has no rack.
        w.nullable_string(None);
        w.into_bytes()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let version = r.i16()?;
        let topics = r.array(|r| Ok(r.string()?.to_owned()))?;
        let user_data = r.nullable_bytes()?.map(Bytes::copy_from_slice);
        let owned = if version >= 1 { read_partitions(&mut r)? } else { Vec::new() };
        let generation = if version >= 2 { r.i32()? } else { -1 };
        Ok(Self { topics, user_data, owned, generation })
    }
}

pub fn encode_assignment(partitions: &[TopicPartition]) -> Bytes {
    let mut w = Writer::new();
    w.i16(VERSION);
    write_partitions(&mut w, partitions);
    w.nullable_bytes(None);
    w.into_bytes()
}

/// An empty assignment is that of a member that has none.
pub fn decode_assignment(bytes: &[u8]) -> Result<Vec<TopicPartition>, DecodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut r = Reader::new(bytes);
    r.i16()?;
    read_partitions(&mut r)
}

/// What the sticky assignor tells: what the member had, and in which generation.
pub fn encode_sticky(partitions: &[TopicPartition], generation: i32) -> Bytes {
    let mut w = Writer::new();
    write_partitions(&mut w, partitions);
    w.i32(generation);
    w.into_bytes()
}

pub fn decode_sticky(bytes: &[u8]) -> Result<(Vec<TopicPartition>, i32), DecodeError> {
    let mut r = Reader::new(bytes);
    let partitions = read_partitions(&mut r)?;
    // The first version had no generation.
    let generation = if r.is_empty() { -1 } else { r.i32()? };
    Ok((partitions, generation))
}

/// What the cooperative assignor tells beside: the generation alone.
pub fn encode_generation(generation: i32) -> Bytes {
    let mut w = Writer::new();
    w.i32(generation);
    w.into_bytes()
}

pub fn decode_generation(bytes: &[u8]) -> Result<i32, DecodeError> {
    Reader::new(bytes).i32()
}

fn write_partitions(w: &mut Writer, partitions: &[TopicPartition]) {
    let mut topics: Vec<(&str, Vec<i32>)> = Vec::new();
    for at in partitions {
        match topics.iter_mut().find(|(topic, _)| *topic == at.topic) {
            Some((_, indexes)) => indexes.push(at.partition),
            None => topics.push((&at.topic, vec![at.partition])),
        }
    }
    w.array(&topics, |w, (topic, indexes)| {
        w.string(topic);
        w.array(indexes, |w, index| w.i32(*index));
    });
}

fn read_partitions(r: &mut Reader<'_>) -> Result<Vec<TopicPartition>, DecodeError> {
    let topics = r.array(|r| Ok((r.string()?.to_owned(), r.array(|r| r.i32())?)))?;
    let each = |(topic, indexes): (String, Vec<i32>)| {
        indexes.into_iter().map(move |index| TopicPartition::new(topic.clone(), index))
    };
    Ok(topics.into_iter().flat_map(each).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(topic, partition)
    }

    #[test]
    fn what_is_written_is_read() {
        let partitions = vec![at("a", 0), at("a", 2), at("b", 1)];
        let subscription = Subscription {
            topics: vec!["a".into(), "b".into()],
            user_data: Some(Bytes::from_static(b"x")),
            owned: partitions.clone(),
            generation: 4,
        };
        assert_eq!(Subscription::decode(&subscription.encode()).expect("a subscription"), subscription);
        assert_eq!(decode_generation(&encode_generation(4)).expect("user data"), 4);
        assert_eq!(decode_assignment(&encode_assignment(&partitions)).expect("an assignment"), partitions);
        assert_eq!(decode_sticky(&encode_sticky(&partitions, 7)).expect("user data"), (partitions, 7));
    }

    #[test]
    fn the_bytes_are_kafkas() {
        let subscription = Subscription { topics: vec!["t".into()], ..Subscription::default() };
        let expected = [
            &[0, 3][..],               // version
            &[0, 0, 0, 1, 0, 1, b't'], // topics
            &[0xff, 0xff, 0xff, 0xff], // no user data
            &[0, 0, 0, 0],             // owned partitions
            &[0xff, 0xff, 0xff, 0xff], // generation
            &[0xff, 0xff],             // no rack
        ];
        assert_eq!(subscription.encode(), expected.concat());
        let expected =
            [&[0, 3][..], &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5], &[0xff, 0xff, 0xff, 0xff]];
        assert_eq!(encode_assignment(&[at("t", 0), at("t", 5)]), expected.concat());
    }

    #[test]
    fn versions_0_and_torn_bytes_are_taken_as_they_are() {
        let version_0 = [&[0, 0][..], &[0, 0, 0, 1, 0, 1, b't'], &[0xff, 0xff, 0xff, 0xff]].concat();
        assert_eq!(Subscription::decode(&version_0).expect("version 0").topics, ["t"]);
        assert!(Subscription::decode(&version_0[..8]).is_err());
        assert!(Subscription::decode(&[0, 0, 0x7f, 0xff, 0xff, 0xff]).is_err(), "a count that no bytes back");
        assert_eq!(decode_assignment(&[]).expect("nothing"), []);
    }
}
