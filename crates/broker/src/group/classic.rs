//! One classic group: its members, their votes, its generation.

use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet, sort_by};
use shore_base::{Duration, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::join_group_response::JoinGroupResponseMember;
use shore_wire::messages::{JoinGroupResponse, StrBytes, SyncGroupResponse};
use shore_wire::records::group::{GroupMetadataValue, GroupRecord, MemberMetadata};

use super::call::WriteId;
use super::consumer_protocol;
use super::event::{Departure, GroupEvent};
use super::java;
use super::member::{Member, Protocol, Waiting};
use super::shard::Effects;
use super::state::{GroupState, StateName};
use super::timer::{Timer, TimerId, millis};

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub id: Arc<str>,
    /// Of `__consumer_offsets`.
    pub partition: i32,
    pub state: GroupState,
    /// When it entered its state; unknown for groups that old brokers wrote.
    pub since: Option<Wall>,
    /// Rises by one with each completed join.
    pub generation: i32,
    /// Set by the first member. Without one the group only commits offsets.
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    /// Invariant: a member's id, and `None` only without members.
    pub leader: Option<Arc<str>>,
    pub members: BTreeMap<Arc<str>, Member>,
    /// Member ids by group.instance.id. Invariant: exactly the members that have one.
    pub static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids that were given out and not joined with yet, with their session timers.
    pub pending_joins: BTreeMap<Arc<str>, Option<TimerId>>,
    /// Invariant: how many members have a JoinGroup request waiting.
    awaiting_join: usize,
    /// Invariant: how many members offer each protocol.
    supported: BTreeMap<Arc<str>, usize>,
    /// Topics that the members of a generation subscribe to, if it speaks the consumer protocol and
    /// they can be read.
    pub subscribed: Option<BTreeSet<Arc<str>>>,
    pub birth: Birth,
}

/// How far the record is that brought a group about. Until it is safe, others do not see the group,
/// and it goes if the write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Birth {
    Unwritten,
    Writing(WriteId),
    Safe,
}

impl Group {
    pub fn new(id: Arc<str>, partition: i32, now: Wall) -> Self {
        Self {
            id,
            partition,
            state: GroupState::Empty,
            since: Some(now),
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeMap::new(),
            awaiting_join: 0,
            supported: BTreeMap::new(),
            subscribed: None,
            birth: Birth::Unwritten,
        }
    }

    /// The group that a record tells of.
    pub fn load(id: Arc<str>, partition: i32, value: &GroupMetadataValue) -> Self {
        let mut group = Self::new(id, partition, Wall::default());
        group.since = (value.current_state_timestamp != -1).then(|| Wall::from_millis(value.current_state_timestamp));
        group.birth = Birth::Safe;
        group.generation = value.generation;
        group.protocol_type = Some(text(&value.protocol_type)).filter(|name| !name.is_empty());
        group.protocol = value.protocol.as_ref().map(text);
        if !value.members.is_empty() {
            group.state = GroupState::Stable(Default::default());
        }
        for member in &value.members {
            group.insert(group.loaded_member(member));
        }
        group.leader = value.leader.as_ref().map(text).filter(|leader| group.members.contains_key(leader));
        group.elect_if_vacant();
        group.subscribed = group.subscribed_topics();
        group
    }

    fn loaded_member(&self, member: &MemberMetadata) -> Member {
        let rebalance_timeout_ms =
            if member.rebalance_timeout == -1 { member.session_timeout } else { member.rebalance_timeout };
        Member {
            id: text(&member.member_id),
            instance: member.group_instance_id.as_ref().map(text),
            client_id: text(&member.client_id),
            client_host: text(&member.client_host),
            rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout,
            protocols: vec![Protocol {
                name: self.protocol.clone().unwrap_or_default(),
                metadata: Bytes::copy_from_slice(&member.subscription),
            }],
            assignment: Bytes::copy_from_slice(&member.assignment),
            is_new: false,
            join: None,
            sync: None,
            session: None,
        }
    }

    pub const fn is(&self, state: StateName) -> bool {
        self.state.name() as u8 == state as u8
    }

    pub fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(consumer_protocol::TYPE)
    }

    /// Moves on, cancels what only the old state waited for, and tells.
    pub fn enter(&mut self, fx: &mut Effects, to: GroupState, reason: impl FnOnce() -> String) {
        let (from, entered) = (self.state.name(), to.name());
        match self.state.transition(to) {
            GroupState::PreparingRebalance { mut timer, .. } => fx.timers.cancel(&mut timer),
            GroupState::CompletingRebalance(mut syncs) | GroupState::Stable(mut syncs) => {
                fx.timers.cancel(&mut syncs.timer);
            }
            GroupState::Empty | GroupState::Dead => {}
        }
        self.since = Some(fx.wall);
        fx.event(|| GroupEvent::StateChanged { group: self.id.clone(), from, to: entered, reason: reason() });
    }

    // Members

    pub fn add(&mut self, fx: &mut Effects, member: Member) {
        if self.members.is_empty() {
            // Whoever comes first decides what the group speaks.
            self.supported.clear();
        }
        if let Some((_, mut timer)) = self.pending_joins.remove_entry(&member.id) {
            fx.timers.cancel(&mut timer);
        }
        fx.event(|| GroupEvent::MemberJoined {
            group: self.id.clone(),
            member: member.id.clone(),
            client_id: member.client_id.clone(),
            instance: member.instance.clone(),
        });
        self.insert(member);
        self.elect_if_vacant();
    }

    fn insert(&mut self, member: Member) {
        if let Some(instance) = &member.instance {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        self.count_protocols(&member.protocols, true);
        self.awaiting_join += usize::from(member.join.is_some());
        self.members.insert(member.id.clone(), member);
    }

    /// Removes a member, or an id that was only given out. A JoinGroup or SyncGroup request of it that
    /// still waits is told that it is unknown, so that the client joins anew.
    pub fn remove(&mut self, fx: &mut Effects, id: &str, why: Departure) {
        if let Some(mut timer) = self.pending_joins.remove(id) {
            fx.timers.cancel(&mut timer);
        }
        let Some(mut member) = self.members.remove(id) else { return };
        fx.timers.cancel(&mut member.session);
        self.count_protocols(&member.protocols, false);
        if let Some(waiting) = member.join.take() {
            self.awaiting_join -= 1;
            fx.respond_join(waiting, join_error("", ErrorCode::UnknownMemberId));
        }
        if let Some(waiting) = member.sync.take() {
            fx.respond_sync(waiting, sync_error(ErrorCode::UnknownMemberId));
        }
        if let Some(instance) = &member.instance {
            self.static_members.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = None;
            self.elect_if_vacant();
        }
        if let Some(syncs) = self.syncs() {
            syncs.pending.remove(id);
        }
        fx.event(|| GroupEvent::MemberGone { group: self.id.clone(), member: member.id.clone(), why });
    }

    /// A static member that restarted takes the place of its old self, whose requests are fenced.
    pub fn replace_static(&mut self, fx: &mut Effects, instance: &str, new_id: &Arc<str>) -> Option<Arc<str>> {
        let old_id = self.static_members.get(instance)?.clone();
        let mut member = self.members.remove(&old_id)?;
        if let Some(waiting) = member.join.take() {
            self.awaiting_join -= 1;
            fx.respond_join(waiting, join_error(&old_id, ErrorCode::FencedInstanceId));
        }
        if let Some(waiting) = member.sync.take() {
            fx.respond_sync(waiting, sync_error(ErrorCode::FencedInstanceId));
        }
        fx.timers.cancel(&mut member.session);
        member.id = new_id.clone();
        member.is_new = false;
        if self.is_leader(&old_id) {
            self.leader = Some(new_id.clone());
        }
        let instance: Arc<str> = Arc::from(instance);
        fx.event(|| GroupEvent::MemberReplaced {
            group: self.id.clone(),
            instance: instance.clone(),
            old: old_id.clone(),
            new: new_id.clone(),
        });
        self.static_members.insert(instance, new_id.clone());
        self.members.insert(new_id.clone(), member);
        self.reset_session(fx, new_id);
        Some(old_id)
    }

    pub fn update(&mut self, id: &str, update: MemberUpdate) {
        let Some(mut member) = self.members.remove(id) else { return };
        self.count_protocols(&member.protocols, false);
        self.count_protocols(&update.protocols, true);
        member.protocols = update.protocols;
        member.rebalance_timeout_ms = update.rebalance_timeout_ms;
        member.session_timeout_ms = update.session_timeout_ms;
        self.awaiting_join -= usize::from(member.join.is_some());
        self.awaiting_join += usize::from(update.join.is_some());
        member.join = update.join;
        self.members.insert(member.id.clone(), member);
    }

    /// Who may act as this member: unknown (25), or fenced by a newer holder of its instance id (82).
    pub fn validate_member(&self, id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(holder) if **holder != *id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn elect_if_vacant(&mut self) {
        if self.leader.is_none() {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Hands the lead to a member that rejoined, if the leader did not. False if nobody did.
    pub fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: Option<&Member>| member.is_some_and(|member| member.join.is_some());
        if joined(self.leader.as_ref().and_then(|leader| self.members.get(leader))) {
            return true;
        }
        let successor = self.members.values().find(|member| member.join.is_some()).map(|member| member.id.clone());
        let found = successor.is_some();
        if found {
            self.leader = successor;
        }
        found
    }

    // Joins

    pub const fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    pub fn all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_joins.is_empty()
    }

    pub fn rebalance_timeout(&self) -> Duration {
        millis(self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0))
    }

    /// Answers a member's JoinGroup request, if one waits.
    pub fn complete_join(&mut self, fx: &mut Effects, id: &str, response: JoinGroupResponse) {
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(waiting) = member.join.take() {
            self.awaiting_join -= 1;
            fx.respond_join(waiting, response);
        }
    }

    /// This generation, as a member is told of it: only the leader learns of the others.
    pub fn join_response(&self, member: &str) -> JoinGroupResponse {
        let mut response = JoinGroupResponse::default();
        response.generation_id = self.generation;
        response.protocol_type = self.protocol_type.as_deref().map(StrBytes::from);
        response.protocol_name = self.protocol.as_deref().map(StrBytes::from);
        response.leader = self.leader.as_deref().unwrap_or_default().into();
        response.member_id = member.into();
        if self.is_leader(member) {
            response.members = self.join_members();
        }
        response
    }

    fn join_members(&self) -> Vec<JoinGroupResponseMember> {
        let describe = |member: &Member| {
            let mut described = JoinGroupResponseMember::default();
            described.member_id = (&*member.id).into();
            described.group_instance_id = member.instance.as_deref().map(StrBytes::from);
            described.metadata = member.metadata(self.protocol.as_deref());
            described
        };
        self.members.values().map(describe).collect()
    }

    // Protocols

    fn count_protocols(&mut self, protocols: &[Protocol], add: bool) {
        for protocol in protocols {
            let count = self.supported.entry(protocol.name.clone()).or_default();
            *count = if add { *count + 1 } else { count.saturating_sub(1) };
            if *count == 0 {
                self.supported.remove(&protocol.name);
            }
        }
    }

    /// Whether somebody who offers these could be a member: the type must be the group's and one
    /// protocol must be everybody's.
    pub fn supports<'a>(&self, protocol_type: &str, mut names: impl Iterator<Item = &'a str>) -> bool {
        if self.is(StateName::Empty) {
            return !protocol_type.is_empty() && names.next().is_some();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && names.any(|name| self.supported.get(name).copied().unwrap_or(0) == self.members.len())
    }

    /// Each member votes for the first on its list that all of them offer; most votes win. A tie goes
    /// to whom Java's `HashMap` would name first.
    pub fn select_protocol(&self) -> Option<Arc<str>> {
        let everybodys = |protocol: &&Protocol| self.supported.get(&protocol.name) == Some(&self.members.len());
        let mut votes: Vec<(&Arc<str>, usize)> = Vec::new();
        for member in self.members.values() {
            let Some(choice) = member.protocols.iter().find(everybodys) else { continue };
            match votes.iter_mut().find(|(name, _)| **name == choice.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&choice.name, 1)),
            }
        }
        let size = votes.len();
        let bucket = |(name, _): &(&Arc<str>, usize)| java::hash_map_bucket(name, size);
        sort_by(&mut votes, |left, right| bucket(left).cmp(&bucket(right)));
        // `max_by_key` would prefer the last of equals.
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes.iter().find(|(_, count)| *count == most).map(|(name, _)| (*name).clone())
    }

    pub fn subscribed_topics(&self) -> Option<BTreeSet<Arc<str>>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            for topic in consumer_protocol::subscribed_topics(&member.metadata(Some(protocol))).ok()? {
                if !topics.contains(topic) {
                    topics.insert(Arc::from(topic));
                }
            }
        }
        Some(topics)
    }

    /// A group that speaks the consumer protocol and whose subscriptions cannot be read counts as
    /// subscribed to everything.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or(self.uses_consumer_protocol(), |topics| topics.contains(topic))
    }

    // Sessions and syncs

    pub fn reset_session(&mut self, fx: &mut Effects, id: &str) {
        let timeout = self.members.get(id).map(|member| millis(member.session_timeout_ms));
        if let Some(timeout) = timeout {
            self.reset_session_to(fx, id, timeout);
        }
    }

    pub fn reset_session_to(&mut self, fx: &mut Effects, id: &str, timeout: Duration) {
        let Some(member) = self.members.get_mut(id) else { return };
        let timer = || Timer::Session { partition: self.partition, group: self.id.clone(), member: member.id.clone() };
        fx.timers.reset(&mut member.session, fx.now + timeout, timer);
    }

    pub fn syncs(&mut self) -> Option<&mut super::state::Syncs> {
        match &mut self.state {
            GroupState::CompletingRebalance(syncs) | GroupState::Stable(syncs) => Some(syncs),
            GroupState::Empty | GroupState::PreparingRebalance { .. } | GroupState::Dead => None,
        }
    }

    /// Answers a member's SyncGroup request, if one waits, and starts its session anew: one that ran
    /// out while the request waited was passed over.
    pub fn complete_sync(&mut self, fx: &mut Effects, id: &str, response: SyncGroupResponse) {
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(waiting) = member.sync.take() {
            fx.respond_sync(waiting, response);
            self.reset_session(fx, id);
        }
    }

    /// Its record, with the assignment that `assignment` gives each member.
    pub fn record(&self, assignment: impl Fn(&Member) -> Bytes) -> GroupRecord {
        let member = |member: &Member| MemberMetadata {
            member_id: (&*member.id).into(),
            group_instance_id: member.instance.as_deref().map(StrBytes::from),
            client_id: (&*member.client_id).into(),
            client_host: (&*member.client_host).into(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_deref()),
            assignment: assignment(member),
        };
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type.as_deref().unwrap_or_default().into(),
            generation: self.generation,
            protocol: self.protocol.as_deref().map(StrBytes::from),
            leader: self.leader.as_deref().map(StrBytes::from),
            current_state_timestamp: self.since.map_or(-1, Wall::as_millis),
            members: self.members.values().map(member).collect(),
        };
        GroupRecord::GroupMetadata { group: (&*self.id).into(), value: Some(value) }
    }

    /// The record that brings a new group about, before anybody has joined it.
    pub fn empty_record(&self) -> GroupRecord {
        let value = GroupMetadataValue {
            protocol_type: StrBytes::default(),
            generation: 0,
            protocol: None,
            leader: None,
            current_state_timestamp: self.since.map_or(-1, Wall::as_millis),
            members: Vec::new(),
        };
        GroupRecord::GroupMetadata { group: (&*self.id).into(), value: Some(value) }
    }

    /// Lets go of everything that a group which is no longer ours has going: its timers and the
    /// requests that wait in it.
    pub fn dissolve(&mut self, fx: &mut Effects, error: ErrorCode, reason: &str) {
        self.enter(fx, GroupState::Dead, || reason.to_owned());
        for timer in self.pending_joins.values_mut() {
            fx.timers.cancel(timer);
        }
        for member in self.members.values_mut() {
            fx.timers.cancel(&mut member.session);
            if let Some(waiting) = member.join.take() {
                fx.respond_join(waiting, join_error(&member.id, error));
            }
            if let Some(waiting) = member.sync.take() {
                fx.respond_sync(waiting, sync_error(error));
            }
        }
        self.awaiting_join = 0;
    }

    #[cfg(test)]
    pub fn assert_invariants(&self) {
        let joins = self.members.values().filter(|member| member.join.is_some()).count();
        assert_eq!(self.awaiting_join, joins, "joins that wait are counted");
        match &self.leader {
            Some(leader) => assert!(self.members.contains_key(leader), "the leader is a member"),
            None => assert!(self.members.is_empty(), "a group with members has a leader"),
        }
        let statics: BTreeMap<_, _> =
            self.members.values().filter_map(|member| Some((member.instance.clone()?, member.id.clone()))).collect();
        assert_eq!(self.static_members, statics, "instance ids lead to their members");
        let mut supported = BTreeMap::new();
        for protocol in self.members.values().flat_map(|member| &member.protocols) {
            *supported.entry(protocol.name.clone()).or_insert(0) += 1;
        }
        assert_eq!(self.supported, supported, "offers are counted");
        match &self.state {
            GroupState::Empty => assert!(self.members.is_empty(), "an empty group has no members"),
            GroupState::PreparingRebalance { timer, .. } => assert!(timer.is_some(), "a rebalance has an end"),
            GroupState::CompletingRebalance(syncs) | GroupState::Stable(syncs) => {
                assert!(syncs.pending.is_empty() || syncs.timer.is_some(), "owed syncs have an end");
            }
            GroupState::Dead => {}
        }
    }
}

/// What a member brings when it joins again.
#[derive(Clone, Debug)]
pub(super) struct MemberUpdate {
    pub protocols: Vec<Protocol>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub join: Option<Waiting>,
}

pub(super) fn join_error(member: &str, error: ErrorCode) -> JoinGroupResponse {
    let mut response = JoinGroupResponse::default();
    response.error_code = error.code();
    response.generation_id = -1;
    response.member_id = member.into();
    response
}

pub(super) fn sync_error(error: ErrorCode) -> SyncGroupResponse {
    let mut response = SyncGroupResponse::default();
    response.error_code = error.code();
    response
}

pub(super) fn text(text: &StrBytes) -> Arc<str> {
    Arc::from(text.as_str())
}
