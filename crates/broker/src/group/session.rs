//! Heartbeat, LeaveGroup, and members that are not heard of.

use std::sync::Arc;

use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::leave_group_request::MemberIdentity;
use shore_wire::messages::leave_group_response::MemberResponse;
use shore_wire::messages::{HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse};

use super::call::{Caller, GroupResponse};
use super::classic::Group;
use super::coordinator::GroupCoordinator;
use super::event::Departure;
use super::shard::{Answer, Effects, Proposal, Shard, Then};
use super::state::StateName;
use super::timer::TimerId;
use crate::api::k13_leave_group;

impl GroupCoordinator {
    pub fn heartbeat(&mut self, now: Instant, wall: Wall, caller: &Caller<'_>, request: &HeartbeatRequest) {
        self.at(now, wall);
        if request.group_id.is_empty() {
            return self.fx.respond(caller.request, heartbeat_response(Err(ErrorCode::InvalidGroupId)));
        }
        match self.shard_of(&request.group_id) {
            Ok((shard, fx)) => shard.heartbeat(fx, caller, request),
            // The member did its part, and its session has not begun.
            Err(ErrorCode::CoordinatorLoadInProgress) => self.fx.respond(caller.request, heartbeat_response(Ok(()))),
            Err(error) => self.fx.respond(caller.request, heartbeat_response(Err(error))),
        }
    }

    /// Before version 3 the one member of `request.member_id` leaves: the caller has put it into
    /// `request.members`.
    pub fn leave_group(&mut self, now: Instant, wall: Wall, caller: &Caller<'_>, request: &LeaveGroupRequest) {
        self.at(now, wall);
        let refuse = |error| k13_leave_group::fit(leave_error(error), caller.version);
        if request.group_id.is_empty() {
            return self.fx.respond(caller.request, GroupResponse::LeaveGroup(refuse(ErrorCode::InvalidGroupId)));
        }
        match self.shard_of(&request.group_id) {
            Ok((shard, fx)) => shard.leave(fx, caller, request),
            Err(error) => self.fx.respond(caller.request, GroupResponse::LeaveGroup(refuse(error))),
        }
    }
}

impl Shard {
    fn heartbeat(&mut self, fx: &mut Effects, caller: &Caller<'_>, request: &HeartbeatRequest) {
        let result = match self.groups.get_mut(request.group_id.as_str()) {
            Some(group) => group.heartbeat(fx, request),
            None => Err(ErrorCode::UnknownMemberId),
        };
        match result {
            // What it was told rests on writes that may still fail.
            Ok(()) | Err(ErrorCode::RebalanceInProgress) => {
                let response = heartbeat_response(result);
                let on_failure = |_, error| heartbeat_response(Err(error));
                self.after_writes(
                    fx,
                    Then::Respond { request: caller.request, response: Answer { response, on_failure } },
                );
            }
            Err(_) => fx.respond(caller.request, heartbeat_response(result)),
        }
    }

    fn leave(&mut self, fx: &mut Effects, caller: &Caller<'_>, request: &LeaveGroupRequest) {
        let mut response = LeaveGroupResponse::default();
        let mut proposal = None;
        match self.groups.get_mut(request.group_id.as_str()) {
            Some(group) => {
                for member in &request.members {
                    let result = group.leave(fx, member);
                    response.members.push(left(member, result));
                }
                if response.members.iter().any(|member| member.error_code == ErrorCode::None.code()) {
                    proposal = group.some_left(fx);
                }
            }
            None => {
                let unknown = |member| left(member, Err(ErrorCode::UnknownMemberId));
                response.members = request.members.iter().map(unknown).collect();
            }
        }
        if let Some(proposal) = proposal {
            self.propose(fx, proposal);
        }
        let response = GroupResponse::LeaveGroup(k13_leave_group::fit(response, caller.version));
        let on_failure = |_, error| GroupResponse::LeaveGroup(leave_error(error));
        self.after_writes(fx, Then::Respond { request: caller.request, response: Answer { response, on_failure } });
    }
}

impl Group {
    fn heartbeat(&mut self, fx: &mut Effects, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.reset_session(fx, &request.member_id);
        // A member may heartbeat between its JoinGroup and its SyncGroup: that is no reason to rejoin.
        if self.is(StateName::PreparingRebalance) { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
    }

    /// An administrator names a static member by its instance alone.
    fn leave(&mut self, fx: &mut Effects, member: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance = member.group_instance_id.as_deref();
        let id: Arc<str> = if member.member_id.is_empty() {
            let holder = instance.and_then(|instance| self.static_members.get(instance));
            holder.ok_or(ErrorCode::UnknownMemberId)?.clone()
        } else {
            let id = member.member_id.as_str();
            if !self.pending_joins.contains_key(id) {
                self.validate_member(id, instance)?;
            }
            Arc::from(id)
        };
        self.remove(fx, &id, Departure::Left);
        Ok(())
    }

    fn some_left(&mut self, fx: &mut Effects) -> Option<Proposal> {
        match self.state.name() {
            StateName::Stable | StateName::CompletingRebalance => self.rebalance(fx, || "members left".to_owned()),
            StateName::PreparingRebalance => self.complete_join_if_all_joined(fx),
            StateName::Empty | StateName::Dead => None,
        }
    }

    /// A member, or an id that nobody joined with, was not heard of for its session.
    pub fn session_timed_out(&mut self, fx: &mut Effects, timer: TimerId, id: &str) -> Option<Proposal> {
        if self.pending_joins.contains_key(id) {
            self.pending_joins.remove(id);
        } else {
            let member = self.members.get_mut(id).filter(|member| member.session == Some(timer))?;
            member.session = None;
            if member.has_satisfied_heartbeat() {
                return None;
            }
            self.remove(fx, id, Departure::SessionTimeout);
            if matches!(self.state.name(), StateName::Stable | StateName::CompletingRebalance) {
                return self.rebalance(fx, || format!("member {id} was not heard of"));
            }
        }
        (self.is(StateName::PreparingRebalance) && self.all_joined()).then(|| self.complete_joins(fx)).flatten()
    }
}

fn heartbeat_response(result: Result<(), ErrorCode>) -> GroupResponse {
    let mut response = HeartbeatResponse::default();
    response.error_code = result.err().map_or(0, ErrorCode::code);
    GroupResponse::Heartbeat(response)
}

fn leave_error(error: ErrorCode) -> LeaveGroupResponse {
    let mut response = LeaveGroupResponse::default();
    response.error_code = error.code();
    response
}

fn left(member: &MemberIdentity, result: Result<(), ErrorCode>) -> MemberResponse {
    let mut response = MemberResponse::default();
    response.member_id = member.member_id.clone();
    response.group_instance_id = member.group_instance_id.clone();
    response.error_code = result.err().map_or(0, ErrorCode::code);
    response
}
