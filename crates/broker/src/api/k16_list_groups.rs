//! ListGroups (key 16, versions 0 to 5): the groups that this broker coordinates.
//!
//! v4 adds states and a filter by them, v5 types and a filter by them.

use shore_base::{Instant, Wall};
use shore_wire::messages::{ListGroupsRequest, ListGroupsResponse};

use crate::group::{Caller, GroupCoordinator};

pub fn handle(
    groups: &mut GroupCoordinator,
    now: Instant,
    wall: Wall,
    caller: &Caller<'_>,
    request: ListGroupsRequest,
) {
    groups.list_groups(now, wall, caller, &request);
}

/// Leaves out what the version cannot say.
pub(crate) fn fit(mut response: ListGroupsResponse, version: i16) -> ListGroupsResponse {
    for group in &mut response.groups {
        if version < 4 {
            group.group_state = Default::default();
        }
        if version < 5 {
            group.group_type = Default::default();
        }
    }
    response
}
