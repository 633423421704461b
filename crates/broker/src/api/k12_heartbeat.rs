//! Heartbeat (key 12, versions 0 to 4): a member is there, and learns of rebalances.
//!
//! v3 adds group.instance.id.

use shore_base::{Instant, Wall};
use shore_wire::messages::HeartbeatRequest;

use crate::group::{Caller, GroupCoordinator};

pub fn handle(groups: &mut GroupCoordinator, now: Instant, wall: Wall, caller: &Caller<'_>, request: HeartbeatRequest) {
    groups.heartbeat(now, wall, caller, &request);
}
