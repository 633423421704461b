//! DescribeTransactions and ListTransactions.

use shore_base::Wall;
use shore_base::collections::BTreeSet;
use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_transactions_response::{TopicData, TransactionState as Described};
use shore_wire::messages::list_transactions_response::TransactionState as Listed;
use shore_wire::messages::{ListTransactionsRequest, ListTransactionsResponse, StrBytes};

use super::coordinator::TxnCoordinator;
use super::pattern::{Invalid, Pattern};
use super::state::TransactionState;

impl TxnCoordinator {
    pub fn describe(&self, id: &StrBytes) -> Described {
        let mut described = Described::default();
        described.transactional_id = id.clone();
        let found = if id.is_empty() {
            Err(ErrorCode::InvalidRequest)
        } else {
            self.peek_shard_of(id)
                .and_then(|shard| shard.transactions.get(id.as_str()).ok_or(ErrorCode::TransactionalIdNotFound))
        };
        let metadata = match found {
            Ok(transaction) => &transaction.metadata,
            Err(error) => {
                described.error_code = error.code();
                return described;
            }
        };
        described.producer_id = metadata.producer_id;
        described.producer_epoch = metadata.producer_epoch;
        described.transaction_state = metadata.state.name().into();
        described.transaction_timeout_ms = metadata.timeout_ms;
        described.transaction_start_time_ms = metadata.start_timestamp;
        for (name, partitions) in &metadata.partitions {
            let mut topic = TopicData::default();
            topic.topic = StrBytes::from(&**name);
            topic.partitions = partitions.iter().copied().collect();
            described.topics.push(topic);
        }
        described
    }

    /// All transactional ids that pass the request's filters, by partition and id.
    pub fn list(&self, wall: Wall, request: &ListTransactionsRequest) -> ListTransactionsResponse {
        let mut response = ListTransactionsResponse::default();
        if self.shards.values().any(|shard| shard.loading) {
            response.error_code = ErrorCode::CoordinatorLoadInProgress.code();
            return response;
        }
        let pattern = match request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
            None => None,
            Some(pattern) => match Pattern::compile(pattern) {
                Ok(pattern) => Some(pattern),
                Err(Invalid) => {
                    response.error_code = ErrorCode::InvalidRegularExpression.code();
                    return response;
                }
            },
        };
        let mut states = BTreeSet::new();
        for name in &request.state_filters {
            match TransactionState::from_name(name) {
                Some(state) => drop(states.insert(state)),
                None if response.unknown_state_filters.contains(name) => {}
                None => response.unknown_state_filters.push(name.clone()),
            }
        }
        for (id, transaction) in self.shards.values().flat_map(|shard| &shard.transactions) {
            let metadata = &transaction.metadata;
            let age = wall.as_millis().saturating_sub(metadata.start_timestamp);
            let is_wanted = (request.producer_id_filters.is_empty()
                || request.producer_id_filters.contains(&metadata.producer_id))
                && (request.state_filters.is_empty() || states.contains(&metadata.state))
                && (request.duration_filter < 0 || age > request.duration_filter)
                && pattern.as_ref().is_none_or(|pattern| pattern.matches(id));
            if is_wanted {
                let mut listed = Listed::default();
                listed.transactional_id = StrBytes::from(&**id);
                listed.producer_id = metadata.producer_id;
                listed.transaction_state = metadata.state.name().into();
                response.transaction_states.push(listed);
            }
        }
        response
    }
}
