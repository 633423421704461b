//! SyncGroup (key 14, versions 0 to 5): the leader hands in the assignment, every member gets its part.
//!
//! v3 adds group.instance.id, v5 the protocol that the member believes in, which must be there.

use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::{SyncGroupRequest, SyncGroupResponse};

use crate::group::{Caller, GroupCoordinator};

const PROTOCOL_VERSION: i16 = 5;

pub fn handle(groups: &mut GroupCoordinator, now: Instant, wall: Wall, caller: &Caller<'_>, request: SyncGroupRequest) {
    if caller.version >= PROTOCOL_VERSION && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return groups.refuse_sync(caller, ErrorCode::InconsistentGroupProtocol);
    }
    groups.sync_group(now, wall, caller, &request);
}

/// Leaves out what the version cannot say.
pub(crate) fn fit(mut response: SyncGroupResponse, version: i16) -> SyncGroupResponse {
    if version < PROTOCOL_VERSION {
        response.protocol_type = None;
        response.protocol_name = None;
    }
    response
}
