//! How far the clients of a world are, and whether it is at rest.

use shore_base::collections::{BTreeMap, BTreeSet};
use shore_broker::NodeView;
use shore_broker::view::{LogView, PartitionView, TopicView};
use shore_client::TransactionState;
use shore_sim::World;
use shore_sim::snapshot::{ActorSnapshot, Doing, NodeState, PartitionSnapshot};

/// A group and its topics.
pub type Reader = (String, BTreeSet<String>);

/// A member: its group and topics, its state in the group, and how far it is.
type Member = (Reader, &'static str, Vec<PartitionSnapshot>);

pub(crate) fn nodes_are(world: &World, state: NodeState) -> bool {
    world.snapshot().nodes.iter().all(|node| node.state == state)
}

/// Whether all that was begun is ended: requests, records (`limits` has how many each producer makes), transactions;
/// and everything is read.
pub(crate) fn is_at_rest(world: &World, node: &NodeView, limits: &BTreeMap<String, u64>) -> bool {
    let snapshot = world.snapshot();
    snapshot.nodes.iter().all(|node| node.state == NodeState::Ready)
        && snapshot.actors.iter().all(|actor| is_done(actor, limits))
        && topics(node).flat_map(logs).all(|log| log.last_stable_offset == log.high_watermark)
        && all_is_read(snapshot.actors, node)
}

fn is_done(actor: &ActorSnapshot, limits: &BTreeMap<String, u64>) -> bool {
    let ready = |state: &TransactionState| *state == TransactionState::Ready;
    match &actor.doing {
        Doing::Producing { unfinished, made, acknowledged, failed, transactions, .. } => {
            *unfinished == 0
                && *made == acknowledged + failed
                && limits.get(&actor.name).is_none_or(|limit| made == limit)
                && transactions.as_ref().is_none_or(|transactions| ready(&transactions.state))
        }
        Doing::Copying { transactions, .. } => ready(&transactions.state),
        Doing::Administrating { unanswered } => *unanswered == 0,
        Doing::Consuming { .. } => true,
    }
}

/// Whether every group's members read all partitions of their topics between them and are at the end of each.
pub(crate) fn has_no_lag(world: &World, node: &NodeView) -> bool {
    all_is_read(world.snapshot().actors, node)
}

fn all_is_read(actors: Vec<ActorSnapshot>, node: &NodeView) -> bool {
    let mut read: BTreeMap<(String, String, i32), Option<i64>> = BTreeMap::new();
    let mut readers: BTreeSet<Reader> = BTreeSet::new();
    for (reader, state, partitions) in members(actors) {
        if state != "stable" {
            return false;
        }
        read.extend(partitions.into_iter().map(|at| ((reader.0.clone(), at.topic, at.partition), at.position)));
        readers.insert(reader);
    }
    readers.into_iter().all(|(group, wanted)| {
        topics(node).filter(|topic| wanted.contains(&*topic.name)).all(|topic| {
            topic.partitions.iter().all(|partition| {
                // What a member knows of the end is as old as its last fetch.
                let end = partition.log.as_ref().map_or(-1, |log| log.high_watermark);
                read.get(&(group.clone(), topic.name.to_string(), partition.partition)) == Some(&Some(end))
            })
        })
    })
}

/// The groups that have members, and the topics of these.
pub(crate) fn readers(world: &World) -> Vec<Reader> {
    let mut readers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for ((group, topics), ..) in members(world.snapshot().actors) {
        readers.entry(group).or_default().extend(topics);
    }
    readers.into_iter().collect()
}

/// The topics that clients have made.
pub(crate) fn topics(node: &NodeView) -> impl Iterator<Item = &TopicView> {
    node.topics.iter().filter(|topic| !topic.is_internal)
}

/// What everybody does, for whoever wants to know why there is no rest.
pub(crate) fn told(world: &World, node: Option<&NodeView>) -> String {
    let snapshot = world.snapshot();
    let nodes = snapshot.nodes.iter().map(|node| format!("node {}: {:?}", node.id, node.state));
    let actors = snapshot.actors.iter().map(|actor| format!("{}: {:?}", actor.name, actor.doing));
    let open = |topic: &TopicView, partition: &PartitionView| {
        let log = partition.log.as_ref().filter(|log| log.last_stable_offset < log.high_watermark)?;
        Some(format!("{}-{} is open from {}", topic.name, partition.partition, log.last_stable_offset))
    };
    let topics = node.into_iter().flat_map(topics);
    let open = topics.flat_map(|topic| topic.partitions.iter().filter_map(move |partition| open(topic, partition)));
    nodes.chain(actors).chain(open).collect::<Vec<_>>().join("; ")
}

fn logs(topic: &TopicView) -> impl Iterator<Item = &LogView> {
    topic.partitions.iter().filter_map(|partition| partition.log.as_ref())
}

fn members(actors: Vec<ActorSnapshot>) -> impl Iterator<Item = Member> {
    actors.into_iter().filter_map(|actor| match actor.doing {
        Doing::Consuming { group, topics, state, partitions, .. } => {
            Some(((group, topics.into_iter().collect()), state, partitions))
        }
        Doing::Copying { group, from, state, partitions, .. } => {
            Some(((group, BTreeSet::from([from])), state, partitions))
        }
        Doing::Producing { .. } | Doing::Administrating { .. } => None,
    })
}
