//! A node in the world: its machine while it runs, and its disk, which outlives it.

use shore_base::{Instant, Random, Wall};
use shore_broker::{Node, NodeConfig};
use shore_log::storage::{StoreReply, StoreRequest};

use crate::disk::{Disk, ModelDisk, Submitted};

#[derive(Clone)]
pub(crate) struct NodeSlot {
    pub config: NodeConfig,
    pub run: Run,
    /// How often it was started; what belongs to an earlier life is void.
    pub life: u32,
    pub disk: NodeDisk,
    /// What `CrashInCalls` asked for: whether the power goes with it.
    pub crash_takes_power: bool,
}

/// Down -> Up -> Stopping -> Down; a kill goes from any of them to Down.
#[derive(Clone)]
pub(crate) enum Run {
    Down,
    Up { node: Box<Node>, ready: bool },
    Stopping { node: Box<Node> },
}

#[derive(Clone)]
pub(crate) enum NodeDisk {
    Model(Box<ModelDisk>),
    /// Replies still to come from the host, and how many of them answer a life that is over.
    External {
        awaited: u64,
        stale: u64,
    },
}

/// Where a store request went.
pub(crate) enum Submission {
    DoneAt(Instant),
    Crash,
    Outside(StoreRequest),
}

impl NodeSlot {
    pub fn new(config: NodeConfig, disk: Disk) -> Self {
        let disk = match disk {
            Disk::Model(model) => NodeDisk::Model(Box::new(ModelDisk::new(model))),
            Disk::External => NodeDisk::External { awaited: 0, stale: 0 },
        };
        Self { config, run: Run::Down, life: 0, disk, crash_takes_power: false }
    }

    /// Begins a life. Each draws other ids than the one before.
    pub fn start(&mut self, now: Instant, wall: Wall, observed: bool) {
        self.life += 1;
        let mut config = self.config.clone();
        if self.life > 1 {
            config.seed = Random::stream(config.seed ^ u64::from(self.life), "life").next_u64();
        }
        let mut node = Box::new(Node::new(config, now, wall));
        node.observe(observed);
        self.run = Run::Up { node, ready: false };
    }

    pub fn node(&self) -> Option<&Node> {
        match &self.run {
            Run::Down => None,
            Run::Up { node, .. } | Run::Stopping { node } => Some(node),
        }
    }

    pub fn node_mut(&mut self) -> Option<&mut Node> {
        match &mut self.run {
            Run::Down => None,
            Run::Up { node, .. } | Run::Stopping { node } => Some(node),
        }
    }

    pub fn is_down(&self) -> bool {
        matches!(self.run, Run::Down)
    }

    /// Ends a life where it stands. The disk keeps what a kill, or a loss of power, leaves.
    pub fn kill(&mut self, random: &mut Random, power: bool) {
        self.run = Run::Down;
        match &mut self.disk {
            NodeDisk::Model(disk) if power => disk.lose_power(random),
            NodeDisk::Model(disk) => disk.kill(random),
            NodeDisk::External { awaited, stale } => *stale = *awaited,
        }
    }

    pub fn submit(&mut self, now: Instant, request: StoreRequest) -> Submission {
        match &mut self.disk {
            NodeDisk::Model(disk) => match disk.submit(now, request) {
                Submitted::DoneAt(at) => Submission::DoneAt(at),
                Submitted::Crash => Submission::Crash,
            },
            NodeDisk::External { awaited, .. } => {
                *awaited += 1;
                Submission::Outside(request)
            }
        }
    }

    /// Whether a reply of the host is for this life.
    pub fn takes_reply(&mut self) -> bool {
        match &mut self.disk {
            NodeDisk::Model(_) => false,
            NodeDisk::External { awaited, stale } => {
                *awaited = awaited.saturating_sub(1);
                let takes = *stale == 0;
                *stale = stale.saturating_sub(1);
                takes
            }
        }
    }

    pub fn complete(&mut self, random: &mut Random) -> Option<StoreReply> {
        match &mut self.disk {
            NodeDisk::Model(disk) => disk.complete(random),
            NodeDisk::External { .. } => None,
        }
    }
}
