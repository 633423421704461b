//! The world as plain data, for screens and tests.

use shore_base::{ConnId, Instant, NodeId, Wall};
use shore_client::{Consumer, Producer, TopicPartition, TransactionState};

use crate::acting::asked;
use crate::actor::{Actor, ActorId, ActorKind, RoleOf};
use crate::disk::DiskFault;
use crate::event::{Direction, Peer};
use crate::links::End;
use crate::node::{NodeDisk, NodeSlot, Run};
use crate::queue::Pending;
use crate::speed::Speed;
use crate::transacting::Transacting;
use crate::world::World;

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub now: Instant,
    pub wall: Wall,
    pub speed: Speed,
    pub nodes: Vec<NodeSnapshot>,
    pub actors: Vec<ActorSnapshot>,
    /// Requests and responses between actors and nodes, on their way.
    pub travelling: Vec<Travelling>,
    /// Requests that reached their node and wait there for an answer.
    pub waiting: Vec<Waiting>,
    /// Connections of the outside world.
    pub outside: Vec<(ConnId, NodeId, String)>,
}

#[derive(Clone, Debug)]
pub struct NodeSnapshot {
    pub id: NodeId,
    pub host: String,
    pub port: u16,
    pub state: NodeState,
    /// How often it was started.
    pub life: u32,
    pub disk: DiskSnapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    Down,
    Starting,
    Ready,
    Stopping,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskSnapshot {
    Model {
        used_bytes: u64,
        under_way: u64,
        calls: u64,
        fault: Option<DiskFault>,
    },
    /// Requests that the host has not answered.
    External {
        awaited: u64,
    },
}

#[derive(Clone, Debug)]
pub struct ActorSnapshot {
    pub id: ActorId,
    pub name: String,
    pub kind: ActorKind,
    /// Nodes that it is cut off from.
    pub cut_from: Vec<NodeId>,
    pub doing: Doing,
}

#[derive(Clone, Debug)]
pub enum Doing {
    Producing {
        topic: String,
        millirate: u64,
        made: u64,
        acknowledged: u64,
        failed: u64,
        /// Records and bytes that are neither acknowledged nor failed.
        unfinished: u64,
        buffered_bytes: u64,
        producer_id: Option<(i64, i16)>,
        transactions: Option<TransactionsSnapshot>,
    },
    Consuming {
        group: String,
        topics: Vec<String>,
        records_per_second: u64,
        state: &'static str,
        member_id: String,
        generation: i32,
        consumed: u64,
        paused: bool,
        /// The owner works on what it was given until then.
        busy_until: Instant,
        partitions: Vec<PartitionSnapshot>,
    },
    /// Copying a topic in transactions.
    Copying {
        group: String,
        from: String,
        to: String,
        /// In its group.
        state: &'static str,
        member_id: String,
        generation: i32,
        copied: u64,
        producer_id: Option<(i64, i16)>,
        transactions: TransactionsSnapshot,
        partitions: Vec<PartitionSnapshot>,
    },
    Administrating {
        unanswered: u64,
    },
}

/// A producer in its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionsSnapshot {
    pub transactional_id: String,
    pub state: TransactionState,
    /// Records in the transaction that is open, or was last.
    pub records: u64,
    pub committed: u64,
    pub aborted: u64,
}

/// A member's place in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSnapshot {
    pub topic: String,
    pub partition: i32,
    pub position: Option<i64>,
    pub committed: Option<i64>,
    pub lag: Option<i64>,
    pub paused: bool,
}

/// A request or a response between an actor and a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Travelling {
    pub conn: ConnId,
    pub actor: ActorId,
    pub node: NodeId,
    pub direction: Direction,
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub bytes: u64,
    pub sent_at: Instant,
    pub due: Instant,
}

impl Travelling {
    /// How much of the way is behind it, in thousandths.
    pub fn progress(&self, now: Instant) -> u32 {
        let whole = self.due.since(self.sent_at).as_micros().max(1);
        (now.since(self.sent_at).as_micros() * 1_000 / whole).min(1_000) as u32
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub conn: ConnId,
    pub actor: ActorId,
    pub node: NodeId,
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub sent_at: Instant,
}

impl World {
    /// Everything a screen needs; a node's inside is in its own view.
    pub fn snapshot(&self) -> Snapshot {
        let outside = |(conn, connection): (ConnId, &crate::links::Connection)| match connection.peer() {
            Peer::Outside(peer) => Some((conn, connection.node, peer)),
            Peer::Actor(_) => None,
        };
        let travelling: Vec<Travelling> =
            self.queue.pending().filter_map(|(due, pending)| self.travelling(due, pending)).collect();
        Snapshot {
            now: self.now,
            wall: self.wall(),
            speed: self.speed,
            nodes: self.nodes.iter().map(|(id, slot)| node_snapshot(*id, slot)).collect(),
            actors: self.actors.iter().map(|(id, actor)| self.actor_snapshot(*id, actor)).collect(),
            waiting: self.waiting(&travelling),
            travelling,
            outside: self.links.iter().filter_map(outside).collect(),
        }
    }

    fn travelling(&self, due: Instant, pending: &Pending) -> Option<Travelling> {
        let (conn, direction, asked, bytes, sent_at) = match pending {
            Pending::Request { conn, frame, sent_at } => {
                (*conn, Direction::ToNode, asked(frame, *sent_at)?, frame.len() as u64, *sent_at)
            }
            Pending::Response { conn, frame, asked, sent_at } => {
                (*conn, Direction::ToClient, (*asked)?, frame.len() as u64, *sent_at)
            }
            _ => return None,
        };
        let connection = self.links.get(conn).filter(|connection| !connection.dropped)?;
        let End::Actor { actor, .. } = connection.end else { return None };
        Some(Travelling {
            conn,
            actor,
            node: connection.node,
            direction,
            api_key: asked.api_key,
            api_version: asked.api_version,
            correlation_id: asked.correlation_id,
            bytes,
            sent_at,
            due,
        })
    }

    fn waiting(&self, travelling: &[Travelling]) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for (conn, connection) in self.links.iter() {
            let End::Actor { actor, .. } = connection.end else { continue };
            if connection.dropped {
                continue;
            }
            for asked in &connection.asked {
                let on_its_way =
                    travelling.iter().any(|one| one.conn == conn && one.correlation_id == asked.correlation_id);
                if !on_its_way {
                    waiting.push(Waiting {
                        conn,
                        actor,
                        node: connection.node,
                        api_key: asked.api_key,
                        api_version: asked.api_version,
                        correlation_id: asked.correlation_id,
                        sent_at: asked.sent_at,
                    });
                }
            }
        }
        waiting
    }

    fn actor_snapshot(&self, id: ActorId, actor: &Actor) -> ActorSnapshot {
        let doing = match &actor.role {
            RoleOf::Producer(producer) => Doing::Producing {
                topic: producer.spec.topic.clone(),
                millirate: producer.spec.millirate,
                made: producer.made,
                acknowledged: producer.acknowledged,
                failed: producer.failed,
                unfinished: producer.producer.unfinished(),
                buffered_bytes: producer.producer.buffered_bytes(),
                producer_id: producer.producer.producer_id(),
                transactions: producer.transacting.as_ref().map(|it| transactions(it, &producer.producer)),
            },
            RoleOf::Consumer(consumer) => {
                let machine = &consumer.consumer;
                Doing::Consuming {
                    group: consumer.spec.group.clone(),
                    topics: consumer.spec.topics.clone(),
                    records_per_second: consumer.spec.records_per_second,
                    state: machine.state(),
                    member_id: machine.member_id().to_owned(),
                    generation: machine.generation(),
                    consumed: consumer.consumed,
                    paused: consumer.paused,
                    busy_until: consumer.busy_until,
                    partitions: partitions(machine),
                }
            }
            RoleOf::Copier(copier) => Doing::Copying {
                group: copier.spec.group.clone(),
                from: copier.spec.from.clone(),
                to: copier.spec.to.clone(),
                state: copier.consumer.state(),
                member_id: copier.consumer.member_id().to_owned(),
                generation: copier.consumer.generation(),
                copied: copier.copied,
                producer_id: copier.producer.producer_id(),
                transactions: transactions(&copier.transacting, &copier.producer),
                partitions: partitions(&copier.consumer),
            },
            RoleOf::Admin(admin) => Doing::Administrating { unanswered: admin.admin.unanswered() as u64 },
        };
        let cut_from = self.nodes.keys().copied().filter(|node| self.links.is_cut((id, *node))).collect();
        ActorSnapshot { id, name: actor.name.clone(), kind: actor.kind(), cut_from, doing }
    }
}

fn transactions(transacting: &Transacting, producer: &Producer) -> TransactionsSnapshot {
    TransactionsSnapshot {
        transactional_id: transacting.spec.id.clone(),
        state: producer.transaction_state().cloned().unwrap_or(TransactionState::Uninitialized),
        records: transacting.records,
        committed: transacting.committed,
        aborted: transacting.aborted,
    }
}

fn partitions(machine: &Consumer) -> Vec<PartitionSnapshot> {
    let partition = |at: &TopicPartition| PartitionSnapshot {
        topic: at.topic.clone(),
        partition: at.partition,
        position: machine.position(at),
        committed: machine.committed(at),
        lag: machine.lag(at),
        paused: machine.is_paused(at),
    };
    machine.assignment().map(partition).collect()
}

fn node_snapshot(id: NodeId, slot: &NodeSlot) -> NodeSnapshot {
    let disk = match &slot.disk {
        NodeDisk::Model(disk) => DiskSnapshot::Model {
            used_bytes: disk.used_bytes(),
            under_way: disk.under_way() as u64,
            calls: disk.calls(),
            fault: disk.model.fault,
        },
        NodeDisk::External { awaited, .. } => DiskSnapshot::External { awaited: *awaited },
    };
    let state = match &slot.run {
        Run::Down => NodeState::Down,
        Run::Up { ready: false, .. } => NodeState::Starting,
        Run::Up { ready: true, .. } => NodeState::Ready,
        Run::Stopping { .. } => NodeState::Stopping,
    };
    NodeSnapshot {
        id,
        host: slot.config.advertised_host.clone(),
        port: slot.config.advertised_port,
        state,
        life: slot.life,
        disk,
    }
}
