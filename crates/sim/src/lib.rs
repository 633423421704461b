//! The simulator: one [`World`] of nodes, disks, links and clients on a virtual clock.
//!
//! Every host drives one: a test as fast as it goes, the tab paced to real time, the TCP host at 1x
//! with the outside world attached.

mod acting;
pub mod action;
mod actor;
mod copier;
pub mod disk;
pub mod event;
mod generator;
mod links;
mod node;
mod queue;
mod script;
pub mod snapshot;
mod speed;
mod trace;
mod transacting;
mod world;

pub use action::{Action, ConsumerSpec, CopierSpec, ProducerSpec, TransactionSpec};
pub use actor::{ActorId, ActorKind};
pub use disk::{Disk, DiskFault, DiskModel};
pub use event::{ActorEvent, Direction, Event, EventId, EventKind, Peer, TransactionStep};
pub use generator::Generator;
pub use script::{ScriptError, ScriptLine, format_script, parse_script};
pub use snapshot::Snapshot;
pub use speed::Speed;
pub use world::{Outward, World};
