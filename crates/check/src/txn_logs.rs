//! Promises of transactions by what coordinators and logs say: how a transaction may go on, whose writes a log takes,
//! and which transactions a reader is told to leave out.

use shore_base::Uuid;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_broker::txn::{TransactionState, TxnEvent};
use shore_wire::batch::{BatchView, ControlKind};
use shore_wire::messages::fetch_response::PartitionData;
use shore_wire::messages::{EndTxnRequest, InitProducerIdResponse};

use crate::wire_watch::Broken;

const STATES: &str = "40: a transaction goes from state to state as it may";
const TOLD: &str = "44: a reader is told of the transactions that were aborted, and of no others";
const FENCED: &str = "45: what a producer's epoch fences out is refused";

type Log = (Uuid, i32);

#[derive(Default)]
pub(crate) struct TxnLogs {
    /// What was said last of each transactional id.
    states: BTreeMap<String, TransactionState>,
    /// The newest epoch that was given out of each producer id.
    epochs: BTreeMap<i64, i16>,
    /// The batches that somebody read, by base offset.
    logs: BTreeMap<Log, BTreeMap<i64, Batch>>,
    answers: Vec<Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    last_offset: i64,
    producer_id: i64,
    epoch: i16,
    transactional: bool,
    /// How it ends a transaction, if it does.
    marker: Option<ControlKind>,
}

/// What somebody who reads committed was given.
struct Answer {
    log: Log,
    first: i64,
    last: i64,
    /// The producer and the first offset of each transaction that is to be left out.
    aborted: BTreeSet<(i64, i64)>,
}

/// An aborted transaction: its producer, its first record and its marker.
type Aborted = (i64, i64, i64);

impl TxnLogs {
    /// The transactional ids are loaded again, as the log has them.
    pub fn node_is_down(&mut self) {
        self.states.clear();
    }

    pub fn event(&mut self, event: &TxnEvent) -> Option<Broken> {
        match event {
            TxnEvent::StateChanged { transactional_id, from, to, .. } => {
                let known = self.states.insert(transactional_id.to_string(), *to);
                let follows = known.is_none_or(|known| Some(known) == *from);
                let may = from.is_none_or(|from| may_follow(*to).contains(&from));
                (!follows || !may)
                    .then(|| (STATES, format!("{transactional_id} was {known:?} and went from {from:?} to {to:?}")))
            }
            TxnEvent::Expired { transactional_id } => {
                self.states.remove(&**transactional_id);
                None
            }
            TxnEvent::TimedOut { .. } => None,
        }
    }

    pub fn given(&mut self, response: &InitProducerIdResponse) {
        if response.error_code == 0 {
            let epoch = self.epochs.entry(response.producer_id).or_insert(response.producer_epoch);
            *epoch = response.producer_epoch.max(*epoch);
        }
    }

    /// The epoch of who wants to end a transaction, and the later one that was given out before it asked.
    pub fn fenced(&self, request: &EndTxnRequest) -> Option<(i16, i16)> {
        let newest = *self.epochs.get(&request.producer_id)?;
        (request.producer_epoch < newest).then_some((request.producer_epoch, newest))
    }

    /// 45: who was fenced out ends no transaction.
    pub fn ended(&self, fenced: Option<(i16, i16)>, code: i16) -> Option<Broken> {
        let (epoch, newest) = fenced.filter(|_| code == 0)?;
        Some((FENCED, format!("who has epoch {epoch} ended a transaction after {newest} was given out")))
    }

    pub fn read(&mut self, log: Log, batch: &BatchView<'_>) {
        let marker = || {
            let records = batch.records(1 << 10).ok()?;
            ControlKind::of(&records.iter().next()?.ok()?)
        };
        let known = Batch {
            last_offset: batch.last_offset(),
            producer_id: batch.producer_id(),
            epoch: batch.producer_epoch(),
            transactional: batch.is_transactional(),
            marker: if batch.is_control() { marker() } else { None },
        };
        self.logs.entry(log).or_default().insert(batch.base_offset(), known);
    }

    /// What of the batches from `first` to `last` is to be left out.
    pub fn answered(&mut self, log: Log, first: i64, last: i64, answer: &PartitionData) {
        let Some(aborted) = &answer.aborted_transactions else { return };
        let aborted = aborted.iter().map(|aborted| (aborted.producer_id, aborted.first_offset)).collect();
        self.answers.push(Answer { log, first, last, aborted });
    }

    /// The end: somebody has read all that there is.
    pub fn finish(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        for (log, batches) in &self.logs {
            broken.extend(epochs_rise(log, batches));
            let Some(aborted) = aborted(batches) else { continue };
            for answer in self.answers.iter().filter(|answer| answer.log == *log) {
                broken.extend(answer.tells(&aborted));
            }
        }
        broken
    }
}

impl Answer {
    /// 44. It may be told of more than lies in what it was given: as much as it might have been given.
    fn tells(&self, aborted: &[Aborted]) -> Option<Broken> {
        let ends_here = |(_, _, marker): &&Aborted| *marker >= self.first;
        let must = aborted.iter().filter(ends_here).filter(|(_, start, _)| *start <= self.last);
        let left_out = must.clone().find(|(producer, start, _)| !self.aborted.contains(&(*producer, *start)));
        let is_there = |told: &&(i64, i64)| aborted.iter().filter(ends_here).any(|it| (it.0, it.1) == **told);
        let made_up = self.aborted.iter().find(|told| !is_there(told));
        if left_out.is_none() && made_up.is_none() {
            return None;
        }
        let (first, last, index) = (self.first, self.last, self.log.1);
        let what = format!("{first} to {last} of partition {index}: not told of {left_out:?}, told of {made_up:?}");
        Some((TOLD, what))
    }
}

/// The aborted transactions of a log of which everything was read.
fn aborted(batches: &BTreeMap<i64, Batch>) -> Option<Vec<Aborted>> {
    let (mut aborted, mut open) = (Vec::new(), BTreeMap::new());
    let mut next = 0;
    for (base, batch) in batches.iter() {
        if *base != next {
            return None;
        }
        next = batch.last_offset + 1;
        match batch.marker {
            Some(ControlKind::Abort) => {
                let start = open.remove(&batch.producer_id);
                aborted.extend(start.map(|start| (batch.producer_id, start, *base)));
            }
            Some(_) => {
                open.remove(&batch.producer_id);
            }
            None if batch.transactional => {
                open.entry(batch.producer_id).or_insert(*base);
            }
            None => {}
        }
    }
    Some(aborted)
}

/// 45: after a producer's epoch has written to a log, or ended a transaction there, no earlier one does.
fn epochs_rise(log: &Log, batches: &BTreeMap<i64, Batch>) -> Option<Broken> {
    let mut epochs: BTreeMap<i64, i16> = BTreeMap::new();
    for (base, batch) in batches.iter().filter(|(_, batch)| batch.transactional) {
        let before = epochs.insert(batch.producer_id, batch.epoch).filter(|before| *before > batch.epoch);
        if let Some(before) = before {
            let Batch { producer_id, epoch, .. } = batch;
            let what = format!("producer {producer_id} wrote with epoch {epoch} at {base} of {log:?} after {before}");
            return Some((FENCED, what));
        }
    }
    None
}

/// The states from which Apache Kafka lets a transaction come to this one.
fn may_follow(state: TransactionState) -> &'static [TransactionState] {
    use TransactionState::{
        CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit, PrepareEpochFence,
    };
    match state {
        Empty => &[Empty, CompleteCommit, CompleteAbort],
        Ongoing => &[Ongoing, Empty, CompleteCommit, CompleteAbort],
        PrepareCommit => &[Ongoing],
        PrepareAbort => &[Ongoing, PrepareEpochFence, Empty, CompleteCommit, CompleteAbort],
        CompleteCommit => &[PrepareCommit],
        CompleteAbort => &[PrepareAbort],
        Dead => &[Empty, CompleteAbort, CompleteCommit],
        PrepareEpochFence => &[Ongoing],
    }
}
