//! Records that were loaded for a request. They stay in their logs' memory until it is answered and others have come.

use std::collections::VecDeque;

use shore_log::storage::ReadRange;

use super::{Broker, Parked};
use crate::api::RequestId;
use crate::replica::PartitionId;

/// Loaded records that are kept, for whoever reads on or reads the same.
const KEPT: u64 = 8 << 20;

/// What was loaded into logs and is still there, the oldest load first. The cache proper holds what was appended.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads {
    kept: VecDeque<Load>,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Load {
    request: Option<RequestId>,
    ranges: Vec<(PartitionId, ReadRange)>,
    bytes: u64,
}

impl Loads {
    pub fn keep(&mut self, request: Option<RequestId>, ranges: Vec<(PartitionId, ReadRange)>) {
        let bytes = ranges.iter().map(|(_, range)| range.len).sum();
        self.bytes += bytes;
        self.kept.push_back(Load { request, ranges, bytes });
    }

    /// Takes the oldest load whose request waits no longer, if more than `most` bytes are there.
    fn pop(&mut self, most: u64, waits: impl Fn(RequestId) -> bool) -> Option<Vec<(PartitionId, ReadRange)>> {
        if self.bytes <= most {
            return None;
        }
        let index = self.kept.iter().position(|load| !load.request.is_some_and(&waits))?;
        let load = self.kept.remove(index)?;
        self.bytes -= load.bytes;
        Some(load.ranges)
    }
}

impl Broker {
    /// Drops records that were loaded, the first first, until few enough are left. What a request has loaded that waits for
    /// more stays: it would have to be loaded again.
    pub(super) fn drop_loaded(&mut self, cache: u64) {
        let Self { loads, parked, replicas, .. } = self;
        let waits = |request: RequestId| match parked.get(&request) {
            Some(Parked::Fetch(parked)) => parked.is_loading(),
            Some(Parked::ListOffsets(_)) => true,
            _ => false,
        };
        while let Some(ranges) = loads.pop(cache.min(KEPT), waits) {
            for (id, range) in ranges {
                if let Some(partition) = replicas.get_soft(id) {
                    partition.log.unload(&range);
                }
            }
        }
    }
}
