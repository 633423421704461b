//! The transactions of a producer whose owner sends in them: when one begins, when it ends and how.

use std::collections::VecDeque;

use shore_base::{Instant, Random};
use shore_client::{
    ClientError, GroupMetadata, Producer, TopicPartition, TransactionCall, TransactionError, TransactionState,
};

use crate::action::TransactionSpec;
use crate::event::{ActorEvent, TransactionStep};

#[derive(Clone)]
pub(crate) struct Transacting {
    pub spec: TransactionSpec,
    random: Random,
    /// What the owner waits for. It goes on when it has heard of the end.
    waits: Option<TransactionCall>,
    /// It is to be aborted once everything sent in it is in the log.
    is_doomed: bool,
    /// Records in the transaction that is open.
    pub records: u64,
    pub committed: u64,
    pub aborted: u64,
    is_over: bool,
}

/// What the owner of a transactional producer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Footing {
    /// Nothing, until it hears from the producer.
    Waits,
    /// Send, in the transaction that is open or in a new one.
    Free { open: bool },
    /// Nothing ever again.
    Over,
}

impl Transacting {
    pub fn new(spec: TransactionSpec, seed: u64) -> Self {
        let random = Random::stream(seed, "transactions");
        Self { spec, random, waits: None, is_doomed: false, records: 0, committed: 0, aborted: 0, is_over: false }
    }

    /// Gets the producer id at first, and rid of a transaction that has failed.
    pub fn live(&mut self, producer: &mut Producer, now: Instant, events: &mut VecDeque<ActorEvent>) -> Footing {
        let state = producer.transaction_state().cloned().unwrap_or(TransactionState::Uninitialized);
        match state {
            _ if self.waits.is_some() => return Footing::Waits,
            TransactionState::Ready => return Footing::Free { open: false },
            TransactionState::InTransaction if self.is_doomed => {
                if producer.unfinished() == 0 {
                    self.end(producer, now, false, events);
                }
            }
            TransactionState::InTransaction => return Footing::Free { open: true },
            TransactionState::FatalError(error) => {
                if !core::mem::replace(&mut self.is_over, true) {
                    events.push_back(step(TransactionStep::Fatal { error: error.to_string() }));
                }
                return Footing::Over;
            }
            TransactionState::Uninitialized => {
                let asked = producer.init_transactions(now);
                self.asked(TransactionCall::Init, asked, events);
            }
            TransactionState::AbortableError(_) => self.end(producer, now, false, events),
            TransactionState::Initializing | TransactionState::Committing | TransactionState::Aborting => {}
        }
        Footing::Waits
    }

    /// Whether its owner waits for nothing that has to come to an end before the producer is closed.
    pub fn may_close(&self) -> bool {
        self.is_over || self.waits == Some(TransactionCall::Init)
    }

    /// When the owner has something to do: `next`, where it is free to.
    pub fn next_wake(
        &self,
        producer: &Producer,
        stopping: bool,
        next: Option<(Instant, &'static str)>,
    ) -> Option<(Instant, &'static str)> {
        const NOW: Option<(Instant, &str)> = Some((Instant::ZERO, "a transaction goes on"));
        if producer.is_closing() || self.waits.is_some() {
            return None;
        }
        match producer.transaction_state()? {
            TransactionState::InTransaction if self.is_doomed && producer.unfinished() > 0 => None,
            TransactionState::InTransaction if self.is_doomed => NOW,
            TransactionState::Ready | TransactionState::InTransaction if !stopping => next,
            TransactionState::Ready | TransactionState::InTransaction => NOW,
            TransactionState::AbortableError(_) | TransactionState::Uninitialized => NOW,
            TransactionState::FatalError(_) if !self.is_over => NOW,
            _ => None,
        }
    }

    pub fn begin(&mut self, producer: &mut Producer, now: Instant, events: &mut VecDeque<ActorEvent>) {
        self.records = 0;
        match producer.begin_transaction(now) {
            Ok(()) => events.push_back(step(TransactionStep::Began)),
            Err(error) => events.push_back(ActorEvent::Said(error.to_string())),
        }
    }

    /// Ends the transaction as the spec has it: some are aborted, with all their records in the log.
    pub fn end_as_planned(&mut self, producer: &mut Producer, now: Instant, events: &mut VecDeque<ActorEvent>) {
        if self.random.percent(self.spec.abort_percent.into()) {
            self.is_doomed = true;
            producer.flush(now);
        } else {
            self.end(producer, now, true, events);
        }
    }

    /// Commits it, or gives it up.
    pub fn end(&mut self, producer: &mut Producer, now: Instant, commit: bool, events: &mut VecDeque<ActorEvent>) {
        self.is_doomed = false;
        let error = producer.transaction_state().and_then(TransactionState::error).map(ToString::to_string);
        let (call, asked, told) = match commit {
            true => (TransactionCall::Commit, producer.commit_transaction(now), TransactionStep::Committing),
            false => (TransactionCall::Abort, producer.abort_transaction(now), TransactionStep::Aborting { error }),
        };
        if asked.is_ok() {
            events.push_back(step(told));
        }
        self.asked(call, asked, events);
    }

    pub fn send_offsets(
        &mut self,
        producer: &mut Producer,
        now: Instant,
        (offsets, group): (Vec<(TopicPartition, i64)>, GroupMetadata),
        events: &mut VecDeque<ActorEvent>,
    ) {
        let asked = producer.send_offsets_to_transaction(now, offsets, group);
        self.asked(TransactionCall::SendOffsets, asked, events);
    }

    fn asked(&mut self, call: TransactionCall, asked: Result<(), TransactionError>, events: &mut VecDeque<ActorEvent>) {
        match asked {
            Ok(()) => self.waits = Some(call),
            // The producer's state says how it goes on.
            Err(error) => events.push_back(ActorEvent::Said(error.to_string())),
        }
    }

    /// What there is to tell of the end of what the owner asked for.
    pub fn heard(
        &mut self,
        producer: &Producer,
        call: TransactionCall,
        result: Result<(), ClientError>,
    ) -> Option<TransactionStep> {
        self.waits = None;
        Some(match (call, result) {
            (call, Err(error)) => TransactionStep::Failed { call, error: error.to_string() },
            (TransactionCall::Init, Ok(())) => {
                let (producer_id, epoch) = producer.producer_id().unwrap_or((-1, -1));
                TransactionStep::Ready { producer_id, epoch }
            }
            (TransactionCall::SendOffsets, Ok(())) => return None,
            (TransactionCall::Commit, Ok(())) => {
                self.committed += 1;
                TransactionStep::Committed
            }
            (TransactionCall::Abort, Ok(())) => {
                self.aborted += 1;
                TransactionStep::Aborted
            }
        })
    }
}

pub(crate) fn step(step: TransactionStep) -> ActorEvent {
    ActorEvent::Transaction(step)
}
