//! A snapshot of the world and a view of its node, as a [`Screen`].

use std::rc::Rc;

use shore_base::Uuid;
use shore_base::collections::BTreeMap;
use shore_base::collections::sort_by;
use shore_broker::group::{GroupView, MemberView, StateName};
use shore_broker::txn::TransactionView;
use shore_broker::view::{LogView, NodeView, PartitionView, TopicConfigView, TopicView};
use shore_client::TransactionState;
use shore_sim::snapshot::{ActorSnapshot, Doing, PartitionSnapshot, Snapshot, TransactionsSnapshot};

use crate::fate;
use crate::message::{Config, PartitionDetails, ProducerState, SegmentDetails};
use crate::model::*;

/// What the host knows and the world does not.
#[derive(Clone, Debug, Default)]
pub struct Host {
    pub paused: bool,
    pub percent: u32,
    pub requests: u64,
    pub storage: Storage,
    /// The last error of each client, until it gets something done.
    pub errors: Vec<(String, Rc<str>)>,
}

impl Host {
    fn error(&self, name: &str) -> Option<Rc<str>> {
        self.errors.iter().find(|(known, _)| known == name).map(|(_, error)| error.clone())
    }
}

pub fn screen(snapshot: &Snapshot, node: &NodeView, host: &Host) -> Screen {
    Screen {
        clock: Clock {
            now_micros: snapshot.now.as_micros(),
            wall_millis: snapshot.wall.as_millis(),
            paused: host.paused,
            percent: host.percent,
        },
        broker: Rc::new(Broker {
            node: node.node_id.0,
            cluster_id: node.cluster_id.to_string().into(),
            ready: node.is_ready,
            connections: node.connections.len() as u32,
            requests: host.requests,
        }),
        topics: node.topics.iter().map(|view| Rc::new(topic(view))).collect(),
        producers: snapshot.actors.iter().filter_map(|actor| producer(actor, host)).map(Rc::new).collect(),
        groups: groups(snapshot, node, host),
        transactions: node.transactions.iter().map(|view| Rc::new(transaction(view))).collect(),
        rebalances: Vec::new(),
        storage: Rc::new(host.storage.clone()),
    }
}

fn topic(view: &TopicView) -> Topic {
    Topic {
        name: view.name.as_ref().into(),
        id: view.id.to_string().into(),
        internal: view.is_internal,
        configs: view.configs.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
        partitions: view.partitions.iter().map(|view| Rc::new(partition(view))).collect(),
    }
}

fn partition(view: &PartitionView) -> Partition {
    let empty = Partition { index: view.partition, leader_epoch: view.leader_epoch, ..Partition::default() };
    let Some(log) = &view.log else { return empty };
    let mut batches: Vec<Batch> = log.batches.iter().map(|header| fate::batch(header, log)).collect();
    let open = open_transactions(log);
    fate::settle(&mut batches, &open);
    Partition {
        log_start: log.start_offset,
        last_stable: log.last_stable_offset,
        high_watermark: log.high_watermark,
        durable_end: log.durable_end,
        log_end: log.end_offset,
        bytes: log.size_bytes,
        segments: log.segments.len() as u32,
        batches,
        open: open.into_iter().collect(),
        cleaning: cleaning(log),
        ..empty
    }
}

fn cleaning(log: &LogView) -> Option<Cleaning> {
    log.cleaning.map(|cleaning| Cleaning {
        first_dirty: cleaning.dirt.first_dirty,
        first_uncleanable: cleaning.dirt.first_uncleanable,
        clean_bytes: cleaning.dirt.clean_bytes,
        dirty_bytes: cleaning.dirt.dirty_bytes,
        under_way: cleaning.is_under_way,
    })
}

/// First offsets of open transactions, by producer.
fn open_transactions(log: &LogView) -> BTreeMap<i64, i64> {
    let open = log.producers.iter().filter_map(|producer| Some((producer.producer_id, producer.transaction_start?)));
    open.collect()
}

fn transaction(view: &TransactionView) -> Transaction {
    Transaction {
        id: view.transactional_id.as_ref().into(),
        state: view.state.name().into(),
        pending: view.pending.map(|state| state.name().into()),
        producer_id: view.producer_id,
        producer_epoch: view.producer_epoch,
        timeout_millis: view.timeout_ms,
        started_millis: view.started.map(|at| at.as_millis()),
        partitions: view.partitions.iter().map(|(topic, partition)| (topic.as_ref().into(), *partition)).collect(),
    }
}

fn producer(actor: &ActorSnapshot, host: &Host) -> Option<Producer> {
    let Doing::Producing { topic, millirate, made, acknowledged, failed, transactions, .. } = &actor.doing else {
        return None;
    };
    Some(Producer {
        name: actor.name.as_str().into(),
        topic: topic.as_str().into(),
        rate_milli: (*millirate).min(u64::from(u32::MAX)) as u32,
        running: *millirate > 0,
        sent: *made,
        acked: *acknowledged,
        failed: *failed,
        last_error: host.error(&actor.name),
        transactions: transactions.as_ref().map(transactions_of),
    })
}

fn transactions_of(snapshot: &TransactionsSnapshot) -> Transactions {
    Transactions {
        id: snapshot.transactional_id.as_str().into(),
        records: snapshot.records,
        committed: snapshot.committed,
        aborted: snapshot.aborted,
    }
}

/// Groups as the coordinator has them, and what their members in this world know of themselves. A
/// member that has not joined yet is already there.
fn groups(snapshot: &Snapshot, node: &NodeView, host: &Host) -> Vec<Rc<Group>> {
    let mut groups: Vec<Group> = node.groups.iter().map(|view| group(view, snapshot)).collect();
    for actor in &snapshot.actors {
        let (Doing::Consuming { group: id, .. } | Doing::Copying { group: id, .. }) = &actor.doing else { continue };
        let place = groups.iter().position(|group| *group.id == **id).unwrap_or_else(|| {
            groups.push(Group { id: id.as_str().into(), state: "Empty".into(), ..Group::default() });
            groups.len() - 1
        });
        let members = &mut groups[place].members;
        if !members.iter().any(|member| member.actor.as_deref() == Some(&actor.name)) {
            members.push(Rc::new(outsider(actor)));
        }
    }
    for group in &mut groups {
        for member in &mut group.members {
            if let Some(error) = member.actor.as_deref().and_then(|name| host.error(name)) {
                Rc::make_mut(member).last_error = Some(error);
            }
        }
        for member in group.members.iter_mut().filter(|member| member.actor.is_some() && !member.running) {
            see_lag(Rc::make_mut(member), node);
        }
        sort_by(&mut group.members, |a, b| (&a.client_id, &a.member_id).cmp(&(&b.client_id, &b.member_id)));
    }
    groups.into_iter().map(Rc::new).collect()
}

/// A member that fetches nothing does not hear how its partitions grow.
fn see_lag(member: &mut Member, node: &NodeView) {
    for assigned in &mut member.assignment {
        let log = find(node, &assigned.topic, assigned.partition).map(|(_, log)| log);
        if let (Some(log), Some(position)) = (log, assigned.position) {
            assigned.lag = Some((log.high_watermark - position).max(0));
        }
    }
}

fn group(view: &GroupView, snapshot: &Snapshot) -> Group {
    let member = |member: &MemberView| Rc::new(joined(member, view, snapshot));
    Group {
        id: view.group.as_ref().into(),
        state: view.state.as_str().into(),
        protocol: view.protocol.as_deref().unwrap_or_default().into(),
        cooperative: !view.members.is_empty() && view.members.iter().all(is_cooperative),
        generation: view.generation,
        since_millis: view.since.map(|at| at.as_millis()),
        members: view.members.iter().map(member).collect(),
        committed: view
            .offsets
            .iter()
            .map(|offset| Committed {
                topic: offset.topic.as_ref().into(),
                partition: offset.partition,
                offset: offset.offset,
            })
            .collect(),
    }
}

/// Whether a member keeps what it has while it joins: as in Java, if all its assignors can do with that.
fn is_cooperative(member: &MemberView) -> bool {
    member.protocols.iter().all(|protocol| &**protocol == "cooperative-sticky")
}

fn joined(view: &MemberView, group: &GroupView, snapshot: &Snapshot) -> Member {
    let actor = snapshot.actors.iter().find(|actor| match &actor.doing {
        Doing::Consuming { member_id, .. } | Doing::Copying { member_id, .. } => **member_id == *view.member,
        _ => false,
    });
    let told = view.assignment.iter().map(|(topic, partition)| Assigned {
        topic: topic.as_ref().into(),
        partition: *partition,
        ..Assigned::default()
    });
    let mut member = actor.map_or_else(Member::default, outsider);
    if member.actor.is_none() {
        member.assignment = told.collect();
    } else {
        see_changes(&mut member.assignment, told.collect(), view, group.state);
    }
    member.member_id = view.member.as_ref().into();
    member.client_id = view.client_id.as_ref().into();
    member.instance = view.instance.as_deref().map(Into::into);
    if member.actor.is_none() {
        member.state = match (view.awaits_join, view.awaits_sync) {
            (true, _) => "joining".into(),
            (_, true) => "syncing".into(),
            _ => group.state.as_str().into(),
        };
    }
    member.leader = group.leader.as_deref() == Some(&*view.member);
    member
}

/// What a member is about to give back, and what it is about to hear of.
fn see_changes(own: &mut Vec<Assigned>, told: Vec<Assigned>, view: &MemberView, state: StateName) {
    let is_in = |one: &Assigned, all: &[Assigned]| {
        all.iter().any(|other| other.topic == one.topic && other.partition == one.partition)
    };
    match state {
        StateName::PreparingRebalance if !is_cooperative(view) && !view.awaits_join => {
            own.iter_mut().for_each(|one| one.hold = Hold::Leaving);
        }
        StateName::Stable => {
            own.iter_mut().filter(|one| !is_in(one, &told)).for_each(|one| one.hold = Hold::Leaving);
            let awaited: Vec<_> = told.into_iter().filter(|one| !is_in(one, own)).collect();
            own.extend(awaited.into_iter().map(|one| Assigned { hold: Hold::Awaited, ..one }));
        }
        _ => {}
    }
}

/// A member as it knows itself.
fn outsider(actor: &ActorSnapshot) -> Member {
    let name: Rc<str> = actor.name.as_str().into();
    let mut member = Member { actor: Some(name.clone()), client_id: name, ..Member::default() };
    let (state, member_id, partitions) = match &actor.doing {
        Doing::Consuming { state, member_id, consumed, paused, partitions, .. } => {
            (member.running, member.read) = (!paused, *consumed);
            (state, member_id, partitions)
        }
        Doing::Copying { from, to, state, member_id, copied, transactions, partitions, .. } => {
            (member.running, member.read) = (true, *copied);
            member.copies = Some(Copies {
                from: from.as_str().into(),
                to: to.as_str().into(),
                copied: *copied,
                is_open: matches!(transactions.state, TransactionState::InTransaction),
                transactions: transactions_of(transactions),
            });
            (state, member_id, partitions)
        }
        _ => return member,
    };
    member.member_id = if member_id.is_empty() { actor.name.as_str().into() } else { member_id.as_str().into() };
    member.state = (*state).into();
    member.assignment = partitions.iter().map(assigned).collect();
    member
}

fn assigned(at: &PartitionSnapshot) -> Assigned {
    Assigned {
        topic: at.topic.as_str().into(),
        partition: at.partition,
        position: at.position,
        lag: at.lag,
        hold: Hold::Reads,
    }
}

/// A partition's segments and the files of each, and the producers that it knows.
pub fn partition_details(directory: &str, log: &LogView, files: &[(String, u64)]) -> PartitionDetails {
    let last = log.segments.len().saturating_sub(1);
    let segment = |(place, segment): (usize, &shore_log::SegmentInfo)| {
        let prefix = format!("{:020}", segment.base_offset);
        let own = files.iter().filter(|(name, _)| name.starts_with(&prefix));
        SegmentDetails {
            base_offset: segment.base_offset,
            end_offset: segment.end_offset,
            bytes: segment.size,
            newest_millis: (segment.max_timestamp >= 0).then_some(segment.max_timestamp),
            active: place == last,
            files: own.map(|(name, len)| format!("{name}, {}", crate::text::size(*len)).into()).collect(),
        }
    };
    let producer = |producer: &shore_broker::view::ProducerView| ProducerState {
        id: producer.producer_id,
        epoch: producer.epoch,
        last_sequence: producer.last_sequence,
        last_offset: producer.last_offset,
        transaction_start: producer.transaction_start,
    };
    PartitionDetails {
        directory: directory.into(),
        segments: log.segments.iter().enumerate().map(segment).collect(),
        cleaning: cleaning(log),
        producers: log.producers.iter().map(producer).collect(),
    }
}

pub fn config(view: &TopicConfigView) -> Config {
    Config {
        name: view.name.into(),
        value: view.value.as_str().into(),
        own: view.is_own,
        choices: view.choices.iter().map(|&choice| choice.into()).collect(),
        documentation: view.documentation.into(),
    }
}

/// The id and the opened log of a partition.
pub fn find<'a>(node: &'a NodeView, topic: &str, partition: i32) -> Option<(Uuid, &'a LogView)> {
    let topic = node.topics.iter().find(|known| &*known.name == topic)?;
    let partition = topic.partitions.iter().find(|known| known.partition == partition)?;
    Some((topic.id, partition.log.as_ref()?))
}
