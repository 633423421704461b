//! Development only: runs of the simulator drawn from a seed, and what must hold in every one of them.
//!
//! A run is a node, the workloads that its seed draws (`workloads`: producers, groups, topics that come and go,
//! transactions and copiers), and the faults that it draws (`faults`: crashes at any call of the disk, power that
//! goes, full and failing and slow disks, cut and slow links, connections that break with an answer on its way). Then
//! all heals and must come to rest. A quarter of the clients speak older versions of some APIs, as far back as the
//! messages go that they are made of (`workloads/versions.rs`).
//!
//! The rules carry the numbers of the project's list of invariants of a Kafka cluster. Checked here, of those that
//! bind a cluster of one node: 1 (marks in order), 2 (dense offsets), 4 (epochs never fall), 6 (what is acknowledged
//! stays), 8 (what was read stays), 10 (acks=all is committed), 11 (what an error says of the records), 12 (leader,
//! ISR and replicas fit), 17 (batches are of the epoch in which they lie), 18 (no records for another epoch), 24 (a
//! broker's epochs rise), 26 (one key, one partition), 27 to 29 (idempotence, order, producer ids), 30 to 33 (owners,
//! generations, assignments, what changes hands), 34 (who is let go and who is kept), 35 to 38 (commits, their return
//! and expiry, the order of records), 39 (every acknowledged record is processed, a copy has each once), 40 (states
//! of transactions), 41 (all or nothing), 42 (nothing open or aborted is read), 43 (where what is stable ends), 44
//! (the aborted transactions that a reader is told of), 45 (fenced epochs), 46 (no transaction stays open), 47
//! (retention), 48 (compaction keeps the last record of a key), 49 (nothing from before a log's start), 54 (replay),
//! 55 (rest). What is promised of a topic is promised under its id: a name may be given again.
//!
//! Some do not bind everywhere. 11: a request that had to wait for its partitions to be in a transaction is not
//! looked at. 18: nor are a session's partitions that a request does not name. 24: requests with an old epoch travel
//! within the node, whose own tests see to them. 32: in a cooperative group one of whose static members was replaced
//! in the present generation, what the former self gave back is nobody's until the next rebalance, with Apache Kafka
//! 4.3.1 and its consumers too (`tests/cooperative.rs` shows it); a run that is left so when all has healed has one
//! more member join. 33: what a member has missed a generation with counts for nothing. 40: that one producer has one
//! transaction open in a partition is so by how logs keep them. 41 of offsets: what a transaction that was aborted
//! would have committed is not told apart from what one that was lost would have (36 takes both). 44: a log of which
//! not everything was read is not judged, nor is how much more than it must a reader is told. 45: who adds partitions
//! or offsets with an old epoch is left to the coordinator's tests. 50 to 53 (quotas, ACLs, share groups, streams)
//! wait for what they are about. The others are about several nodes.

mod auditor;
pub mod checker;
mod counts;
mod faults;
mod group_watch;
mod node_watch;
mod owners;
mod records;
mod rest;
pub mod run;
mod topics;
mod txn_logs;
mod txn_watch;
mod wire_watch;
mod workloads;

pub use checker::{Checker, Violation};
pub use counts::Counts;
pub use records::Read;
pub use rest::Reader;
pub use run::{Crash, Report, Settings, run};
