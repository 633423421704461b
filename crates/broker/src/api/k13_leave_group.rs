//! LeaveGroup (key 13, versions 0 to 5): one member goes, from v3 on any number of them.
//!
//! v3 adds group.instance.id, v5 a reason for each.

use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::leave_group_request::MemberIdentity;
use shore_wire::messages::{LeaveGroupRequest, LeaveGroupResponse};

use crate::group::{Caller, GroupCoordinator};

const BATCH_VERSION: i16 = 3;

pub fn handle(
    groups: &mut GroupCoordinator,
    now: Instant,
    wall: Wall,
    caller: &Caller<'_>,
    mut request: LeaveGroupRequest,
) {
    if caller.version < BATCH_VERSION {
        let mut member = MemberIdentity::default();
        member.member_id = std::mem::take(&mut request.member_id);
        request.members = vec![member];
    }
    groups.leave_group(now, wall, caller, &request);
}

/// Before batches the one member's error was the response's.
pub(crate) fn fit(mut response: LeaveGroupResponse, version: i16) -> LeaveGroupResponse {
    if version < BATCH_VERSION {
        let members = std::mem::take(&mut response.members);
        if response.error_code == ErrorCode::None.code()
            && let Some(member) = members.first()
        {
            response.error_code = member.error_code;
        }
    }
    response
}
