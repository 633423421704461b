//! A node: the machine that a host drives.

use std::collections::BTreeMap;

use bytes::Bytes;
use shore_base::{ConnId, Instant, NodeId, Uuid, Wall};
use shore_log::storage::{StoreReply, StoreRequest};
use shore_wire::frame::Frame;

use crate::event::Event;

/// A node as it is configured before it boots.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub node_id: NodeId,
    pub cluster_id: Uuid,
    /// Where the node's files live: `n1/d0`.
    pub directory: shore_log::storage::FileName,
    pub advertised_host: String,
    pub advertised_port: u16,
    /// Static broker configs (`server.properties`), reported by DescribeConfigs as such.
    pub static_configs: BTreeMap<String, String>,
    pub durability: Durability,
    /// Bytes of log that may stay in memory; what is older is loaded when it is read.
    pub cache_bytes: u64,
    /// Seeds ids and everything else that is random.
    pub seed: u64,
}

/// What an acknowledgement and the high watermark wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the append in memory.
    Memory,
    /// The host has written it: a killed process loses nothing.
    #[default]
    Written,
    /// The host has synced it: a loss of power loses nothing.
    Synced,
}

/// Which half of a combined node is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Broker,
    Controller,
}

/// What can happen to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody connected; `peer` is the address that DescribeGroups shows as the client's host.
    Connected { conn: ConnId, role: Role, peer: String },
    /// A whole request arrived, without its length prefix.
    Request { conn: ConnId, frame: Bytes },
    /// The peer is gone. What it waited for is dropped.
    Disconnected { conn: ConnId },
    /// An answer to something the node asked of its store.
    Store(StoreReply),
    /// The wall clock's reading at [`Instant::ZERO`] changed: at boot and after a resume.
    WallClock { offset: Wall },
    /// Take no more requests, write what recovery would have to scan for, then emit [`Output::Stopped`].
    Stop,
    /// Time passed: `next_wake` may be due.
    Wake,
}

/// What a node wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// A whole response. Responses of one connection are in the order of its requests.
    Respond {
        conn: ConnId,
        frame: Frame,
    },
    /// Close this connection; the reason goes to the log.
    Close {
        conn: ConnId,
        reason: String,
    },
    Store(StoreRequest),
    /// Something worth showing or asserting. Only built after [`Node::observe`].
    Event(Event),
    /// A line for the operator: a segment dropped at the ceiling, a disk that fails or heals.
    Log(String),
    /// The broker is registered, unfenced and serves clients.
    Ready,
    /// The answer to [`Input::Stop`]: everything is on disk.
    Stopped,
}

/// One node, controller and broker. Drive it so: one [`Node::handle`], then [`Node::poll`] until it
/// returns `None`, then sleep until [`Node::next_wake`].
#[derive(Clone)]
pub struct Node {
    // Filled in with the machines.
}
