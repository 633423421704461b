//! The language of the transcripts: requests and responses as lines.
//!
//! `join c1 g - client=a` sends a JoinGroup as request `c1`; `a#1` stands for the first member id that
//! was given out, to a client called `a`. Lines that begin with `=` are what is expected. Everything
//! goes through frames of the version that a line names with `v=` (the newest otherwise).

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_wire::api::ApiKey;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{self, Frame};
use shore_wire::messages::describe_groups_response::DescribedGroup;
use shore_wire::messages::join_group_request::JoinGroupRequestProtocol;
use shore_wire::messages::leave_group_request::MemberIdentity;
use shore_wire::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use shore_wire::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use shore_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use shore_wire::messages::offset_fetch_response::{OffsetFetchResponseGroup, OffsetFetchResponsePartitions};
use shore_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use shore_wire::messages::txn_offset_commit_request::{TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic};
use shore_wire::messages::txn_offset_commit_response::TxnOffsetCommitResponsePartition;
use shore_wire::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest,
    ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse, StrBytes, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse, Uuid,
};
use shore_wire::records::group::GroupRecord;

use crate::transcript::Line;

/// Member ids and what transcripts call them.
#[derive(Default)]
pub struct Names {
    ids: Vec<(String, String)>,
    /// Topics whose ids are not the letters of their names.
    pub topics: BTreeMap<String, Uuid>,
}

impl Names {
    fn topic_id(&self, topic: &str) -> Uuid {
        self.topics.get(topic).copied().unwrap_or_else(|| id_of(topic))
    }

    fn topic_name(&self, id: Uuid) -> String {
        let known = self.topics.iter().find(|(_, known)| **known == id);
        known.map_or_else(|| name_of(id), |(name, _)| name.clone())
    }

    fn id(&self, alias: &str) -> StrBytes {
        let known = self.ids.iter().find(|(name, _)| name == alias);
        match alias {
            "-" => StrBytes::default(),
            _ => known.map_or(alias, |(_, id)| id).into(),
        }
    }

    pub fn alias(&mut self, id: &str) -> String {
        if id.is_empty() {
            return "-".to_owned();
        }
        if let Some((alias, _)) = self.ids.iter().find(|(_, known)| known == id) {
            return alias.clone();
        }
        match id.len().checked_sub(37).map(|at| id.split_at(at)) {
            Some((prefix, uuid)) if uuid.starts_with('-') && uuid.matches('-').count() == 5 => {
                let alias = format!("{prefix}#{}", self.ids.len() + 1);
                self.ids.push((alias.clone(), id.to_owned()));
                alias
            }
            _ => id.to_owned(),
        }
    }
}

/// The request that a line asks for, or `None` if it asks for something else.
pub fn request(line: &Line<'_>, names: &Names) -> Option<(ApiKey, i16, Frame)> {
    let version = |newest: i64| line.number("v", newest) as i16;
    let client = Some(line.option("client").unwrap_or("client"));
    let encode = |result: Result<Frame, frame::EncodeError>| result.unwrap_or_else(|error| panic!("{error}"));
    Some(match line.words[0] {
        "join" => {
            let v = version(9);
            (ApiKey::JoinGroup, v, encode(frame::encode_request(1, client, v, &join(line, names, v))))
        }
        "sync" => {
            let v = version(5);
            (ApiKey::SyncGroup, v, encode(frame::encode_request(1, client, v, &sync(line, names, v))))
        }
        "heartbeat" => {
            let v = version(4);
            (ApiKey::Heartbeat, v, encode(frame::encode_request(1, client, v, &heartbeat(line, names))))
        }
        "leave" => {
            let v = version(5);
            (ApiKey::LeaveGroup, v, encode(frame::encode_request(1, client, v, &leave(line, names, v))))
        }
        "commit" => {
            let v = version(10);
            (ApiKey::OffsetCommit, v, encode(frame::encode_request(1, client, v, &commit(line, names, v))))
        }
        "txncommit" => {
            let v = version(5);
            (ApiKey::TxnOffsetCommit, v, encode(frame::encode_request(1, client, v, &txn_commit(line, names, v))))
        }
        "fetch" => {
            let v = version(10);
            (ApiKey::OffsetFetch, v, encode(frame::encode_request(1, client, v, &fetch(line, names, v))))
        }
        "describe" => {
            let v = version(6);
            let mut request = DescribeGroupsRequest::default();
            request.groups = line.words[2..].iter().map(|id| StrBytes::from(*id)).collect();
            request.include_authorized_operations = line.option("operations").is_some();
            (ApiKey::DescribeGroups, v, encode(frame::encode_request(1, client, v, &request)))
        }
        "list" => {
            let v = version(5);
            let filter =
                |key| line.option(key).into_iter().flat_map(|all| all.split(',')).map(StrBytes::from).collect();
            let mut request = ListGroupsRequest::default();
            request.states_filter = filter("states");
            request.types_filter = filter("types");
            (ApiKey::ListGroups, v, encode(frame::encode_request(1, client, v, &request)))
        }
        "delete-groups" => {
            let v = version(2);
            let mut request = DeleteGroupsRequest::default();
            let name = |id: &&str| if *id == "-" { StrBytes::default() } else { StrBytes::from(*id) };
            request.groups_names = line.words[2..].iter().map(name).collect();
            (ApiKey::DeleteGroups, v, encode(frame::encode_request(1, client, v, &request)))
        }
        "delete-offsets" => {
            let v = version(0);
            (ApiKey::OffsetDelete, v, encode(frame::encode_request(1, client, v, &delete_offsets(line))))
        }
        _ => return None,
    })
}

/// `join REQUEST GROUP MEMBER client= session= rebalance= type= protocols=range:x,sticky:y instance=`
fn join(line: &Line<'_>, names: &Names, version: i16) -> JoinGroupRequest {
    let mut request = JoinGroupRequest::default();
    request.group_id = group(line);
    request.member_id = names.id(line.word(3));
    request.session_timeout_ms = line.number("session", 10_000) as i32;
    if version >= 1 {
        request.rebalance_timeout_ms = line.number("rebalance", 30_000) as i32;
    }
    request.group_instance_id = line.option("instance").map(StrBytes::from);
    request.protocol_type = line.option("type").unwrap_or("consumer").into();
    for offer in line.option("protocols").unwrap_or("range").split(',').filter(|offer| !offer.is_empty()) {
        let (name, metadata) = offer.split_once(':').unwrap_or((offer, ""));
        let mut protocol = JoinGroupRequestProtocol::default();
        protocol.name = name.into();
        protocol.metadata = subscription(metadata);
        request.protocols.push(protocol);
    }
    request
}

/// `+t` subscribes to topic `t` as consumers do; anything else stands for itself.
fn subscription(text: &str) -> Bytes {
    let Some(topics) = text.strip_prefix('+') else { return Bytes::copy_from_slice(text.as_bytes()) };
    let mut out = shore_wire::codec::Writer::new();
    out.i16(0);
    let topics: Vec<&str> = topics.split('+').collect();
    out.array_len(topics.len());
    for topic in topics {
        out.string(topic);
    }
    out.i32(-1);
    out.into_bytes()
}

/// `sync REQUEST GROUP MEMBER GENERATION a#1:xy b#2:z type= protocol= instance=`
fn sync(line: &Line<'_>, names: &Names, version: i16) -> SyncGroupRequest {
    let mut request = SyncGroupRequest::default();
    request.group_id = group(line);
    request.member_id = names.id(line.word(3));
    request.generation_id = number(line.word(4));
    request.group_instance_id = line.option("instance").map(StrBytes::from);
    if version >= 5 {
        let named =
            |key, default: &'static str| Some(line.option(key).unwrap_or(default)).filter(|name| *name != "null");
        request.protocol_type = named("type", "consumer").map(StrBytes::from);
        request.protocol_name = named("protocol", "range").map(StrBytes::from);
    }
    for word in &line.words[5..] {
        let (member, bytes) = word.split_once(':').unwrap_or_else(|| panic!("{word} is no assignment"));
        let mut assignment = SyncGroupRequestAssignment::default();
        assignment.member_id = names.id(member);
        assignment.assignment = Bytes::copy_from_slice(bytes.as_bytes());
        request.assignments.push(assignment);
    }
    request
}

/// `heartbeat REQUEST GROUP MEMBER GENERATION instance=`
fn heartbeat(line: &Line<'_>, names: &Names) -> HeartbeatRequest {
    let mut request = HeartbeatRequest::default();
    request.group_id = group(line);
    request.member_id = names.id(line.word(3));
    request.generation_id = number(line.word(4));
    request.group_instance_id = line.option("instance").map(StrBytes::from);
    request
}

/// `leave REQUEST GROUP a#1 -/instance a#1/instance`
fn leave(line: &Line<'_>, names: &Names, version: i16) -> LeaveGroupRequest {
    let mut request = LeaveGroupRequest::default();
    request.group_id = group(line);
    if version < 3 {
        request.member_id = names.id(line.word(3));
        return request;
    }
    for word in &line.words[3..] {
        let (id, instance) = word.split_once('/').map_or((*word, None), |(id, instance)| (id, Some(instance)));
        let mut member = MemberIdentity::default();
        member.member_id = names.id(id);
        member.group_instance_id = instance.map(StrBytes::from);
        request.members.push(member);
    }
    request
}

/// `commit REQUEST GROUP MEMBER GENERATION topic:0:offset:metadata epoch= retention= instance=`
fn commit(line: &Line<'_>, names: &Names, version: i16) -> OffsetCommitRequest {
    let mut request = OffsetCommitRequest::default();
    request.group_id = group(line);
    request.member_id = names.id(line.word(3));
    request.generation_id_or_member_epoch = number(line.word(4));
    request.group_instance_id = line.option("instance").map(StrBytes::from);
    if version <= 4 {
        request.retention_time_ms = line.number("retention", -1);
    }
    for word in &line.words[5..] {
        let parts: Vec<&str> = word.splitn(4, ':').collect();
        let mut partition = OffsetCommitRequestPartition::default();
        partition.partition_index = number(parts[1]);
        partition.committed_offset = i64::from(number(parts[2]));
        if version >= 6 {
            partition.committed_leader_epoch = line.number("epoch", -1) as i32;
        }
        partition.committed_metadata = parts.get(3).map(|text| match text.split_once('*') {
            Some((text, count)) => text.repeat(number(count) as usize).into(),
            None => StrBytes::from(*text),
        });
        let mut topic = OffsetCommitRequestTopic::default();
        if version >= 10 {
            topic.topic_id = names.topic_id(parts[0]);
        } else {
            topic.name = parts[0].into();
        }
        match request.topics.last_mut().filter(|last| last.name == topic.name && last.topic_id == topic.topic_id) {
            Some(last) => last.partitions.push(partition),
            None => {
                topic.partitions.push(partition);
                request.topics.push(topic);
            }
        }
    }
    request
}

/// `txncommit REQUEST GROUP MEMBER GENERATION topic:0:offset:metadata producer= epoch= instance=`
fn txn_commit(line: &Line<'_>, names: &Names, version: i16) -> TxnOffsetCommitRequest {
    let mut request = TxnOffsetCommitRequest::default();
    request.transactional_id = "x".into();
    request.group_id = group(line);
    request.producer_id = line.number("producer", 7);
    if version >= 3 {
        request.member_id = names.id(line.word(3));
        request.generation_id_or_member_epoch = number(line.word(4));
        request.group_instance_id = line.option("instance").map(StrBytes::from);
    }
    for word in &line.words[5..] {
        let parts: Vec<&str> = word.splitn(4, ':').collect();
        let mut partition = TxnOffsetCommitRequestPartition::default();
        partition.partition_index = number(parts[1]);
        partition.committed_offset = i64::from(number(parts[2]));
        if version >= 2 {
            partition.committed_leader_epoch = line.number("epoch", -1) as i32;
        }
        partition.committed_metadata = parts.get(3).map(|text| match text.split_once('*') {
            Some((text, count)) => text.repeat(number(count) as usize).into(),
            None => StrBytes::from(*text),
        });
        let mut topic = TxnOffsetCommitRequestTopic::default();
        topic.name = parts[0].into();
        topic.partitions.push(partition);
        request.topics.push(topic);
    }
    request
}

/// `fetch REQUEST GROUP[,GROUP] all` or `topic:0 topic:1`, `stable=yes`
fn fetch(line: &Line<'_>, names: &Names, version: i16) -> OffsetFetchRequest {
    let mut request = OffsetFetchRequest::default();
    if version >= 7 {
        request.require_stable = line.option("stable").is_some();
    }
    let mut topics: Option<Vec<OffsetFetchRequestTopics>> = (line.words[3..] != ["all"]).then(Vec::new);
    for word in topics.iter().flat_map(|_| &line.words[3..]).copied().collect::<Vec<_>>() {
        let (name, index) = word.split_once(':').unwrap_or_else(|| panic!("{word} is no partition"));
        let mut topic = OffsetFetchRequestTopics::default();
        if version >= 10 {
            topic.topic_id = names.topic_id(name);
        } else {
            topic.name = name.into();
        }
        topic.partition_indexes = vec![number(index)];
        topics.get_or_insert_default().push(topic);
    }
    if version < 8 {
        request.group_id = group(line);
        request.topics = topics.map(|topics| {
            let old = |topic: OffsetFetchRequestTopics| {
                let mut old = OffsetFetchRequestTopic::default();
                (old.name, old.partition_indexes) = (topic.name, topic.partition_indexes);
                old
            };
            topics.into_iter().map(old).collect()
        });
        return request;
    }
    for id in line.word(2).split(',') {
        let mut group = OffsetFetchRequestGroup::default();
        group.group_id = id.into();
        group.topics = topics.clone();
        request.groups.push(group);
    }
    request
}

/// `delete-offsets REQUEST GROUP topic:0 topic:1`
fn delete_offsets(line: &Line<'_>) -> OffsetDeleteRequest {
    let mut request = OffsetDeleteRequest::default();
    request.group_id = group(line);
    for word in &line.words[3..] {
        let (name, index) = word.split_once(':').unwrap_or_else(|| panic!("{word} is no partition"));
        let mut partition = OffsetDeleteRequestPartition::default();
        partition.partition_index = number(index);
        match request.topics.last_mut().filter(|last| last.name.as_str() == name) {
            Some(last) => last.partitions.push(partition),
            None => {
                let mut topic = OffsetDeleteRequestTopic::default();
                topic.name = name.into();
                topic.partitions.push(partition);
                request.topics.push(topic);
            }
        }
    }
    request
}

fn group(line: &Line<'_>) -> StrBytes {
    if line.word(2) == "-" { StrBytes::default() } else { line.word(2).into() }
}

fn number(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

/// Topics of the transcripts have the letters of their name for an id.
pub fn id_of(topic: &str) -> Uuid {
    let mut id = [0; 16];
    id[..topic.len()].copy_from_slice(topic.as_bytes());
    Uuid::from_bytes(id)
}

pub fn name_of(id: Uuid) -> String {
    id.to_bytes().into_iter().filter(|byte| *byte != 0).map(char::from).collect()
}

/// A response as a line.
pub fn response(api: ApiKey, version: i16, frame: Bytes, names: &mut Names) -> String {
    let decoded = match api {
        ApiKey::JoinGroup => frame::decode_response(frame, version).map(|(_, body)| show_join(&body, names)),
        ApiKey::SyncGroup => frame::decode_response(frame, version).map(|(_, body)| show_sync(&body)),
        ApiKey::Heartbeat => {
            frame::decode_response(frame, version).map(|(_, body): (_, HeartbeatResponse)| error(body.error_code))
        }
        ApiKey::LeaveGroup => frame::decode_response(frame, version).map(|(_, body)| show_leave(&body, names)),
        ApiKey::OffsetCommit => frame::decode_response(frame, version).map(|(_, body)| show_commit(&body, names)),
        ApiKey::TxnOffsetCommit => {
            frame::decode_response(frame, version).map(|(_, body): (_, TxnOffsetCommitResponse)| {
                join_all(body.topics.iter().flat_map(|topic| {
                    let show = |result: &TxnOffsetCommitResponsePartition| {
                        format!("{}:{} {}", topic.name.as_str(), result.partition_index, error(result.error_code))
                    };
                    topic.partitions.iter().map(show).collect::<Vec<_>>()
                }))
            })
        }
        ApiKey::OffsetFetch => frame::decode_response(frame, version).map(|(_, body)| show_fetch(&body, names)),
        ApiKey::DescribeGroups => {
            frame::decode_response(frame, version).map(|(_, body): (_, DescribeGroupsResponse)| {
                join_all(body.groups.iter().map(|group| show_described(group, names)))
            })
        }
        ApiKey::ListGroups => frame::decode_response(frame, version).map(|(_, body)| show_list(&body)),
        ApiKey::DeleteGroups => frame::decode_response(frame, version).map(|(_, body): (_, DeleteGroupsResponse)| {
            let show = |id: &str, code| format!("{} {}", if id.is_empty() { "-" } else { id }, error(code));
            join_all(body.results.iter().map(|result| show(&result.group_id, result.error_code)))
        }),
        ApiKey::OffsetDelete => frame::decode_response(frame, version).map(|(_, body)| show_offset_delete(&body)),
        other => panic!("{other:?} is no group API"),
    };
    decoded.unwrap_or_else(|error| panic!("{api:?} v{version}: {error}"))
}

fn show_join(body: &JoinGroupResponse, names: &mut Names) -> String {
    // The receiver of an id is named before the members that it is told of.
    let member = names.alias(&body.member_id);
    if body.error_code != 0 {
        return format!("{} member={member}", error(body.error_code));
    }
    let mut line = format!("generation={}", body.generation_id);
    if let Some(name) = &body.protocol_type {
        line += &format!(" type={}", name.as_str());
    }
    let leader = names.alias(&body.leader);
    line += &format!(" protocol={} leader={leader} member={member}", body.protocol_name.as_deref().unwrap_or("null"));
    if body.skip_assignment {
        line += " skip";
    }
    let mut members: Vec<String> = body
        .members
        .iter()
        .map(|member| {
            let instance = member.group_instance_id.as_deref().map(|id| format!("/{id}")).unwrap_or_default();
            format!("{}{instance}:{}", names.alias(&member.member_id), readable(&member.metadata))
        })
        .collect();
    members.sort();
    if !members.is_empty() {
        line += &format!(" members=[{}]", members.join(" "));
    }
    line
}

fn show_sync(body: &SyncGroupResponse) -> String {
    if body.error_code != 0 {
        return error(body.error_code);
    }
    let mut line = "ok".to_owned();
    if let (Some(kind), Some(name)) = (&body.protocol_type, &body.protocol_name) {
        line += &format!(" {}/{}", kind.as_str(), name.as_str());
    }
    line + &format!(" assignment={}", readable(&body.assignment))
}

fn show_leave(body: &LeaveGroupResponse, names: &mut Names) -> String {
    let members = body.members.iter().map(|member| {
        let instance = member.group_instance_id.as_deref().map(|id| format!("/{id}")).unwrap_or_default();
        format!("{}{instance} {}", names.alias(&member.member_id), error(member.error_code))
    });
    let members = join_all(members);
    if members.is_empty() { error(body.error_code) } else { format!("{}: {members}", error(body.error_code)) }
}

fn show_commit(body: &OffsetCommitResponse, names: &Names) -> String {
    join_all(body.topics.iter().flat_map(|topic| {
        let name =
            if topic.name.is_empty() { names.topic_name(topic.topic_id) } else { topic.name.as_str().to_owned() };
        topic
            .partitions
            .iter()
            .map(move |result| format!("{name}:{} {}", result.partition_index, error(result.error_code)))
    }))
}

fn show_fetch(body: &OffsetFetchResponse, names: &Names) -> String {
    let single = |topic: &shore_wire::messages::offset_fetch_response::OffsetFetchResponseTopic| {
        let partitions = topic.partitions.iter().map(|old| {
            let mut new = OffsetFetchResponsePartitions::default();
            new.partition_index = old.partition_index;
            new.committed_offset = old.committed_offset;
            new.committed_leader_epoch = old.committed_leader_epoch;
            new.metadata = old.metadata.clone();
            new.error_code = old.error_code;
            show_offset(topic.name.as_str(), &new)
        });
        partitions.collect::<Vec<_>>()
    };
    if body.groups.is_empty() {
        let offsets = join_all(body.topics.iter().flat_map(single));
        return if body.error_code == 0 { offsets } else { format!("{} {offsets}", error(body.error_code)) };
    }
    let show = |group: &OffsetFetchResponseGroup| {
        let mut offsets: Vec<String> = group
            .topics
            .iter()
            .flat_map(|topic| {
                let name = if topic.name.is_empty() {
                    names.topic_name(topic.topic_id)
                } else {
                    topic.name.as_str().to_owned()
                };
                topic.partitions.iter().map(|offset| show_offset(&name, offset)).collect::<Vec<_>>()
            })
            .collect();
        if group.error_code != 0 {
            offsets.insert(0, error(group.error_code));
        }
        format!("{}: {}", group.group_id.as_str(), offsets.join(", "))
    };
    body.groups.iter().map(show).collect::<Vec<_>>().join("; ")
}

fn show_offset(topic: &str, offset: &OffsetFetchResponsePartitions) -> String {
    let mut line = format!("{topic}:{}={}", offset.partition_index, offset.committed_offset);
    if offset.committed_leader_epoch != -1 {
        line += &format!("@{}", offset.committed_leader_epoch);
    }
    match offset.metadata.as_deref() {
        Some("") => {}
        Some(metadata) => line += &format!("!{metadata}"),
        None => line += "!null",
    }
    if offset.error_code != 0 {
        line += &format!(" {}", error(offset.error_code));
    }
    line
}

fn show_offset_delete(body: &OffsetDeleteResponse) -> String {
    if body.error_code != 0 {
        return error(body.error_code);
    }
    join_all(body.topics.iter().flat_map(|topic| {
        let name = topic.name.as_str();
        let show = move |index: i32, code| format!("{name}:{index} {}", error(code));
        topic.partitions.iter().map(move |result| show(result.partition_index, result.error_code))
    }))
}

fn show_described(group: &DescribedGroup, names: &mut Names) -> String {
    let mut line = format!("{} {}", group.group_id.as_str(), group.group_state.as_str());
    if group.error_code != 0 {
        line += &format!(" {}", error(group.error_code));
    }
    if let Some(message) = &group.error_message {
        line += &format!(" \"{}\"", message.as_str());
    }
    if !group.protocol_type.is_empty() {
        line += &format!(" {}/{}", group.protocol_type.as_str(), group.protocol_data.as_str());
    }
    let mut members: Vec<String> = group
        .members
        .iter()
        .map(|member| {
            let instance = member.group_instance_id.as_deref().map(|id| format!("/{id}")).unwrap_or_default();
            let (metadata, assignment) = (readable(&member.member_metadata), readable(&member.member_assignment));
            let id = names.alias(&member.member_id);
            let (client, host) = (member.client_id.as_str(), member.client_host.as_str());
            format!("{id}{instance} {client}@{host} {metadata} {assignment}")
        })
        .collect();
    members.sort();
    if !members.is_empty() {
        line += &format!(" [{}]", members.join(", "));
    }
    if group.authorized_operations != i32::MIN {
        line += &format!(" operations={}", group.authorized_operations);
    }
    line
}

fn show_list(body: &ListGroupsResponse) -> String {
    let mut groups: Vec<String> = body
        .groups
        .iter()
        .map(|group| {
            let fields = [&group.group_id, &group.protocol_type, &group.group_state, &group.group_type];
            fields.map(|field| if field.is_empty() { "-" } else { field.as_str() }).join(" ")
        })
        .collect();
    groups.sort();
    if body.error_code != 0 {
        groups.insert(0, error(body.error_code));
    }
    join_all(groups.into_iter())
}

fn error(code: i16) -> String {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => "ok".to_owned(),
        Some(error) => error.name().to_owned(),
        None => code.to_string(),
    }
}

fn readable(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect()
}

fn join_all(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A record on its way to the log.
pub fn record(key: &[u8], value: Option<&[u8]>, names: &mut Names) -> String {
    match GroupRecord::decode(key, value).expect("our own record") {
        GroupRecord::OffsetCommit { group, topic, partition, value: None } => {
            format!("log {}/{}:{partition} tombstone", group.as_str(), topic.as_str())
        }
        GroupRecord::OffsetCommit { group, topic, partition, value: Some(value) } => {
            let expiry =
                if value.expire_timestamp == -1 { String::new() } else { format!(" until {}", value.expire_timestamp) };
            let id = name_of(Uuid::from_bytes(value.topic_id.0));
            let id = if id.is_empty() { "-".to_owned() } else { id };
            format!("log {}/{}:{partition} {} id={id}{expiry}", group.as_str(), topic.as_str(), value.offset)
        }
        GroupRecord::GroupMetadata { group, value: None } => format!("log {} tombstone", group.as_str()),
        GroupRecord::GroupMetadata { group, value: Some(value) } => {
            let mut members: Vec<String> = value
                .members
                .iter()
                .map(|member| {
                    let (metadata, assignment) = (readable(&member.subscription), readable(&member.assignment));
                    format!("{}:{metadata}:{assignment}", names.alias(&member.member_id))
                })
                .collect();
            members.sort();
            let leader = value.leader.as_deref().map_or("-".to_owned(), |leader| names.alias(leader));
            let protocol = value.protocol.as_deref().unwrap_or("-");
            let kind = if value.protocol_type.is_empty() { "-" } else { value.protocol_type.as_str() };
            let at = value.current_state_timestamp;
            let generation = value.generation;
            format!(
                "log {} generation={generation} {kind}/{protocol} leader={leader} since={at} [{}]",
                group.as_str(),
                members.join(" ")
            )
        }
        GroupRecord::Other { record_type } => format!("log type {record_type}"),
    }
}
