//! Transactional ids as screens and tests see them: plain data.

use std::sync::Arc;

use shore_base::Wall;
use shore_base::collections::BTreeSet;

use super::coordinator::TxnCoordinator;
use super::state::TransactionState;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionView {
    pub transactional_id: Arc<str>,
    /// Of `__transaction_state`.
    pub partition: i32,
    pub state: TransactionState,
    /// What it is about to become.
    pub pending: Option<TransactionState>,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub timeout_ms: i32,
    /// When the transaction began, if there is or was one.
    pub started: Option<Wall>,
    pub last_update: Wall,
    /// Topic and partition; while it ends, those that have no marker yet.
    pub partitions: Vec<(Arc<str>, i32)>,
}

impl TxnCoordinator {
    /// All transactional ids, by partition and id.
    pub fn view(&self) -> Vec<TransactionView> {
        let of_shard = |shard: &Arc<super::shard::Shard>| {
            let view = |(id, transaction): (&Arc<str>, &super::shard::Transaction)| {
                let metadata = &transaction.metadata;
                let of_topic = |(topic, partitions): (&Arc<str>, &BTreeSet<i32>)| {
                    partitions.iter().map(|partition| (topic.clone(), *partition)).collect::<Vec<_>>()
                };
                TransactionView {
                    transactional_id: id.clone(),
                    partition: shard.partition,
                    state: metadata.state,
                    pending: transaction.pending,
                    producer_id: metadata.producer_id,
                    producer_epoch: metadata.producer_epoch,
                    timeout_ms: metadata.timeout_ms,
                    started: (metadata.start_timestamp >= 0).then(|| Wall::from_millis(metadata.start_timestamp)),
                    last_update: Wall::from_millis(metadata.last_update_timestamp),
                    partitions: metadata.partitions.iter().flat_map(of_topic).collect(),
                }
            };
            shard.transactions.iter().map(view).collect::<Vec<_>>()
        };
        self.shards.values().flat_map(of_shard).collect()
    }
}
