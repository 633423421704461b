//! A whole node, asked over frames.

mod apis;
mod cleaner;
mod configs;
mod controller;
mod dropped;
mod fetch;
mod groups;
mod harness;
mod parked;
mod produce;
mod restart;
mod topics;
mod transactions;
