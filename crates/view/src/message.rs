//! What the page and the worker say to each other. Each message crosses as one transferred buffer.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::fields::Field;
use crate::model::{Cleaning, Delta};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The store that the worker is for. The first message, sent once the worker has said [`FromWorker::Ready`].
    Start {
        store: Rc<str>,
        start: Start,
    },
    /// The page is about to draw: one delta may be sent.
    Frame,
    Do {
        id: u32,
        command: Command,
    },
    Ask {
        id: u32,
        question: Question,
    },
    /// What the browser says of this site's space.
    Space {
        used: u64,
        quota: u64,
        persisted: bool,
    },
}

/// What a worker does with its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// Opens it and runs the cluster in it; in memory where the browser keeps nothing.
    Kept,
    /// Runs a cluster in memory and leaves the store alone.
    InMemory,
    /// Runs nothing: it saves a copy of the store, or deletes it.
    Rescue,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromWorker {
    /// The worker runs and listens. Its build must be the page's own: a browser may have kept an old one.
    Ready {
        build: Rc<str>,
    },
    Opened,
    Refused(Refusal),
    Delta(Box<Delta>),
    /// A command was carried out, or why it was not.
    Done {
        id: u32,
        result: Result<Rc<str>, Rc<str>>,
    },
    Details {
        id: u32,
        details: Details,
    },
    /// Every file of the store, for the visitor to keep.
    Exported {
        name: Rc<str>,
        bytes: Vec<u8>,
    },
    /// The store was deleted: a new worker is to begin anew.
    Gone,
    /// An invariant broke; the worker is of no more use.
    Crashed {
        trace: Rc<str>,
    },
}

/// Why no cluster runs in this tab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Another tab runs it, since then (milliseconds since 1970) if it said so.
    Held {
        since_millis: Option<i64>,
    },
    /// A newer version wrote the store.
    Newer {
        why: Rc<str>,
    },
    Failed {
        why: Rc<str>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    CreateTopic {
        name: Rc<str>,
        partitions: i32,
        configs: Vec<(Rc<str>, Rc<str>)>,
    },
    DeleteTopic {
        name: Rc<str>,
    },
    /// A config without a value goes back to its default.
    AlterConfigs {
        topic: Rc<str>,
        configs: Vec<(Rc<str>, Option<Rc<str>>)>,
    },
    CreatePartitions {
        topic: Rc<str>,
        total: i32,
    },
    DeleteRecords {
        topic: Rc<str>,
        partition: i32,
        /// -1 is the high watermark.
        offset: i64,
    },
    AddProducer {
        topic: Rc<str>,
        rate_milli: u32,
        transactions: Option<Transactions>,
    },
    SetRate {
        actor: Rc<str>,
        rate_milli: u32,
    },
    AddMember {
        group: Rc<str>,
        topic: Rc<str>,
        /// The assignors' names, as clients are configured with them, with commas between.
        assignors: Rc<str>,
        /// It sees nothing of transactions that are open or were aborted.
        read_committed: bool,
        /// Records that its owner gets through in a second; 0 for any number.
        pace: u32,
        /// Makes it a static member (`group.instance.id`).
        instance: Option<Rc<str>>,
    },
    /// A member of a group that writes what it reads to another topic, in transactions that hold its offsets too.
    AddCopier {
        group: Rc<str>,
        from: Rc<str>,
        to: Rc<str>,
        /// Records that it gets through in a second; 0 for any number.
        pace: u32,
        /// `records` is the most that it takes into one.
        transactions: Transactions,
    },
    /// A member fetches nothing for a while, or goes on.
    PauseMember {
        actor: Rc<str>,
        paused: bool,
    },
    /// A producer sends what it holds and closes; a member leaves its group.
    Remove {
        actor: Rc<str>,
    },
    Send(Record),
    Pause,
    Resume,
    /// The next thing that is due, while paused.
    Step,
    Speed {
        percent: u32,
    },
    Export,
    /// Deletes the store and begins anew.
    Reset,
}

/// How a producer sends in transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transactions {
    /// `transactional.id`.
    pub id: Rc<str>,
    /// How many records each has.
    pub records: u32,
    /// How many of 100 are aborted.
    pub abort_percent: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub topic: Rc<str>,
    pub partition: Option<i32>,
    pub key: Option<Rc<str>>,
    pub value: Option<Rc<str>>,
    pub headers: Vec<(Rc<str>, Rc<str>)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    Batch {
        topic: Rc<str>,
        partition: i32,
        offset: i64,
    },
    Exchange {
        id: u64,
    },
    Partition {
        topic: Rc<str>,
        partition: i32,
    },
    /// A topic's configs; `None` for those of a topic that is to be made.
    Configs {
        topic: Option<Rc<str>>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Details {
    Batch(BatchDetails),
    Exchange(ExchangeDetails),
    Partition(PartitionDetails),
    Configs {
        topic: Option<Rc<str>>,
        configs: Vec<Config>,
    },
    /// It is no longer there.
    Gone {
        why: Rc<str>,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchDetails {
    /// The first bytes of it.
    pub bytes: Vec<u8>,
    pub total_bytes: u64,
    /// The header, field by field.
    pub fields: Vec<Field>,
    pub records: Vec<RecordDetails>,
    pub total_records: u32,
    /// Why the records cannot be shown.
    pub unreadable: Option<Rc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordDetails {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Rc<str>>,
    pub value: Option<Rc<str>>,
    pub headers: Vec<(Rc<str>, Option<Rc<str>>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeDetails {
    pub request: FrameDetails,
    pub response: Option<FrameDetails>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameDetails {
    /// The first bytes of it.
    pub bytes: Vec<u8>,
    pub total_bytes: u64,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionDetails {
    pub directory: Rc<str>,
    pub segments: Vec<SegmentDetails>,
    /// How dirty these segments are, in a compacted log.
    pub cleaning: Option<Cleaning>,
    pub producers: Vec<ProducerState>,
}

/// What a partition knows of a producer with an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerState {
    pub id: i64,
    pub epoch: i16,
    pub last_sequence: i32,
    pub last_offset: i64,
    /// The first offset of its open transaction.
    pub transaction_start: Option<i64>,
}

/// A config of a topic, set or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub name: Rc<str>,
    pub value: Rc<str>,
    /// The topic has it of its own.
    pub own: bool,
    /// The only values that are allowed, where they can be listed.
    pub choices: Vec<Rc<str>>,
    pub documentation: Rc<str>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentDetails {
    pub base_offset: i64,
    pub end_offset: i64,
    pub bytes: u64,
    /// The largest timestamp in it.
    pub newest_millis: Option<i64>,
    pub active: bool,
    pub files: Vec<Rc<str>>,
}

/// The bytes of a message.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    postcard::to_allocvec(message).expect("a message of plain data can always be written")
}

/// `None` if the bytes are not of this build.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_from_their_bytes() {
        let record = Record { topic: "orders".into(), key: Some("k".into()), ..Record::default() };
        let message = ToWorker::Do { id: 7, command: Command::Send(record) };
        assert_eq!(decode(&encode(&message)), Some(message));
        assert_eq!(decode::<FromWorker>(&[0xff, 1, 2]), None);
    }
}
