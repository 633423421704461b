//! `shore`: a Kafka broker behind a TCP port.

#[cfg(test)]
mod file_store;

fn main() {}
