//! JoinGroup (key 11, versions 0 to 9): become a member, or stay one through a rebalance.
//!
//! v1 adds the rebalance timeout, v4 makes a dynamic member join twice (MEMBER_ID_REQUIRED gives it its
//! id), v5 adds group.instance.id, v7 the protocol type in the response, v8 the reason, v9 lets a leader
//! that came back skip its assignment.

use shore_base::{Instant, Wall};
use shore_wire::messages::{JoinGroupRequest, JoinGroupResponse};

use crate::group::{Caller, GroupCoordinator};

pub fn handle(
    groups: &mut GroupCoordinator,
    now: Instant,
    wall: Wall,
    caller: &Caller<'_>,
    mut request: JoinGroupRequest,
) {
    if caller.version == 0 {
        request.rebalance_timeout_ms = request.session_timeout_ms;
    }
    groups.join_group(now, wall, caller, &request);
}

/// Leaves out what the version cannot say.
pub(crate) fn fit(mut response: JoinGroupResponse, version: i16) -> JoinGroupResponse {
    if version < 9 {
        response.skip_assignment = false;
    }
    if version >= 7 {
        response.protocol_name = response.protocol_name.filter(|name| !name.is_empty());
    } else {
        response.protocol_type = None;
        response.protocol_name.get_or_insert_default();
    }
    if version < 5 {
        for member in &mut response.members {
            member.group_instance_id = None;
        }
    }
    response
}
