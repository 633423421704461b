//! One node of the cluster: a controller and a broker, each a state machine.

pub mod api;
mod boot;
mod broker;
mod config;
mod connection;
mod controller;
pub mod event;
mod features;
pub mod group;
mod image;
mod link;
pub mod node;
mod replica;
mod topic_name;
#[cfg(test)]
mod transcript;
pub mod txn;
pub mod view;

pub use node::{Durability, Input, Node, NodeConfig, Output, Role, check_static_configs};
pub use view::NodeView;
