//! One node of the cluster: a controller and a broker, each a state machine.

pub mod api;
pub mod event;
pub mod group;
pub mod node;

pub use node::{Durability, Input, Node, NodeConfig, Output, Role};
