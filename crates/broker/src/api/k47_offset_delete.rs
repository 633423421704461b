//! OffsetDelete (key 47, version 0): committed offsets go, but those of topics that the group reads.

use shore_base::{Instant, Wall};
use shore_wire::messages::OffsetDeleteRequest;

use crate::group::{Caller, GroupCoordinator, Topics};

pub fn handle(
    groups: &mut GroupCoordinator,
    now: Instant,
    wall: Wall,
    caller: &Caller<'_>,
    request: OffsetDeleteRequest,
    topics: &dyn Topics,
) {
    groups.delete_offsets(now, wall, caller, &request, topics);
}
