//! DeleteGroups (key 42, versions 0 to 2): groups without members go, with all their offsets.

use shore_base::{Instant, Wall};
use shore_wire::messages::DeleteGroupsRequest;

use crate::group::{Caller, GroupCoordinator};

pub fn handle(
    groups: &mut GroupCoordinator,
    now: Instant,
    wall: Wall,
    caller: &Caller<'_>,
    request: DeleteGroupsRequest,
) {
    groups.delete_groups(now, wall, caller, &request);
}
