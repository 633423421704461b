//! SyncGroup: the leader's assignment on its way to the members.

use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::{StrBytes, SyncGroupRequest, SyncGroupResponse};

use super::call::Caller;
use super::classic::{Group, sync_error};
use super::coordinator::GroupCoordinator;
use super::event::{Departure, GroupEvent};
use super::member::{Member, Waiting};
use super::shard::{Effects, Proposal, Shard, Then, response_error};
use super::state::{GroupState, StateName};

impl GroupCoordinator {
    pub fn sync_group(&mut self, now: Instant, wall: Wall, caller: &Caller<'_>, request: &SyncGroupRequest) {
        self.at(now, wall);
        let waiting = Waiting::of(caller);
        if request.group_id.is_empty() {
            return self.fx.respond_sync(waiting, sync_error(ErrorCode::InvalidGroupId));
        }
        match self.shard_of(&request.group_id) {
            Ok((shard, fx)) => shard.sync(fx, waiting, request),
            Err(error) => self.fx.respond_sync(waiting, sync_error(error)),
        }
    }
}

impl GroupCoordinator {
    /// For a request that is wrong in itself.
    pub(crate) fn refuse_sync(&mut self, caller: &Caller<'_>, error: ErrorCode) {
        self.fx.respond_sync(Waiting::of(caller), sync_error(error));
    }
}

impl Shard {
    fn sync(&mut self, fx: &mut Effects, waiting: Waiting, request: &SyncGroupRequest) {
        let proposal = match self.groups.get_mut(request.group_id.as_str()) {
            Some(group) => group.sync(fx, waiting, request),
            None => {
                fx.respond_sync(waiting, sync_error(ErrorCode::UnknownMemberId));
                None
            }
        };
        if let Some(proposal) = proposal {
            self.propose(fx, proposal);
        }
    }

    /// The leader's assignment is stored, or is not. Nothing follows if the group moved on meanwhile.
    pub(super) fn assignment_written(
        &mut self,
        fx: &mut Effects,
        group: &str,
        generation: i32,
        leader: &str,
        assignment: BTreeMap<Arc<str>, Bytes>,
        result: Result<(), ErrorCode>,
    ) {
        let Some(group) = self.groups.get_mut(group) else { return };
        if !group.is(StateName::CompletingRebalance) || group.generation != generation {
            return;
        }
        match result {
            Ok(()) => group.assign(fx, assignment),
            Err(error) => {
                let error = response_error(error);
                group.reset_assignments(fx, error);
                let why = || format!("the assignment of {leader} could not be stored: {}", error.name());
                if let Some(proposal) = group.rebalance(fx, why) {
                    self.propose(fx, proposal);
                }
            }
        }
    }
}

impl Group {
    fn sync(&mut self, fx: &mut Effects, waiting: Waiting, request: &SyncGroupRequest) -> Option<Proposal> {
        if let Err(error) = self.validate_sync(request) {
            fx.respond_sync(waiting, sync_error(error));
            return None;
        }
        let id = request.member_id.as_str();
        match self.state.name() {
            StateName::PreparingRebalance => {
                fx.respond_sync(waiting, sync_error(ErrorCode::RebalanceInProgress));
                None
            }
            StateName::CompletingRebalance => {
                self.sync_came(fx, id);
                if let Some(member) = self.members.get_mut(id) {
                    member.sync = Some(waiting);
                }
                self.is_leader(id).then(|| self.propose_assignment(id, request))
            }
            StateName::Stable => {
                self.sync_came(fx, id);
                let response = self.sync_response(id);
                fx.respond_sync(waiting, response);
                None
            }
            StateName::Empty | StateName::Dead => unreachable!("validate_sync found a member in a group without any"),
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        let differs = |theirs: Option<&StrBytes>, ours: Option<&Arc<str>>| match (theirs, ours) {
            (Some(theirs), Some(ours)) => **ours != *theirs.as_str(),
            _ => false,
        };
        if request.generation_id != self.generation {
            Err(ErrorCode::IllegalGeneration)
        } else if differs(request.protocol_type.as_ref(), self.protocol_type.as_ref())
            || differs(request.protocol_name.as_ref(), self.protocol.as_ref())
        {
            Err(ErrorCode::InconsistentGroupProtocol)
        } else {
            Ok(())
        }
    }

    /// Once everybody sent SyncGroup, nobody can be late.
    fn sync_came(&mut self, fx: &mut Effects, id: &str) {
        if let Some(syncs) = self.syncs() {
            syncs.pending.remove(id);
            if syncs.pending.is_empty() {
                fx.timers.cancel(&mut syncs.timer);
            }
        }
    }

    /// Members that the leader left out get an empty assignment; others than members none.
    fn propose_assignment(&self, leader: &str, request: &SyncGroupRequest) -> Proposal {
        let mut assignment: BTreeMap<Arc<str>, Bytes> = BTreeMap::new();
        for theirs in &request.assignments {
            if let Some((id, _)) = self.members.get_key_value(theirs.member_id.as_str()) {
                assignment.insert(id.clone(), Bytes::copy_from_slice(&theirs.assignment));
            }
        }
        let record = self.record(|member| assignment.get(&member.id).cloned().unwrap_or_default());
        let then =
            Then::Assign { group: self.id.clone(), generation: self.generation, leader: Arc::from(leader), assignment };
        Proposal { records: vec![record], then }
    }

    fn assign(&mut self, fx: &mut Effects, mut assignment: BTreeMap<Arc<str>, Bytes>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = assignment.remove(&id).unwrap_or_default();
            }
            let response = self.sync_response(&id);
            self.complete_sync(fx, &id, response);
        }
        // Those who owe their SyncGroup owe it still.
        let syncs = self.syncs().map(std::mem::take).unwrap_or_default();
        self.enter(fx, GroupState::Stable(syncs), || "the assignment is stored".to_owned());
        fx.event(|| GroupEvent::Assigned { group: self.id.clone(), generation: self.generation });
    }

    fn sync_response(&self, id: &str) -> SyncGroupResponse {
        let mut response = SyncGroupResponse::default();
        response.protocol_type = self.protocol_type.as_deref().map(StrBytes::from);
        response.protocol_name = self.protocol.as_deref().map(StrBytes::from);
        response.assignment = self.members.get(id).map(|member: &Member| member.assignment.clone()).unwrap_or_default();
        response
    }

    /// Members that joined and never asked for their assignment are not there.
    pub fn sync_timed_out(&mut self, fx: &mut Effects) -> Option<Proposal> {
        let syncs = self.syncs()?;
        syncs.timer = None;
        let late = std::mem::take(&mut syncs.pending);
        if late.is_empty() {
            return None;
        }
        for id in &late {
            self.remove(fx, id, Departure::SyncTimeout);
        }
        self.prepare_rebalance(fx, || "members sent no SyncGroup in time".to_owned())
    }
}
