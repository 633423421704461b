//! Promises to those who send records and to those who read them, as the clients saw it.

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_client::Isolation;
use shore_sim::{ActorId, ConsumerSpec, CopierSpec, ProducerSpec};

use crate::rest::Reader;
use crate::topics::Topics;
use crate::wire_watch::{Broken, WireWatch};

pub type Place = (String, i32);

/// What was read of each partition, by offset.
pub type Read = BTreeMap<Place, BTreeMap<i64, Bytes>>;

#[derive(Default)]
pub(crate) struct Records {
    names: BTreeMap<ActorId, String>,
    /// The group of each member, by its name.
    groups: BTreeMap<String, String>,
    /// Groups that are given what is committed.
    strict: BTreeSet<String>,
    /// Topics that copiers write to.
    copies: BTreeSet<String>,
    idempotent: BTreeMap<String, bool>,
    /// Records handed to a producer and neither acknowledged nor failed.
    sent: BTreeMap<(ActorId, u64), Bytes>,
    /// The key of every record that has one, by its value.
    keys: BTreeMap<Bytes, Bytes>,
    /// By what was acknowledged or read: never anything else later. Of topics that nobody deletes.
    logs: BTreeMap<Place, BTreeMap<i64, Bytes>>,
    /// Acknowledged without an offset, by a retry whose first answer got lost, and the topic.
    acked_somewhere: BTreeMap<Bytes, String>,
    partition_of_key: BTreeMap<(String, Bytes), i32>,
    /// Partitions where a producer's sequence was refused after a crash.
    lost_sequences: BTreeSet<Place>,
    members: BTreeMap<ActorId, Member>,
    /// Owners per group and generation.
    owners: BTreeMap<(String, i32), BTreeMap<Place, ActorId>>,
    /// What the members of a group were given between them.
    processed: BTreeMap<(String, Place), BTreeSet<i64>>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    /// The next offset it has to be given.
    next: BTreeMap<Place, i64>,
    assigned: BTreeSet<Place>,
}

impl Records {
    pub fn producer(&mut self, spec: &ProducerSpec) {
        self.idempotent.insert(spec.name.clone(), spec.idempotence);
    }

    pub fn consumer(&mut self, spec: &ConsumerSpec) {
        self.groups.insert(spec.name.clone(), spec.group.clone());
        if spec.isolation == Isolation::ReadCommitted {
            self.strict.insert(spec.group.clone());
        }
    }

    pub fn copier(&mut self, spec: &CopierSpec) {
        self.groups.insert(spec.name.clone(), spec.group.clone());
        self.strict.insert(spec.group.clone());
        self.copies.insert(spec.to.clone());
    }

    pub fn named(&mut self, actor: ActorId, name: &str) {
        self.names.insert(actor, name.to_owned());
    }

    fn name(&self, actor: ActorId) -> &str {
        self.names.get(&actor).map_or("", String::as_str)
    }

    fn group(&self, actor: ActorId) -> &str {
        self.groups.get(self.name(actor)).map_or("", String::as_str)
    }

    pub fn produced(&mut self, actor: ActorId, first: u64, keys: &[Option<Bytes>], values: &[Bytes]) {
        for (number, (key, value)) in (first..).zip(keys.iter().zip(values)) {
            self.sent.insert((actor, number), value.clone());
            if let Some(key) = key {
                self.keys.insert(value.clone(), key.clone());
            }
        }
    }

    pub fn failed(&mut self, actor: ActorId, numbers: &[u64]) {
        for number in numbers {
            self.sent.remove(&(actor, *number));
        }
    }

    /// A snapshot of producers knows the last batch of each, as Apache Kafka's: after a crash an earlier one that was
    /// never answered is refused, and its producer sends it again in a new epoch, as Java's does.
    pub fn sequence_is_lost(&mut self, place: Place) {
        self.lost_sequences.insert(place);
    }

    /// Records that nobody has answered for.
    pub fn unanswered(&self) -> usize {
        self.sent.len()
    }

    pub fn acknowledged(
        &mut self,
        topics: &Topics,
        actor: ActorId,
        place: &Place,
        base_offset: i64,
        numbers: &[u64],
    ) -> Vec<Broken> {
        let mut broken = Vec::new();
        for (index, number) in numbers.iter().enumerate() {
            let Some(value) = self.sent.remove(&(actor, *number)) else {
                broken.push(("an answer answers a record once", format!("record {number} was acknowledged twice")));
                continue;
            };
            broken.extend(self.key_is_in(topics, place, &value));
            match base_offset {
                -1 => {
                    self.acked_somewhere.insert(value, place.0.clone());
                }
                _ => broken.extend(self.is_at(topics, place, base_offset + index as i64, &value)),
            }
        }
        broken
    }

    /// 26: one key, one partition, while their number stays.
    fn key_is_in(&mut self, topics: &Topics, place: &Place, value: &Bytes) -> Option<Broken> {
        let asked = topics.asked(&place.0);
        let key = self.keys.get(value).filter(|_| !asked.grow && !asked.delete)?;
        let before = self.partition_of_key.insert((place.0.clone(), key.clone()), place.1);
        let before = before.filter(|before| *before != place.1)?;
        Some(("26: one key, one partition", format!("key {key:?} went to {before} and {}", place.1)))
    }

    /// A record was seen at an offset: it must be the only one that ever is.
    fn is_at(&mut self, topics: &Topics, place: &Place, offset: i64, value: &Bytes) -> Option<Broken> {
        if topics.asked(&place.0).delete {
            // Nobody tells a client which topic of a name it is: those of the wire are compared.
            return None;
        }
        let log = self.logs.entry(place.clone()).or_default();
        let before = log.entry(offset).or_insert_with(|| value.clone());
        (before != value).then(|| {
            let what = format!("offset {offset} of {}-{} was {before:?} and is {value:?}", place.0, place.1);
            ("8: what was read stays", what)
        })
    }

    pub fn consumed(
        &mut self,
        topics: &Topics,
        actor: ActorId,
        place: &Place,
        records: &[(i64, Option<Bytes>)],
    ) -> Vec<Broken> {
        let mut broken = Vec::new();
        let name = self.name(actor).to_owned();
        let member = self.members.entry(actor).or_default();
        if !member.assigned.contains(place) {
            let what = format!("{name} was given records of {}-{}, which it does not have", place.0, place.1);
            broken.push(("30: one owner", what));
        }
        let asked = topics.asked(&place.0);
        let whole = !asked.delete && !asked.trim && !asked.compact && !asked.has_markers;
        for (offset, _) in records {
            let expected = member.next.insert(place.clone(), offset + 1);
            if expected.is_none_or(|expected| *offset < expected || (whole && *offset > expected)) {
                let what = format!("{name} was given offset {offset} of {}-{} after {expected:?}", place.0, place.1);
                broken.push(("38: offsets in order, none left out", what));
            }
        }
        for (offset, value) in records {
            broken.extend(self.is_at(topics, place, *offset, &value.clone().unwrap_or_default()));
        }
        let processed = self.processed.entry((self.group(actor).to_owned(), place.clone())).or_default();
        processed.extend(records.iter().map(|(offset, _)| *offset));
        broken
    }

    pub fn positioned(&mut self, actor: ActorId, place: Place, offset: i64) {
        self.members.entry(actor).or_default().next.insert(place, offset);
    }

    pub fn assigned(&mut self, actor: ActorId, generation: i32, partitions: &[Place]) -> Vec<Broken> {
        let mut broken = Vec::new();
        let group = self.group(actor).to_owned();
        let member = self.members.entry(actor).or_default();
        member.assigned = partitions.iter().cloned().collect();
        // What a cooperative member keeps it goes on with.
        member.next.retain(|place, _| partitions.contains(place));
        for place in partitions {
            let owners = self.owners.entry((group.clone(), generation)).or_default();
            let other = owners.insert(place.clone(), actor).filter(|other| *other != actor);
            if let Some(other) = other {
                let what =
                    format!("{}-{} belongs to {other:?} and {actor:?} in generation {generation}", place.0, place.1);
                broken.push(("30: one owner", what));
            }
        }
        broken
    }

    pub fn unassigned(&mut self, actor: ActorId, partitions: &[Place]) {
        let member = self.members.entry(actor).or_default();
        for place in partitions {
            member.assigned.remove(place);
            member.next.remove(place);
        }
    }

    pub fn gone(&mut self, actor: ActorId) {
        self.members.remove(&actor);
        self.sent.retain(|(other, _), _| *other != actor);
        // A static member may come back to what it had, in the same generation.
        for owners in self.owners.values_mut() {
            owners.retain(|_, owner| *owner != actor);
        }
    }

    /// The end: `read` is all that there is, `committed` what of it was committed, and these groups were at the end of
    /// all their partitions.
    pub fn finish(&self, wire: &WireWatch, read: &Read, committed: &Read, readers: &[Reader]) -> Vec<Broken> {
        let mut broken = self.kept(wire, read);
        broken.extend(self.in_order(&wire.topics, wire, read));
        broken.extend(self.all_processed(wire, committed, readers));
        broken
    }

    /// 6: what was promised is there, but for what the topic lets go: 48: of each key the last record stays.
    fn kept(&self, wire: &WireWatch, read: &Read) -> Vec<Broken> {
        let mut broken = Vec::new();
        let empty = BTreeMap::new();
        for (place, promised) in wire.promised() {
            let found = read.get(&place).unwrap_or(&empty);
            let compacts = wire.topics.asked(&place.0).compact;
            let last: BTreeMap<&Bytes, i64> = match compacts {
                true => found.iter().filter_map(|(offset, value)| Some((self.keys.get(value)?, *offset))).collect(),
                false => BTreeMap::new(),
            };
            let start = wire.log_start(&place.0, place.1);
            for (offset, value) in promised.iter().filter(|(offset, _)| **offset >= start) {
                let later = self.keys.get(value).and_then(|key| last.get(key));
                let is_there = match found.get(offset) {
                    Some(other) => other == value,
                    None => later.is_some_and(|later| later > offset),
                };
                if !is_there {
                    let rule =
                        if compacts { "48: the last record of a key stays" } else { "6: what is acknowledged stays" };
                    broken.push((
                        rule,
                        format!("{value:?} was acknowledged at {offset} of {}-{} and is gone", place.0, place.1),
                    ));
                }
            }
        }
        let values: BTreeSet<&Bytes> = read.values().flat_map(|log| log.values()).collect();
        for (value, topic) in self.acked_somewhere.iter().filter(|(value, _)| !values.contains(value)) {
            let asked = wire.topics.asked(topic);
            if !asked.delete && !asked.trim && !asked.compact {
                broken.push(("6: what is acknowledged stays", format!("{value:?} was acknowledged and is nowhere")));
            }
        }
        broken
    }

    /// 2, 27, 28: no holes, no record twice, each producer's records in its order.
    fn in_order(&self, topics: &Topics, wire: &WireWatch, read: &Read) -> Vec<Broken> {
        let mut broken = Vec::new();
        let mut seen: BTreeMap<&Bytes, (&Place, i64)> = BTreeMap::new();
        for (place, log) in read {
            let asked = topics.asked(&place.0);
            let mut last: BTreeMap<&str, u64> = BTreeMap::new();
            // What is trimmed may have begun earlier when it was read.
            let first = log.first_key_value().filter(|_| asked.trim).map(|(offset, _)| *offset);
            let mut next = first.unwrap_or_else(|| wire.log_start(&place.0, place.1));
            let dense = !asked.compact && !asked.has_markers;
            for (offset, value) in log {
                if dense && *offset != next {
                    broken.push((
                        "2: dense offsets",
                        format!("{}-{} has {offset} where {next} comes next", place.0, place.1),
                    ));
                    break;
                }
                next = offset + 1;
                let Some((name, number)) = core::str::from_utf8(value).ok().and_then(|text| text.rsplit_once('-'))
                else {
                    continue;
                };
                // What a copier has aborted it writes again: copies are compared with their sources.
                if self.copies.contains(&place.0) {
                    continue;
                }
                if !self.idempotent.get(name).copied().unwrap_or(false) || self.lost_sequences.contains(place) {
                    continue;
                }
                if let Some((other, at)) = seen.insert(value, (place, *offset)) {
                    let what = format!(
                        "{value:?} is at {at} of {}-{} and at {offset} of {}-{}",
                        other.0, other.1, place.0, place.1
                    );
                    broken.push(("27: an idempotent producer's record is there once", what));
                }
                let number = number.parse().unwrap_or(0);
                // A topic that is made anew knows no sequence: of what is under way, any batch may come first.
                if last.insert(name, number).is_some_and(|before| before > number) && !asked.delete {
                    let what = format!("{value:?} at {offset} of {}-{} comes after a later one", place.0, place.1);
                    broken.push(("28: a producer's records are in its order", what));
                }
            }
        }
        broken
    }

    /// 39: a group that commits what it was given, and is at the end of everything, was given all of it, or all that
    /// was committed.
    fn all_processed(&self, wire: &WireWatch, committed: &Read, readers: &[Reader]) -> Vec<Broken> {
        let mut broken = Vec::new();
        for (group, topics) in readers {
            let logs: Vec<(Place, &BTreeMap<i64, Bytes>)> = match self.strict.contains(group) {
                true => committed.iter().map(|(place, log)| (place.clone(), log)).collect(),
                false => wire.promised().collect(),
            };
            for (place, log) in logs.into_iter().filter(|(place, _)| topics.contains(&place.0)) {
                let asked = wire.topics.asked(&place.0);
                if asked.delete || asked.trim || asked.compact {
                    continue;
                }
                let processed = self.processed.get(&(group.clone(), place.clone()));
                for (offset, value) in log.iter().filter(|(offset, _)| processed.is_none_or(|it| !it.contains(offset)))
                {
                    let what = format!("{group} was never given {value:?} at {offset} of {}-{}", place.0, place.1);
                    broken.push(("39: what is acknowledged is processed", what));
                }
            }
        }
        broken
    }
}
