//! `shore serve`: from the command line to a running host.

use shore_base::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::Poll;
use shore_base::{Instant, NodeId, Random, Uuid};
use shore_broker::{Node, NodeConfig, check_static_configs};
use shore_sim::{Disk, World};

use crate::args::Serve;
use crate::buffers::Buffers;
use crate::directory::{Directory, node_directory};
use crate::host::{Ground, Host, Limits};
use crate::store::Store;
use crate::topics::TopicMaker;
use crate::{clock, listener, say, supervisor};

/// Who the node is, where neither its configs nor its directory say.
pub const NODE: NodeId = NodeId(1);

/// What one node needs that Kafka's defaults, made for several, do not give; and the bounds of a host
/// that has one process's memory. Reported as static broker configs; `--config` stands over them.
pub const CONFIGS: [(&str, &str); 9] = [
    ("connections.max.idle.ms", "600000"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("max.connections", "10000"),
    ("offsets.topic.replication.factor", "1"),
    ("queued.max.request.bytes", "268435456"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.replication.factor", "1"),
];

/// The configs that are options of their own.
const OPTIONS: [(&str, &str); 5] = [
    ("advertised.listeners", "--advertise"),
    ("listeners", "--port and --listen"),
    ("log.dir", "--data"),
    ("log.dirs", "--data"),
    ("metadata.log.dir", "--data"),
];

/// Why nothing is served.
#[derive(Debug)]
pub enum Failure {
    Usage(String),
    Listen(String),
    Directory(String),
    Locked(String),
    Fault(String),
}

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Fault(_) => 1,
            Self::Usage(_) => 2,
            Self::Listen(_) => 3,
            Self::Directory(_) => 4,
            Self::Locked(_) => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(why) | Self::Listen(why) | Self::Directory(why) | Self::Locked(why) | Self::Fault(why)) = self;
        f.write_str(why)
    }
}

pub fn run(serve: Serve) -> Result<(), Failure> {
    let mut configs: BTreeMap<String, String> = CONFIGS.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    if serve.data.is_none() {
        // The ceiling drops whole segments: each is a small part of it.
        let segment = (serve.memory_ceiling / 64).clamp(1 << 20, 64 << 20);
        configs.insert("log.segment.bytes".to_owned(), segment.to_string());
    }
    if let Some(largest) =
        serve.configs.get("socket.request.max.bytes").and_then(|text| text.trim().parse::<i64>().ok())
    {
        // Room for one request at least, as Kafka demands.
        let queued = configs.entry("queued.max.request.bytes".to_owned()).or_default();
        *queued = queued.parse().unwrap_or(0).max(largest).to_string();
    }
    configs.extend(serve.configs.clone());
    if let Some(name) = OPTIONS.iter().find(|(config, _)| configs.contains_key(*config)) {
        return Err(Failure::Usage(format!("--config {} is not taken: {} says it", name.0, name.1)));
    }
    check_static_configs(&configs).map_err(Failure::Usage)?;
    let wanted = node_id(&serve.configs);
    let limits = limits(&configs).map_err(Failure::Usage)?;
    // Sockets are files, and the usual limit is lower than the number of connections that is allowed.
    let _ = rlimit::increase_nofile_limit(limits.max_connections as u64 + 1_000);

    let directory = serve.data.as_deref().map(Directory::open).transpose()?;
    let seed = entropy();
    let fresh = Uuid::random(&mut Random::stream(seed, "cluster id"));
    let owner = directory.as_ref().map(|directory| directory.owner(fresh, wanted)).transpose()?;
    let listeners = listener::listen(&serve.listen, serve.port).map_err(Failure::Listen)?;
    let port = listeners[0].local_addr().map_err(|error| Failure::Listen(error.to_string()))?.port();
    let fault = |error: std::io::Error| Failure::Fault(error.to_string());
    let poll = Poll::new().map_err(fault)?;
    let waker = Ground::waker(&poll).map_err(fault)?;
    let stop = stop_on_signal(waker.clone()).map_err(Failure::Fault)?;
    let buffers = Buffers::default();
    let store = match &owner {
        Some(owner) => Store::files(&owner.root, buffers.clone(), waker)
            .map_err(|error| Failure::Directory(format!("cannot use {}: {error}", owner.root.display())))?,
        None => Store::memory(),
    };
    let (node_id, cluster_id, files) = match owner {
        Some(owner) => (owner.node_id, owner.cluster_id, owner.directory),
        None => (wanted.unwrap_or(NODE), fresh, node_directory(wanted.unwrap_or(NODE))),
    };
    let mut ground = Ground::new(poll, listeners, store, buffers, stop, limits).map_err(fault)?;

    if let Some(open) = serve.listen.iter().find(|address| !address.is_loopback()) {
        say(format_args!(
            "listening on {open} without authentication or encryption: whoever reaches it can read and write"
        ));
    }
    let (host, advertised_port) =
        serve.advertise.clone().unwrap_or_else(|| (listener::advertised_host(&serve.listen), port));
    let config = NodeConfig {
        node_id,
        cluster_id,
        directory: files,
        advertised_host: host.clone(),
        advertised_port,
        static_configs: configs,
        durability: serve.durability,
        // A log in memory is its own cache; there the ceiling bounds what is kept.
        cache_bytes: if directory.is_some() { serve.memory_ceiling } else { u64::MAX },
        memory_ceiling_bytes: directory.is_none().then_some(serve.memory_ceiling),
        seed,
    };
    Node::try_new(config.clone(), Instant::ZERO, clock::wall()).map_err(Failure::Usage)?;
    let place = directory.as_ref().map_or("memory".to_owned(), |directory| directory.path().display().to_string());
    let ready_line = format!("shore ready: {host}:{port} cluster={cluster_id} data={place}\n");
    let traces = directory.as_ref().map_or(std::env::temp_dir(), |directory| directory.path().to_owned());
    let ready = move || {
        let _ = std::io::stdout().write_all(ready_line.as_bytes());
    };
    run_node(&mut ground, &config, &serve.topics, &traces, ready).map_err(Failure::Fault)
}

/// Runs a node until it is told to stop, and from its store again if it breaks.
pub fn run_node(
    ground: &mut Ground,
    config: &NodeConfig,
    topics: &[(String, u32)],
    traces: &Path,
    ready: impl Fn() + Clone + 'static,
) -> Result<(), String> {
    let mut run = 0;
    supervisor::supervise(traces, || {
        run += 1;
        ground.store.settle();
        // A node that broke gets other ids than the one before it.
        let config = NodeConfig { seed: config.seed.wrapping_add(run), ..config.clone() };
        let node_id = config.node_id;
        let mut world = World::without_clients(config.seed);
        world.set_wall(clock::wall());
        world.boot(config, Disk::External);
        Host::new(ground, world, node_id, TopicMaker::new(topics.to_vec()), ready.clone()).run()
    })
}

/// The node's id, if the configs, which were checked, say it.
fn node_id(configs: &BTreeMap<String, String>) -> Option<NodeId> {
    let given = configs.get("node.id").or_else(|| configs.get("broker.id"))?;
    given.trim().parse().ok().map(NodeId)
}

/// What the configs, which were checked, allow clients.
fn limits(configs: &BTreeMap<String, String>) -> Result<Limits, String> {
    let number = |key: &str, default: i64| {
        configs.get(key).map_or(default, |text| text.trim().parse().expect("it was checked to be a number"))
    };
    let max_connections = number("max.connections", i64::from(i32::MAX));
    if max_connections == 0 {
        return Err("--config max.connections is at least 1, not 0".to_owned());
    }
    Ok(Limits {
        max_request_bytes: number("socket.request.max.bytes", 100 << 20) as usize,
        max_connections: max_connections as usize,
        max_idle: u64::try_from(number("connections.max.idle.ms", 600_000)).ok().map(Duration::from_millis),
        max_queued_bytes: usize::try_from(number("queued.max.request.bytes", -1)).unwrap_or(usize::MAX),
    })
}

/// The first signal asks for a clean end, the second ends the process.
fn stop_on_signal(waker: Arc<mio::Waker>) -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        let _ = waker.wake();
    })
    .map_err(|error| format!("cannot watch for signals: {error}"))?;
    Ok(stop)
}

/// A number that no other run has: the standard library seeds its hash maps from the system.
fn entropy() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(clock::wall())
}
