//! Membership: finding the coordinator, joining, sharing out, heartbeats, leaving.

use bytes::Bytes;
use core::time::Duration;
use shore_base::Instant;
use shore_base::collections::BTreeMap;
use shore_wire::error::ErrorCode;
use shore_wire::frame::decode_response;
use shore_wire::messages::join_group_request::JoinGroupRequestProtocol;
use shore_wire::messages::leave_group_request::MemberIdentity;
use shore_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use shore_wire::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, StrBytes, SyncGroupRequest, SyncGroupResponse,
};

use super::assignor::{Assignor, Member};
use super::protocol::{self, Subscription};
use super::{Consumer, ConsumerEvent, Purpose};
use crate::cluster::TopicPartition;
use crate::error::{ClientError, is_retriable, is_wrong_coordinator};
use crate::network::Target;

/// Who coordinates the group.
#[derive(Clone, Debug)]
pub(super) enum Coordinator {
    Unknown,
    Asked { attempts: u32 },
    Waiting { until: Instant, attempts: u32 },
    Known(i32),
}

/// Out -> Unjoined -> Joining -> (Sharing ->) Syncing -> (Assigned ->) Stable -> Unjoined ...
#[derive(Clone, Debug)]
pub(super) enum Membership {
    /// No subscription, or closed.
    Out,
    /// Has to join, once what it has is committed and given back.
    Unjoined {
        not_before: Instant,
        attempts: u32,
    },
    Joining {
        attempts: u32,
    },
    /// The leader waits for the metadata of everybody's topics.
    Sharing {
        members: Vec<Member>,
        assignor: Assignor,
    },
    Syncing,
    /// Its share is known; what it has kept changes when its owner is back.
    Assigned(Vec<TopicPartition>),
    Stable,
    /// The owner was away too long; it joins again when it asks for records.
    Dormant,
    Leaving,
    /// The group will not have it.
    Fatal,
}

impl Membership {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Unjoined { .. } => "unjoined",
            Self::Joining { .. } => "joining",
            Self::Sharing { .. } => "sharing",
            Self::Syncing => "syncing",
            Self::Assigned(_) => "assigned",
            Self::Stable => "stable",
            Self::Dormant => "dormant",
            Self::Leaving => "leaving",
            Self::Fatal => "fatal",
        }
    }
}

impl Consumer {
    pub(super) fn pump_group(&mut self) {
        if self.config.group_id.is_none() || (self.close_by.is_some() && matches!(self.membership, Membership::Out)) {
            return;
        }
        self.find_coordinator();
        match &self.membership {
            Membership::Unjoined { not_before, .. } if *not_before <= self.now && self.close_by.is_none() => {
                self.prepare_to_join()
            }
            Membership::Sharing { .. } => self.share_out(),
            Membership::Dormant if self.in_poll && self.close_by.is_none() => {
                self.membership = Membership::Unjoined { not_before: self.now, attempts: 0 };
                self.prepare_to_join();
            }
            Membership::Stable | Membership::Assigned(_)
                if !self.in_poll && self.last_poll + self.config.max_poll_interval <= self.now =>
            {
                self.leave_for_slowness();
            }
            Membership::Assigned(_) => self.take_over(),
            _ => {}
        }
        self.beat_heart();
    }

    /// The coordinator, if requests can go to it now.
    pub(super) fn coordinator_ready(&mut self) -> Option<Target> {
        let Coordinator::Known(id) = self.coordinator else { return None };
        let target = Target::Coordinator(id);
        self.network.ready(self.now, target).then_some(target)
    }

    fn find_coordinator(&mut self) {
        let attempts = match self.coordinator {
            Coordinator::Unknown => 0,
            Coordinator::Waiting { until, attempts } if until <= self.now => attempts,
            _ => return,
        };
        let Some(target) = self.network.any_ready(self.now) else { return };
        let Some(version) = self.network.version::<FindCoordinatorRequest>(target, 6) else { return };
        let group = StrBytes::from(self.config.group_id.as_deref().unwrap_or_default());
        let mut request = FindCoordinatorRequest::default();
        if version >= 4 {
            request.coordinator_keys = vec![group];
        } else {
            request.key = group;
        }
        if self.network.send(self.now, target, version, &request, Purpose::FindCoordinator).is_ok() {
            self.coordinator = Coordinator::Asked { attempts };
        }
    }

    pub(super) fn coordinator_found(&mut self, version: i16, frame: Bytes) {
        let Ok((_, mut response)) = decode_response::<FindCoordinatorResponse>(frame, version) else {
            self.coordinator_lost();
            return;
        };
        let (code, id) = match response.coordinators.pop() {
            Some(coordinator) if version >= 4 => (coordinator.error_code, coordinator.node_id),
            _ => (response.error_code, response.node_id),
        };
        if code == 0 {
            self.coordinator = Coordinator::Known(id);
            if !self.network.cluster.brokers.contains_key(&id) {
                self.network.refresh_metadata();
            }
        } else if is_retriable(code) {
            self.coordinator_lost();
        } else {
            self.fail("finding the coordinator", ClientError::from_code(code));
        }
    }

    /// The coordinator is not, or no longer, where it was thought to be.
    pub(super) fn coordinator_lost(&mut self) {
        let attempts = match self.coordinator {
            Coordinator::Asked { attempts } | Coordinator::Waiting { attempts, .. } => attempts + 1,
            _ => 1,
        };
        let until = self.now + self.network.backoff(attempts);
        self.coordinator = Coordinator::Waiting { until, attempts };
    }

    /// A rebalance is on: join again at the next opportunity.
    pub(super) fn rejoin(&mut self) {
        self.membership = Membership::Unjoined { not_before: self.now, attempts: 0 };
    }

    pub(super) fn rejoin_later(&mut self) {
        let attempts = match self.membership {
            Membership::Unjoined { attempts, .. } | Membership::Joining { attempts } => attempts + 1,
            _ => 1,
        };
        let not_before = self.now + self.network.backoff(attempts);
        self.membership = Membership::Unjoined { not_before, attempts };
    }

    /// Whether it keeps what it has while it joins: if all its assignors can do with that, as in Java.
    fn is_cooperative(&self) -> bool {
        self.config.assignors.iter().all(|assignor| assignor.is_cooperative())
    }

    /// Commits and gives back what it has, then joins. Waits for the owner to be done with what it was given.
    /// A cooperative member gives back only what it no longer wants.
    fn prepare_to_join(&mut self) {
        if !self.in_poll && !self.partitions.is_empty() {
            return;
        }
        if !self.partitions.is_empty() {
            if self.generation >= 0 && !self.settle_commits() {
                return;
            }
            if self.generation < 0 || !self.is_cooperative() {
                self.give_back();
            } else {
                let unwanted = self.partitions.keys().filter(|at| !self.topics.contains(&at.topic));
                self.revoke(unwanted.cloned().collect());
            }
        }
        let known = |topic: &String| self.network.cluster.topics.contains_key(topic);
        if !self.topics.iter().all(known) {
            self.network.refresh_metadata();
            self.network.maybe_ask_metadata(self.now);
            return;
        }
        self.join();
    }

    fn give_back(&mut self) {
        let partitions: Vec<_> = core::mem::take(&mut self.partitions).into_keys().collect();
        self.last_assignment.clone_from(&partitions);
        let event = if self.generation >= 0 {
            ConsumerEvent::Revoked { partitions }
        } else {
            ConsumerEvent::Lost { partitions }
        };
        self.events.push_back(event);
    }

    /// Gives some partitions back.
    fn revoke(&mut self, partitions: Vec<TopicPartition>) {
        for at in &partitions {
            self.partitions.remove(at);
        }
        if !partitions.is_empty() {
            self.sessions.renew();
            self.events.push_back(ConsumerEvent::Revoked { partitions });
        }
    }

    fn join(&mut self) {
        let Some(target) = self.coordinator_ready() else { return };
        let Some(version) = self.network.version::<JoinGroupRequest>(target, 9) else { return };
        let mut request = JoinGroupRequest::default();
        request.group_id = self.group_id();
        request.session_timeout_ms = self.config.session_timeout.as_millis() as i32;
        if version >= 1 {
            request.rebalance_timeout_ms = self.config.max_poll_interval.as_millis() as i32;
        }
        request.member_id = StrBytes::from(self.member_id.as_str());
        if version >= 5 {
            request.group_instance_id = self.config.group_instance_id.as_deref().map(StrBytes::from);
        }
        request.protocol_type = StrBytes::from("consumer");
        for assignor in &self.config.assignors {
            let user_data = match assignor {
                Assignor::Sticky if !self.last_assignment.is_empty() => {
                    Some(protocol::encode_sticky(&self.last_assignment, self.generation))
                }
                Assignor::CooperativeSticky => Some(protocol::encode_generation(self.generation)),
                _ => None,
            };
            let subscription = Subscription {
                topics: self.topics.clone(),
                user_data,
                owned: self.partitions.keys().cloned().collect(),
                generation: self.generation,
            };
            let mut offered = JoinGroupRequestProtocol::default();
            offered.name = StrBytes::from(assignor.name());
            offered.metadata = subscription.encode();
            request.protocols.push(offered);
        }
        let attempts = match self.membership {
            Membership::Unjoined { attempts, .. } => attempts,
            _ => 0,
        };
        // The broker answers when everybody has joined.
        let timeout = (self.config.max_poll_interval + Duration::from_secs(5)).max(self.config.client.request_timeout);
        if self.network.send_within(self.now, target, version, &request, Purpose::Join, timeout).is_ok() {
            self.membership = Membership::Joining { attempts };
        }
    }

    fn group_id(&self) -> StrBytes {
        StrBytes::from(self.config.group_id.as_deref().unwrap_or_default())
    }

    pub(super) fn joined(&mut self, version: i16, frame: Bytes) {
        if !matches!(self.membership, Membership::Joining { .. }) {
            return;
        }
        let response = match decode_response::<JoinGroupResponse>(frame, version) {
            Ok((_, response)) => response,
            Err(error) => return self.fail("joining the group", ClientError::BadResponse(error.to_string())),
        };
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::MemberIdRequired) => {
                self.member_id = response.member_id.into_string();
                return self.rejoin();
            }
            _ => return self.group_refuses("joining the group", response.error_code),
        }
        self.member_id = response.member_id.into_string();
        self.generation = response.generation_id;
        self.next_heartbeat = self.now + self.config.heartbeat_interval;
        let leads = response.leader.as_bytes() == self.member_id.as_bytes();
        let name = response.protocol_name.map(|name| name.into_string()).unwrap_or_default();
        if !leads || (version >= 9 && response.skip_assignment) {
            self.assigned_counts = None;
            return self.sync(&name, Vec::new());
        }
        let Some(assignor) = Assignor::from_name(&name) else {
            return self.fail("joining the group", ClientError::Unsupported("this assignor"));
        };
        let member = |member: &shore_wire::messages::join_group_response::JoinGroupResponseMember| {
            // A member whose words cannot be read gets nothing.
            let subscription = Subscription::decode(&member.metadata).unwrap_or_default();
            Member {
                id: member.member_id.as_str().to_owned(),
                instance_id: member.group_instance_id.as_ref().map(|id| id.as_str().to_owned()),
                topics: subscription.topics,
                user_data: subscription.user_data,
                owned: subscription.owned,
                generation: subscription.generation,
            }
        };
        let members: Vec<Member> = response.members.iter().map(member).collect();
        for topic in members.iter().flat_map(|member| &member.topics) {
            self.network.want_topic(topic);
        }
        self.membership = Membership::Sharing { members, assignor };
        self.share_out();
    }

    /// The leader's work, once it knows everybody's topics.
    fn share_out(&mut self) {
        let Membership::Sharing { members, assignor } = &self.membership else { return };
        let cluster = &self.network.cluster;
        let topics = members.iter().flat_map(|member| &member.topics);
        if !topics.clone().all(|topic| cluster.topics.contains_key(topic)) {
            self.network.maybe_ask_metadata(self.now);
            return;
        }
        let counts: BTreeMap<String, i32> =
            topics.filter_map(|topic| Some((topic.clone(), cluster.partition_count(topic)?))).collect();
        let chosen = assignor.name();
        let shares = assignor.assign(&counts, members);
        self.assigned_counts = Some(counts);
        let share = |(member, partitions): (String, Vec<_>)| {
            let mut share = SyncGroupRequestAssignment::default();
            share.member_id = StrBytes::from(member);
            share.assignment = protocol::encode_assignment(&partitions);
            share
        };
        let shares = shares.into_iter().map(share).collect();
        self.sync(chosen, shares);
    }

    /// `protocol` is what the group chose: from version 5 on everybody has to repeat it.
    fn sync(&mut self, protocol: &str, assignments: Vec<SyncGroupRequestAssignment>) {
        let Some(target) = self.coordinator_ready() else { return self.rejoin_later() };
        let Some(version) = self.network.version::<SyncGroupRequest>(target, 5) else { return };
        let mut request = SyncGroupRequest::default();
        request.group_id = self.group_id();
        request.generation_id = self.generation;
        request.member_id = StrBytes::from(self.member_id.as_str());
        if version >= 3 {
            request.group_instance_id = self.config.group_instance_id.as_deref().map(StrBytes::from);
        }
        if version >= 5 {
            request.protocol_type = Some(StrBytes::from("consumer"));
            request.protocol_name = Some(StrBytes::from(protocol));
        }
        request.assignments = assignments;
        let timeout = (self.config.max_poll_interval + Duration::from_secs(5)).max(self.config.client.request_timeout);
        let purpose = Purpose::Sync { generation: self.generation };
        self.membership = match self.network.send_within(self.now, target, version, &request, purpose, timeout) {
            Ok(()) => Membership::Syncing,
            Err(error) => return self.fail("sharing out partitions", error),
        };
    }

    pub(super) fn synced(&mut self, generation: i32, version: i16, frame: Bytes) {
        if generation != self.generation || !matches!(self.membership, Membership::Syncing) {
            return;
        }
        let response = match decode_response::<SyncGroupResponse>(frame, version) {
            Ok((_, response)) => response,
            Err(error) => return self.fail("joining the group", ClientError::BadResponse(error.to_string())),
        };
        if response.error_code != 0 {
            return self.group_refuses("joining the group", response.error_code);
        }
        let partitions = match protocol::decode_assignment(&response.assignment) {
            Ok(partitions) => partitions,
            Err(error) => return self.fail("reading the assignment", ClientError::BadResponse(error.to_string())),
        };
        self.membership = Membership::Assigned(partitions);
        self.take_over();
    }

    /// Begins with its share. What it has kept and lost is given back first, and the group is told by joining again.
    fn take_over(&mut self) {
        let Membership::Assigned(share) = &self.membership else { return };
        if !self.in_poll && !self.partitions.is_empty() {
            return;
        }
        let partitions = share.clone();
        self.membership = Membership::Stable;
        for at in &partitions {
            self.network.want_topic(&at.topic);
        }
        let lost: Vec<TopicPartition> = self.partitions.keys().filter(|at| !partitions.contains(at)).cloned().collect();
        let has_lost = !lost.is_empty();
        self.revoke(lost);
        self.add_partitions(&partitions);
        self.last_assignment.clone_from(&partitions);
        self.commits.begin(self.now, self.config.auto_commit);
        self.events.push_back(ConsumerEvent::Assigned { generation: self.generation, partitions });
        if has_lost {
            self.rejoin();
        }
    }

    /// What Join, Sync, Heartbeat and Commit have in common when the coordinator says no.
    pub(super) fn group_refuses(&mut self, what: &'static str, code: i16) {
        match ErrorCode::from_code(code) {
            Some(ErrorCode::UnknownMemberId) => {
                self.member_id.clear();
                self.generation = -1;
                self.rejoin();
            }
            Some(ErrorCode::IllegalGeneration) => {
                self.generation = -1;
                self.rejoin();
            }
            Some(ErrorCode::RebalanceInProgress) => self.rejoin(),
            _ if is_wrong_coordinator(code) => {
                self.coordinator_lost();
                if !matches!(self.membership, Membership::Stable) {
                    self.rejoin_later();
                }
            }
            Some(ErrorCode::CoordinatorLoadInProgress) => {
                if !matches!(self.membership, Membership::Stable) {
                    self.rejoin_later();
                }
            }
            _ if is_retriable(code) => self.rejoin_later(),
            _ => self.fail(what, ClientError::from_code(code)),
        }
    }

    /// Whether it is in a generation of the group and not about to join another.
    fn is_member(&self) -> bool {
        matches!(self.membership, Membership::Stable | Membership::Assigned(_) | Membership::Syncing)
    }

    /// Whether the coordinator takes commits now, or soon: not while the group rebalances.
    pub(super) fn may_commit(&self) -> bool {
        !matches!(self.membership, Membership::Joining { .. } | Membership::Sharing { .. } | Membership::Syncing)
    }

    fn beat_heart(&mut self) {
        let beats =
            self.is_member() || (matches!(self.membership, Membership::Unjoined { .. }) && self.generation >= 0);
        if !beats || self.heartbeat_in_flight || self.next_heartbeat > self.now {
            return;
        }
        let Some(target) = self.coordinator_ready() else { return };
        let Some(version) = self.network.version::<HeartbeatRequest>(target, 4) else { return };
        let mut request = HeartbeatRequest::default();
        request.group_id = self.group_id();
        request.generation_id = self.generation;
        request.member_id = StrBytes::from(self.member_id.as_str());
        if version >= 3 {
            request.group_instance_id = self.config.group_instance_id.as_deref().map(StrBytes::from);
        }
        let purpose = Purpose::Heartbeat { generation: self.generation };
        if self.network.send(self.now, target, version, &request, purpose).is_ok() {
            self.heartbeat_in_flight = true;
            self.next_heartbeat = self.now + self.config.heartbeat_interval;
        }
    }

    pub(super) fn heart_beaten(&mut self, generation: i32, version: i16, frame: Bytes) {
        self.heartbeat_in_flight = false;
        let Ok((_, response)) = decode_response::<HeartbeatResponse>(frame, version) else { return };
        let concerns_us = generation == self.generation && self.is_member();
        if response.error_code != 0 && concerns_us {
            self.group_refuses("a heartbeat", response.error_code);
        }
    }

    /// `max.poll.interval.ms` is over: others can do the work.
    fn leave_for_slowness(&mut self) {
        self.send_leave();
        self.membership = Membership::Dormant;
        self.member_id.clear();
        self.generation = -1;
        let partitions: Vec<_> = core::mem::take(&mut self.partitions).into_keys().collect();
        self.events.push_back(ConsumerEvent::Lost { partitions });
    }

    /// True if an answer will come.
    fn send_leave(&mut self) -> bool {
        if self.config.group_instance_id.is_some() || self.member_id.is_empty() {
            return false;
        }
        let Some(target) = self.coordinator_ready() else { return false };
        let Some(version) = self.network.version::<LeaveGroupRequest>(target, 5) else { return false };
        let mut request = LeaveGroupRequest::default();
        request.group_id = self.group_id();
        if version >= 3 {
            let mut member = MemberIdentity::default();
            member.member_id = StrBytes::from(self.member_id.as_str());
            request.members = vec![member];
        } else {
            request.member_id = StrBytes::from(self.member_id.as_str());
        }
        self.network.send(self.now, target, version, &request, Purpose::Leave).is_ok()
    }

    pub(super) fn left(&mut self) {
        if matches!(self.membership, Membership::Leaving) {
            self.hang_up();
        }
    }

    /// Closing: commit, give back, leave, hang up.
    pub(super) fn pump_close(&mut self) {
        if self.close_by.is_some_and(|at| at <= self.now) {
            return self.hang_up();
        }
        if matches!(self.membership, Membership::Leaving) || !self.settle_commits() {
            return;
        }
        if !self.partitions.is_empty() {
            self.give_back();
        }
        if !matches!(self.membership, Membership::Out | Membership::Fatal) && self.send_leave() {
            self.membership = Membership::Leaving;
        } else {
            self.hang_up();
        }
    }

    fn hang_up(&mut self) {
        self.membership = Membership::Out;
        self.network.close();
        self.closed = true;
    }

    pub(super) fn fail(&mut self, what: &'static str, error: ClientError) {
        self.membership = Membership::Fatal;
        if !self.partitions.is_empty() {
            let partitions = core::mem::take(&mut self.partitions).into_keys().collect();
            self.events.push_back(ConsumerEvent::Lost { partitions });
        }
        self.events.push_back(ConsumerEvent::Failed { what, error });
    }

    pub(super) fn metadata_changed(&mut self) {
        // The leader sees to it that new partitions are read.
        let Some(counts) = &self.assigned_counts else { return };
        let cluster = &self.network.cluster;
        let changed = |topic: &String| {
            let now = cluster.partition_count(topic);
            now.is_some() && now != counts.get(topic).copied()
        };
        if matches!(self.membership, Membership::Stable) && self.topics.iter().any(changed) {
            self.rejoin();
        }
    }

    pub(super) fn group_wake(&self) -> Option<(Instant, &'static str)> {
        let finding = match self.coordinator {
            Coordinator::Waiting { until, .. } if self.config.group_id.is_some() => {
                Some((until, "find the coordinator"))
            }
            _ => None,
        };
        let own = match self.membership {
            Membership::Unjoined { not_before, .. } => Some((not_before, "join the group")),
            Membership::Stable | Membership::Assigned(_) if !self.in_poll => {
                Some((self.last_poll + self.config.max_poll_interval, "max.poll.interval.ms"))
            }
            _ => None,
        };
        let beats = self.is_member() || matches!(self.membership, Membership::Unjoined { .. });
        let heart = (beats && !self.heartbeat_in_flight).then_some((self.next_heartbeat, "heartbeat"));
        finding.into_iter().chain(own).chain(heart).filter(|(at, _)| *at > self.now).min_by_key(|(at, _)| *at)
    }
}
