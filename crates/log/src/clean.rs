//! Compaction: of the records of a key, only the newest is kept.
//!
//! A round first maps the keys of the dirty part of a log to their newest offsets, then writes all closed
//! segments anew without what is superseded: adjacent ones that are small together become one. New segments
//! are written beside the old ones (`.cleaned`) and take their place (`.swap`) so that a crash at any point
//! leaves one or the other. Offsets never change.

mod filter;
mod offset_map;
mod swap;
mod transactions;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use shore_base::Wall;
use shore_wire::batch::{self, BatchError, BatchView};

use crate::header::BatchHeader;
use crate::log::Log;
use crate::segment::{Indexes, Segment};
use crate::storage::{ReadRange, StoreOp};
use filter::{Filter, Remains};
use offset_map::OffsetMap;

pub use offset_map::MapLimits;
pub(crate) use swap::{CLEANED_SUFFIX, SWAP_SUFFIX};
use transactions::CleanedTransactions;

/// How dirty a log is: what a round of cleaning would look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirt {
    /// Below this the log was cleaned before.
    pub first_dirty: i64,
    /// From here on nothing is cleaned yet.
    pub first_uncleanable: i64,
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
    /// Some of it is older than `max.compaction.lag.ms`.
    pub is_overdue: bool,
}

impl Dirt {
    /// Whether more of the log is dirty than this many billionths (`min.cleanable.dirty.ratio`), or it has
    /// been dirty for too long.
    pub fn is_enough(&self, min_ratio: u64) -> bool {
        let total = self.clean_bytes + self.dirty_bytes;
        let exceeds = u128::from(self.dirty_bytes) * BILLION > u128::from(min_ratio) * u128::from(total);
        total > 0 && (exceeds || (self.is_overdue && self.dirty_bytes > 0))
    }

    pub fn is_dirtier_than(&self, other: &Self) -> bool {
        let share = |dirt: &Self, of: &Self| u128::from(dirt.dirty_bytes) * u128::from(of.clean_bytes + of.dirty_bytes);
        share(self, other) > share(other, self)
    }
}

const BILLION: u128 = 1_000_000_000;

/// What a round of cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// The log is clean up to here.
    pub to: i64,
    pub segments_before: usize,
    pub segments_after: usize,
    pub bytes_before: u64,
    pub bytes_after: u64,
    pub records_before: u64,
    pub records_after: u64,
}

/// What a round of cleaning needs to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CleanStep {
    /// These bytes: [`Cleaning::loaded`].
    Load(ReadRange),
    /// These ops stored, retried until they are: [`Cleaning::stored`].
    Store(Vec<StoreOp>),
    /// More budget.
    Pause,
    Done(Cleaned),
}

/// A round that cannot go on: the segment does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanError {
    pub segment: i64,
    pub position: u64,
    pub what: String,
}

/// One round of cleaning of one log. It takes steps when it is told to, and nothing of the log changes
/// until a group of segments is swapped.
#[derive(Clone, Debug)]
pub struct Cleaning {
    dirt: Dirt,
    filter: Filter,
    phase: Phase,
    loaded: Option<Chunk>,
    /// How much to ask for at once: more where a batch is larger.
    ask: u64,
    done: Cleaned,
}

#[derive(Clone, Debug)]
enum Phase {
    Mapping {
        segment: usize,
        position: u64,
        transactions: CleanedTransactions,
    },
    Rewriting {
        output: Box<Output>,
        groups: VecDeque<Vec<i64>>,
    },
    /// The old segments are about to give way to the new one.
    Swapping {
        output: Box<Output>,
        groups: VecDeque<Vec<i64>>,
    },
    Done,
}

/// A segment that takes the place of a group of segments.
#[derive(Clone, Debug)]
struct Output {
    segment: Segment,
    /// Base offsets of the segments that it replaces.
    group: Vec<i64>,
    /// How many of them were read, and how much of the next one.
    read: usize,
    position: u64,
}

#[derive(Clone, Debug)]
struct Chunk {
    segment: i64,
    position: u64,
    bytes: Bytes,
}

const CHUNK: u64 = 1 << 20;

impl Log {
    /// How dirty the log is, if it is one to clean; `cleaned_to` is what the last round reached.
    pub fn dirt(&self, cleaned_to: Option<i64>, now: Wall) -> Option<Dirt> {
        if !self.config.cleanup_policy.compact || self.is_cleaning || self.mending {
            return None;
        }
        let known = self.start_offset..=self.end_offset;
        let first_dirty = cleaned_to.filter(|to| known.contains(to)).unwrap_or(self.start_offset);
        // What the store may still lose is not touched either.
        let (last, _) = self.stored_to();
        let (closed, last) = (&self.segments[..last], self.segments[last].base_offset);
        let dirty = &closed[self.segment_at(first_dirty).min(closed.len())..];
        let before = |lag: i64| now.as_millis().saturating_sub(lag.max(0));
        let lag = self.config.min_compaction_lag_ms;
        let fresh = dirty.iter().find(|segment| lag > 0 && segment.largest_timestamp() > before(lag));
        let bound = self.last_stable_offset().min(last).min(fresh.map_or(i64::MAX, |segment| segment.base_offset));
        let bound = bound.max(first_dirty);
        // A segment is cleaned whole or not at all.
        let uncleanable = if bound >= last { closed.len() } else { self.segment_at(bound) };
        let first_uncleanable = self.segments[uncleanable].base_offset;
        let sizes = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.size).sum::<u64>();
        let first = self.segment_at(first_dirty.min(first_uncleanable)).min(uncleanable);
        let overdue = before(self.config.max_compaction_lag_ms);
        let began = |segment: &Arc<Segment>| segment.first_timestamp.unwrap_or(segment.max_timestamp);
        Some(Dirt {
            first_dirty,
            first_uncleanable,
            clean_bytes: sizes(&self.segments[..self.segments.partition_point(|it| it.base_offset < first_dirty)]),
            dirty_bytes: sizes(&self.segments[first..uncleanable]),
            is_overdue: dirty.iter().map(began).any(|began| began > 0 && began < overdue),
        })
    }

    /// Begins a round. Until it is done or abandoned, no segment is deleted.
    pub fn begin_cleaning(&mut self, dirt: Dirt, limits: MapLimits, now: Wall) -> Cleaning {
        self.is_cleaning = true;
        let aborted = |from| CleanedTransactions::new(self.aborted_between(from, dirt.first_uncleanable));
        let first = self.segment_at(dirt.first_dirty);
        let transactions = aborted(dirt.first_dirty);
        let all = aborted(self.segments[0].base_offset);
        let retention = self.config.delete_retention_ms;
        Cleaning {
            dirt,
            filter: Filter::new(OffsetMap::new(limits), all, now, retention, dirt.first_uncleanable),
            phase: Phase::Mapping { segment: first, position: 0, transactions },
            loaded: None,
            ask: CHUNK,
            done: Cleaned::default(),
        }
    }

    /// Adjacent segments with offsets below `end` that fit into one together.
    fn groups(&self, end: i64, first_uncleanable: i64) -> VecDeque<Vec<i64>> {
        let segments = &self.segments[..self.segments.partition_point(|segment| segment.base_offset < end)];
        let most_index = u64::from(self.config.segment_index_bytes);
        let mut groups: VecDeque<Vec<i64>> = VecDeque::new();
        let (mut size, mut offsets, mut times) = (0, 0, 0);
        for (at, segment) in segments.iter().enumerate() {
            let (offsets_len, times_len) = index_bytes(segment);
            let last = segments.get(at + 1).map_or(first_uncleanable, |next| next.base_offset) - 1;
            let fits = |group: &&mut Vec<i64>| {
                size + segment.size <= u64::from(self.config.segment_bytes)
                    && offsets + offsets_len <= most_index
                    && times + times_len <= most_index
                    && (segment.size == 0 || last - group[0] <= i64::from(i32::MAX))
            };
            match groups.back_mut().filter(fits) {
                Some(group) => group.push(segment.base_offset),
                None => {
                    groups.push_back(vec![segment.base_offset]);
                    (size, offsets, times) = (0, 0, 0);
                }
            }
            (size, offsets, times) = (size + segment.size, offsets + offsets_len, times + times_len);
        }
        groups
    }
}

impl Cleaning {
    pub fn dirt(&self) -> &Dirt {
        &self.dirt
    }

    /// Goes on until about `budget` bytes were read or something is needed. What was read is taken off it.
    pub fn step(&mut self, log: &mut Log, budget: &mut u64) -> Result<CleanStep, CleanError> {
        loop {
            if *budget == 0 {
                return Ok(CleanStep::Pause);
            }
            let read = match &mut self.phase {
                Phase::Mapping { .. } => self.map(log)?,
                Phase::Rewriting { .. } => self.rewrite(log)?,
                Phase::Swapping { .. } => return Ok(CleanStep::Pause),
                Phase::Done => {
                    log.is_cleaning = false;
                    return Ok(CleanStep::Done(self.done));
                }
            };
            match read {
                Progress::Read(bytes) => *budget = budget.saturating_sub(bytes),
                Progress::Needs(step) => return Ok(step),
                Progress::ReadAndNeeds(bytes, step) => {
                    *budget = budget.saturating_sub(bytes);
                    return Ok(step);
                }
            }
        }
    }

    pub fn loaded(&mut self, range: &ReadRange, bytes: Bytes) {
        if let Some((segment, _)) = crate::segment::Kind::parse(range.file.base_name()) {
            self.loaded = Some(Chunk { segment, position: range.position, bytes });
        }
    }

    /// Whether segments are being swapped in the store: until that is done, what is read from the disk is
    /// neither the old nor the new.
    pub fn is_swapping(&self) -> bool {
        matches!(self.phase, Phase::Swapping { .. })
    }

    /// The ops of the last step are stored.
    pub fn stored(&mut self, log: &mut Log, now: Wall) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Swapping { output, groups } => {
                self.done.segments_before += output.group.len();
                self.done.segments_after += 1;
                self.done.bytes_after += output.segment.size;
                log.swap_in(output.segment, &output.group, now);
                self.next_group(log, groups);
            }
            other => self.phase = other,
        }
    }

    /// Gives the round up: the log stays as it is. The ops take away what was written for it.
    pub fn abandon(self, log: &mut Log) -> Vec<StoreOp> {
        log.is_cleaning = false;
        match self.phase {
            Phase::Rewriting { output, .. } => swap::delete_cleaned(&log.dir, output.segment.base_offset),
            _ => Vec::new(),
        }
    }

    /// Maps the keys of the next chunk.
    fn map(&mut self, log: &Log) -> Result<Progress, CleanError> {
        let Phase::Mapping { segment: index, position, .. } = &self.phase else { return Ok(Progress::Read(0)) };
        let (index, position) = (*index, *position);
        let segment = &log.segments[index];
        if segment.base_offset >= self.dirt.first_uncleanable {
            self.begin_rewriting(log);
            return Ok(Progress::Read(0));
        }
        if position >= segment.size {
            self.filter.map.set_latest(log.segments[index + 1].base_offset - 1);
            self.go_on_mapping(index + 1, 0);
            return Ok(Progress::Read(0));
        }
        let bytes = match self.chunk(segment, position)? {
            Ok(bytes) => bytes,
            Err(range) => return Ok(Progress::Needs(CleanStep::Load(range))),
        };
        let (from, mut read) = (self.dirt.first_dirty, 0);
        for view in batch::batches(&bytes) {
            let Some(view) = self.checked(view, segment, position + read as u64)? else { break };
            let Phase::Mapping { transactions, .. } = &mut self.phase else { break };
            let whole = filter::map_keys(&mut self.filter.map, transactions, &view, from)
                .map_err(|error| corrupt(segment, position + read as u64, &error))?;
            if !whole {
                self.begin_rewriting(log);
                return Ok(Progress::Read(read as u64));
            }
            read += view.size();
        }
        self.go_on_mapping(index, position + read as u64);
        Ok(Progress::Read(read as u64))
    }

    fn go_on_mapping(&mut self, to: usize, at: u64) {
        if let Phase::Mapping { segment, position, .. } = &mut self.phase {
            (*segment, *position) = (to, at);
        }
    }

    fn begin_rewriting(&mut self, log: &Log) {
        self.done.to = (self.filter.map.latest() + 1).max(self.dirt.first_dirty);
        self.next_group(log, log.groups(self.done.to, self.dirt.first_uncleanable));
    }

    fn next_group(&mut self, log: &Log, mut groups: VecDeque<Vec<i64>>) {
        self.phase = match groups.pop_front() {
            Some(group) => {
                let segment = Segment::new(&log.dir, group[0], self.filter.now);
                Phase::Rewriting { output: Box::new(Output { segment, group, read: 0, position: 0 }), groups }
            }
            None => Phase::Done,
        };
    }

    /// Writes what is left of the next chunk, or ends the group.
    fn rewrite(&mut self, log: &mut Log) -> Result<Progress, CleanError> {
        let Phase::Rewriting { output, .. } = &mut self.phase else { return Ok(Progress::Read(0)) };
        let Some(&base) = output.group.get(output.read) else { return Ok(self.begin_swap(log)) };
        let segment = log.segments[log.segment_at(base)].clone();
        let position = output.position;
        if position >= segment.size {
            output.segment.modified = segment.modified;
            output.segment.end_offset = segment.end_offset;
            (output.read, output.position) = (output.read + 1, 0);
            return Ok(Progress::Read(0));
        }
        let bytes = match self.chunk(&segment, position)? {
            Ok(bytes) => bytes,
            Err(range) => return Ok(Progress::Needs(CleanStep::Load(range))),
        };
        let (mut kept, mut read) = (BytesMut::new(), 0);
        for view in batch::batches(&bytes) {
            let Some(view) = self.checked(view, &segment, position + read as u64)? else { break };
            let at = position + read as u64;
            let filtered = self.filter.filter(&view, &log.producers).map_err(|error| corrupt(&segment, at, &error))?;
            self.done.records_before += u64::try_from(view.count()).unwrap_or(0);
            self.done.records_after += filtered.records_kept;
            read += view.size();
            let remains = match &filtered.remains {
                Remains::Nothing => &[],
                Remains::All => view.bytes(),
                Remains::Rewritten(bytes) => &bytes[..],
            };
            let Phase::Rewriting { output, .. } = &mut self.phase else { break };
            filtered.aborted.into_iter().for_each(|aborted| output.segment.aborted.push(aborted));
            if let Some(header) = remains.first_chunk().and_then(BatchHeader::parse) {
                output.segment.note_batch(&header, log.config.index_interval_bytes, self.filter.now);
                kept.extend_from_slice(remains);
            }
        }
        self.done.bytes_before += read as u64;
        let Phase::Rewriting { output, .. } = &mut self.phase else { return Ok(Progress::Read(0)) };
        output.position += read as u64;
        if kept.is_empty() {
            return Ok(Progress::Read(read as u64));
        }
        let written = output.segment.size - kept.len() as u64;
        let ops = swap::append_cleaned(&log.dir, &output.segment, written, kept.freeze());
        Ok(Progress::ReadAndNeeds(read as u64, CleanStep::Store(ops)))
    }

    fn begin_swap(&mut self, log: &Log) -> Progress {
        let Phase::Rewriting { mut output, groups } = std::mem::replace(&mut self.phase, Phase::Done) else {
            return Progress::Read(0);
        };
        output.segment.index_time();
        let ops = swap::ops(log, &output.segment, &output.group);
        self.phase = Phase::Swapping { output, groups };
        Progress::Needs(CleanStep::Store(ops))
    }

    /// Bytes of a segment from `position` on, or what to load for them.
    fn chunk(&mut self, segment: &Segment, position: u64) -> Result<Result<Bytes, ReadRange>, CleanError> {
        let end = segment.size.min(position + self.ask);
        let is_it = |chunk: &Chunk| chunk.segment == segment.base_offset && chunk.position == position;
        if let Some(chunk) = self.loaded.take().filter(is_it) {
            if chunk.bytes.len() as u64 >= end - position {
                return Ok(Ok(chunk.bytes));
            }
            let what = "the file is shorter than it was".to_owned();
            return Err(CleanError { segment: segment.base_offset, position, what });
        }
        match segment.slices(position, end) {
            Ok(slices) if slices.len() == 1 => Ok(Ok(slices[0].clone())),
            Ok(slices) => Ok(Ok(slices.concat().into())),
            Err(_) => Ok(Err(ReadRange { file: segment.log.clone(), position, len: end - position })),
        }
    }

    /// A batch of a chunk; none where the chunk ends within it.
    fn checked<'a>(
        &mut self,
        view: Result<BatchView<'a>, BatchError>,
        segment: &Segment,
        at: u64,
    ) -> Result<Option<BatchView<'a>>, CleanError> {
        match view {
            Ok(view) if view.crc_matches() => {
                self.ask = CHUNK;
                Ok(Some(view))
            }
            Ok(view) => {
                let error = BatchError::Crc { stored: view.crc(), computed: view.computed_crc() };
                Err(corrupt(segment, at, &error))
            }
            Err(BatchError::Torn { needed, .. }) if at + needed as u64 <= segment.size => {
                self.ask = CHUNK.max(needed as u64);
                Ok(None)
            }
            Err(error) => Err(corrupt(segment, at, &error)),
        }
    }
}

enum Progress {
    /// So many bytes were dealt with.
    Read(u64),
    Needs(CleanStep),
    ReadAndNeeds(u64, CleanStep),
}

fn corrupt(segment: &Segment, position: u64, error: &BatchError) -> CleanError {
    CleanError { segment: segment.base_offset, position, what: error.to_string() }
}

/// Of the offset index and of the time index.
fn index_bytes(segment: &Segment) -> (u64, u64) {
    match &segment.indexes {
        Indexes::Held { offsets, times } => (offsets.file_len(), times.file_len()),
        Indexes::OnDisk { offsets_len, times_len } => (*offsets_len, *times_len),
    }
}
