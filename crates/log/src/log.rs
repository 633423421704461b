//! One partition's log.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::BTreeSet;
use shore_base::{Random, Uuid, Wall};

use crate::config::LogConfig;
use crate::epochs::EpochCache;
use crate::header::BatchHeader;
use crate::index::{Entry, Index, OffsetEntry, TimeEntry};
use crate::producers::{EndMarker, ProducerStates, ProducerUndo};
use crate::room::Room;
use crate::segment::{Indexes, Kind, Segment, SegmentMark};
use crate::storage::{FileName, ReadRange, StoreOp};
use crate::txn_index::AbortedTransaction;

/// One partition's log. It never waits: changes leave as ops ([`Log::take_ops`]), the caller says what
/// of them was stored ([`Log::mark_stored`]) or not ([`Log::store_failed`]), and a read that needs bytes
/// which are not in memory says which.
///
/// Invariants: `start_offset <= high_watermark <= end_offset`, `durable_end <= end_offset`; there is at
/// least one segment, and the last one is the active one.
#[derive(Clone, Debug)]
pub struct Log {
    pub(crate) dir: FileName,
    pub(crate) config: LogConfig,
    pub(crate) topic_id: Option<Uuid>,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) start_offset: i64,
    pub(crate) end_offset: i64,
    pub(crate) durable_end: i64,
    pub(crate) high_watermark: i64,
    pub(crate) epochs: EpochCache,
    pub(crate) producers: ProducerStates,
    pub(crate) room: Room,
    /// Ops that were not taken yet.
    pub(crate) ops: Vec<StoreOp>,
    /// Ops that were taken and of which it is not known whether they were stored.
    pub(crate) taken: Vec<StoreOp>,
    /// How to take back what is not stored, oldest first.
    pub(crate) undo: VecDeque<Undo>,
    /// A store failed and none has succeeded since: the files may not yet be what memory says.
    pub(crate) mending: bool,
    /// Files of segments that were taken back: a failed store may have made them nevertheless.
    pub(crate) doubtful: Vec<FileName>,
    /// Offsets of the producer snapshots on disk.
    pub(crate) snapshots: BTreeSet<i64>,
    /// How many entries of the active segment's indexes are on disk; `None` if they have to be replaced.
    pub(crate) flushed: Option<(usize, usize)>,
    pub(crate) bytes_since_checkpoint: u64,
    /// A round of cleaning is under way: its segments have to stay.
    pub(crate) is_cleaning: bool,
    /// Files to delete, and when.
    pub(crate) deleting: VecDeque<(Wall, Vec<FileName>)>,
    pub(crate) producers_checked: Wall,
}

/// Takes one step back. Steps are taken back in reverse order.
#[derive(Clone, Debug)]
pub(crate) enum Undo {
    Append {
        stored_at: i64,
        end_before: i64,
        segment: SegmentMark,
        producers: Vec<ProducerUndo>,
        /// As they were, if the append began one.
        epochs: Option<EpochCache>,
    },
    Roll {
        stored_at: i64,
        segment: SegmentMark,
    },
}

impl Undo {
    /// The log end at which the step counts as stored.
    fn stored_at(&self) -> i64 {
        match self {
            Self::Append { stored_at, .. } | Self::Roll { stored_at, .. } => *stored_at,
        }
    }
}

/// What recovery may have to scan at most, apart from a batch and an index interval.
const CHECKPOINT_BYTES: u64 = 8 << 20;

pub(crate) const EPOCHS_FILE: &str = "leader-epoch-checkpoint";
pub(crate) const METADATA_FILE: &str = "partition.metadata";
pub(crate) const DELETED_SUFFIX: &str = ".deleted";

impl Log {
    /// A new, empty log.
    pub fn create(dir: FileName, config: LogConfig, now: Wall) -> Self {
        let mut log = Self::empty(dir, config, now);
        let first = Segment::new(&log.dir, 0, now);
        log.ops.push(StoreOp::Append { file: first.log.clone(), position: 0, bytes: Bytes::new() });
        log.segments.push(Arc::new(first));
        log.write_epochs();
        log
    }

    /// A log without its first segment.
    pub(crate) fn empty(dir: FileName, config: LogConfig, now: Wall) -> Self {
        Self {
            dir,
            config,
            topic_id: None,
            segments: Vec::new(),
            start_offset: 0,
            end_offset: 0,
            durable_end: 0,
            high_watermark: 0,
            epochs: EpochCache::default(),
            producers: ProducerStates::default(),
            room: Room::default(),
            ops: Vec::new(),
            taken: Vec::new(),
            undo: VecDeque::new(),
            mending: false,
            doubtful: Vec::new(),
            snapshots: BTreeSet::new(),
            flushed: None,
            bytes_since_checkpoint: 0,
            is_cleaning: false,
            deleting: VecDeque::new(),
            producers_checked: now,
        }
    }

    /// Writes which topic this partition belongs to: `partition.metadata`.
    pub fn set_topic_id(&mut self, topic_id: Uuid) {
        self.topic_id = Some(topic_id);
        let text = format!("version: 0\ntopic_id: {topic_id}");
        self.ops.push(StoreOp::Replace { file: self.dir.join(METADATA_FILE), bytes: Bytes::from(text) });
    }

    pub fn topic_id(&self) -> Option<Uuid> {
        self.topic_id
    }

    pub fn directory(&self) -> &FileName {
        &self.dir
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    pub fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset that the next record gets.
    pub fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Up to here the log survives what the caller's durability level promises.
    pub fn durable_end(&self) -> i64 {
        self.durable_end
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    /// Moves the high watermark, within the log. It goes back only where the log does.
    pub fn set_high_watermark(&mut self, offset: i64) {
        self.high_watermark = offset.clamp(self.start_offset, self.end_offset);
        self.producers.passed(self.high_watermark);
    }

    /// What a `read_committed` consumer may read up to.
    pub fn last_stable_offset(&self) -> i64 {
        let unstable = self.producers.first_unstable_offset(self.high_watermark);
        unstable.map_or(self.high_watermark, |offset| offset.clamp(self.start_offset, self.high_watermark))
    }

    pub fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    pub fn latest_epoch(&self) -> Option<i32> {
        self.epochs.latest()
    }

    /// Leader epochs and the offsets at which they began, oldest first.
    pub fn epochs(&self) -> &[(i32, i64)] {
        self.epochs.entries()
    }

    pub fn epoch_at(&self, offset: i64) -> Option<i32> {
        self.epochs.epoch_at(offset)
    }

    /// The largest epoch that is not above `epoch` and the offset where it ended; both -1 where
    /// nothing is known.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> (i32, i64) {
        self.epochs.end_offset(epoch, self.end_offset)
    }

    /// A new leader's first act: its epoch begins at the log's end.
    pub fn begin_epoch(&mut self, epoch: i32) {
        self.assign_epoch(epoch, self.end_offset);
    }

    /// Everything that changed since the last call, in order.
    pub fn take_ops(&mut self) -> Vec<StoreOp> {
        self.taken.extend_from_slice(&self.ops);
        std::mem::take(&mut self.ops)
    }

    /// What was appended up to `end` counts as durable, whether it is stored or not: it stays when a
    /// store fails.
    pub fn mark_durable(&mut self, end: i64) {
        self.durable_end = self.durable_end.max(end.min(self.end_offset));
    }

    /// All ops that were taken are stored; `end` is where the log ended then.
    pub fn mark_stored(&mut self, end: i64) {
        self.mark_durable(end);
        self.taken.clear();
        while self.undo.front().is_some_and(|undo| undo.stored_at() <= end) {
            self.undo.pop_front();
        }
        self.mending = false;
        if self.undo.is_empty() {
            self.doubtful.clear();
        }
    }

    /// Writes what recovery would otherwise have to scan for: indexes and producer state.
    pub fn close(&mut self) {
        self.active_mut().index_time();
        self.checkpoint();
        self.ops.push(StoreOp::Sync);
    }

    /// Takes the answer to [`Read::Load`](crate::Read::Load): one entry per range asked for.
    pub fn loaded(&mut self, ranges: &[ReadRange], bytes: &[Bytes]) {
        for (range, bytes) in ranges.iter().zip(bytes) {
            let Some((segment, kind)) = self.segment_of(range) else { continue };
            if kind == Kind::Log {
                let valid = segment.size.saturating_sub(range.position).min(bytes.len() as u64);
                segment.cache.insert(range.position, &bytes.slice(..valid as usize));
            } else {
                segment.index_loaded(kind, bytes);
            }
        }
    }

    /// Drops the records that were loaded with this range; what was appended stays.
    pub fn unload(&mut self, range: &ReadRange) {
        if let Some((segment, Kind::Log)) = self.segment_of(range) {
            segment.cache.drop_loaded(range.position, range.position + range.len);
        }
    }

    /// The segment that a range lies in, unless it has been deleted or taken back meanwhile.
    fn segment_of(&mut self, range: &ReadRange) -> Option<(&mut Segment, Kind)> {
        let (base_offset, kind) = Kind::parse(range.file.base_name())?;
        let index = self.segments.binary_search_by_key(&base_offset, |segment| segment.base_offset).ok()?;
        Some((Arc::make_mut(&mut self.segments[index]), kind))
    }

    /// Bytes of records that are in memory.
    pub fn cached_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.cache.bytes()).sum()
    }

    /// Drops cached bytes, oldest first, until no more than `budget` are left. What is not stored stays.
    pub fn evict(&mut self, budget: u64) {
        let mut cached = self.cached_bytes();
        let (last, stored) = self.stored_to();
        for index in 0..=last {
            let limit = if index == last { stored } else { u64::MAX };
            while cached > budget {
                let Some(freed) = Arc::make_mut(&mut self.segments[index]).cache.evict_first(limit) else { break };
                cached -= freed;
            }
        }
        self.room.shrink();
    }

    /// Bytes in all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// The segment up to which the log's files are stored, and how many of its bytes are.
    pub(crate) fn stored_to(&self) -> (usize, u64) {
        let size = match self.undo.front() {
            Some(Undo::Append { segment, .. } | Undo::Roll { segment, .. }) => segment.size(),
            None => self.active().size,
        };
        let rolls = self.undo.iter().filter(|undo| matches!(undo, Undo::Roll { .. })).count();
        (self.segments.len() - 1 - rolls, size)
    }

    pub(crate) fn active(&self) -> &Segment {
        self.segments.last().expect("there is always an active segment")
    }

    pub(crate) fn active_mut(&mut self) -> &mut Segment {
        Arc::make_mut(self.segments.last_mut().expect("there is always an active segment"))
    }

    /// Appends batches that were checked and have their offsets: `copy` puts them into the log's own
    /// memory, `batches` describes them.
    pub(crate) fn commit(
        &mut self,
        batches: &[(BatchHeader, Option<EndMarker>)],
        copy: impl FnOnce(&mut Room) -> Bytes,
        now: Wall,
    ) {
        let (Some((first, _)), Some((last, _))) = (batches.first(), batches.last()) else { return };
        let size = batches.iter().map(|(batch, _)| u64::from(batch.size)).sum();
        let max_timestamp = batches.iter().map(|(batch, _)| batch.max_timestamp).max().unwrap_or(-1);
        if self.should_roll(size, last.last_offset, max_timestamp, now) {
            self.roll(first.base_offset, now);
        }
        let begins_epoch = batches.iter().any(|(batch, _)| self.epochs.latest() != Some(batch.leader_epoch));
        let epochs = begins_epoch.then(|| self.epochs.clone());
        for (batch, _) in batches {
            self.assign_epoch(batch.leader_epoch, batch.base_offset);
        }
        let bytes = copy(&mut self.room);
        let (end_before, end_offset) = (self.end_offset, last.last_offset + 1);
        let interval = self.config.index_interval_bytes;
        let active = self.active_mut();
        let (file, position, mark) = (active.log.clone(), active.size, active.mark());
        active.cache.append(position, bytes.clone());
        for (batch, _) in batches {
            active.note_batch(batch, interval, now);
        }
        let mut producers = Vec::new();
        self.ops.push(StoreOp::Append { file, position, bytes });
        for (batch, marker) in batches.iter().filter(|(batch, _)| batch.producer_id >= 0) {
            let (undo, aborted) = self.producers.append(batch, *marker);
            producers.push(undo);
            aborted.into_iter().for_each(|aborted| self.note_aborted(aborted));
        }
        self.end_offset = end_offset;
        self.undo.push_back(Undo::Append { stored_at: end_offset, end_before, segment: mark, producers, epochs });
        self.bytes_since_checkpoint += size;
        if self.bytes_since_checkpoint >= CHECKPOINT_BYTES {
            self.checkpoint();
        }
    }

    fn note_aborted(&mut self, aborted: AbortedTransaction) {
        let active = self.active_mut();
        let (base, entries) = (active.base_offset, active.aborted.len());
        active.aborted.push(aborted);
        let bytes = active.aborted.encode_from(entries);
        let position = (entries * AbortedTransaction::LEN) as u64;
        self.ops.push(StoreOp::Append { file: Kind::TxnIndex.file(&self.dir, base), position, bytes });
    }

    fn should_roll(&self, size: u64, last_offset: i64, max_timestamp: i64, now: Wall) -> bool {
        let (config, active) = (&self.config, self.active());
        let waited = match active.first_timestamp.filter(|&first| first >= 0) {
            Some(first) => max_timestamp.saturating_sub(first),
            None => now.as_millis().saturating_sub(active.created.as_millis()),
        };
        let (offsets, times) = active.index_lens();
        let index_bytes = config.segment_index_bytes as usize;
        active.size + size > u64::from(config.segment_bytes)
            || (active.size > 0 && waited > config.longest_segment_ms().saturating_sub(self.jitter(active.base_offset)))
            || offsets >= index_bytes / OffsetEntry::LEN
            // The last entry is kept free for the one that closing the segment adds.
            || times >= (index_bytes / TimeEntry::LEN).saturating_sub(1)
            || active.relative(last_offset).is_none()
    }

    /// How much earlier than `segment.ms` this segment rolls: segments of many partitions shall not
    /// all roll at once.
    fn jitter(&self, base_offset: i64) -> i64 {
        let most = self.config.segment_jitter_ms.min(self.config.longest_segment_ms());
        if most <= 0 { 0 } else { Random::stream(base_offset as u64, self.dir.as_str()).below(most as u64) as i64 }
    }

    /// Closes the active segment and begins one at `base_offset`. Closed segments are synced, so that
    /// only the active one can be torn.
    pub(crate) fn roll(&mut self, base_offset: i64, now: Wall) {
        let mark = self.active().mark();
        self.active_mut().index_time();
        self.write_indexes();
        self.write_snapshot(base_offset);
        self.ops.push(StoreOp::Sync);
        self.undo.push_back(Undo::Roll { stored_at: base_offset + 1, segment: mark });
        self.segments.push(Arc::new(Segment::new(&self.dir, base_offset, now)));
        self.flushed = None;
        self.bytes_since_checkpoint = 0;
    }

    pub(crate) fn checkpoint(&mut self) {
        self.write_indexes();
        self.write_snapshot(self.end_offset);
        self.bytes_since_checkpoint = 0;
    }

    /// Brings the active segment's index files up to date: new entries are appended.
    fn write_indexes(&mut self) {
        let (base, lens) = (self.active().base_offset, self.active().index_lens());
        let (offsets_file, times_file) = (Kind::Index.file(&self.dir, base), Kind::TimeIndex.file(&self.dir, base));
        let flushed = self.flushed.replace(lens);
        let Indexes::Held { offsets, times } = &self.active().indexes else { return };
        let ops = [
            index_op(offsets_file, offsets, flushed.map(|flushed| flushed.0)),
            index_op(times_file, times, flushed.map(|flushed| flushed.1)),
        ];
        self.ops.extend(ops.into_iter().flatten());
    }

    /// Writes the producers' state as it is at `offset`, the log's end. Of the snapshots that do not
    /// stand at a segment's beginning only the newest is kept.
    fn write_snapshot(&mut self, offset: i64) {
        if self.snapshots.insert(offset) {
            let file = Kind::Snapshot.file(&self.dir, offset);
            self.ops.push(StoreOp::Replace { file, bytes: self.producers.encode() });
        }
        let segments = &self.segments;
        let is_base = |offset| segments.binary_search_by_key(&offset, |segment| segment.base_offset).is_ok();
        let stale: Vec<i64> = self.snapshots.iter().copied().filter(|&old| old != offset && !is_base(old)).collect();
        for old in stale {
            self.snapshots.remove(&old);
            self.ops.push(StoreOp::Delete { file: Kind::Snapshot.file(&self.dir, old) });
        }
    }

    fn assign_epoch(&mut self, epoch: i32, start_offset: i64) {
        if self.epochs.assign(epoch, start_offset) {
            self.write_epochs();
        }
    }

    pub(crate) fn write_epochs(&mut self) {
        self.ops.push(StoreOp::Replace { file: self.dir.join(EPOCHS_FILE), bytes: self.epochs.encode() });
    }

    /// Takes files away: renamed at once, deleted when their delay has passed.
    pub(crate) fn delete_files(&mut self, files: Vec<FileName>, now: Wall) {
        let mut doomed = Vec::with_capacity(files.len() * 2);
        for file in files {
            let deleted = FileName::new(format!("{file}{DELETED_SUFFIX}"));
            self.ops.push(StoreOp::Rename { from: file.clone(), to: deleted.clone() });
            // Where a failed store lost the rename, the file still has its old name.
            doomed.extend([deleted, file]);
        }
        let due = Wall::from_millis(now.as_millis().saturating_add(self.config.file_delete_delay_ms));
        self.deleting.push_back((due, doomed));
    }
}

/// What makes a segment's `.txnindex` be as it is in memory. Without entries there is none.
pub(crate) fn txn_index_op(dir: &FileName, segment: &Segment) -> StoreOp {
    let file = Kind::TxnIndex.file(dir, segment.base_offset);
    if segment.aborted.is_empty() {
        StoreOp::Delete { file }
    } else {
        StoreOp::Replace { file, bytes: segment.aborted.encode_from(0) }
    }
}

/// What brings an index file up to date, if anything does.
fn index_op<T: Entry>(file: FileName, index: &Index<T>, flushed: Option<usize>) -> Option<StoreOp> {
    match flushed {
        Some(entries) if entries == index.len() => None,
        Some(entries) if entries < index.len() => {
            let position = (entries * T::LEN) as u64;
            Some(StoreOp::Append { file, position, bytes: index.encode_from(entries) })
        }
        _ => Some(StoreOp::Replace { file, bytes: index.encode_from(0) }),
    }
}
