//! From the settled fate of a transaction to its completion: markers in all its partitions, then the
//! record that says so.

use std::sync::Arc;

use shore_base::collections::BTreeSet;
use shore_base::{Duration, Instant, Wall};
use shore_wire::error::ErrorCode;

use super::call::{Markers, TxnOutput};
use super::coordinator::TxnCoordinator;
use super::metadata::TransactionMetadata;
use super::shard::{Completion, Effects, Shard, Then, Timer};
use super::state::TransactionState;

/// After what time something that failed for now is tried again.
const RETRY: Duration = Duration::from_millis(50);

impl TxnCoordinator {
    /// What became of some markers of a [`TxnOutput::SendMarkers`], by partition.
    pub fn markers_answered(
        &mut self,
        now: Instant,
        wall: Wall,
        markers: &Markers,
        results: impl IntoIterator<Item = (Arc<str>, i32, ErrorCode)>,
    ) {
        self.at(now, wall);
        let Some(shard) = self.shards.get_mut(&markers.partition) else { return };
        // Markers of an earlier term, or of a transaction that has ended since, mean nothing any more.
        if shard.epoch == markers.coordinator_epoch && !shard.loading {
            Arc::make_mut(shard).markers_answered(&mut self.fx, markers, results);
        }
    }
}

impl Shard {
    /// After a load: what was settled goes on to its end.
    pub fn resume(&mut self, fx: &mut Effects) {
        self.loading = false;
        let states = self.transactions.iter().map(|(id, transaction)| (id.clone(), transaction.metadata.state));
        let states: Vec<(Arc<str>, TransactionState)> = states.collect();
        if states.iter().any(|(_, state)| *state == TransactionState::Ongoing) {
            fx.schedule_abort();
        }
        if !states.is_empty() {
            fx.schedule_expiry();
        }
        for (id, _) in states.into_iter().filter(|(_, state)| state.is_prepared()) {
            self.begin_completion(fx, &id);
            self.send_markers(fx, &id);
        }
    }

    /// The id and epoch that the producer goes on with.
    pub fn begin_completion(&mut self, fx: &Effects, id: &Arc<str>) -> (i64, i16) {
        let transaction = self.transactions.get_mut(id).expect("its record was just written or loaded");
        let next = transaction.metadata.complete(fx.now_ms());
        let goes_on_with = (next.producer_id, next.producer_epoch);
        transaction.pending = Some(next.state);
        transaction.completion = Some(Completion { next, retry: BTreeSet::new() });
        goes_on_with
    }

    pub fn send_markers(&mut self, fx: &mut Effects, id: &Arc<str>) {
        let metadata = &self.transactions[id].metadata;
        let partitions: Vec<(Arc<str>, i32)> = metadata
            .partitions
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(|partition| (topic.clone(), *partition)))
            .collect();
        if partitions.is_empty() {
            return self.complete(fx, id);
        }
        fx.outputs.push_back(TxnOutput::SendMarkers(self.markers(id, metadata, partitions)));
    }

    fn markers(&self, id: &Arc<str>, metadata: &TransactionMetadata, partitions: Vec<(Arc<str>, i32)>) -> Markers {
        Markers {
            partition: self.partition,
            transactional_id: id.clone(),
            coordinator_epoch: self.epoch,
            producer_id: metadata.producer_id,
            producer_epoch: metadata.producer_epoch,
            commit: metadata.state == TransactionState::PrepareCommit,
            version: metadata.client_version,
            partitions,
        }
    }

    fn markers_answered(
        &mut self,
        fx: &mut Effects,
        markers: &Markers,
        results: impl IntoIterator<Item = (Arc<str>, i32, ErrorCode)>,
    ) {
        let Some((id, transaction)) = self.transactions.get_key_value(&markers.transactional_id) else { return };
        let is_same = (transaction.metadata.producer_id, transaction.metadata.producer_epoch)
            == (markers.producer_id, markers.producer_epoch);
        let id = id.clone();
        let transaction = self.transactions.get_mut(&id).expect("it was just found");
        let Some(completion) = transaction.completion.as_mut().filter(|_| is_same) else { return };
        let mut is_fenced = false;
        for (topic, partition, error) in results {
            match error {
                // The producer or the coordinator is no longer the current one: somebody else ends this.
                ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => is_fenced = true,
                ErrorCode::None | ErrorCode::UnsupportedForMessageFormat | ErrorCode::UnsupportedVersion => {
                    transaction.metadata.remove(&topic, partition);
                }
                _ => {
                    completion.retry.insert((topic, partition));
                }
            }
        }
        if is_fenced {
            transaction.completion = None;
        } else if !completion.retry.is_empty() {
            fx.retry_soon(self.partition, &id);
        } else if transaction.metadata.partitions.is_empty() {
            self.complete(fx, &id);
        }
    }

    /// Partitions that could not be written, or the completion's record, once more.
    pub fn retry(&mut self, fx: &mut Effects, id: &Arc<str>) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Some(completion) = &mut transaction.completion else { return };
        let partitions: Vec<(Arc<str>, i32)> = std::mem::take(&mut completion.retry).into_iter().collect();
        if !partitions.is_empty() {
            let metadata = &self.transactions[id].metadata;
            fx.outputs.push_back(TxnOutput::SendMarkers(self.markers(id, metadata, partitions)));
        } else if transaction.metadata.partitions.is_empty() {
            self.complete(fx, id);
        }
    }

    /// All partitions have their marker.
    fn complete(&mut self, fx: &mut Effects, id: &Arc<str>) {
        let transaction = self.transactions.get_mut(id).expect("it is being completed");
        if let Some(Completion { next, .. }) = transaction.completion.take() {
            self.propose(fx, id, next, Then::Completed);
        }
    }

    /// The record could not be stored. The markers are there: it is tried again until it is.
    pub fn completion_failed(&mut self, fx: &mut Effects, id: Arc<str>, next: TransactionMetadata) {
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        transaction.pending = Some(next.state);
        transaction.completion = Some(Completion { next, retry: BTreeSet::new() });
        fx.retry_soon(self.partition, &id);
    }
}

impl Effects {
    fn retry_soon(&mut self, partition: i32, id: &Arc<str>) {
        let timer = Timer::Retry { partition, transactional_id: id.clone() };
        self.timers.insert((self.now + RETRY, timer));
    }
}
