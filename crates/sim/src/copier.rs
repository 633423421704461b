//! A copier: it reads a topic as a member of a group and writes each record exactly once to another, in
//! transactions that hold the records and the group's offsets.
//!
//! What it reads opens a transaction. When its owner is done with the records their offsets are sent to the transaction
//! and it is committed. If it cannot be, it is aborted, and the member goes back to what was committed.

use std::collections::VecDeque;

use core::time::Duration;
use shore_base::{ConnId, Instant};
use shore_client::{
    ClientConfig, Consumer, ConsumerConfig, GroupMetadata, Input, Isolation, OffsetReset, Output, Producer,
    ProducerConfig, ProducerEvent, Record, TopicPartition, TransactionCall,
};

use crate::action::CopierSpec;
use crate::actor::{Clock, delivered, told};
use crate::event::{ActorEvent, TransactionStep};
use crate::transacting::{Footing, Transacting, step};

#[derive(Clone)]
pub(crate) struct CopierActor {
    pub consumer: Consumer,
    pub producer: Producer,
    pub spec: CopierSpec,
    pub transacting: Transacting,
    /// Records of transactions that were committed.
    pub copied: u64,
    made: u64,
    work: Work,
    stopping: bool,
    events: VecDeque<ActorEvent>,
}

/// Reading -> Working -> SendingOffsets -> Ending -> Reading.
#[derive(Clone, Debug)]
enum Work {
    Reading,
    /// The records are written; the owner takes its time.
    Working {
        until: Instant,
        /// Where it has read up to, as the member it was when it read.
        offsets: Vec<(TopicPartition, i64)>,
        group: GroupMetadata,
    },
    SendingOffsets {
        offsets: Vec<(TopicPartition, i64)>,
        group: String,
    },
    Ending,
}

impl CopierActor {
    pub fn new(member: ClientConfig, producer: ClientConfig, spec: CopierSpec, now: Instant) -> Self {
        let transacting = Transacting::new(spec.transactions.clone(), producer.seed);
        let producer = Producer::new(ProducerConfig {
            client: producer,
            transactional_id: Some(spec.transactions.id.clone()),
            transaction_timeout: spec.transactions.timeout,
            ..ProducerConfig::default()
        });
        let mut consumer = Consumer::new(ConsumerConfig {
            client: member,
            group_id: Some(spec.group.clone()),
            auto_offset_reset: OffsetReset::Earliest,
            isolation: Isolation::ReadCommitted,
            auto_commit: None,
            session_timeout: spec.session_timeout,
            max_poll_records: spec.transactions.records.max(1),
            ..ConsumerConfig::default()
        });
        consumer.subscribe(now, core::slice::from_ref(&spec.from));
        Self {
            consumer,
            producer,
            spec,
            transacting,
            copied: 0,
            made: 0,
            work: Work::Reading,
            stopping: false,
            events: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, now: Instant, input: Input) {
        let input_of = |conn: ConnId, input: fn(ConnId) -> Input| (is_members(conn), input(local(conn)));
        let (members, input) = match input {
            Input::Connected { conn } => input_of(conn, |conn| Input::Connected { conn }),
            Input::Closed { conn } => input_of(conn, |conn| Input::Closed { conn }),
            Input::Response { conn, frame } => (is_members(conn), Input::Response { conn: local(conn), frame }),
            Input::Wake => {
                self.producer.handle(now, Input::Wake);
                (true, Input::Wake)
            }
        };
        match members {
            true => self.consumer.handle(now, input),
            false => self.producer.handle(now, input),
        }
    }

    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub fn is_done(&self) -> bool {
        self.consumer.is_closed() && self.producer.is_closed()
    }

    pub fn live(&mut self, clock: Clock) {
        let now = clock.now;
        if self.producer.is_closing() {
            return;
        }
        let open = match self.transacting.live(&mut self.producer, now, &mut self.events) {
            Footing::Free { open } => open,
            Footing::Over | Footing::Waits if self.stopping && self.transacting.may_close() => return self.close(now),
            Footing::Over | Footing::Waits => return,
        };
        match &self.work {
            Work::Reading if self.stopping => self.close(now),
            Work::Reading => self.read(clock),
            // It was aborted: what it had read comes again.
            _ if !open => {
                self.work = Work::Reading;
                self.consumer.rewind(now);
            }
            Work::Working { until, .. } if *until > now => {}
            Work::Working { offsets, group, .. } => {
                let (offsets, group) = (offsets.clone(), group.clone());
                self.work = Work::SendingOffsets { offsets: offsets.clone(), group: group.group_id.clone() };
                self.transacting.send_offsets(&mut self.producer, now, (offsets, group), &mut self.events);
            }
            Work::SendingOffsets { .. } => {
                self.work = Work::Ending;
                self.transacting.end_as_planned(&mut self.producer, now, &mut self.events);
            }
            Work::Ending => {}
        }
    }

    fn close(&mut self, now: Instant) {
        self.producer.close(now);
        self.consumer.close(now);
    }

    /// Takes what there is to read and writes it in a transaction of its own.
    fn read(&mut self, clock: Clock) {
        let Some(taken) = self.consumer.poll_records(clock.now) else { return };
        let Some(group) = self.consumer.group_metadata() else { return };
        self.transacting.begin(&mut self.producer, clock.now, &mut self.events);
        let mut offsets = Vec::new();
        let (mut values, mut keys) = (Vec::new(), Vec::new());
        let first = self.made;
        let mut failure = None;
        for records in taken {
            let position = self.consumer.position(&records.at);
            offsets.extend(position.map(|position| (records.at.clone(), position)));
            let mut shown = Vec::new();
            for record in records.records {
                shown.push((record.offset, record.value.clone()));
                if failure.is_some() {
                    continue;
                }
                let (value, key) = (record.value.clone().unwrap_or_default(), record.key.clone());
                let copy = Record {
                    partition: None,
                    timestamp: record.timestamp,
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                };
                match self.producer.send(clock.now, &self.spec.to, copy) {
                    Ok(_) => {
                        self.made += 1;
                        values.push(value);
                        keys.push(key);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            let TopicPartition { topic, partition } = records.at;
            self.events.push_back(ActorEvent::Consumed { topic, partition, records: shown });
        }
        self.transacting.records = self.made - first;
        self.events.push_back(ActorEvent::Produced { topic: self.spec.to.clone(), first, values, keys });
        if let Some(failure) = failure {
            // Not without this record: all of it is read again.
            self.events.push_back(ActorEvent::Said(failure.to_string()));
            self.work = Work::Ending;
            return self.transacting.end(&mut self.producer, clock.now, false, &mut self.events);
        }
        let micros = (self.transacting.records * 1_000_000).checked_div(self.spec.records_per_second);
        let until = clock.now + Duration::from_micros(micros.unwrap_or(0));
        self.work = Work::Working { until, offsets, group };
    }

    pub fn poll(&mut self) -> Option<Output<ActorEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(event));
        }
        if let Some(output) = self.consumer.poll() {
            return Some(match output {
                Output::Dial { conn, host, port } => Output::Dial { conn: members(conn), host, port },
                Output::Send { conn, frame } => Output::Send { conn: members(conn), frame },
                Output::Hangup { conn } => Output::Hangup { conn: members(conn) },
                Output::Event(event) => Output::Event(told(event)),
            });
        }
        loop {
            return Some(match self.producer.poll()? {
                Output::Dial { conn, host, port } => Output::Dial { conn: producers(conn), host, port },
                Output::Send { conn, frame } => Output::Send { conn: producers(conn), frame },
                Output::Hangup { conn } => Output::Hangup { conn: producers(conn) },
                Output::Event(ProducerEvent::Transaction { call, result }) => {
                    let done = result.is_ok();
                    let heard = self.transacting.heard(&self.producer, call, result);
                    match (call, &self.work) {
                        (TransactionCall::Commit, _) if done => {
                            self.copied += self.transacting.records;
                            self.work = Work::Reading;
                        }
                        (TransactionCall::SendOffsets, Work::SendingOffsets { offsets, group }) if done => {
                            let each = |(at, offset): &(TopicPartition, i64)| (at.topic.clone(), at.partition, *offset);
                            let (group, offsets) = (group.clone(), offsets.iter().map(each).collect());
                            return Some(Output::Event(step(TransactionStep::OffsetsSent { group, offsets })));
                        }
                        _ => {}
                    }
                    match heard {
                        Some(heard) => Output::Event(step(heard)),
                        None => continue,
                    }
                }
                Output::Event(event) => Output::Event(delivered(event)),
            });
        }
    }

    pub fn next_wake(&self) -> Option<(Instant, &'static str)> {
        let work = match &self.work {
            Work::Reading if self.stopping => Some((Instant::ZERO, "stop")),
            Work::Reading if self.consumer.has_records() => Some((Instant::ZERO, "there is something to copy")),
            Work::Reading => None,
            Work::Working { until, .. } => Some((*until, "the owner is done")),
            Work::SendingOffsets { .. } | Work::Ending => Some((Instant::ZERO, "a transaction goes on")),
        };
        let own = self.transacting.next_wake(&self.producer, false, work);
        own.into_iter().chain(self.consumer.next_wake()).chain(self.producer.next_wake()).min_by_key(|(at, _)| *at)
    }
}

/// The member's connections have even numbers, the producer's odd ones.
fn members(conn: ConnId) -> ConnId {
    ConnId(conn.0 * 2)
}

fn producers(conn: ConnId) -> ConnId {
    ConnId(conn.0 * 2 + 1)
}

fn is_members(conn: ConnId) -> bool {
    conn.0.is_multiple_of(2)
}

fn local(conn: ConnId) -> ConnId {
    ConnId(conn.0 / 2)
}
