//! One partition's log, and the storage seam below it.

pub mod storage;
