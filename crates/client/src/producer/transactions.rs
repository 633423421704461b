//! Transactions: what the owner may ask for, what the coordinator is asked for it, and what its answers mean.
//! Kafka's `TransactionManager`.
//!
//! One question is under way at a time, and no data is sent meanwhile. A transaction is ended when everything sent
//! in it is settled. Under `transaction.version` 2 brokers add partitions to the transaction when data comes,
//! and every end brings another epoch; before it the producer adds them and bumps its epoch only to recover.

mod answers;
mod questions;

use core::fmt;
use core::time::Duration;
use shore_base::Instant;
use shore_base::collections::BTreeMap;
use shore_wire::error::ErrorCode;
use shore_wire::messages::StrBytes;

use super::{Producer, ProducerEvent};
use crate::cluster::TopicPartition;
use crate::consumer::GroupMetadata;
use crate::error::ClientError;
pub(super) use questions::Question;
use questions::Waiting;

/// Uninitialized -> Initializing -> Ready -> InTransaction -> Committing or Aborting -> Ready, or -> Initializing
/// for another epoch. Initializing, InTransaction and Committing -> AbortableError -> Aborting. AbortableError ->
/// Uninitialized where the first id was denied. Anything -> FatalError.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionState {
    Uninitialized,
    Initializing,
    Ready,
    InTransaction,
    Committing,
    Aborting,
    /// The transaction cannot be committed; the producer goes on once it is aborted.
    AbortableError(ClientError),
    /// The producer is of no use any more: another one has its id, or the broker will not have it.
    FatalError(ClientError),
}

impl TransactionState {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Uninitialized => "uninitialized",
            Self::Initializing => "initializing",
            Self::Ready => "ready",
            Self::InTransaction => "in a transaction",
            Self::Committing => "committing",
            Self::Aborting => "aborting",
            Self::AbortableError(_) => "to be aborted",
            Self::FatalError(_) => "failed",
        }
    }

    pub fn error(&self) -> Option<&ClientError> {
        match self {
            Self::AbortableError(error) | Self::FatalError(error) => Some(error),
            _ => None,
        }
    }

    fn may_become(&self, next: &Self) -> bool {
        use TransactionState::*;
        match next {
            Uninitialized => matches!(self, AbortableError(_)),
            Initializing => matches!(self, Uninitialized | Committing | Aborting),
            Ready => matches!(self, Initializing | Committing | Aborting),
            InTransaction => matches!(self, Ready),
            Committing => matches!(self, InTransaction),
            Aborting => matches!(self, InTransaction | AbortableError(_)),
            AbortableError(_) => matches!(self, Initializing | InTransaction | Committing | AbortableError(_)),
            FatalError(_) => true,
        }
    }
}

/// What the owner asks for and is told the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionCall {
    Init,
    SendOffsets,
    Commit,
    Abort,
}

impl fmt::Display for TransactionCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "init transactions",
            Self::SendOffsets => "send offsets to the transaction",
            Self::Commit => "commit the transaction",
            Self::Abort => "abort the transaction",
        })
    }
}

/// Why a call was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionError {
    /// The producer has no `transactional.id`.
    NotTransactional,
    /// This call has not come to its end.
    Busy(TransactionCall),
    /// The call does not fit what the producer is doing, as [`TransactionState::name`] has it.
    State(&'static str),
    /// Abort the transaction first. What went wrong in it.
    Abortable(ClientError),
    Fatal(ClientError),
    Closed,
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTransactional => f.write_str("the producer has no transactional.id"),
            Self::Busy(call) => write!(f, "the producer is still about to {call}"),
            Self::State(state) => write!(f, "the producer is {state}"),
            Self::Abortable(error) => write!(f, "the transaction has to be aborted: {error}"),
            Self::Fatal(error) => write!(f, "the producer is of no use any more: {error}"),
            Self::Closed => f.write_str("the producer is closed"),
        }
    }
}

impl std::error::Error for TransactionError {}

#[derive(Clone, Debug)]
pub(super) struct Transactions {
    id: StrBytes,
    timeout: Duration,
    state: TransactionState,
    /// What the owner waits for.
    call: Option<TransactionCall>,
    /// In the order in which they are asked: by their rank, then by their age.
    questions: Vec<Waiting>,
    under_way: bool,
    coordinator: Option<i32>,
    group_coordinator: Option<i32>,
    /// Those of the transaction.
    partitions: BTreeMap<TopicPartition, Adding>,
    /// Sent to the transaction and not confirmed.
    offsets: BTreeMap<TopicPartition, i64>,
    /// The coordinator may know of the transaction, so that it has to be told of its end.
    started: bool,
    /// The transaction ends with another epoch, which the producer asks for.
    bump_wanted: bool,
    /// `transaction.version` 2 or newer, as of the features' epoch.
    version_2: bool,
    features_epoch: i64,
    /// The coordinator bumps epochs on demand (InitProducerId 3).
    coordinator_bumps: bool,
}

/// Wanted -> Asked -> Added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Adding {
    Wanted,
    Asked,
    Added,
}

impl Transactions {
    pub fn new(id: &str, timeout: Duration) -> Self {
        Self {
            id: StrBytes::from(id),
            timeout,
            state: TransactionState::Uninitialized,
            call: None,
            questions: Vec::new(),
            under_way: false,
            coordinator: None,
            group_coordinator: None,
            partitions: BTreeMap::new(),
            offsets: BTreeMap::new(),
            started: false,
            bump_wanted: false,
            version_2: false,
            features_epoch: -1,
            coordinator_bumps: false,
        }
    }

    pub fn id(&self) -> StrBytes {
        self.id.clone()
    }

    pub fn state(&self) -> &TransactionState {
        &self.state
    }

    pub fn call(&self) -> Option<TransactionCall> {
        self.call
    }

    /// Whether brokers add partitions when data comes (KIP-890).
    pub fn adds_implicitly(&self) -> bool {
        self.version_2
    }

    pub fn has_partition(&self, topic: &str, partition: i32) -> bool {
        self.partitions.get(&TopicPartition::new(topic, partition)) == Some(&Adding::Added)
    }

    pub fn is_completing(&self) -> bool {
        matches!(self.state, TransactionState::Committing | TransactionState::Aborting)
    }

    /// Begun and not ended, so that closing has to end it.
    pub fn is_ongoing(&self) -> bool {
        use TransactionState::*;
        matches!(self.state, InTransaction | Committing | Aborting | AbortableError(_))
    }

    pub fn next_try(&self) -> Option<Instant> {
        self.questions.first().filter(|_| !self.under_way).map(|waiting| waiting.not_before)
    }

    /// Data goes to a partition.
    pub fn add_partition(&mut self, at: TopicPartition) {
        if self.version_2 {
            self.partitions.insert(at, Adding::Added);
            self.started = true;
        } else {
            self.partitions.entry(at).or_insert(Adding::Wanted);
        }
    }

    /// Whether this producer has to ask for another epoch after a failure: under version 2 every end brings one.
    fn has_to_bump(&self) -> bool {
        self.coordinator_bumps && !self.version_2
    }

    fn become_state(&mut self, next: TransactionState) {
        assert!(self.state.may_become(&next), "{:?} cannot become {next:?}", self.state);
        self.state = next;
    }
}

impl Producer {
    /// Gets the producer id of the `transactional.id`, ends what another producer left open under it, and fences
    /// that producer. An event tells the end of it.
    pub fn init_transactions(&mut self, now: Instant) -> Result<(), TransactionError> {
        self.call(now, TransactionCall::Init, |transactions| {
            if transactions.state != TransactionState::Uninitialized {
                return Err(TransactionError::State(transactions.state.name()));
            }
            transactions.become_state(TransactionState::Initializing);
            transactions.ask(Question::InitProducerId, Instant::ZERO);
            Ok(())
        })
    }

    pub fn begin_transaction(&mut self, now: Instant) -> Result<(), TransactionError> {
        self.may_call(now)?;
        let transactions = self.transactions.as_mut().ok_or(TransactionError::NotTransactional)?;
        match transactions.state {
            TransactionState::Ready => {
                transactions.become_state(TransactionState::InTransaction);
                Ok(())
            }
            ref other => Err(TransactionError::State(other.name())),
        }
    }

    /// Commits what a group has read as part of the transaction: the next offset of each partition.
    pub fn send_offsets_to_transaction(
        &mut self,
        now: Instant,
        offsets: Vec<(TopicPartition, i64)>,
        group: GroupMetadata,
    ) -> Result<(), TransactionError> {
        self.call(now, TransactionCall::SendOffsets, |transactions| {
            if transactions.state != TransactionState::InTransaction {
                return Err(TransactionError::State(transactions.state.name()));
            }
            transactions.offsets.extend(offsets);
            if transactions.version_2 {
                transactions.started = true;
                transactions.ask(Question::CommitOffsets(group), Instant::ZERO);
            } else {
                transactions.ask(Question::AddOffsets(group), Instant::ZERO);
            }
            Ok(())
        })
    }

    /// Ends the transaction once everything sent in it is acknowledged. An event tells the end of it.
    pub fn commit_transaction(&mut self, now: Instant) -> Result<(), TransactionError> {
        let features = self.network.features();
        self.call(now, TransactionCall::Commit, |transactions| {
            if transactions.state != TransactionState::InTransaction {
                return Err(TransactionError::State(transactions.state.name()));
            }
            transactions.become_state(TransactionState::Committing);
            transactions.ask_end(true, features);
            Ok(())
        })
    }

    /// Gives the transaction up: what was not sent fails, what was sent is never read by who reads committed.
    pub fn abort_transaction(&mut self, now: Instant) -> Result<(), TransactionError> {
        let features = self.network.features();
        self.call(now, TransactionCall::Abort, |transactions| {
            use TransactionState::{AbortableError, InTransaction};
            if !matches!(transactions.state, InTransaction | AbortableError(_)) {
                return Err(TransactionError::State(transactions.state.name()));
            }
            transactions.become_state(TransactionState::Aborting);
            transactions.partitions.retain(|_, adding| *adding != Adding::Wanted);
            transactions.ask_end(false, features);
            Ok(())
        })
    }

    /// Where the producer is in its transactions; `None` if it has no `transactional.id`.
    pub fn transaction_state(&self) -> Option<&TransactionState> {
        self.transactions.as_ref().map(Transactions::state)
    }

    /// What the owner asked for last, until its end is told.
    pub fn transaction_call(&self) -> Option<TransactionCall> {
        self.transactions.as_ref().and_then(Transactions::call)
    }

    fn may_call(&mut self, now: Instant) -> Result<(), TransactionError> {
        self.now = now;
        let transactions = self.transactions.as_ref().ok_or(TransactionError::NotTransactional)?;
        match (transactions.call, &transactions.state) {
            _ if self.closing => Err(TransactionError::Closed),
            (_, TransactionState::FatalError(error)) => Err(TransactionError::Fatal(error.clone())),
            (Some(call), _) => Err(TransactionError::Busy(call)),
            _ => Ok(()),
        }
    }

    fn call(
        &mut self,
        now: Instant,
        call: TransactionCall,
        begin: impl FnOnce(&mut Transactions) -> Result<(), TransactionError>,
    ) -> Result<(), TransactionError> {
        self.may_call(now)?;
        let transactions = self.transactions.as_mut().ok_or(TransactionError::NotTransactional)?;
        if let (TransactionState::AbortableError(error), false) = (&transactions.state, call == TransactionCall::Abort)
        {
            return Err(TransactionError::Abortable(error.clone()));
        }
        begin(transactions)?;
        transactions.call = Some(call);
        self.stirred = true;
        Ok(())
    }

    /// Whether a record may be sent now.
    pub(super) fn may_send_in_transaction(&self) -> Result<(), TransactionError> {
        let Some(transactions) = &self.transactions else { return Ok(()) };
        match &transactions.state {
            TransactionState::InTransaction => Ok(()),
            TransactionState::AbortableError(error) => Err(TransactionError::Abortable(error.clone())),
            TransactionState::FatalError(error) => Err(TransactionError::Fatal(error.clone())),
            other => Err(TransactionError::State(other.name())),
        }
    }

    /// Asks the coordinator what is to be asked next. True while data has to wait for it.
    pub(super) fn pump_transactions(&mut self) -> bool {
        self.abort_at_close();
        loop {
            let Some(transactions) = &mut self.transactions else { return false };
            if transactions.under_way {
                return true;
            }
            match transactions.state.clone() {
                TransactionState::FatalError(error) => {
                    self.fail_all(&error);
                    return true;
                }
                TransactionState::AbortableError(error) => self.fail_unsent(&error),
                TransactionState::Aborting => self.fail_unsent(&ClientError::Aborted),
                _ => {}
            }
            let Some(waiting) = self.next_question() else { return false };
            if waiting.not_before > self.now {
                return true;
            }
            if !self.ask_next(&waiting.question) {
                return true;
            }
        }
    }

    /// Java's producer ends what is open when it is closed, by aborting it.
    fn abort_at_close(&mut self) {
        let features = self.network.features();
        let Some(transactions) = self.transactions.as_mut().filter(|_| self.closing && self.unfinished == 0) else {
            return;
        };
        let idle = transactions.call.is_none() && transactions.questions.is_empty() && !transactions.under_way;
        if idle && transactions.is_ongoing() && !transactions.is_completing() {
            transactions.become_state(TransactionState::Aborting);
            transactions.partitions.retain(|_, adding| *adding != Adding::Wanted);
            transactions.ask_end(false, features);
            transactions.call = Some(TransactionCall::Abort);
        }
    }

    /// The question to be asked now. The end of a transaction waits for everything sent in it.
    fn next_question(&mut self) -> Option<Waiting> {
        loop {
            let unfinished = self.unfinished > 0;
            let transactions = self.transactions.as_mut()?;
            let wants = transactions.partitions.values().any(|adding| *adding == Adding::Wanted);
            let adds = |waiting: &Waiting| waiting.question == Question::AddPartitions;
            if wants && transactions.state.error().is_none() && !transactions.questions.iter().any(adds) {
                transactions.ask(Question::AddPartitions, Instant::ZERO);
            }
            let waiting = transactions.questions.first()?.clone();
            let ends = matches!(waiting.question, Question::End { .. });
            if ends && unfinished {
                return None;
            }
            if let TransactionState::AbortableError(error) = &transactions.state
                && !waiting.question.finds_coordinator()
            {
                // What is asked for the transaction is of no use any more.
                let error = error.clone();
                transactions.questions.remove(0);
                if waiting.question.answers_call() {
                    self.end_call(Err(error));
                }
                continue;
            }
            if ends && !transactions.started {
                transactions.questions.remove(0);
                self.transaction_ended();
                continue;
            }
            return Some(waiting);
        }
    }

    /// A batch failed, or a record could not be placed: what that means for the transaction.
    pub(super) fn transaction_suffers(&mut self, error: &ClientError) {
        use ErrorCode::*;
        const FATAL: [ErrorCode; 5] = [
            ClusterAuthorizationFailed,
            TransactionalIdAuthorizationFailed,
            ProducerFenced,
            UnsupportedVersion,
            InvalidProducerIdMapping,
        ];
        let Some(transactions) = &mut self.transactions else { return };
        let fatal = error.code().is_some_and(|code| FATAL.contains(&code));
        if fatal || matches!(error, ClientError::Unsupported(_)) {
            return self.transactions_fail(error.clone());
        }
        if transactions.has_to_bump() && !transactions.is_completing() {
            transactions.bump_wanted = true;
        }
        self.transaction_is_abortable(error.clone());
    }

    /// Sequences of a partition are in doubt for good.
    pub(super) fn transaction_has_gap(&mut self) {
        self.abortable_if_recoverable(ClientError::Timeout("an acknowledgement of what was sent"));
    }

    /// Abortable where another epoch can be had, else fatal.
    fn abortable_if_recoverable(&mut self, error: ClientError) {
        let Some(transactions) = &mut self.transactions else { return };
        if !transactions.coordinator_bumps && !transactions.version_2 {
            return self.transactions_fail(error);
        }
        transactions.bump_wanted |= transactions.has_to_bump();
        self.transaction_is_abortable(error);
    }

    fn transaction_is_abortable(&mut self, error: ClientError) {
        let Some(transactions) = &mut self.transactions else { return };
        // What is aborted already need not be again.
        if !matches!(transactions.state, TransactionState::Aborting | TransactionState::FatalError(_)) {
            transactions.become_state(TransactionState::AbortableError(error));
        }
    }

    fn transactions_fail(&mut self, error: ClientError) {
        let Some(transactions) = &mut self.transactions else { return };
        transactions.become_state(TransactionState::FatalError(error.clone()));
        transactions.questions.clear();
        self.end_call(Err(error));
    }

    fn end_call(&mut self, result: Result<(), ClientError>) {
        if let Some(call) = self.transactions.as_mut().and_then(|transactions| transactions.call.take()) {
            self.events.push_back(ProducerEvent::Transaction { call, result });
        }
    }

    /// The transaction is over. Another epoch comes first if something went wrong in it.
    fn transaction_ended(&mut self) {
        let identity = self.identity.known();
        let Some(transactions) = &mut self.transactions else { return };
        let bump = core::mem::take(&mut transactions.bump_wanted);
        transactions.started = false;
        transactions.partitions.clear();
        if let (true, Some((producer_id, epoch))) = (bump, identity) {
            transactions.become_state(TransactionState::Initializing);
            transactions.ask(Question::BumpEpoch(producer_id, epoch), Instant::ZERO);
        } else {
            transactions.become_state(TransactionState::Ready);
            self.end_call(Ok(()));
        }
    }
}

impl Transactions {
    fn ask_end(&mut self, commit: bool, features: (i64, i16)) {
        // It ends as it began, even if the brokers know version 2 by now.
        let version_2 = self.version_2;
        self.learn_version(features, false);
        self.ask(Question::End { commit, version_2 }, Instant::ZERO);
    }

    /// Takes over `transaction.version` if the features are newer than those it knows.
    fn learn_version(&mut self, (epoch, version): (i64, i16), at_init: bool) {
        if self.features_epoch >= epoch {
            return;
        }
        self.features_epoch = epoch;
        let before = core::mem::replace(&mut self.version_2, version >= 2);
        if !at_init && !before && self.version_2 {
            // What was added under the old epoch must not count for the new protocol.
            self.bump_wanted = true;
        }
    }
}
