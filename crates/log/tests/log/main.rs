//! What a log promises, seen from outside.

mod append;
mod compaction;
mod deletion;
mod producers;
mod read;
mod recovery;
mod retention;
mod rewind;
mod roll;
mod support;
mod transactions;
