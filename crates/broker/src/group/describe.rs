//! DescribeGroups and ListGroups.

use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use shore_wire::messages::list_groups_response::ListedGroup;
use shore_wire::messages::{DescribeGroupsRequest, ListGroupsRequest, ListGroupsResponse, StrBytes};

use super::call::{Caller, GroupResponse};
use super::classic::{Birth, Group};
use super::coordinator::GroupCoordinator;
use super::member::Member;
use super::state::StateName;
use crate::api::{k15_describe_groups, k16_list_groups};

/// The type of every group here, as ListGroups names it.
const CLASSIC: &str = "classic";

impl GroupCoordinator {
    pub fn describe_groups(&mut self, now: Instant, wall: Wall, caller: &Caller<'_>, request: &DescribeGroupsRequest) {
        self.at(now, wall);
        let groups = request.groups.iter().map(|id| self.describe(id, caller.version)).collect();
        let response = k15_describe_groups::fit(groups, request, caller.version);
        self.fx.respond(caller.request, GroupResponse::DescribeGroups(response));
    }

    fn describe(&self, id: &StrBytes, version: i16) -> DescribedGroup {
        let mut described = DescribedGroup::default();
        described.group_id = id.clone();
        match self.peek_shard_of(id).map(|shard| shard.groups.get(id.as_str()).filter(|group| group.is_visible())) {
            Err(error) => described.error_code = error.code(),
            Ok(None) => {
                described.group_state = StateName::Dead.as_str().into();
                if version >= k15_describe_groups::NOT_FOUND_VERSION {
                    described.error_code = ErrorCode::GroupIdNotFound.code();
                    described.error_message = Some(format!("Group {} not found.", id.as_str()).into());
                }
            }
            Ok(Some(group)) => group.describe(&mut described),
        }
        described
    }

    pub fn list_groups(&mut self, now: Instant, wall: Wall, caller: &Caller<'_>, request: &ListGroupsRequest) {
        self.at(now, wall);
        let states = &request.states_filter;
        let wanted = |group: &&Group| {
            group.is_visible()
                && (states.is_empty()
                    || states.iter().any(|state| state.trim().eq_ignore_ascii_case(group.state.name().as_str())))
                && (request.types_filter.is_empty()
                    || request.types_filter.iter().any(|name| name.eq_ignore_ascii_case(CLASSIC)))
        };
        let mut response = ListGroupsResponse::default();
        if self.shards.values().any(|shard| shard.loading) {
            response.error_code = ErrorCode::CoordinatorLoadInProgress.code();
        } else {
            let groups = self.shards.values().flat_map(|shard| shard.groups.values());
            response.groups = groups.filter(wanted).map(Group::list).collect();
        }
        let response = k16_list_groups::fit(response, caller.version);
        self.fx.respond(caller.request, GroupResponse::ListGroups(response));
    }
}

impl Group {
    /// Others see a group once the log has it.
    fn is_visible(&self) -> bool {
        self.birth == Birth::Safe
    }

    fn describe(&self, described: &mut DescribedGroup) {
        described.group_state = self.state.name().as_str().into();
        described.protocol_type = self.protocol_type.as_deref().unwrap_or_default().into();
        let stable = self.is(StateName::Stable);
        if stable {
            described.protocol_data = self.protocol.as_deref().unwrap_or_default().into();
        }
        let member = |member: &Member| {
            let mut described = DescribedGroupMember::default();
            described.member_id = (&*member.id).into();
            described.group_instance_id = member.instance.as_deref().map(StrBytes::from);
            described.client_id = (&*member.client_id).into();
            described.client_host = (&*member.client_host).into();
            described.member_assignment = member.assignment.clone();
            if stable {
                described.member_metadata = member.metadata(self.protocol.as_deref());
            }
            described
        };
        described.members = self.members.values().map(member).collect();
    }

    fn list(&self) -> ListedGroup {
        let mut listed = ListedGroup::default();
        listed.group_id = (&*self.id).into();
        listed.protocol_type = self.protocol_type.as_deref().unwrap_or_default().into();
        listed.group_state = self.state.name().as_str().into();
        listed.group_type = CLASSIC.into();
        listed
    }
}
