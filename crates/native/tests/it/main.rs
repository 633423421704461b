//! `shore serve` from the outside: what its users type, what the internet sends, what a crash leaves.

mod broker;
mod client;
mod crash;
mod hostile;
mod kafka_directory;
mod start;
