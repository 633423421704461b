//! What one partition of `__transaction_state` holds, and the writes to it that are not safe yet.

use std::collections::VecDeque;
use std::sync::Arc;

use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::records::group::TooLong;
use shore_wire::records::transaction::TransactionRecord;

use super::add::GatheredAdd;
use super::call::{TxnOutput, TxnResponse};
use super::config::TxnConfig;
use super::end::EndReply;
use super::event::TxnEvent;
use super::metadata::TransactionMetadata;
use super::state::TransactionState;
use crate::api::RequestId;
use crate::group::{Records, WriteId};

/// All that is not a transaction: the time, and where effects go.
#[derive(Clone, Debug)]
pub(super) struct Effects {
    pub config: TxnConfig,
    pub now: Instant,
    pub wall: Wall,
    pub outputs: VecDeque<TxnOutput>,
    pub observed: bool,
    pub timers: BTreeSet<(Instant, Timer)>,
    /// AddPartitionsToTxn requests that wait for the writes of several transactions.
    pub gathered: BTreeMap<RequestId, GatheredAdd>,
    next_write: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Ongoing transactions are looked through for timed out ones.
    Abort,
    /// Transactional ids are looked through for expired ones.
    Expire,
    /// Markers that could not be written, or the record after them, are tried again.
    Retry { partition: i32, transactional_id: Arc<str> },
}

#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub partition: i32,
    /// The epoch in which this broker leads the partition: markers carry it.
    pub epoch: i32,
    pub loading: bool,
    pub transactions: BTreeMap<Arc<str>, Transaction>,
    /// Appended, not yet safe, oldest first.
    writes: VecDeque<Write>,
}

/// One transactional id.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub metadata: TransactionMetadata,
    /// What it is about to become: a write for it is under way, or its markers are.
    pub pending: Option<TransactionState>,
    pub completion: Option<Completion>,
}

/// A transaction whose markers are being written.
#[derive(Clone, Debug)]
pub(super) struct Completion {
    /// What it becomes once all partitions have theirs.
    pub next: TransactionMetadata,
    /// Partitions to be tried again.
    pub retry: BTreeSet<(Arc<str>, i32)>,
}

/// A write under way: what it makes of which transactional ids, and what follows.
#[derive(Clone, Debug)]
struct Write {
    id: WriteId,
    /// `None` is a tombstone.
    changes: Vec<(Arc<str>, Option<TransactionMetadata>)>,
    then: Then,
}

/// What waits for a write.
#[derive(Clone, Debug)]
pub(super) enum Then {
    Nothing,
    Initialised { request: RequestId, version: i16 },
    Added(AddReply),
    Ended(EndReply),
    Completed,
}

/// Who asked for partitions to be added.
#[derive(Clone, Copy, Debug)]
pub(super) enum AddReply {
    /// One of the transactions of an AddPartitionsToTxn request.
    Partitions {
        request: RequestId,
        slot: usize,
    },
    Offsets {
        request: RequestId,
        version: i16,
    },
}

impl Effects {
    pub fn new(config: TxnConfig) -> Self {
        Self {
            config,
            now: Instant::ZERO,
            wall: Wall::default(),
            outputs: VecDeque::new(),
            observed: false,
            timers: BTreeSet::new(),
            gathered: BTreeMap::new(),
            next_write: 0,
        }
    }

    pub fn respond(&mut self, request: RequestId, response: TxnResponse) {
        self.outputs.push_back(TxnOutput::Respond { request, response });
    }

    /// Tells whoever watches. Nothing is built if nobody does.
    pub fn event(&mut self, event: impl FnOnce() -> TxnEvent) {
        if self.observed {
            self.outputs.push_back(TxnOutput::Event(event()));
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.wall.as_millis()
    }
}

impl Transaction {
    pub fn new(metadata: TransactionMetadata) -> Self {
        Self { metadata, pending: None, completion: None }
    }
}

impl Shard {
    pub fn new(partition: i32, epoch: i32, loading: bool) -> Self {
        Self { partition, epoch, loading, transactions: BTreeMap::new(), writes: VecDeque::new() }
    }

    /// Sends the record of a transition off. It counts, and `then` follows, once the record is safe.
    pub fn propose(&mut self, fx: &mut Effects, id: &Arc<str>, next: TransactionMetadata, then: Then) {
        let transaction = self.transactions.get_mut(id).expect("a transition of a known transactional id");
        let state = transaction.metadata.state;
        assert!(state.may_become(next.state), "{id}: {state:?} never becomes {:?}", next.state);
        transaction.pending = Some(next.state);
        let record = next.record(id);
        self.write(fx, &[record], vec![(id.clone(), Some(next))], then);
    }

    /// Sends tombstones off.
    pub fn propose_dead(&mut self, fx: &mut Effects, ids: Vec<Arc<str>>) {
        let tombstone =
            |id: &Arc<str>| TransactionRecord::Transaction { transactional_id: (&**id).into(), value: None };
        let records: Vec<TransactionRecord> = ids.iter().map(tombstone).collect();
        for id in &ids {
            self.transactions.get_mut(id).expect("it was found to expire").pending = Some(TransactionState::Dead);
        }
        self.write(fx, &records, ids.into_iter().map(|id| (id, None)).collect(), Then::Nothing);
    }

    fn write(
        &mut self,
        fx: &mut Effects,
        records: &[TransactionRecord],
        changes: Vec<(Arc<str>, Option<TransactionMetadata>)>,
        then: Then,
    ) {
        let id = WriteId { partition: self.partition, number: fx.next_write };
        fx.next_write += 1;
        let write = Write { id, changes, then };
        match records.iter().map(TransactionRecord::encode).collect::<Result<Records, TooLong>>() {
            Ok(records) => {
                self.writes.push_back(write);
                fx.outputs.push_back(TxnOutput::Append { records, write: id });
            }
            Err(_) => self.failed(fx, write, ErrorCode::UnknownServerError),
        }
    }

    /// The one place where hard state changes: what a record that is safe says.
    pub fn apply(&mut self, id: Arc<str>, metadata: Option<TransactionMetadata>) {
        match metadata {
            Some(metadata) => drop(self.transactions.insert(id, Transaction::new(metadata))),
            None => drop(self.transactions.remove(&id)),
        }
    }

    /// A write is committed, or failed and takes all later ones with it.
    pub fn written(&mut self, fx: &mut Effects, write: WriteId, result: Result<(), ErrorCode>) {
        match result {
            Ok(()) => {
                while self.writes.front().is_some_and(|front| front.id <= write) {
                    let Some(done) = self.writes.pop_front() else { break };
                    self.committed(fx, done);
                }
            }
            Err(error) => {
                let first = self.writes.partition_point(|earlier| earlier.id < write);
                for lost in self.writes.split_off(first) {
                    self.failed(fx, lost, error);
                }
            }
        }
    }

    fn committed(&mut self, fx: &mut Effects, write: Write) {
        for (id, metadata) in &write.changes {
            self.tell(fx, id, metadata.as_ref());
            self.apply(id.clone(), metadata.clone());
        }
        let Some((id, Some(metadata))) = write.changes.into_iter().next() else { return };
        match write.then {
            Then::Nothing | Then::Completed => {}
            Then::Initialised { request, version } => {
                fx.respond(
                    request,
                    super::init::response(version, Ok((metadata.producer_id, metadata.producer_epoch))),
                );
            }
            Then::Added(reply) => fx.added(reply, ErrorCode::None),
            Then::Ended(reply) => self.end_is_safe(fx, &id, reply),
        }
        if metadata.state == TransactionState::Ongoing {
            fx.schedule_abort();
        }
        fx.schedule_expiry();
    }

    fn failed(&mut self, fx: &mut Effects, write: Write, error: ErrorCode) {
        for (id, _) in &write.changes {
            if let Some(transaction) = self.transactions.get_mut(id) {
                transaction.pending = None;
            }
        }
        let error = response_error(error);
        match write.then {
            Then::Nothing => {}
            Then::Initialised { request, version } => fx.respond(request, super::init::response(version, Err(error))),
            Then::Added(reply) => fx.added(reply, error),
            Then::Ended(reply) => fx.end_refused(reply, error),
            Then::Completed => {
                if let Some((id, Some(next))) = write.changes.into_iter().next() {
                    self.completion_failed(fx, id, next);
                }
            }
        }
    }

    /// Tells whoever waits for a write that the partition is no longer ours.
    pub fn unload(mut self, fx: &mut Effects) {
        let partition = self.partition;
        fx.timers.retain(|(_, timer)| !matches!(timer, Timer::Retry { partition: of, .. } if *of == partition));
        self.transactions.clear();
        for write in std::mem::take(&mut self.writes) {
            if !matches!(write.then, Then::Completed) {
                self.failed(fx, write, ErrorCode::NotLeaderOrFollower);
            }
        }
    }

    fn tell(&self, fx: &mut Effects, id: &Arc<str>, metadata: Option<&TransactionMetadata>) {
        let known = self.transactions.get(id).map(|transaction| &transaction.metadata);
        fx.event(|| match metadata {
            Some(next) => TxnEvent::StateChanged {
                transactional_id: id.clone(),
                from: known.filter(|known| known.producer_epoch >= 0).map(|known| known.state),
                to: next.state,
                producer_id: next.producer_id,
                producer_epoch: next.producer_epoch,
                partitions: next.partitions.values().map(|partitions| partitions.len() as u32).sum(),
            },
            None => TxnEvent::Expired { transactional_id: id.clone() },
        });
    }
}

/// What clients are told when an append failed.
fn response_error(append: ErrorCode) -> ErrorCode {
    match append {
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        other => other,
    }
}
