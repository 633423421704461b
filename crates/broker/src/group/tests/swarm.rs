//! Members at random: they join, sync, heartbeat, commit, leave, fall silent and come back, the store
//! fails and the coordinator restarts. Whatever happens, the promises of a group hold.

use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_base::{Duration, Instant, Random, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::join_group_request::JoinGroupRequestProtocol;
use shore_wire::messages::leave_group_request::MemberIdentity;
use shore_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use shore_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use shore_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, OffsetCommitRequest,
    OffsetCommitResponse, SyncGroupRequest,
};

use super::super::call::{Caller, GroupOutput, GroupResponse, Records, RequestId, WriteId};
use super::super::config::GroupConfig;
use super::super::coordinator::GroupCoordinator;
use super::super::state::StateName;

const SEEDS: u64 = 60;
const STEPS: u32 = 400;
const WALL: Wall = Wall::from_millis(1_000_000);
const SESSION_MS: u64 = 10_000;
const REBALANCE_MS: u64 = 20_000;

#[test]
fn the_promises_of_a_group_hold_whatever_its_members_do() {
    for seed in 0..SEEDS {
        let mut swarm = Swarm::new(seed);
        for _ in 0..STEPS {
            swarm.step();
        }
        swarm.calm_down();
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut swarm = Swarm::new(seed);
        (0..STEPS).for_each(|_| swarm.step());
        (format!("{:?}", swarm.groups.view()), swarm.log)
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// A client, and what it believes.
#[derive(Clone, Debug, Default)]
struct Client {
    instance: Option<String>,
    member: String,
    generation: i32,
    leads: Option<Vec<String>>,
    waits: Option<RequestId>,
    owns: bool,
    last_heard: Instant,
}

struct Swarm {
    seed: u64,
    random: Random,
    groups: GroupCoordinator,
    now: Instant,
    clients: Vec<Client>,
    asked: BTreeMap<RequestId, (usize, Asked)>,
    next_request: u64,
    log: Records,
    writes: Vec<(WriteId, Records)>,
    /// Offsets that were acknowledged, by partition.
    acked: BTreeMap<i32, i64>,
    /// Commits that are neither acknowledged nor refused.
    open_commits: BTreeMap<i32, BTreeSet<i64>>,
    next_offset: i64,
    /// Who leads each generation, with which protocol. Forgotten when a restart takes generations back.
    generations: BTreeMap<i32, (String, String)>,
}

#[derive(Clone, Debug)]
enum Asked {
    Join,
    Sync { generation: i32 },
    Heartbeat,
    Leave,
    Commit { partition: i32, offset: i64 },
}

impl Swarm {
    fn new(seed: u64) -> Self {
        let mut random = Random::stream(seed, "swarm");
        let clients = (0..6)
            .map(|index| Client { instance: random.percent(30).then(|| format!("i{index}")), ..Client::default() })
            .collect();
        let mut swarm = Self {
            seed,
            groups: coordinator(seed),
            random,
            now: Instant::ZERO,
            clients,
            asked: BTreeMap::new(),
            next_request: 0,
            log: Records::new(),
            writes: Vec::new(),
            acked: BTreeMap::new(),
            open_commits: BTreeMap::new(),
            next_offset: 0,
            generations: BTreeMap::new(),
        };
        swarm.load();
        swarm
    }

    fn wall(&self) -> Wall {
        WALL.at(self.now)
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..55 => {
                let client = self.random.below(self.clients.len() as u64) as usize;
                self.act(client);
            }
            55..75 => {
                let millis = self.random.below(4_000);
                self.pass(Duration::from_millis(millis));
            }
            75..95 => self.finish_writes(true),
            95..97 => self.finish_writes(false),
            97..98 => self.restart(),
            _ => {
                // A client dies: nobody reads what it waited for.
                let client = self.random.below(self.clients.len() as u64) as usize;
                self.clients[client] = Client { instance: self.clients[client].instance.clone(), ..Client::default() };
            }
        }
        self.check();
    }

    fn act(&mut self, client: usize) {
        let choice = self.random.below(100);
        let now = &self.clients[client];
        if now.waits.is_some() {
            return;
        }
        match choice {
            _ if now.member.is_empty() || now.generation == 0 => self.join(client),
            0..10 => self.join(client),
            10..50 if !now.owns => self.sync(client),
            50..75 => self.heartbeat(client),
            75..80 => self.leave(client),
            _ => self.commit(client),
        }
    }

    // Requests

    fn ask(
        &mut self,
        client: usize,
        asked: Asked,
        send: impl FnOnce(&mut GroupCoordinator, Instant, Wall, &Caller<'_>),
    ) {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(request, (client, asked));
        self.clients[client].waits = Some(request);
        let client_id = format!("c{client}");
        let caller = Caller { request, version: 9, client_id: &client_id, client_host: "127.0.0.1" };
        send(&mut self.groups, self.now, WALL.at(self.now), &caller);
        self.drain();
    }

    fn join(&mut self, client: usize) {
        let mut request = JoinGroupRequest::default();
        request.group_id = "g".into();
        request.member_id = self.clients[client].member.as_str().into();
        request.group_instance_id = self.clients[client].instance.as_deref().map(Into::into);
        request.session_timeout_ms = SESSION_MS as i32;
        request.rebalance_timeout_ms = REBALANCE_MS as i32;
        request.protocol_type = "consumer".into();
        for name in ["range", "sticky"] {
            let mut protocol = JoinGroupRequestProtocol::default();
            protocol.name = name.into();
            protocol.metadata = Bytes::from(vec![self.random.below(2) as u8]);
            request.protocols.push(protocol);
        }
        self.ask(client, Asked::Join, |groups, now, wall, caller| groups.join_group(now, wall, caller, &request));
    }

    fn sync(&mut self, client: usize) {
        let (member, generation, instance) = self.identity(client);
        let mut request = SyncGroupRequest::default();
        request.group_id = "g".into();
        request.member_id = member.as_str().into();
        request.generation_id = generation;
        request.group_instance_id = instance.as_deref().map(Into::into);
        for other in self.clients[client].leads.iter().flatten() {
            let mut assignment = SyncGroupRequestAssignment::default();
            assignment.member_id = other.as_str().into();
            assignment.assignment = Bytes::from(format!("{generation}/{other}"));
            request.assignments.push(assignment);
        }
        self.ask(client, Asked::Sync { generation }, |groups, now, wall, caller| {
            groups.sync_group(now, wall, caller, &request);
        });
    }

    fn heartbeat(&mut self, client: usize) {
        let (member, generation, instance) = self.identity(client);
        let mut request = HeartbeatRequest::default();
        request.group_id = "g".into();
        request.member_id = member.as_str().into();
        request.generation_id = generation;
        request.group_instance_id = instance.as_deref().map(Into::into);
        self.ask(client, Asked::Heartbeat, |groups, now, wall, caller| groups.heartbeat(now, wall, caller, &request));
    }

    fn leave(&mut self, client: usize) {
        let (member, _, instance) = self.identity(client);
        let mut identity = MemberIdentity::default();
        identity.member_id = member.as_str().into();
        identity.group_instance_id = instance.as_deref().map(Into::into);
        let mut request = LeaveGroupRequest::default();
        request.group_id = "g".into();
        request.members.push(identity);
        self.ask(client, Asked::Leave, |groups, now, wall, caller| groups.leave_group(now, wall, caller, &request));
    }

    fn commit(&mut self, client: usize) {
        let (member, generation, instance) = self.identity(client);
        let index = self.random.below(3) as i32;
        self.next_offset += 1;
        let offset = self.next_offset;
        let mut partition = OffsetCommitRequestPartition::default();
        partition.partition_index = index;
        partition.committed_offset = offset;
        let mut topic = OffsetCommitRequestTopic::default();
        topic.name = "t".into();
        topic.partitions.push(partition);
        let mut request = OffsetCommitRequest::default();
        request.group_id = "g".into();
        request.member_id = member.as_str().into();
        request.generation_id_or_member_epoch = generation;
        request.group_instance_id = instance.as_deref().map(Into::into);
        request.topics.push(topic);
        self.open_commits.entry(index).or_default().insert(offset);
        self.ask(client, Asked::Commit { partition: index, offset }, |groups, now, wall, caller| {
            groups.commit_offsets(now, wall, caller, &request, OffsetCommitResponse::default());
        });
    }

    fn identity(&self, client: usize) -> (String, i32, Option<String>) {
        let client = &self.clients[client];
        (client.member.clone(), client.generation, client.instance.clone())
    }

    // What comes back

    fn drain(&mut self) {
        while let Some(output) = self.groups.poll() {
            match output {
                GroupOutput::Append { records, write, .. } => self.writes.push((write, records)),
                GroupOutput::Respond { request, response } => {
                    let (client, asked) = self.asked.remove(&request).expect("one response per request");
                    let alive = self.clients[client].waits == Some(request);
                    if alive {
                        self.clients[client].waits = None;
                    }
                    self.answered(client, alive, asked, response);
                }
                GroupOutput::AppendMarker { .. } | GroupOutput::MarkerWritten { .. } => {
                    panic!("these clients have no transactions")
                }
                GroupOutput::Event(_) => {}
            }
        }
    }

    fn answered(&mut self, client: usize, alive: bool, asked: Asked, response: GroupResponse) {
        let error = match (&asked, response) {
            (Asked::Join, GroupResponse::JoinGroup(response)) => return self.joined(client, alive, &response),
            (Asked::Sync { generation }, GroupResponse::SyncGroup(response)) => {
                if response.error_code == 0 {
                    let member = self.clients[client].member.clone();
                    if alive && !self.renamed(client) {
                        let expected = format!("{generation}/{member}");
                        let got = std::str::from_utf8(&response.assignment).expect("our own assignment");
                        // A static member keeps what was assigned to its old self.
                        let of_old_self = self.clients[client].instance.is_some();
                        assert!(got == expected || got.is_empty() || of_old_self, "seed {}: {got}", self.seed);
                        self.clients[client].owns = true;
                    }
                }
                response.error_code
            }
            (Asked::Heartbeat, GroupResponse::Heartbeat(response)) => response.error_code,
            (Asked::Leave, GroupResponse::LeaveGroup(response)) => {
                if alive {
                    self.clients[client] =
                        Client { instance: self.clients[client].instance.clone(), ..Client::default() };
                }
                response.error_code
            }
            (Asked::Commit { partition, offset }, GroupResponse::OffsetCommit(response)) => {
                let code = response.topics[0].partitions[0].error_code;
                self.open_commits.entry(*partition).or_default().remove(offset);
                if code == 0 {
                    let acked = self.acked.entry(*partition).or_insert(*offset);
                    // Commits of one partition of the log are acknowledged in the order they were made.
                    assert!(*acked <= *offset, "seed {}: {acked} was acknowledged before {offset}", self.seed);
                    *acked = *offset;
                }
                code
            }
            (asked, response) => panic!("{asked:?} was answered {response:?}"),
        };
        if !alive {
            return;
        }
        self.clients[client].last_heard = self.now;
        match ErrorCode::from_code(error).expect("a known error") {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => {
                self.clients[client].owns = false;
                self.clients[client].leads = None;
                self.join(client);
            }
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId => {
                self.clients[client] = Client { instance: self.clients[client].instance.clone(), ..Client::default() };
            }
            ErrorCode::IllegalGeneration => self.clients[client].generation = 0,
            ErrorCode::NotCoordinator | ErrorCode::GroupIdNotFound => {}
            other => panic!("seed {}: {asked:?} was refused with {}", self.seed, other.name()),
        }
    }

    fn joined(&mut self, client: usize, alive: bool, response: &JoinGroupResponse) {
        let members: Vec<String> = response.members.iter().map(|member| member.member_id.to_string()).collect();
        let error = ErrorCode::from_code(response.error_code).expect("a known error");
        if error == ErrorCode::None {
            let leads = response.leader == response.member_id;
            assert!(leads || members.is_empty(), "seed {}: only a leader learns of the members", self.seed);
            // A static member that is told of its old self's lead does not count as the leader of it.
            let leader = (response.leader.to_string(), response.protocol_name.as_deref().unwrap_or("").to_owned());
            let known = self.generations.entry(response.generation_id).or_insert_with(|| leader.clone());
            assert_eq!(known.1, leader.1, "seed {}: one protocol per generation", self.seed);
        }
        if !alive {
            return;
        }
        let state = &mut self.clients[client];
        state.last_heard = self.now;
        state.owns = false;
        state.leads = None;
        match error {
            ErrorCode::None => {
                state.member = response.member_id.to_string();
                state.generation = response.generation_id;
                state.leads = (!members.is_empty()).then_some(members);
            }
            ErrorCode::MemberIdRequired => state.member = response.member_id.to_string(),
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId | ErrorCode::NotCoordinator => {
                state.member = String::new();
                state.generation = 0;
            }
            other => panic!("seed {}: a join was refused with {}", self.seed, other.name()),
        }
    }

    /// Whether a newer self holds the client's instance.
    fn renamed(&self, client: usize) -> bool {
        let client = &self.clients[client];
        let view = self.groups.view();
        let Some(group) = view.first() else { return true };
        !group.members.iter().any(|member| *member.member == *client.member)
    }

    // The world

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((due, _)) = self.groups.next_wake().filter(|(due, _)| *due <= until) {
            self.now = due.max(self.now);
            self.groups.wake(self.now, self.wall());
            self.drain();
        }
        self.now = until;
    }

    fn finish_writes(&mut self, safe: bool) {
        for (write, records) in std::mem::take(&mut self.writes) {
            if safe {
                self.log.extend(records);
            }
            let result = if safe { Ok(0) } else { Err(ErrorCode::KafkaStorageError) };
            self.groups.written(self.now, self.wall(), write, result);
        }
        self.drain();
    }

    fn restart(&mut self) {
        self.writes.clear();
        self.open_commits.clear();
        self.generations.clear();
        // Connections end with the process: nobody hears of what was asked.
        self.asked.clear();
        for client in &mut self.clients {
            client.waits = None;
        }
        self.groups = coordinator(self.seed + self.next_request);
        self.load();
    }

    fn load(&mut self) {
        self.groups.load_begin(0);
        for (key, value) in &self.log {
            self.groups.apply(0, None, key, value.as_deref()).expect("our own record");
        }
        self.groups.load_end(self.now, self.wall(), 0);
        self.drain();
    }

    fn check(&self) {
        let groups = self.groups.shards.values().flat_map(|shard| shard.groups.values());
        groups.for_each(|group| group.assert_invariants());
        let view = self.groups.view();
        let offsets: BTreeMap<i32, i64> =
            view.iter().flat_map(|group| &group.offsets).map(|offset| (offset.partition, offset.offset)).collect();
        for (partition, acked) in &self.acked {
            let latest = offsets.get(partition).copied();
            let open = self.open_commits.get(partition);
            let explained =
                latest == Some(*acked) || latest.is_some_and(|at| open.is_some_and(|open| open.contains(&at)));
            // A commit whose answer was lost with the process may stand as well, and is the newer one.
            let lost = latest.is_some_and(|at| at > *acked);
            assert!(explained || lost, "seed {}: {acked} was acknowledged and {latest:?} is there", self.seed);
        }
    }

    /// Everybody lives on quietly: the group settles, and everybody owns something of one generation.
    fn calm_down(&mut self) {
        for _ in 0..400 {
            self.finish_writes(true);
            for client in 0..self.clients.len() {
                let state = &self.clients[client];
                if state.waits.is_some() {
                    continue;
                }
                if state.member.is_empty() || state.generation == 0 {
                    self.join(client);
                } else if state.owns {
                    self.heartbeat(client);
                } else {
                    self.sync(client);
                }
            }
            self.finish_writes(true);
            self.pass(Duration::from_millis(500));
            self.check();
        }
        let view = self.groups.view();
        let group = view.first().expect("the group");
        assert_eq!(group.state, StateName::Stable, "seed {}: {group:#?}", self.seed);
        let members: BTreeSet<Arc<str>> = group.members.iter().map(|member| member.member.clone()).collect();
        let believers: BTreeSet<Arc<str>> =
            self.clients.iter().map(|client| Arc::from(client.member.as_str())).collect();
        assert_eq!(members, believers, "seed {}", self.seed);
        assert!(self.clients.iter().all(|client| client.owns && client.generation == group.generation));
        // And what was safe is what a restart finds.
        let before = self.groups.view();
        self.restart();
        let mut after = self.groups.view();
        for (after, before) in after.iter_mut().zip(&before) {
            // The log keeps the protocol that was chosen, not the others on offer.
            for (after, before) in after.members.iter_mut().zip(&before.members) {
                after.protocols.clone_from(&before.protocols);
            }
            after.since = before.since;
        }
        assert_eq!(after, before, "seed {}", self.seed);
    }
}

fn coordinator(seed: u64) -> GroupCoordinator {
    let config = GroupConfig {
        initial_rebalance_delay: Duration::from_millis(500),
        offsets_topic_partitions: 1,
        ..GroupConfig::default()
    };
    GroupCoordinator::new(config, Random::stream(seed, "members"))
}
