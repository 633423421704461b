//! DescribeGroups (key 15, versions 0 to 6): state and members of classic groups.
//!
//! v3 adds authorized operations, v4 group.instance.id, v6 GROUP_ID_NOT_FOUND with a text for groups
//! that are not there (before, their state is Dead).

use shore_base::{Instant, Wall};
use shore_wire::messages::describe_groups_response::DescribedGroup;
use shore_wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

use crate::group::{Caller, GroupCoordinator};

pub(crate) const NOT_FOUND_VERSION: i16 = 6;
const OPERATIONS_VERSION: i16 = 3;
/// Without an authorizer everything that a group supports is allowed: read, delete, describe, and the
/// describing and altering of configs.
const ALL_GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub fn handle(
    groups: &mut GroupCoordinator,
    now: Instant,
    wall: Wall,
    caller: &Caller<'_>,
    request: DescribeGroupsRequest,
) {
    groups.describe_groups(now, wall, caller, &request);
}

/// Adds what was asked for and leaves out what the version cannot say.
pub(crate) fn fit(
    mut groups: Vec<DescribedGroup>,
    request: &DescribeGroupsRequest,
    version: i16,
) -> DescribeGroupsResponse {
    for group in &mut groups {
        if version >= OPERATIONS_VERSION && request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = ALL_GROUP_OPERATIONS;
        }
        if version < 4 {
            for member in &mut group.members {
                member.group_instance_id = None;
            }
        }
    }
    let mut response = DescribeGroupsResponse::default();
    response.groups = groups;
    response
}
