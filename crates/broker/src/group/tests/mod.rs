//! Every rule of the coordinator as a transcript, and what no transcript can show.

mod large;
mod swarm;
mod transcript;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Duration, Instant, Random, Wall};
use shore_wire::api::ApiKey;
use shore_wire::error::ErrorCode;
use shore_wire::frame;

use super::call::{Caller, GroupMarker, GroupOutput, Producer, RequestId, Topics, WriteId};
use super::config::GroupConfig;
use super::coordinator::GroupCoordinator;
use super::event::GroupEvent;
use super::view::GroupView;
use crate::api;
use crate::transcript::Line;
use transcript::Names;

/// One file per subject; a blank line and a `#` begin a scenario with a coordinator of its own.
const TRANSCRIPTS: &[(&str, &str)] = &[
    ("join", include_str!("join.txt")),
    ("rebalance", include_str!("rebalance.txt")),
    ("sync", include_str!("sync.txt")),
    ("session", include_str!("session.txt")),
    ("leave", include_str!("leave.txt")),
    ("static", include_str!("static.txt")),
    ("commit", include_str!("commit.txt")),
    ("transactions", include_str!("transactions.txt")),
    ("fetch", include_str!("fetch.txt")),
    ("expire", include_str!("expire.txt")),
    ("delete", include_str!("delete.txt")),
    ("describe", include_str!("describe.txt")),
    ("storage", include_str!("storage.txt")),
    ("events", include_str!("events.txt")),
    ("versions", include_str!("versions.txt")),
];

#[test]
fn transcripts_hold() {
    crate::transcript::hold::<Bench>(TRANSCRIPTS);
}

/// A coordinator with a log that keeps what it is given, at a time that only `advance` moves.
struct Bench {
    config: GroupConfig,
    groups: GroupCoordinator,
    now: Instant,
    names: Names,
    requests: BTreeMap<RequestId, (String, ApiKey, i16)>,
    next_request: u64,
    /// What is safe, as a reload would find it.
    log: Vec<Logged>,
    /// Writes that wait for `written` or `fail`, while `hold` is on.
    writes: Vec<(WriteId, Vec<Logged>)>,
    /// Markers that were asked for, by their number.
    markers: Vec<String>,
    hold: bool,
    deleted: Vec<String>,
}

/// What a partition's log holds.
#[derive(Clone)]
enum Logged {
    Record { producer_id: Option<i64>, key: Bytes, value: Option<Bytes> },
    Marker { producer_id: i64, commit: bool },
}

/// All topics with one letter, of three partitions each. The id `t'` is that of another topic `t`.
struct Letters(Vec<String>);

impl Topics for Letters {
    fn topic_id(&self, name: &str) -> Option<shore_base::Uuid> {
        self.0.iter().any(|there| there == name).then(|| shore_base::Uuid(transcript::id_of(name).to_bytes()))
    }

    fn topic_name(&self, id: shore_base::Uuid) -> Option<&str> {
        let name = transcript::name_of(shore_wire::messages::Uuid::from_bytes(id.0));
        self.0.iter().find(|there| **there == name.trim_end_matches('\'')).map(String::as_str)
    }

    fn has_partition(&self, name: &str, partition: i32) -> bool {
        self.topic_id(name).is_some() && (0..3).contains(&partition)
    }
}

fn letters(deleted: &[String]) -> Letters {
    Letters(('a'..='z').map(String::from).filter(|name| !deleted.contains(name)).collect())
}

const WALL: Wall = Wall::from_millis(1_000_000);

impl crate::transcript::Bench for Bench {
    /// Options: `delay=` (initial rebalance), `size=` (group.max.size), `retention=` in minutes.
    fn new(options: &str) -> Self {
        let options = Line::parse(options);
        let config = GroupConfig {
            initial_rebalance_delay: Duration::from_millis(options.number("delay", 0) as u64),
            max_size: options.number("size", i64::from(i32::MAX)) as usize,
            offsets_retention: Duration::from_secs(60 * options.number("retention", 7 * 24 * 60) as u64),
            offsets_topic_partitions: 1,
            ..GroupConfig::default()
        };
        let mut bench = Self {
            groups: GroupCoordinator::new(config.clone(), Random::stream(1, "members")),
            config,
            now: Instant::ZERO,
            names: Names::default(),
            requests: BTreeMap::new(),
            next_request: 0,
            log: Vec::new(),
            writes: Vec::new(),
            markers: Vec::new(),
            hold: false,
            deleted: Vec::new(),
        };
        bench.load();
        bench
    }

    fn play(&mut self, text: &str) -> Vec<String> {
        let line = Line::parse(text);
        let (now, wall) = (self.now, self.wall());
        if let Some((api, version, frame)) = transcript::request(&line, &self.names) {
            let id = RequestId(self.next_request);
            self.next_request += 1;
            self.requests.insert(id, (line.words[1].to_owned(), api, version));
            self.send(id, api, version, frame.body());
            return self.drain();
        }
        match line.words[0] {
            "advance" => return self.advance(line.words[1].parse().expect("milliseconds")),
            "hold" => self.hold = true,
            "written" => {
                self.hold = false;
                for (write, records) in std::mem::take(&mut self.writes) {
                    self.log.extend(records);
                    self.groups.written(now, wall, write, Ok(0));
                }
            }
            "fail" => {
                self.hold = false;
                let error = ErrorCode::ALL.iter().find(|error| error.name() == line.words[1]).expect("an error's name");
                for (write, _) in std::mem::take(&mut self.writes) {
                    self.groups.written(now, wall, write, Err(*error));
                }
            }
            "restart" => {
                self.config.max_size = line.number("size", self.config.max_size as i64) as usize;
                self.groups = GroupCoordinator::new(self.config.clone(), Random::stream(2, "members"));
                self.load();
            }
            // marker NAME PRODUCER commit|abort
            "marker" => {
                let marker = GroupMarker {
                    producer_id: line.words[2].parse().expect("a producer id"),
                    producer_epoch: 0,
                    coordinator_epoch: 0,
                    commit: line.words[3] == "commit",
                    transaction_version: 2,
                };
                self.markers.push(line.words[1].to_owned());
                let slot = self.markers.len() - 1;
                self.groups.complete_transaction(now, wall, 0, marker, (RequestId(0), slot));
            }
            "begin" => self.groups.load_begin(0),
            "load" => self.load(),
            "unload" => self.groups.unload(now, wall, 0),
            "delete" => {
                let id = shore_base::Uuid(transcript::id_of(line.words[1]).to_bytes());
                self.deleted.push(line.words[1].to_owned());
                self.groups.topic_deleted(now, wall, line.words[1], id);
            }
            "watch" => self.groups.observe(true),
            "view" => return self.views(),
            other => panic!("{other} is no command"),
        }
        self.drain()
    }
}

impl Bench {
    fn wall(&self) -> Wall {
        WALL.at(self.now)
    }

    fn load(&mut self) {
        self.groups.load_begin(0);
        for logged in &self.log {
            match logged {
                Logged::Record { producer_id, key, value } => {
                    self.groups.apply(0, *producer_id, key, value.as_deref()).expect("our own record");
                }
                Logged::Marker { producer_id, commit } => self.groups.apply_marker(0, *producer_id, *commit),
            }
        }
        self.groups.load_end(self.now, self.wall(), 0);
    }

    fn send(&mut self, request: RequestId, api: ApiKey, version: i16, frame: Bytes) {
        let (now, wall) = (self.now, self.wall());
        let (head, body) = frame::decode_request_head(&frame).expect("our own frame");
        let client_id = head.client_id.unwrap_or_default();
        let caller = Caller { request, version, client_id: &client_id, client_host: "127.0.0.1" };
        let topics = letters(&self.deleted);
        let groups = &mut self.groups;
        macro_rules! decoded {
            () => {
                frame::decode_request(body, version).expect("our own request")
            };
        }
        match api {
            ApiKey::JoinGroup => api::k11_join_group::handle(groups, now, wall, &caller, decoded!()),
            ApiKey::SyncGroup => api::k14_sync_group::handle(groups, now, wall, &caller, decoded!()),
            ApiKey::Heartbeat => api::k12_heartbeat::handle(groups, now, wall, &caller, decoded!()),
            ApiKey::LeaveGroup => api::k13_leave_group::handle(groups, now, wall, &caller, decoded!()),
            ApiKey::OffsetCommit => api::k08_offset_commit::handle(groups, now, wall, &caller, decoded!(), &topics),
            ApiKey::OffsetFetch => api::k09_offset_fetch::handle(groups, now, wall, &caller, decoded!(), &topics),
            ApiKey::DescribeGroups => api::k15_describe_groups::handle(groups, now, wall, &caller, decoded!()),
            ApiKey::ListGroups => api::k16_list_groups::handle(groups, now, wall, &caller, decoded!()),
            ApiKey::TxnOffsetCommit => {
                let request: shore_wire::messages::TxnOffsetCommitRequest = decoded!();
                let producer = Producer { id: request.producer_id, epoch: request.producer_epoch, guard: None };
                groups.commit_offsets_in_transaction(now, wall, &caller, &request, producer, Default::default());
            }
            ApiKey::DeleteGroups => api::k42_delete_groups::handle(groups, now, wall, &caller, decoded!()),
            ApiKey::OffsetDelete => api::k47_offset_delete::handle(groups, now, wall, &caller, decoded!(), &topics),
            other => panic!("{other:?} is no group API"),
        }
    }

    /// Fires what is due on the way, and says when.
    fn advance(&mut self, millis: u64) -> Vec<String> {
        let until = self.now + Duration::from_millis(millis);
        let mut lines = Vec::new();
        while let Some((due, _)) = self.groups.next_wake().filter(|(due, _)| *due <= until) {
            self.now = due.max(self.now);
            self.groups.wake(self.now, self.wall());
            let at = self.now.as_millis();
            lines.extend(self.drain().into_iter().map(|line| format!("{at}: {line}")));
        }
        self.now = until;
        lines
    }

    /// What came out, responses by the name of their request.
    fn drain(&mut self) -> Vec<String> {
        let (mut events, mut responses, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(output) = self.groups.poll() {
            match output {
                GroupOutput::Append { records, write, producer } => {
                    let producer_id = producer.map(|producer| producer.id);
                    for (key, value) in &records {
                        let of = producer_id.map_or_else(String::new, |id| format!(" by {id}"));
                        writes.push(self.show_record(key, value.as_deref()) + &of);
                    }
                    let logged = |(key, value)| Logged::Record { producer_id, key, value };
                    self.wrote(write, records.into_iter().map(logged).collect());
                }
                GroupOutput::AppendMarker { marker, write } => {
                    let GroupMarker { producer_id, commit, .. } = marker;
                    writes.push(format!("log {} of {producer_id}", if commit { "commit" } else { "abort" }));
                    self.wrote(write, vec![Logged::Marker { producer_id, commit }]);
                }
                GroupOutput::MarkerWritten { slot, result, .. } => {
                    let result = result.err().map_or("ok", ErrorCode::name);
                    events.push(format!("{} {result}", self.markers[slot]));
                }
                GroupOutput::Respond { request, response } => {
                    let (name, api, version) = self.requests.remove(&request).expect("one response per request");
                    let frame =
                        response.encode(1, version).unwrap_or_else(|error| panic!("{api:?} v{version}: {error}"));
                    responses.push((name, api, version, frame.body()));
                }
                GroupOutput::Event(event) => events.push(show_event(&event, &mut self.names)),
            }
        }
        for group in self.groups.shards.values().flat_map(|shard| shard.groups.values()) {
            group.assert_invariants();
        }
        responses.sort_by(|left, right| left.0.cmp(&right.0));
        let mut lines = events;
        for (name, api, version, frame) in responses {
            lines.push(format!("{name} {}", transcript::response(api, version, frame, &mut self.names)));
        }
        lines.extend(writes);
        lines
    }

    fn wrote(&mut self, write: WriteId, logged: Vec<Logged>) {
        if self.hold {
            self.writes.push((write, logged));
        } else {
            self.log.extend(logged);
            self.groups.written(self.now, self.wall(), write, Ok(0));
        }
    }

    fn show_record(&mut self, key: &[u8], value: Option<&[u8]>) -> String {
        transcript::record(key, value, &mut self.names)
    }

    fn views(&mut self) -> Vec<String> {
        let views = self.groups.view();
        views.iter().map(|view| show_view(view, &mut self.names)).collect()
    }
}

fn show_view(view: &GroupView, names: &mut Names) -> String {
    let mut members: Vec<String> = view
        .members
        .iter()
        .map(|member| {
            let waits = match (member.awaits_join, member.awaits_sync) {
                (true, _) => " joins",
                (false, true) => " syncs",
                (false, false) => "",
            };
            format!("{}{waits}", names.alias(&member.member))
        })
        .collect();
    members.sort();
    let leader = view.leader.as_deref().map_or("-".to_owned(), |leader| names.alias(leader));
    let mut line = format!("{} {:?} generation={} leader={leader}", view.group, view.state, view.generation);
    line += &format!(" [{}]", members.join(", "));
    if view.pending > 0 {
        line += &format!(" pending={}", view.pending);
    }
    for offset in &view.offsets {
        line += &format!(" {}:{}={}", offset.topic, offset.partition, offset.offset);
    }
    line
}

fn show_event(event: &GroupEvent, names: &mut Names) -> String {
    let show = |id: &Option<std::sync::Arc<str>>| id.as_deref().unwrap_or("-").to_owned();
    match event {
        GroupEvent::StateChanged { group, from, to, reason } => {
            // Reasons name members by their ids.
            let reason: Vec<String> = reason.split(' ').map(|word| names.alias(word)).collect();
            format!("* {group} {from:?} to {to:?}: {}", reason.join(" "))
        }
        GroupEvent::MemberJoined { group, member, client_id, instance } => {
            format!("* {group} {} joined, client {client_id}, instance {}", names.alias(member), show(instance))
        }
        GroupEvent::MemberReplaced { group, instance, old, new } => {
            format!("* {group} {instance}: {} replaced {}", names.alias(new), names.alias(old))
        }
        GroupEvent::MemberGone { group, member, why } => format!("* {group} {} gone: {why:?}", names.alias(member)),
        GroupEvent::GenerationStarted { group, generation, protocol, leader, members } => {
            let leader = names.alias(&show(leader));
            format!("* {group} generation {generation}, {}, led by {leader}, {members} members", show(protocol))
        }
        GroupEvent::Assigned { group, generation } => format!("* {group} generation {generation} assigned"),
        GroupEvent::OffsetsCommitted { group, member, partitions } => {
            format!("* {group} {} committed {partitions} partitions", names.alias(member))
        }
        GroupEvent::OffsetsPending { group, producer_id, partitions } => {
            format!("* {group} {partitions} partitions pending, producer {producer_id}")
        }
        GroupEvent::OffsetsDeleted { group, partitions } => format!("* {group} {partitions} partitions deleted"),
        GroupEvent::OffsetsExpired { group, partitions } => format!("* {group} {partitions} partitions expired"),
        GroupEvent::GroupDeleted { group } => format!("* {group} deleted"),
    }
}
