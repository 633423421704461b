//! One node of the cluster: a controller and a broker, each a state machine.

pub mod event;
pub mod node;

pub use node::{Durability, Input, Node, NodeConfig, Output, Role};
