//! A whole node, asked over frames.

mod apis;
mod cleaner;
mod cluster;
mod configs;
mod controller;
mod dropped;
mod fetch;
mod groups;
mod harness;
mod parked;
mod produce;
mod quotas;
mod restart;
mod topics;
mod transactions;
