//! JoinGroup, and how a rebalance goes: who is waited for, for how long, and what begins then.

use std::sync::Arc;

use bytes::Bytes;
use shore_base::{Duration, Instant, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::JoinGroupRequest;

use super::call::Caller;
use super::classic::{Group, MemberUpdate, join_error, sync_error};
use super::coordinator::GroupCoordinator;
use super::event::{Departure, GroupEvent};
use super::member::{Member, Protocol, Waiting};
use super::shard::{Effects, Proposal, Shard, Then, response_error};
use super::state::{GroupState, InitialDelay, StateName, Syncs};
use super::timer::{Timer, millis};

/// A client that joins for the first time has no id to send heartbeats with. If it goes away while its
/// request waits, this is how long it counts.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(300);

/// From this version on a member without an id is given one and has to join again with it.
const KNOWN_MEMBER_ID_VERSION: i16 = 4;
/// From this version on a leader that came back can be told to leave the assignment as it is.
const SKIP_ASSIGNMENT_VERSION: i16 = 9;

impl GroupCoordinator {
    pub fn join_group(&mut self, now: Instant, wall: Wall, caller: &Caller<'_>, request: &JoinGroupRequest) {
        self.at(now, wall);
        let waiting = Waiting::of(caller);
        let config = &self.fx.config;
        let timeouts = config.min_session_timeout_ms..=config.max_session_timeout_ms;
        let refusal = if request.group_id.is_empty() {
            Some(join_error(&request.member_id, ErrorCode::InvalidGroupId))
        } else if !timeouts.contains(&request.session_timeout_ms) {
            Some(join_error(&request.member_id, ErrorCode::InvalidSessionTimeout))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.fx.respond_join(waiting, refusal);
        }
        match self.shard_of(&request.group_id) {
            Ok((shard, fx)) => shard.join(fx, caller, request),
            Err(error) => self.fx.respond_join(waiting, join_error("", error)),
        }
    }
}

impl Shard {
    fn join(&mut self, fx: &mut Effects, caller: &Caller<'_>, request: &JoinGroupRequest) {
        let group_id = request.group_id.as_str();
        let member_id = request.member_id.as_str();
        let is_new = !self.groups.contains_key(group_id);
        if is_new {
            if !member_id.is_empty() {
                let refusal = join_error(member_id, ErrorCode::UnknownMemberId);
                return fx.respond_join(Waiting::of(caller), refusal);
            }
            let id: Arc<str> = Arc::from(group_id);
            self.groups.insert(id.clone(), Group::new(id, self.partition, fx.wall));
        }
        let Some(group) = self.groups.get_mut(group_id) else { return };
        let proposal = group.join(fx, caller, request);
        match proposal {
            Some(proposal) => self.propose(fx, proposal),
            // Something must tell the log that the group is there.
            None if is_new => {
                let record = group.empty_record();
                self.propose(fx, Proposal { records: vec![record], then: Then::Nothing });
            }
            None => {}
        }
    }

    /// A static member took its place back without a rebalance, and the log knows its new id or not.
    pub(super) fn static_member_written(
        &mut self,
        fx: &mut Effects,
        replacement: Replacement,
        result: Result<(), ErrorCode>,
    ) {
        let Some(group) = self.groups.get_mut(&replacement.group) else { return };
        match result {
            Ok(()) => group.confirm_replacement(fx, &replacement),
            Err(error) => group.revert_replacement(fx, replacement, response_error(error)),
        }
    }
}

impl Group {
    fn join(&mut self, fx: &mut Effects, caller: &Caller<'_>, request: &JoinGroupRequest) -> Option<Proposal> {
        let member_id = request.member_id.as_str();
        let waiting = Waiting::of(caller);
        if !self.accepts(member_id, fx.config.max_size) {
            self.remove(fx, member_id, Departure::GroupTooLarge);
            fx.respond_join(waiting, join_error("", ErrorCode::GroupMaxSizeReached));
            return None;
        }
        if !self.supports(&request.protocol_type, request.protocols.iter().map(|protocol| protocol.name.as_str())) {
            fx.respond_join(waiting, join_error(member_id, ErrorCode::InconsistentGroupProtocol));
            return None;
        }
        if member_id.is_empty() {
            self.join_new(fx, caller, request)
        } else if self.pending_joins.contains_key(member_id) {
            if request.group_instance_id.is_some() {
                // A static member is never given an id before it joins.
                fx.respond_join(waiting, join_error("", ErrorCode::UnknownServerError));
                return None;
            }
            self.add_and_rebalance(fx, caller, request, Arc::from(member_id))
        } else {
            self.join_existing(fx, caller, request)
        }
    }

    /// While joins are gathered, whoever waits already counts, so that the last to rejoin a group that
    /// is too large are turned away. Afterwards its members count.
    fn accepts(&self, member: &str, max_size: usize) -> bool {
        match self.state.name() {
            StateName::Empty | StateName::Dead => true,
            StateName::PreparingRebalance => {
                self.members.get(member).is_some_and(|member| member.join.is_some()) || self.awaiting_join() < max_size
            }
            StateName::CompletingRebalance | StateName::Stable => {
                self.members.contains_key(member) || self.members.len() < max_size
            }
        }
    }

    fn join_new(&mut self, fx: &mut Effects, caller: &Caller<'_>, request: &JoinGroupRequest) -> Option<Proposal> {
        let instance = request.group_instance_id.as_deref();
        let id = fx.member_id(instance.unwrap_or(caller.client_id));
        if let Some(instance) = instance {
            if self.static_members.contains_key(instance) {
                return self.rejoin_static(fx, caller, request, instance, &id);
            }
        } else if caller.version >= KNOWN_MEMBER_ID_VERSION {
            let timer = Timer::Session { partition: self.partition, group: self.id.clone(), member: id.clone() };
            let timer = fx.timers.set(fx.now + millis(request.session_timeout_ms), timer);
            fx.respond_join(Waiting::of(caller), join_error(&id, ErrorCode::MemberIdRequired));
            self.pending_joins.insert(id, Some(timer));
            return None;
        }
        self.add_and_rebalance(fx, caller, request, id)
    }

    fn join_existing(&mut self, fx: &mut Effects, caller: &Caller<'_>, request: &JoinGroupRequest) -> Option<Proposal> {
        let id = request.member_id.as_str();
        let waiting = Waiting::of(caller);
        if let Err(error) = self.validate_member(id, request.group_instance_id.as_deref()) {
            fx.respond_join(waiting, join_error(id, error));
            return None;
        }
        let unchanged = self.members.get(id).is_some_and(|member| member.offers(&request.protocols));
        let rebalances = match self.state.name() {
            StateName::PreparingRebalance => true,
            // It may only have missed the response.
            StateName::CompletingRebalance => !unchanged,
            // A leader may have seen what does not show in metadata, such as new partitions.
            StateName::Stable => !unchanged || self.is_leader(id),
            StateName::Empty | StateName::Dead => unreachable!("validate_member found a member in a group without any"),
        };
        if rebalances {
            self.update(id, MemberUpdate::of(request, Some(waiting)));
            return self.rebalance(fx, || format!("member {id} joined again: {}", reason(request)));
        }
        let response = self.join_response(id);
        fx.respond_join(waiting, response);
        None
    }

    fn add_and_rebalance(
        &mut self,
        fx: &mut Effects,
        caller: &Caller<'_>,
        request: &JoinGroupRequest,
        id: Arc<str>,
    ) -> Option<Proposal> {
        if self.members.is_empty() {
            self.protocol_type = Some(Arc::from(request.protocol_type.as_str()));
        }
        if let GroupState::PreparingRebalance { initial: Some(delay), .. } = &mut self.state {
            delay.member_added = true;
        }
        let member = Member {
            id: id.clone(),
            instance: request.group_instance_id.as_deref().map(Arc::from),
            client_id: Arc::from(caller.client_id),
            // As Java prints an address that was not looked up.
            client_host: Arc::from(format!("/{}", caller.client_host)),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            protocols: Protocol::copy_all(&request.protocols),
            assignment: Bytes::new(),
            is_new: true,
            join: Some(Waiting::of(caller)),
            sync: None,
            session: None,
        };
        self.add(fx, member);
        self.reset_session_to(fx, &id, NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance(fx, || format!("member {id} joined: {}", reason(request)))
    }

    // Rebalancing

    /// A new round of joining, or a step in the one under way.
    pub fn rebalance(&mut self, fx: &mut Effects, why: impl FnOnce() -> String) -> Option<Proposal> {
        if self.state.name().may_become(StateName::PreparingRebalance) {
            self.prepare_rebalance(fx, why)
        } else {
            self.complete_join_if_all_joined(fx)
        }
    }

    /// Members learn of it from their next heartbeat, and those that wait for their assignment now.
    pub fn prepare_rebalance(&mut self, fx: &mut Effects, why: impl FnOnce() -> String) -> Option<Proposal> {
        if self.is(StateName::CompletingRebalance) {
            self.reset_assignments(fx, ErrorCode::RebalanceInProgress);
        }
        let timer = Timer::Join { partition: self.partition, group: self.id.clone() };
        if self.is(StateName::Empty) {
            let delay = fx.config.initial_rebalance_delay;
            let remaining = self.rebalance_timeout().saturating_sub(delay);
            let timer = Some(fx.timers.set(fx.now + delay, timer));
            let initial = Some(InitialDelay { current: delay, remaining, member_added: false });
            self.enter(fx, GroupState::PreparingRebalance { initial, timer }, why);
            return None;
        }
        if self.all_joined() {
            self.enter(fx, GroupState::PreparingRebalance { initial: None, timer: None }, why);
            return self.complete_joins(fx);
        }
        let timer = Some(fx.timers.set(fx.now + self.rebalance_timeout(), timer));
        self.enter(fx, GroupState::PreparingRebalance { initial: None, timer }, why);
        None
    }

    /// Not while the group grows out of Empty: then its delay decides.
    pub fn complete_join_if_all_joined(&mut self, fx: &mut Effects) -> Option<Proposal> {
        match &self.state {
            GroupState::PreparingRebalance { initial: None, .. } if self.all_joined() => self.complete_joins(fx),
            _ => None,
        }
    }

    /// The delay or the rebalance timeout is over.
    pub fn join_due(&mut self, fx: &mut Effects) -> Option<Proposal> {
        let GroupState::PreparingRebalance { initial, timer } = &mut self.state else { return None };
        *timer = None;
        if let Some(delay) = initial
            && delay.member_added
            && !delay.remaining.is_zero()
        {
            delay.member_added = false;
            let next = fx.config.initial_rebalance_delay.min(delay.remaining);
            delay.remaining = delay.remaining.saturating_sub(delay.current);
            delay.current = next;
            let join = Timer::Join { partition: self.partition, group: self.id.clone() };
            *timer = Some(fx.timers.set(fx.now + next, join));
            return None;
        }
        self.complete_joins(fx)
    }

    /// The next generation, with those who joined. Static members may stay away: only their session
    /// ends their membership.
    pub fn complete_joins(&mut self, fx: &mut Effects) -> Option<Proposal> {
        let absent = |member: &&Member| member.join.is_none() && member.instance.is_none();
        let absent: Vec<Arc<str>> = self.members.values().filter(absent).map(|member| member.id.clone()).collect();
        for id in absent {
            self.remove(fx, &id, Departure::RebalanceTimeout);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members are left, and none of them joined: wait until their sessions end.
            let timeout = fx.now + self.rebalance_timeout();
            let join = || Timer::Join { partition: self.partition, group: self.id.clone() };
            if let GroupState::PreparingRebalance { timer, .. } = &mut self.state {
                fx.timers.reset(timer, timeout, join);
            }
            return None;
        }
        self.generation += 1;
        self.protocol = self.select_protocol();
        self.subscribed = self.subscribed_topics();
        if self.members.is_empty() {
            self.enter(fx, GroupState::Empty, || "no member is left".to_owned());
            self.announce_generation(fx);
            return Some(Proposal { records: vec![self.record(|_| Bytes::new())], then: Then::Nothing });
        }
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        let timer = Timer::Sync { partition: self.partition, group: self.id.clone() };
        let syncs = Syncs {
            pending: ids.iter().cloned().collect(),
            timer: Some(fx.timers.set(fx.now + self.rebalance_timeout(), timer)),
        };
        self.enter(fx, GroupState::CompletingRebalance(syncs), || "all members joined".to_owned());
        self.announce_generation(fx);
        for id in ids {
            let response = self.join_response(&id);
            self.complete_join(fx, &id, response);
            self.reset_session(fx, &id);
            if let Some(member) = self.members.get_mut(&id) {
                member.is_new = false;
            }
        }
        None
    }

    fn announce_generation(&self, fx: &mut Effects) {
        fx.event(|| GroupEvent::GenerationStarted {
            group: self.id.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self.members.len() as u32,
        });
    }

    /// Nobody owns anything, and whoever waits for an assignment is told why there is none.
    pub fn reset_assignments(&mut self, fx: &mut Effects, error: ErrorCode) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            if let Some(member) = self.members.get_mut(&id) {
                member.assignment = Bytes::new();
            }
            self.complete_sync(fx, &id, sync_error(error));
        }
    }

    // Static members

    fn rejoin_static(
        &mut self,
        fx: &mut Effects,
        caller: &Caller<'_>,
        request: &JoinGroupRequest,
        instance: &str,
        id: &Arc<str>,
    ) -> Option<Proposal> {
        let leader_before = self.leader.clone();
        let old_id = self.replace_static(fx, instance, id)?;
        let before = self.members.get(id).map(|member| MemberUpdate {
            protocols: member.protocols.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            join: None,
        })?;
        self.update(id, MemberUpdate::of(request, Some(Waiting::of(caller))));
        match self.state.name() {
            StateName::Stable if self.protocol == self.select_protocol() => {
                let record = self.record(|member| member.assignment.clone());
                let then = Then::StaticMemberReplaced(Replacement {
                    group: self.id.clone(),
                    instance: Arc::from(instance),
                    waiting: Waiting::of(caller),
                    old_id,
                    new_id: id.clone(),
                    leader_before,
                    before,
                });
                Some(Proposal { records: vec![record], then })
            }
            StateName::Stable => self.rebalance(fx, || format!("static member {id} changed the group's protocol")),
            // The leader may be assigning to the id that was replaced.
            StateName::CompletingRebalance => {
                self.prepare_rebalance(fx, || format!("static member {id} joined again: {}", reason(request)))
            }
            StateName::PreparingRebalance => self.complete_join_if_all_joined(fx),
            StateName::Empty | StateName::Dead => unreachable!("a group without members has no static member"),
        }
    }

    fn confirm_replacement(&mut self, fx: &mut Effects, replacement: &Replacement) {
        // A rebalance may have begun meanwhile: then the request waits for that.
        if !self.is(StateName::Stable) {
            return;
        }
        let id = &replacement.new_id;
        let mut response = self.join_response(id);
        if replacement.waiting.version >= SKIP_ASSIGNMENT_VERSION {
            response.skip_assignment = self.is_leader(id);
        } else {
            // It must not take itself for the leader: nobody else would send SyncGroup.
            response.members = Vec::new();
            response.leader = replacement.leader_before.as_deref().unwrap_or_default().into();
        }
        self.complete_join(fx, id, response);
    }

    fn revert_replacement(&mut self, fx: &mut Effects, replacement: Replacement, error: ErrorCode) {
        if !self.members.contains_key(&replacement.new_id) {
            return;
        }
        let mut response = self.join_response(&replacement.new_id);
        response.error_code = error.code();
        response.member_id = Default::default();
        response.members = Vec::new();
        response.leader = replacement.leader_before.as_deref().unwrap_or_default().into();
        self.complete_join(fx, &replacement.new_id, response);
        self.update(&replacement.new_id, replacement.before);
        self.replace_static(fx, &replacement.instance, &replacement.old_id);
    }
}

/// A static member that came back under a new id, until the log knows.
#[derive(Clone, Debug)]
pub(super) struct Replacement {
    group: Arc<str>,
    instance: Arc<str>,
    waiting: Waiting,
    old_id: Arc<str>,
    new_id: Arc<str>,
    leader_before: Option<Arc<str>>,
    before: MemberUpdate,
}

impl MemberUpdate {
    fn of(request: &JoinGroupRequest, join: Option<Waiting>) -> Self {
        Self {
            protocols: Protocol::copy_all(&request.protocols),
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            session_timeout_ms: request.session_timeout_ms,
            join,
        }
    }
}

fn reason(request: &JoinGroupRequest) -> &str {
    request.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or("no reason given")
}
