//! Ordered maps, sets and sorting with the interface of the standard library's, for a fraction of its code.
//!
//! A program compiles a map's code once for every pair of types that it keeps. Here that is little more
//! than what `Vec` does; the standard library's trees come to some ten times as many bytes.

mod map;
mod set;
mod sort;

pub use map::{BTreeMap, Entry};
pub use set::BTreeSet;
pub use sort::{join_alike, sort_by};
