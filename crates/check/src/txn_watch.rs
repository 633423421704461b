//! Promises of transactions, by what their owners did and what readers were given.
//!
//! A transaction whose commit was never asked for, or that was aborted, is read by nobody who reads committed. One that
//! was committed is read whole. One whose producer was lost while it committed is either.

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_client::Isolation;
use shore_sim::{Action, ActorEvent, ActorId, Event, EventKind, TransactionStep};

use crate::counts::Counts;
use crate::records::Read;
use crate::wire_watch::Broken;

const ABORTED: &str = "42: who reads committed reads nothing that is open or was aborted";
const WHOLE: &str = "41: a transaction is read whole or not at all";
const ONCE: &str = "39: a copy has each record of its source exactly once";
const ORDER: &str = "28: a producer's records of a key are in its order";

#[derive(Default)]
pub(crate) struct TxnWatch {
    transactions: Vec<Transaction>,
    /// The transaction that an actor has open, or is about to end.
    current: BTreeMap<ActorId, usize>,
    /// Names of the members that read committed, and of the copiers with their topics.
    strict: BTreeSet<String>,
    copiers: BTreeMap<String, (String, String)>,
    names: BTreeMap<ActorId, String>,
    /// In which transactions a record was written, by topic and value.
    written: BTreeMap<(String, Bytes), Vec<usize>>,
    keys: BTreeMap<Bytes, Bytes>,
}

#[derive(Clone, Debug)]
struct Transaction {
    by: String,
    fate: Fate,
    records: Vec<(String, Bytes)>,
}

/// Open -> Ending -> Committed or Aborted; Open -> Aborted. What is Open or Ending when its producer is lost stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// The commit was asked for: it may have come about.
    Ending,
    Committed,
    Aborted,
}

impl TxnWatch {
    pub fn observe(&mut self, event: &Event, counts: &mut Counts) -> Vec<Broken> {
        let mut broken = Vec::new();
        match &event.kind {
            EventKind::Acted(Action::AddConsumer(spec)) if spec.isolation == Isolation::ReadCommitted => {
                self.strict.insert(spec.name.clone());
            }
            EventKind::Acted(Action::AddCopier(spec)) => {
                self.strict.insert(spec.name.clone());
                self.copiers.insert(spec.name.clone(), (spec.from.clone(), spec.to.clone()));
            }
            EventKind::ActorAdded { actor, name } => {
                self.names.insert(*actor, name.clone());
            }
            EventKind::Actor { actor, event: ActorEvent::Produced { topic, values, keys, .. } } => {
                self.produced(*actor, topic, values, keys);
            }
            EventKind::Actor { actor, event: ActorEvent::Transaction(step) } => {
                self.stepped(*actor, step, counts);
            }
            EventKind::Actor { actor, event: ActorEvent::Consumed { topic, partition, records } }
                if self.names.get(actor).is_some_and(|name| self.strict.contains(name)) =>
            {
                counts.read_committed += records.len() as u64;
                for (offset, value) in records {
                    let value = value.clone().unwrap_or_default();
                    let what = self.should_not_be_read(topic, *partition, *offset, &value);
                    broken.extend(what.map(|what| (ABORTED, what)));
                }
            }
            _ => {}
        }
        broken
    }

    fn produced(&mut self, actor: ActorId, topic: &str, values: &[Bytes], keys: &[Option<Bytes>]) {
        for (value, key) in values.iter().zip(keys) {
            if let Some(key) = key {
                self.keys.insert(value.clone(), key.clone());
            }
            // Without a transaction it is as good as committed.
            let Some(&transaction) = self.current.get(&actor) else { continue };
            self.transactions[transaction].records.push((topic.to_owned(), value.clone()));
            self.written.entry((topic.to_owned(), value.clone())).or_default().push(transaction);
        }
    }

    fn stepped(&mut self, actor: ActorId, step: &TransactionStep, counts: &mut Counts) {
        let fate = match step {
            TransactionStep::Began => {
                let by = self.names.get(&actor).cloned().unwrap_or_default();
                self.current.insert(actor, self.transactions.len());
                self.transactions.push(Transaction { by, fate: Fate::Open, records: Vec::new() });
                return;
            }
            TransactionStep::Fatal { .. } => {
                counts.producers_lost += 1;
                self.current.remove(&actor);
                return;
            }
            TransactionStep::Committing => Fate::Ending,
            TransactionStep::Committed => {
                counts.transactions_committed += 1;
                Fate::Committed
            }
            TransactionStep::Aborting { .. } => return,
            TransactionStep::Aborted => {
                counts.transactions_aborted += 1;
                Fate::Aborted
            }
            TransactionStep::Ready { .. } | TransactionStep::OffsetsSent { .. } | TransactionStep::Failed { .. } => {
                return;
            }
        };
        if let Some(&transaction) = self.current.get(&actor) {
            self.transactions[transaction].fate = fate;
        }
    }

    /// Why a record is not for those who read committed.
    fn should_not_be_read(&self, topic: &str, partition: i32, offset: i64, value: &Bytes) -> Option<String> {
        let written = self.written.get(&(topic.to_owned(), value.clone()))?;
        let fates: Vec<&Transaction> = written.iter().map(|index| &self.transactions[*index]).collect();
        let may = fates.iter().any(|transaction| matches!(transaction.fate, Fate::Ending | Fate::Committed));
        (!may).then(|| {
            let fates: Vec<String> = fates.iter().map(|one| format!("{:?} by {}", one.fate, one.by)).collect();
            format!("{value:?} at {offset} of {topic}-{partition} was read, and is {}", fates.join(", "))
        })
    }

    /// The end: `read` is all that there is for who reads committed, with every copier at the end of its source.
    pub fn finish(&self, read: &Read) -> Vec<Broken> {
        let mut broken: Vec<Broken> = Vec::new();
        let mut times: BTreeMap<(&str, &Bytes), u64> = BTreeMap::new();
        for ((topic, partition), log) in read {
            for (offset, value) in log {
                *times.entry((topic, value)).or_default() += 1;
                broken.extend(self.should_not_be_read(topic, *partition, *offset, value).map(|what| (ABORTED, what)));
            }
        }
        for transaction in self.transactions.iter().filter(|transaction| !transaction.records.is_empty()) {
            let has = |(topic, value): &&(String, Bytes)| times.contains_key(&(topic.as_str(), value));
            let found = transaction.records.iter().filter(has).count();
            let whole = found == transaction.records.len();
            let fits = match transaction.fate {
                Fate::Committed => whole,
                Fate::Ending => whole || found == 0 || self.is_repeated(transaction),
                // What is there of it was written again by another: the copy is compared on its own.
                Fate::Open | Fate::Aborted => true,
            };
            if !fits {
                let Transaction { by, fate, records } = transaction;
                broken.push((WHOLE, format!("{found} of {} of one {fate:?} by {by} are read", records.len())));
            }
        }
        broken.extend(self.copies(&times));
        broken.extend(self.order(read));
        broken
    }

    /// Whether another transaction wrote records of this one too, as copiers do that try again.
    fn is_repeated(&self, transaction: &Transaction) -> bool {
        transaction.records.iter().any(|record| self.written[record].len() > 1)
    }

    /// What is read of a copy is what is read of its source, each record once.
    fn copies(&self, times: &BTreeMap<(&str, &Bytes), u64>) -> Vec<Broken> {
        let mut broken = Vec::new();
        let pairs: BTreeSet<&(String, String)> = self.copiers.values().collect();
        for (from, to) in pairs {
            for ((topic, value), count) in times {
                let other = |topic: &str| times.get(&(topic, *value)).copied().unwrap_or(0);
                if topic == from && other(to) != *count {
                    broken.push((ONCE, format!("{value:?} is {count} times in {from} and {} in {to}", other(to))));
                }
                if topic == to && other(from) == 0 {
                    broken.push((ONCE, format!("{value:?} is in {to} and not in {from}")));
                }
            }
        }
        broken
    }

    /// A copier keeps the order of each key.
    fn order(&self, read: &Read) -> Vec<Broken> {
        let mut broken = Vec::new();
        let copies: BTreeSet<&String> = self.copiers.values().map(|(_, to)| to).collect();
        for ((topic, partition), log) in read.iter().filter(|((topic, _), _)| copies.contains(topic)) {
            let mut last: BTreeMap<(&str, &Bytes), u64> = BTreeMap::new();
            for (offset, value) in log {
                let text = core::str::from_utf8(value).ok().and_then(|text| text.rsplit_once('-'));
                let (Some((name, number)), Some(key)) = (text, self.keys.get(value)) else { continue };
                let number = number.parse().unwrap_or(0);
                if last.insert((name, key), number).is_some_and(|before| before >= number) {
                    let what = format!("{value:?} at {offset} of {topic}-{partition} comes after a later one");
                    broken.push((ORDER, what));
                }
            }
        }
        broken
    }
}
