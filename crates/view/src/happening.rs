//! What happened inside the broker, in words: what no request says by itself.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use shore_broker::event::Event;
use shore_broker::group::{Departure, GroupEvent, StateName};
use shore_broker::txn::TxnEvent;
use shore_wire::records::metadata::MetadataRecord;

use crate::text::{grouped, size};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    pub id: u64,
    pub at_micros: u64,
    pub about: About,
    pub text: Rc<str>,
    /// From one state to another, where that is what happened.
    pub step: Option<(Rc<str>, Rc<str>)>,
    /// Who cannot see the page is told of it.
    pub matters: bool,
}

impl Happening {
    /// As a sentence of its own.
    pub fn words(&self) -> String {
        let about = self.about.label();
        match &self.step {
            Some((_, to)) if self.text.is_empty() => format!("{about}: {to}"),
            Some((_, to)) => format!("{about}: {to}, {}", self.text),
            None => format!("{about}: {}", self.text),
        }
    }
}

/// What it happened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    Broker,
    Topic(Rc<str>),
    Partition(Rc<str>, i32),
    Group(Rc<str>),
    Transaction(Rc<str>),
}

impl About {
    pub fn label(&self) -> String {
        match self {
            Self::Broker => "broker".into(),
            Self::Topic(name) => name.to_string(),
            Self::Partition(topic, partition) => format!("{topic}-{partition}"),
            Self::Group(id) | Self::Transaction(id) => id.to_string(),
        }
    }

    /// For a class name.
    pub const fn slug(&self) -> &'static str {
        match self {
            Self::Broker => "metadata",
            Self::Topic(_) => "admin",
            Self::Partition(..) => "offsets",
            Self::Group(_) => "group",
            Self::Transaction(_) => "produce",
        }
    }
}

/// `None` for what requests tell already, or what happens all the time.
pub fn happening(event: &Event) -> Option<Happening> {
    let (about, text, step) = match event {
        Event::AppendRefused { topic, partition, error, message } => {
            (partition_of(topic, *partition), format!("append refused: {}, {message}", error.name()), None)
        }
        Event::LogStartMoved { topic, partition, from, to } => {
            let text = format!("log start moved from {} to {}: what lay below is gone", grouped(*from), grouped(*to));
            (partition_of(topic, *partition), text, None)
        }
        Event::CleaningBegan { topic, partition, dirt } => {
            let text = format!(
                "cleaner began: {} dirty of {}, from offset {} to {}",
                size(dirt.dirty_bytes),
                size(dirt.clean_bytes + dirt.dirty_bytes),
                grouped(dirt.first_dirty),
                grouped(dirt.first_uncleanable)
            );
            (partition_of(topic, *partition), text, None)
        }
        Event::LogCleaned { topic, partition, cleaned } => {
            let text = format!(
                "cleaned up to offset {}: {} of {} records are left, {} of {}, {} of {} segments",
                grouped(cleaned.to),
                grouped(cleaned.records_after as i64),
                grouped(cleaned.records_before as i64),
                size(cleaned.bytes_after),
                size(cleaned.bytes_before),
                cleaned.segments_after,
                cleaned.segments_before
            );
            (partition_of(topic, *partition), text, None)
        }
        Event::TopicCreated { topic, partitions, .. } => {
            (About::Topic(topic.as_ref().into()), format!("created with {}", count(*partitions, "partition")), None)
        }
        Event::TopicDeleted { topic, .. } => (About::Topic(topic.as_ref().into()), "deleted".into(), None),
        Event::MetadataRecord { record: MetadataRecord::Config(record) } => {
            let about = match record.resource_type {
                TOPIC => About::Topic(record.resource_name.as_str().into()),
                _ => About::Broker,
            };
            let text = match &record.value {
                Some(value) => format!("{} is now {value}", record.name),
                None => format!("{} is back at its default", record.name),
            };
            (about, text, None)
        }
        Event::Group(event) => of_group(event)?,
        Event::Transaction(event) => of_transaction(event),
        Event::StoreFailed { reason } => (About::Broker, format!("the store failed: {reason}"), None),
        Event::StoreHealed => (About::Broker, "the store works again".into(), None),
        Event::RequestReceived { .. }
        | Event::RequestAnswered { .. }
        | Event::Appended { .. }
        | Event::HighWatermarkMoved { .. }
        | Event::MetadataRecord { .. } => return None,
    };
    Some(Happening { id: 0, at_micros: 0, about, text: text.into(), step, matters: matters(event) })
}

/// Whether it changes what the cluster is, and does not happen all the time.
fn matters(event: &Event) -> bool {
    match event {
        Event::TopicCreated { .. } | Event::TopicDeleted { .. } | Event::StoreFailed { .. } | Event::StoreHealed => {
            true
        }
        Event::Group(GroupEvent::StateChanged { to, .. }) => *to == StateName::PreparingRebalance,
        Event::Group(event) => {
            matches!(event, GroupEvent::GenerationStarted { .. } | GroupEvent::MemberGone { .. })
        }
        Event::Transaction(event) => matches!(event, TxnEvent::TimedOut { .. }),
        _ => false,
    }
}

const TOPIC: i8 = 2;

fn count<T: Into<i64>>(number: T, what: &str) -> String {
    let number = number.into();
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

fn partition_of(topic: &str, partition: i32) -> About {
    About::Partition(topic.into(), partition)
}

type Told = (About, String, Option<(Rc<str>, Rc<str>)>);

fn of_group(event: &GroupEvent) -> Option<Told> {
    let (group, text) = match event {
        GroupEvent::StateChanged { group, from, to, reason } => {
            let step = Some((from.as_str().into(), to.as_str().into()));
            return Some((About::Group(group.as_ref().into()), reason.clone(), step));
        }
        GroupEvent::MemberJoined { group, client_id, instance, .. } => (
            group,
            match instance {
                Some(instance) => format!("{client_id} joined as the static member {instance}"),
                None => format!("{client_id} joined"),
            },
        ),
        GroupEvent::MemberReplaced { group, instance, .. } => {
            (group, format!("the static member {instance} came back under a new member id"))
        }
        GroupEvent::MemberGone { group, member, why } => (group, format!("{member} is gone: {}", departure(*why))),
        GroupEvent::GenerationStarted { group, generation, protocol, members, .. } => {
            let protocol = protocol.as_deref().unwrap_or("no protocol");
            (group, format!("generation {generation} began: {}, {protocol}", count(*members, "member")))
        }
        GroupEvent::Assigned { group, generation } => {
            (group, format!("the assignment of generation {generation} is stored"))
        }
        GroupEvent::OffsetsPending { group, producer_id, partitions } => {
            let partitions = count(*partitions, "partition");
            (group, format!("offsets of {partitions} wait for the transaction of producer {producer_id}"))
        }
        GroupEvent::OffsetsDeleted { group, partitions } => {
            (group, format!("offsets of {} were deleted", count(*partitions, "partition")))
        }
        GroupEvent::OffsetsExpired { group, partitions } => {
            (group, format!("offsets of {partitions} partitions expired"))
        }
        GroupEvent::GroupDeleted { group } => (group, "deleted".into()),
        // Every few seconds, and a request of its own.
        GroupEvent::OffsetsCommitted { .. } => return None,
    };
    Some((About::Group(group.as_ref().into()), text, None))
}

fn departure(why: Departure) -> &'static str {
    match why {
        Departure::Left => "it left",
        Departure::SessionTimeout => "no heartbeat within session.timeout.ms",
        Departure::RebalanceTimeout => "it did not join again in time",
        Departure::SyncTimeout => "it joined and did not sync in time",
        Departure::GroupTooLarge => "the group is too large",
    }
}

fn of_transaction(event: &TxnEvent) -> Told {
    let about = |id: &str| About::Transaction(id.into());
    match event {
        TxnEvent::StateChanged { transactional_id, from, to, producer_id, producer_epoch, partitions } => {
            let partitions = count(*partitions, "partition");
            let text = format!("producer {producer_id}, epoch {producer_epoch}, {partitions}");
            let from = from.map_or("new", |from| from.name());
            (about(transactional_id), text, Some((from.into(), to.name().into())))
        }
        TxnEvent::TimedOut { transactional_id, producer_id, .. } => {
            let text = format!("took longer than transaction.timeout.ms: producer {producer_id} is fenced");
            (about(transactional_id), text, None)
        }
        TxnEvent::Expired { transactional_id } => (about(transactional_id), "expired: nobody used it".into(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shore_broker::txn::TransactionState;
    use shore_log::{Cleaned, Dirt};

    #[test]
    fn events_are_told_in_words() {
        let dirt = Dirt {
            first_dirty: 100,
            first_uncleanable: 2_000,
            clean_bytes: 1_000,
            dirty_bytes: 3_000,
            is_overdue: false,
        };
        let cleaned = Cleaned {
            to: 2_000,
            segments_before: 4,
            segments_after: 1,
            bytes_before: 4_000,
            bytes_after: 900,
            records_before: 1_900,
            records_after: 20,
        };
        let (topic, group) = (std::sync::Arc::<str>::from("orders"), std::sync::Arc::<str>::from("billing"));
        let cases = [
            (
                Event::LogStartMoved { topic: topic.clone(), partition: 1, from: 0, to: 1_234 },
                "orders-1 log start moved from 0 to 1,234: what lay below is gone",
            ),
            (
                Event::CleaningBegan { topic: topic.clone(), partition: 0, dirt },
                "orders-0 cleaner began: 3.0 kB dirty of 4.0 kB, from offset 100 to 2,000",
            ),
            (
                Event::LogCleaned { topic, partition: 0, cleaned },
                "orders-0 cleaned up to offset 2,000: 20 of 1,900 records are left, 900 B of 4.0 kB, 1 of 4 segments",
            ),
            (
                Event::Group(GroupEvent::MemberGone {
                    group: group.clone(),
                    member: "m-1".into(),
                    why: Departure::SessionTimeout,
                }),
                "billing m-1 is gone: no heartbeat within session.timeout.ms",
            ),
        ];
        for (event, expected) in cases {
            let told = happening(&event).expect(expected);
            assert_eq!(format!("{} {}", told.about.label(), told.text), expected);
        }
        let change = GroupEvent::StateChanged {
            group: group.clone(),
            from: StateName::Stable,
            to: StateName::PreparingRebalance,
            reason: "m-2 joins".into(),
        };
        let told = happening(&Event::Group(change)).expect("a change of state");
        assert_eq!((told.step, told.matters), (Some(("Stable".into(), "PreparingRebalance".into())), true));
        let begun = TxnEvent::StateChanged {
            transactional_id: "pay".into(),
            from: None,
            to: TransactionState::Empty,
            producer_id: 7,
            producer_epoch: 0,
            partitions: 0,
        };
        let told = happening(&Event::Transaction(begun)).expect("a new transactional id");
        assert_eq!(
            (told.step, &*told.text),
            (Some(("new".into(), "Empty".into())), "producer 7, epoch 0, 0 partitions")
        );
        let commit = GroupEvent::OffsetsCommitted { group, member: "m-1".into(), partitions: 3 };
        assert_eq!(happening(&Event::Group(commit)), None, "the log of requests has it");
    }
}
