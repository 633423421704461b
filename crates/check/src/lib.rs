//! Development only: runs of the simulator drawn from a seed, and what must hold in every one of them.
//!
//! The rules carry the numbers of the project's list of invariants of a Kafka cluster. Checked here, of those that
//! bind a cluster of one node: 1 (marks in order), 2 (dense offsets), 4 (epochs never fall), 6 (what is acknowledged
//! stays), 8 (what was read stays), 10 (acks=all is committed), 11 (what an error says of the records), 12 (leader,
//! ISR and replicas fit), 26 (one key, one partition), 27 to 29 (idempotence, order, producer ids), 30 to 32
//! (owners, generations, assignments), 34 (who is let go and who is kept), 35 to 38 (commits, their return and
//! expiry, the order of records), 47 (retention), 49 (nothing from before a log's start), 54 (replay), 55 (rest).
//!
//! Not checked, though a single node could break them: 17 and 18 (leader-epoch cache, fetches with a stale
//! epoch), 24 (broker epochs rise), 39 (every acknowledged record is processed). They wait for what they are about:
//! 33 (cooperative members), 40 to 46 (transactions), 48 (compaction), 50 to 53 (quotas, ACLs, share groups,
//! streams). The others are about several nodes.

pub mod checker;
mod counts;
mod group_watch;
pub mod run;
mod wire_watch;

pub use checker::{Checker, Violation};
pub use counts::Counts;
pub use run::{Crash, Report, Settings, run};
