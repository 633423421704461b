//! What all clients can be told. Defaults are those of Kafka's Java clients.

use core::time::Duration;
use shore_wire::api::ApiKey;

#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `bootstrap.servers`.
    pub bootstrap: Vec<(String, u16)>,
    pub client_id: String,
    /// Seeds backoff jitter and the choice of partitions.
    pub seed: u64,
    pub request_timeout: Duration,
    pub retry_backoff: Duration,
    pub retry_backoff_max: Duration,
    pub reconnect_backoff: Duration,
    pub reconnect_backoff_max: Duration,
    /// `socket.connection.setup.timeout.ms`.
    pub connection_setup_timeout: Duration,
    pub metadata_max_age: Duration,
    /// `allow.auto.create.topics` (a producer always asks for it).
    pub allow_auto_create_topics: bool,
    /// The newest version of an API that it speaks, where that is not the newest it knows: it does as older clients do.
    pub newest_versions: Vec<(ApiKey, i16)>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            client_id: String::new(),
            seed: 0,
            request_timeout: Duration::from_secs(30),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_millis(1_000),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_millis(1_000),
            connection_setup_timeout: Duration::from_secs(10),
            metadata_max_age: Duration::from_secs(300),
            allow_auto_create_topics: true,
            newest_versions: Vec::new(),
        }
    }
}
