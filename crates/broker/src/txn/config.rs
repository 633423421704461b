//! The broker configs that the coordinator reads, with Kafka's defaults.

use shore_base::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnConfig {
    /// `transaction.max.timeout.ms`
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`
    pub id_expiration: Duration,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_interval: Duration,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub expire_interval: Duration,
    /// `transaction.state.log.num.partitions`
    pub partitions: i32,
}

impl Default for TxnConfig {
    fn default() -> Self {
        Self {
            max_timeout_ms: 900_000,
            id_expiration: Duration::from_secs(7 * 24 * 3_600),
            abort_interval: Duration::from_secs(10),
            expire_interval: Duration::from_secs(3_600),
            partitions: 50,
        }
    }
}
