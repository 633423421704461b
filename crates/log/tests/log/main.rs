//! What a log promises, seen from outside.

mod append;
mod producers;
mod read;
mod recovery;
mod retention;
mod rewind;
mod roll;
mod support;
mod transactions;
