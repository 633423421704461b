//! Which brokers hold a partition.

use shore_base::Uuid;
use shore_base::collections::{BTreeMap, sort_by};
use shore_wire::error::ErrorCode;
use shore_wire::records::metadata::{MetadataRecord, PartitionRecord};

use super::{Controller, MAX_RECORDS_PER_REQUEST, Refusal, too_many_records};
use crate::image::BrokerRegistration;

impl Controller {
    /// The assignment that Kafka's striped placer gives one rack: partition by partition, beginning with
    /// `start`, the first replica moves on by one broker.
    pub(super) fn place(&self, start: usize, partitions: usize, factor: usize) -> Result<Vec<Vec<i32>>, Refusal> {
        let live: Vec<i32> = self.image.live_brokers().map(|(id, _)| id).collect();
        let registered = self.image.brokers.len();
        let refuse = |why: String| {
            let why = format!("Unable to replicate the partition {factor} time(s): {why}");
            Err((ErrorCode::InvalidReplicationFactor, why))
        };
        if live.is_empty() {
            return refuse("All brokers are currently fenced.".to_owned());
        }
        if factor > registered {
            return refuse(format!(
                "The target replication factor of {factor} cannot be reached because only {registered} broker(s) are \
                 registered or some brokers have all their log directories cordoned."
            ));
        }
        if partitions > MAX_RECORDS_PER_REQUEST {
            return Err(too_many_records());
        }
        let fenced = self.image.brokers.iter().filter(|(_, broker)| broker.fenced).map(|(&id, _)| id);
        let ring: Vec<i32> = live.iter().copied().chain(fenced).collect();
        Ok((start..start + partitions)
            .map(|partition| {
                let first = live[partition % live.len()];
                let others = ring.iter().copied().cycle().skip(partition % live.len()).filter(|&id| id != first);
                std::iter::once(first).chain(others.take(factor - 1)).collect()
            })
            .collect())
    }

    /// Whether a partition may be given these replicas; `factor` is what its topic's other partitions have.
    pub(super) fn check_assignment(
        &self,
        partition: i32,
        replicas: &[i32],
        factor: Option<usize>,
    ) -> Result<(), Refusal> {
        self.check_replicas(replicas, factor)?;
        if !replicas.iter().any(|id| is_live(&self.image.brokers, *id)) {
            let why = format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
                 controlled shutdown."
            );
            return Err((ErrorCode::InvalidReplicaAssignment, why));
        }
        Ok(())
    }

    /// Likewise, whether or not any of them lives.
    pub(super) fn check_replicas(&self, replicas: &[i32], factor: Option<usize>) -> Result<(), Refusal> {
        let invalid = |why: String| Err((ErrorCode::InvalidReplicaAssignment, why));
        if replicas.is_empty() {
            return invalid("The manual partition assignment includes an empty replica list.".to_owned());
        }
        let mut sorted = replicas.to_vec();
        sort_by(&mut sorted, Ord::cmp);
        if let Some(replica) = sorted.iter().find(|replica| !self.image.brokers.contains_key(replica)) {
            return invalid(format!(
                "The manual partition assignment includes broker {replica}, but no such broker is registered."
            ));
        }
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return invalid(format!(
                "The manual partition assignment includes the broker {} more than once.",
                twice[0]
            ));
        }
        if let Some(factor) = factor.filter(|&factor| factor != replicas.len()) {
            return invalid(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not \
                 consistent with previous partitions, which have {factor} replica(s).",
                replicas.len()
            ));
        }
        Ok(())
    }
}

fn is_live(brokers: &BTreeMap<i32, BrokerRegistration>, id: i32) -> bool {
    brokers.get(&id).is_some_and(|broker| !broker.fenced)
}

/// A new partition: its live replicas are in sync, and the first of them leads.
pub(super) fn partition_record(
    topic_id: Uuid,
    partition: i32,
    replicas: &[i32],
    brokers: &BTreeMap<i32, BrokerRegistration>,
) -> MetadataRecord {
    let directory =
        |id: &i32| brokers.get(id).and_then(|broker| broker.log_dirs.first().copied()).unwrap_or(Uuid::ZERO);
    let isr: Vec<i32> = replicas.iter().copied().filter(|&id| is_live(brokers, id)).collect();
    MetadataRecord::Partition(PartitionRecord {
        partition,
        topic_id,
        replicas: replicas.to_vec(),
        leader: isr.first().copied().unwrap_or(-1),
        isr,
        leader_epoch: 0,
        partition_epoch: 0,
        directories: replicas.iter().map(directory).collect(),
        ..PartitionRecord::default()
    })
}
