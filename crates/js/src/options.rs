//! What a cluster is told at its start.

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, NodeId, Uuid, Wall};
use shore_broker::{Durability, Node, NodeConfig};

use crate::inputs::Reader;

pub const NODE: NodeId = NodeId(1);

pub struct Options {
    pub node: NodeConfig,
    /// The files live in here; otherwise they are the host's.
    pub memory: bool,
    pub max_frame_bytes: usize,
}

pub fn decode(bytes: Bytes) -> Result<Options, String> {
    let mut reader = Reader::new(bytes);
    let advertised_host = reader.string()?;
    let advertised_port = u16::try_from(reader.u32()?).map_err(|_| "a port is at most 65535".to_owned())?;
    let durability = match reader.u8()? {
        0 => Durability::Memory,
        1 => Durability::Written,
        _ => Durability::Synced,
    };
    let memory = reader.u8()? == 1;
    let memory_bytes = reader.u64()?;
    let max_frame_bytes = reader.u32()? as usize;
    let cluster_id = reader.string()?;
    let cluster_id = Uuid::parse(&cluster_id).ok_or_else(|| format!("`{cluster_id}` is no cluster id"))?;
    let seed = reader.u64()?;
    let mut static_configs = BTreeMap::new();
    for _ in 0..reader.u32()? {
        static_configs.insert(reader.string()?, reader.string()?);
    }
    let node = NodeConfig {
        node_id: NODE,
        cluster_id,
        directory: "n1/d0".into(),
        advertised_host,
        advertised_port,
        static_configs,
        durability,
        cache_bytes: memory_bytes,
        memory_ceiling_bytes: memory.then_some(memory_bytes),
        seed,
    };
    // A config that no broker starts with is the caller's mistake; the world would take it for ours.
    Node::try_new(node.clone(), Instant::ZERO, Wall::default())?;
    Ok(Options { node, memory, max_frame_bytes })
}
