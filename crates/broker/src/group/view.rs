//! Groups as screens and tests see them: plain data.

use std::sync::Arc;

use shore_base::Wall;

use super::classic::Group;
use super::consumer_protocol;
use super::coordinator::GroupCoordinator;
use super::member::Member;
use super::shard::Shard;
use super::state::StateName;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    pub group: Arc<str>,
    /// Of `__consumer_offsets`.
    pub partition: i32,
    pub state: StateName,
    pub since: Option<Wall>,
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<Arc<str>>,
    /// By member id.
    pub members: Vec<MemberView>,
    /// Ids that were given out and not joined with yet.
    pub pending: u32,
    /// By topic and partition.
    pub offsets: Vec<OffsetView>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    pub member: Arc<str>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub instance: Option<Arc<str>>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// In the order of its preference.
    pub protocols: Vec<Arc<str>>,
    /// Empty unless the group speaks the consumer protocol.
    pub subscribed: Vec<Arc<str>>,
    /// Topic and partition. Empty unless the group speaks the consumer protocol.
    pub assignment: Vec<(Arc<str>, i32)>,
    pub awaits_join: bool,
    pub awaits_sync: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetView {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: Arc<str>,
    pub committed_at: Wall,
}

impl GroupCoordinator {
    /// All groups, by partition and id.
    pub fn view(&self) -> Vec<GroupView> {
        self.shards.values().flat_map(|shard| shard.groups.values().map(|group| shard.view(group))).collect()
    }
}

impl Shard {
    fn view(&self, group: &Group) -> GroupView {
        let mut offsets = Vec::new();
        for (topic, partitions) in self.offsets.of_group(&group.id).into_iter().flatten() {
            for (partition, slot) in partitions {
                let Some(stored) = slot.latest() else { continue };
                offsets.push(OffsetView {
                    topic: topic.clone(),
                    partition: *partition,
                    offset: stored.offset,
                    leader_epoch: stored.leader_epoch,
                    metadata: stored.metadata.clone(),
                    committed_at: stored.committed_at,
                });
            }
        }
        GroupView {
            group: group.id.clone(),
            partition: self.partition,
            state: group.state.name(),
            since: group.since,
            generation: group.generation,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            leader: group.leader.clone(),
            members: group.members.values().map(|member| member.view(group)).collect(),
            pending: group.pending_joins.len() as u32,
            offsets,
        }
    }
}

impl Member {
    fn view(&self, group: &Group) -> MemberView {
        let (mut subscribed, mut assignment) = (Vec::new(), Vec::new());
        if group.uses_consumer_protocol() {
            // Between generations the first offer stands for what it wants.
            let offered = self.protocols.first().map(|protocol| &*protocol.name);
            let metadata = self.metadata(group.protocol.as_deref().or(offered));
            let topics = consumer_protocol::subscribed_topics(&metadata).unwrap_or_default();
            subscribed = topics.into_iter().map(Arc::from).collect();
            assignment = consumer_protocol::assigned_partitions(&self.assignment).unwrap_or_default();
        }
        MemberView {
            member: self.id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            instance: self.instance.clone(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            protocols: self.protocols.iter().map(|protocol| protocol.name.clone()).collect(),
            subscribed,
            assignment,
            awaits_join: self.join.is_some(),
            awaits_sync: self.sync.is_some(),
        }
    }
}
