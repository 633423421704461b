//! What one partition of `__consumer_offsets` holds, and the writes to it that are not safe yet.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Instant, Random, Wall};
use shore_wire::error::ErrorCode;
use shore_wire::messages::{JoinGroupResponse, SyncGroupResponse};
use shore_wire::records::group::{GroupRecord, TooLong};

use super::call::{GroupMarker, GroupOutput, GroupResponse, Producer, Records, RequestId, WriteId};
use super::classic::{Birth, Group, text};
use super::config::GroupConfig;
use super::event::GroupEvent;
use super::gather::Gathered;
use super::member::Waiting;
use super::offset_store::{OffsetKey, OffsetStore, StoredOffset};
use super::pending_offsets::{PendingOffsets, PendingUndo};
use super::timer::Timers;
use crate::api::{k11_join_group, k14_sync_group};

/// All that is not a group: the time, and where effects go.
#[derive(Clone, Debug)]
pub(super) struct Effects {
    pub config: GroupConfig,
    pub now: Instant,
    pub wall: Wall,
    pub timers: Timers,
    pub outputs: VecDeque<GroupOutput>,
    pub observed: bool,
    /// Requests that wait for the writes of several shards.
    pub gathered: BTreeMap<RequestId, Gathered>,
    random: Random,
    next_write: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub partition: i32,
    pub loading: bool,
    pub groups: BTreeMap<Arc<str>, Group>,
    pub offsets: OffsetStore,
    pub pending: PendingOffsets,
    /// How many records of offsets were applied.
    applied: u64,
    /// Appended, not yet safe, oldest first.
    writes: VecDeque<Write>,
}

/// A write under way: what it changed, so that a failure takes it back, and what waits for it.
#[derive(Clone, Debug)]
struct Write {
    id: WriteId,
    offsets: Vec<OffsetKey>,
    pending: Vec<PendingUndo>,
    created: Vec<Arc<str>>,
    deleted: Vec<Group>,
    then: Vec<Then>,
}

/// Records to append, and what follows once they are safe.
#[derive(Clone, Debug)]
pub(super) struct Proposal {
    pub records: Vec<GroupRecord>,
    pub then: Then,
}

/// What waits for a write.
#[derive(Clone, Debug)]
pub(super) enum Then {
    Nothing,
    Respond {
        request: RequestId,
        response: Answer,
    },
    StaticMemberReplaced(super::join::Replacement),
    Assign {
        group: Arc<str>,
        generation: i32,
        leader: Arc<str>,
        assignment: BTreeMap<Arc<str>, Bytes>,
    },
    /// One of the shards that an answer about many groups waits for, and which of them it holds.
    Gathered {
        request: RequestId,
        groups: Vec<usize>,
    },
    /// A marker of a WriteTxnMarkers request.
    MarkerWritten {
        request: RequestId,
        slot: usize,
    },
}

/// A response, and what becomes of it if its write fails.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub response: GroupResponse,
    pub on_failure: fn(GroupResponse, ErrorCode) -> GroupResponse,
}

impl Effects {
    pub fn new(config: GroupConfig, random: Random) -> Self {
        Self {
            config,
            now: Instant::ZERO,
            wall: Wall::default(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            observed: false,
            gathered: BTreeMap::new(),
            random,
            next_write: 0,
        }
    }

    pub fn respond(&mut self, request: RequestId, response: GroupResponse) {
        self.outputs.push_back(GroupOutput::Respond { request, response });
    }

    pub fn respond_join(&mut self, waiting: Waiting, response: JoinGroupResponse) {
        let response = k11_join_group::fit(response, waiting.version);
        self.respond(waiting.request, GroupResponse::JoinGroup(response));
    }

    pub fn respond_sync(&mut self, waiting: Waiting, response: SyncGroupResponse) {
        let response = k14_sync_group::fit(response, waiting.version);
        self.respond(waiting.request, GroupResponse::SyncGroup(response));
    }

    /// Tells whoever watches. Nothing is built if nobody does.
    pub fn event(&mut self, event: impl FnOnce() -> GroupEvent) {
        if self.observed {
            self.outputs.push_back(GroupOutput::Event(event()));
        }
    }

    /// A member id: what identifies the client, a dash and a random UUID as Java prints it.
    pub fn member_id(&mut self, prefix: &str) -> Arc<str> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let mut id = String::with_capacity(prefix.len() + 37);
        id.push_str(prefix);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 0 | 4 | 6 | 8 | 10) {
                id.push('-');
            }
            for digit in [byte >> 4, byte & 0xf] {
                id.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        Arc::from(id)
    }
}

impl Shard {
    pub fn new(partition: i32, loading: bool) -> Self {
        Self {
            partition,
            loading,
            groups: BTreeMap::new(),
            offsets: OffsetStore::default(),
            pending: PendingOffsets::default(),
            applied: 0,
            writes: VecDeque::new(),
        }
    }

    /// Applies the records and sends them off. What waits for them runs in [`Self::written`].
    pub fn propose(&mut self, fx: &mut Effects, proposal: Proposal) {
        self.propose_by(fx, proposal, None);
    }

    /// The same, for records that may be part of a transaction.
    pub fn propose_by(&mut self, fx: &mut Effects, proposal: Proposal, producer: Option<Producer>) {
        let Ok(records) = proposal.records.iter().map(GroupRecord::encode).collect::<Result<Records, TooLong>>() else {
            return self.follow(fx, proposal.then, Err(ErrorCode::UnknownServerError));
        };
        let id = self.begin_write(fx, proposal.then);
        for record in proposal.records {
            self.apply(fx, record, producer.map(|producer| producer.id), Some(id));
        }
        fx.outputs.push_back(GroupOutput::Append { records, write: id, producer });
    }

    /// Applies the end of a transaction and sends its marker off.
    pub fn propose_marker(&mut self, fx: &mut Effects, marker: GroupMarker, then: Then) {
        let id = self.begin_write(fx, then);
        self.apply_marker(marker.producer_id, marker.commit, Some(id));
        fx.outputs.push_back(GroupOutput::AppendMarker { marker, write: id });
    }

    fn begin_write(&mut self, fx: &mut Effects, then: Then) -> WriteId {
        let id = WriteId { partition: self.partition, number: fx.next_write };
        fx.next_write += 1;
        self.writes.push_back(Write {
            id,
            offsets: Vec::new(),
            pending: Vec::new(),
            created: Vec::new(),
            deleted: Vec::new(),
            then: vec![then],
        });
        id
    }

    /// Follows up once everything that is proposed so far is safe.
    pub fn after_writes(&mut self, fx: &mut Effects, then: Then) {
        match self.writes.back_mut() {
            Some(write) => write.then.push(then),
            None => self.follow(fx, then, Ok(())),
        }
    }

    /// Where hard state changes, together with [`Self::apply_marker`]: offsets, and which groups there
    /// are. `producer_id` is that of the transaction that the record is part of; `write` is what carries
    /// it, or `None` if it comes from the log.
    pub fn apply(&mut self, fx: &mut Effects, record: GroupRecord, producer_id: Option<i64>, write: Option<WriteId>) {
        match record {
            GroupRecord::OffsetCommit { group, topic, partition, value } => {
                let (group, topic) = (text(&group), text(&topic));
                if value.is_some() {
                    self.ensure_group(fx, &group, write);
                }
                let key = OffsetKey { group, topic, partition };
                self.applied += 1;
                let value = value.map(|value| StoredOffset { order: self.applied, ..value.into() });
                match (producer_id, value) {
                    (Some(producer_id), Some(value)) => {
                        let undo = self.pending.put(producer_id, key, value);
                        self.note(write, |write| write.pending.push(undo));
                    }
                    (_, value) => {
                        if value.is_none() {
                            let undos = self.pending.remove(&key);
                            self.note(write, |write| write.pending.extend(undos));
                        }
                        self.offsets.put(&key, value, write);
                        self.note(write, |write| write.offsets.push(key));
                    }
                }
            }
            GroupRecord::GroupMetadata { group, value: None } => {
                let Some(mut deleted) = self.groups.remove(&*text(&group)) else { return };
                // An Empty group has nothing going but ids that were given out.
                for timer in deleted.pending_joins.values_mut() {
                    fx.timers.cancel(timer);
                }
                deleted.pending_joins.clear();
                fx.event(|| GroupEvent::GroupDeleted { group: deleted.id.clone() });
                if let Some(write) = self.writes.back_mut().filter(|_| write.is_some()) {
                    write.deleted.push(deleted);
                }
            }
            GroupRecord::GroupMetadata { group, value: Some(value) } => match write {
                // A live group has already become what its record says: its members are soft state.
                Some(_) => self.ensure_group(fx, &text(&group), write),
                None => {
                    let group = Group::load(text(&group), self.partition, &value);
                    self.groups.insert(group.id.clone(), group);
                }
            },
            GroupRecord::Other { .. } => {}
        }
    }

    /// The end of a transaction: its offsets count from here on, or never. One that was committed outside
    /// of it meanwhile stays.
    pub fn apply_marker(&mut self, producer_id: i64, commit: bool, write: Option<WriteId>) {
        for (key, value) in self.pending.take(producer_id) {
            let undo = PendingUndo { producer_id, key: key.clone(), before: Some(value.clone()) };
            self.note(write, |write| write.pending.push(undo));
            if commit && self.offsets.latest(&key).is_none_or(|known| known.order < value.order) {
                self.offsets.put(&key, Some(value), write);
                self.note(write, |write| write.offsets.push(key));
            }
        }
    }

    /// Keeps with a write what it changes; what comes from the log is safe.
    fn note(&mut self, write: Option<WriteId>, note: impl FnOnce(&mut Write)) {
        if let Some(under_way) = self.writes.back_mut().filter(|_| write.is_some()) {
            note(under_way);
        }
    }

    /// A group that only commits has no record of its own: its first offset brings it about.
    fn ensure_group(&mut self, fx: &mut Effects, id: &Arc<str>, write: Option<WriteId>) {
        let group = self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone(), self.partition, fx.wall));
        if group.birth == Birth::Unwritten {
            group.birth = write.map_or(Birth::Safe, Birth::Writing);
            if let Some(write) = self.writes.back_mut().filter(|_| write.is_some()) {
                write.created.push(id.clone());
            }
        }
    }

    /// A write is committed, or failed and takes all later ones with it.
    pub fn written(&mut self, fx: &mut Effects, write: WriteId, result: Result<(), ErrorCode>) {
        match result {
            Ok(()) => {
                while self.writes.front().is_some_and(|front| front.id <= write) {
                    let Some(done) = self.writes.pop_front() else { break };
                    self.settle(&done);
                    for then in done.then {
                        self.follow(fx, then, Ok(()));
                    }
                }
            }
            Err(error) => {
                let first = self.writes.partition_point(|earlier| earlier.id < write);
                let failed = self.writes.split_off(first);
                let mut followers = Vec::new();
                for lost in failed.into_iter().rev() {
                    followers.push(self.take_back(fx, lost, error));
                }
                for then in followers.into_iter().rev().flatten() {
                    self.follow(fx, then, Err(error));
                }
            }
        }
    }

    /// Tells whoever waits for a write that the partition is no longer ours.
    pub fn abandon_writes(&mut self, fx: &mut Effects, error: ErrorCode) {
        for then in std::mem::take(&mut self.writes).into_iter().flat_map(|write| write.then) {
            self.follow(fx, then, Err(error));
        }
    }

    fn settle(&mut self, write: &Write) {
        for key in &write.offsets {
            self.offsets.settle(key, write.id);
        }
        for id in &write.created {
            if let Some(group) = self.groups.get_mut(id).filter(|group| group.birth == Birth::Writing(write.id)) {
                group.birth = Birth::Safe;
            }
        }
    }

    fn take_back(&mut self, fx: &mut Effects, write: Write, error: ErrorCode) -> Vec<Then> {
        for key in &write.offsets {
            self.offsets.take_back(key, write.id);
        }
        for undo in write.pending.into_iter().rev() {
            self.pending.undo(undo);
        }
        for id in write.created {
            if self.groups.get(&id).is_some_and(|group| group.birth == Birth::Writing(write.id))
                && let Some(mut group) = self.groups.remove(&id)
            {
                group.dissolve(fx, response_error(error), "its first write failed");
            }
        }
        for group in write.deleted {
            self.groups.insert(group.id.clone(), group);
        }
        write.then
    }

    fn follow(&mut self, fx: &mut Effects, then: Then, result: Result<(), ErrorCode>) {
        match then {
            Then::Nothing => {}
            Then::Respond { request, response: Answer { response, on_failure } } => {
                let response = match result {
                    Ok(()) => response,
                    Err(error) => on_failure(response, response_error(error)),
                };
                fx.respond(request, response);
            }
            Then::StaticMemberReplaced(replacement) => self.static_member_written(fx, replacement, result),
            Then::Assign { group, generation, leader, assignment } => {
                self.assignment_written(fx, &group, generation, &leader, assignment, result);
            }
            Then::Gathered { request, groups } => fx.gathered_part(request, &groups, result),
            Then::MarkerWritten { request, slot } => {
                fx.outputs.push_back(GroupOutput::MarkerWritten { request, slot, result });
            }
        }
    }
}

/// What clients are told when an append failed.
pub(crate) fn response_error(append: ErrorCode) -> ErrorCode {
    match append {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        other => other,
    }
}
