//! Opening a log from its files.
//!
//! Appends reach the disk in order, so only the end of the active segment can be torn. The newest
//! producer snapshot says up to where everything derived is on disk too; what comes after it is
//! scanned. A snapshot at the log's end is what a clean close leaves: then hardly anything is.
//! Indexes, snapshots and the epoch checkpoint that are stale, absent or damaged cost a longer scan
//! and nothing else.

mod swaps;

use std::sync::Arc;

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet, sort_by};
use shore_base::{Uuid, Wall};
use shore_wire::batch::BATCH_HEADER;

use crate::config::LogConfig;
use crate::epochs::EpochCache;
use crate::header::BatchHeader;
use crate::index::{Entry, Index, TimeEntry};
use crate::log::{EPOCHS_FILE, Log, METADATA_FILE, txn_index_op};
use crate::producers::ProducerStates;
use crate::segment::{Indexes, Kind, Segment};
use crate::storage::{FileEntry, FileName, ReadRange, StoreOp};
use crate::txn_index::{self, AbortedTransaction, TxnIndex};
use crate::validate;
use swaps::{Swapped, Swaps};

/// Opens one log. Ask [`Recovery::wants`] what to load and [`Recovery::feed`] the answers until
/// nothing is wanted, then [`Recovery::finish`].
#[derive(Clone, Debug)]
pub struct Recovery {
    log: Log,
    now: Wall,
    stage: Stage,
    /// Where the log begins at the earliest: records before it were deleted.
    start_offset: i64,
    /// Under which names files are until the ops of this recovery have renamed them.
    aliases: BTreeMap<FileName, FileName>,
    /// Offsets of snapshots that have not been tried, and of the one in use.
    snapshots: Vec<i64>,
    snapshot: i64,
    /// Where to scan from at the latest, whatever the snapshot says.
    rescan_from: i64,
    /// Where the producers' state has to be known at the latest, because a transaction index is made anew
    /// from there on. Later snapshots are of no use.
    replay_from: i64,
    /// The transaction indexes as they are on disk.
    aborted: BTreeMap<i64, (Bytes, TxnIndex)>,
    epochs_intact: bool,
    /// The active segment's indexes as they are on disk, and its first header.
    active_offsets: Option<Bytes>,
    active_times: Option<Bytes>,
    active_first: Option<Bytes>,
    /// Where the active segment's scan begins by its index, and the last offset that the index says is there.
    hint: Option<(u64, i64)>,
    /// Lengths of the log files and of the index files, by segment.
    sizes: BTreeMap<i64, SegmentFiles>,
    report: RecoveryReport,
}

/// What opening a log took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    pub scanned_bytes: u64,
    /// Bytes cut off because they were torn or damaged.
    pub truncated_bytes: u64,
    pub truncated_segments: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct SegmentFiles {
    log: Option<u64>,
    offsets: Option<u64>,
    times: Option<u64>,
    aborted: Option<u64>,
}

#[derive(Clone, Debug)]
enum Stage {
    Swaps(Box<Swaps>),
    Small(Vec<(Small, ReadRange)>),
    Snapshot(ReadRange),
    Scan { segment: usize, position: u64, len: u64 },
    Done,
}

/// What a small read is for.
#[derive(Clone, Copy, Debug)]
enum Small {
    Epochs,
    Metadata,
    /// The last entry of a closed segment's time index.
    LastTime {
        segment: usize,
    },
    /// The first header of a closed segment, of which compaction wants the timestamp.
    First {
        segment: usize,
    },
    Aborted {
        segment: usize,
    },
    ActiveOffsets,
    ActiveTimes,
    ActiveFirst,
}

const SCAN_BYTES: u64 = 1 << 20;
/// More than the text files of a log ever hold, short of damage.
const TEXT_BYTES: u64 = 1 << 20;

impl Recovery {
    /// Begins with the files below `dir`. The log begins at `start_offset` (of the disk's
    /// `log-start-offset-checkpoint`) or later.
    pub fn start(dir: FileName, config: LogConfig, start_offset: i64, files: &[FileEntry], now: Wall) -> Self {
        let own: Vec<FileEntry> =
            files.iter().filter(|entry| entry.file == dir.join(entry.file.base_name())).cloned().collect();
        let mut recovery = Self {
            log: Log::empty(dir, config, now),
            now,
            stage: Stage::Swaps(Box::new(Swaps::new(&own))),
            start_offset,
            aliases: BTreeMap::new(),
            snapshots: Vec::new(),
            snapshot: 0,
            rescan_from: i64::MAX,
            replay_from: i64::MAX,
            aborted: BTreeMap::new(),
            epochs_intact: false,
            active_offsets: None,
            active_times: None,
            active_first: None,
            hint: None,
            sizes: BTreeMap::new(),
            report: RecoveryReport::default(),
        };
        recovery.swap();
        recovery
    }

    /// Once swaps are completed, begins with the files that are there then.
    fn swap(&mut self) {
        let Stage::Swaps(swaps) = &self.stage else { return };
        if swaps.want().is_some() {
            return;
        }
        let Stage::Swaps(swaps) = std::mem::replace(&mut self.stage, Stage::Done) else { return };
        let Swapped { files, aliases, ops } = swaps.finish();
        self.aliases = aliases;
        self.log.ops = ops;
        self.sort_files(&files);
        self.make_segments();
        self.stage = Stage::Small(self.small_reads(&files));
        if self.wants().is_empty() {
            self.next_snapshot();
        }
    }

    /// What to load next; nothing once the log is open.
    pub fn wants(&self) -> Vec<ReadRange> {
        let mut wants = self.wants_by_name();
        for range in &mut wants {
            if let Some(alias) = self.aliases.get(&range.file) {
                range.file = alias.clone();
            }
        }
        wants
    }

    fn wants_by_name(&self) -> Vec<ReadRange> {
        match &self.stage {
            Stage::Swaps(swaps) => swaps.want().into_iter().collect(),
            Stage::Small(reads) => reads.iter().map(|(_, range)| range.clone()).collect(),
            Stage::Snapshot(range) => vec![range.clone()],
            Stage::Scan { segment, position, len } => {
                let file = self.log.segments[*segment].log.clone();
                vec![ReadRange { file, position: *position, len: *len }]
            }
            Stage::Done => Vec::new(),
        }
    }

    /// Takes what was loaded: one entry per range wanted.
    pub fn feed(&mut self, bytes: Vec<Bytes>) {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Swaps(mut swaps) => {
                swaps.feed(&bytes.into_iter().next().unwrap_or_default());
                self.stage = Stage::Swaps(swaps);
                self.swap();
            }
            Stage::Small(reads) => {
                for ((small, _), bytes) in reads.into_iter().zip(bytes) {
                    self.feed_small(small, bytes);
                }
                if !self.epochs_intact {
                    self.rescan_from = i64::MIN;
                }
                self.next_snapshot();
            }
            Stage::Snapshot(_) => match bytes.first().and_then(|bytes| ProducerStates::decode(bytes)) {
                Some(mut producers) => {
                    producers.expire(self.now.as_millis(), self.log.config.producer_id_expiration_ms);
                    self.log.producers = producers;
                    self.begin_scan();
                }
                None => {
                    self.drop_snapshot(self.snapshot);
                    self.next_snapshot();
                }
            },
            Stage::Scan { segment, position, len } => {
                self.scan(segment, position, len, bytes.into_iter().next().unwrap_or_default());
            }
            Stage::Done => {}
        }
    }

    /// The log as it is on disk: all of it is durable. Its ops, if it has any, mend the files.
    pub fn finish(mut self) -> (Log, RecoveryReport) {
        debug_assert!(self.wants().is_empty(), "recovery is not done");
        if self.start_offset > self.log.active().end_offset {
            self.begin_anew();
        }
        let log = &mut self.log;
        log.end_offset = log.active().end_offset;
        log.start_offset = log.segments[0].base_offset.max(self.start_offset);
        log.durable_end = log.end_offset;
        log.high_watermark = log.start_offset;
        let cut = log.epochs.truncate_from_end(log.end_offset);
        let begun = log.epochs.truncate_from_start(log.start_offset);
        if cut || begun || !self.epochs_intact {
            log.write_epochs();
        }
        (self.log, self.report)
    }

    /// The log ends before it begins: damage took more than was deleted. Nothing of it is left.
    fn begin_anew(&mut self) {
        let log = &mut self.log;
        for segment in std::mem::take(&mut log.segments) {
            for kind in Kind::ALL {
                log.ops.push(StoreOp::Delete { file: kind.file(&log.dir, segment.base_offset) });
            }
        }
        for offset in std::mem::take(&mut log.snapshots) {
            log.ops.push(StoreOp::Delete { file: Kind::Snapshot.file(&log.dir, offset) });
        }
        let first = Segment::new(&log.dir, self.start_offset, self.now);
        log.ops.push(StoreOp::Append { file: first.log.clone(), position: 0, bytes: Bytes::new() });
        log.segments.push(Arc::new(first));
        log.producers = ProducerStates::default();
        log.flushed = None;
    }

    fn sort_files(&mut self, files: &[FileEntry]) {
        for entry in files {
            let name = entry.file.base_name();
            match Kind::parse(name) {
                Some((offset, Kind::Snapshot)) => {
                    self.snapshots.push(offset);
                }
                Some((offset, Kind::Log)) => self.sizes.entry(offset).or_default().log = Some(entry.len),
                Some((offset, Kind::Index)) => self.sizes.entry(offset).or_default().offsets = Some(entry.len),
                Some((offset, Kind::TimeIndex)) => self.sizes.entry(offset).or_default().times = Some(entry.len),
                Some((offset, Kind::TxnIndex)) => self.sizes.entry(offset).or_default().aborted = Some(entry.len),
                None if name.ends_with(".deleted") => self.log.ops.push(StoreOp::Delete { file: entry.file.clone() }),
                None => {}
            }
        }
        sort_by(&mut self.snapshots, Ord::cmp);
        self.log.snapshots = BTreeSet::from_iter(self.snapshots.iter().copied());
        // Indexes without a log are left over from a deletion or from a roll that was not finished.
        let orphans: Vec<i64> =
            self.sizes.iter().filter(|(_, files)| files.log.is_none()).map(|(&base, _)| base).collect();
        for base in orphans {
            self.sizes.remove(&base);
            for kind in [Kind::Index, Kind::TimeIndex, Kind::TxnIndex] {
                self.log.ops.push(StoreOp::Delete { file: kind.file(&self.log.dir, base) });
            }
        }
    }

    fn make_segments(&mut self) {
        let bases: Vec<i64> = self.sizes.keys().copied().collect();
        for (index, &base) in bases.iter().enumerate() {
            let mut segment = Segment::new(&self.log.dir, base, self.now);
            if let Some(&next) = bases.get(index + 1) {
                let files = self.sizes[&base];
                segment.size = files.log.unwrap_or(0);
                segment.end_offset = next;
                match (files.offsets, files.times) {
                    (Some(offsets_len), Some(times_len))
                        if offsets_len % 8 == 0 && times_len % TimeEntry::LEN as u64 == 0 =>
                    {
                        segment.indexes = Indexes::OnDisk { offsets_len, times_len };
                    }
                    // Who lost these may have lost the transaction index too.
                    _ => self.replay_from = self.replay_from.min(base),
                }
            }
            self.log.segments.push(Arc::new(segment));
        }
        if self.log.segments.is_empty() {
            let first = Segment::new(&self.log.dir, 0, self.now);
            self.log.ops.push(StoreOp::Append { file: first.log.clone(), position: 0, bytes: Bytes::new() });
            self.sizes.insert(0, SegmentFiles { log: Some(0), ..SegmentFiles::default() });
            self.log.segments.push(Arc::new(first));
        }
        self.log.flushed = None;
    }

    fn small_reads(&self, files: &[FileEntry]) -> Vec<(Small, ReadRange)> {
        let dir = &self.log.dir;
        let mut reads = Vec::new();
        for (small, name) in [(Small::Epochs, EPOCHS_FILE), (Small::Metadata, METADATA_FILE)] {
            let file = dir.join(name);
            if let Some(entry) = files.iter().find(|entry| entry.file == file) {
                reads.push((small, ReadRange { file, position: 0, len: entry.len.min(TEXT_BYTES) }));
            }
        }
        for (segment, held) in self.log.segments.iter().enumerate() {
            if let Some(len) = self.sizes.get(&held.base_offset).and_then(|files| files.aborted) {
                let file = Kind::TxnIndex.file(dir, held.base_offset);
                reads.push((Small::Aborted { segment }, ReadRange { file, position: 0, len }));
            }
        }
        let last = self.log.segments.len() - 1;
        for (segment, held) in self.log.segments[..last].iter().enumerate() {
            if self.log.config.cleanup_policy.compact && held.size > 0 {
                let file = Kind::Log.file(dir, held.base_offset);
                reads.push((Small::First { segment }, ReadRange { file, position: 0, len: BATCH_HEADER as u64 }));
            }
            if let Indexes::OnDisk { times_len, .. } = held.indexes {
                let file = Kind::TimeIndex.file(dir, held.base_offset);
                let len = TimeEntry::LEN as u64;
                if let Some(position) = times_len.checked_sub(len) {
                    reads.push((Small::LastTime { segment }, ReadRange { file, position, len }));
                }
            }
        }
        let base = self.log.segments[last].base_offset;
        let on_disk = self.sizes.get(&base).copied().unwrap_or_default();
        if let (Some(offsets), Some(times)) = (on_disk.offsets, on_disk.times) {
            let file = Kind::Index.file(dir, base);
            reads.push((Small::ActiveOffsets, ReadRange { file, position: 0, len: offsets }));
            let file = Kind::TimeIndex.file(dir, base);
            reads.push((Small::ActiveTimes, ReadRange { file, position: 0, len: times }));
            let file = Kind::Log.file(dir, base);
            reads.push((Small::ActiveFirst, ReadRange { file, position: 0, len: BATCH_HEADER as u64 }));
        }
        reads
    }

    fn feed_small(&mut self, small: Small, bytes: Bytes) {
        match small {
            Small::Epochs => {
                if let Some(epochs) = EpochCache::decode(&bytes) {
                    self.log.epochs = epochs;
                    self.epochs_intact = true;
                }
            }
            Small::Metadata => self.log.topic_id = topic_id_in(&bytes),
            Small::LastTime { segment } => {
                let segment = Arc::make_mut(&mut self.log.segments[segment]);
                match <[u8; TimeEntry::LEN]>::try_from(&bytes[..]) {
                    Ok(entry) => {
                        let entry = TimeEntry::decode(&entry);
                        segment.max_timestamp = entry.timestamp;
                        segment.max_timestamp_offset = segment.base_offset + i64::from(entry.relative_offset);
                    }
                    Err(_) => self.rescan_from = self.rescan_from.min(segment.base_offset),
                }
            }
            Small::First { segment } => {
                let first = bytes.first_chunk().and_then(BatchHeader::parse);
                Arc::make_mut(&mut self.log.segments[segment]).first_timestamp = first.map(|first| first.max_timestamp);
            }
            Small::Aborted { segment } => self.feed_aborted(segment, bytes),
            Small::ActiveOffsets => self.active_offsets = Some(bytes),
            Small::ActiveTimes => self.active_times = Some(bytes),
            Small::ActiveFirst => self.active_first = Some(bytes),
        }
    }

    fn feed_aborted(&mut self, segment: usize, bytes: Bytes) {
        let base = self.log.segments[segment].base_offset;
        let next = self.log.segments.get(segment + 1).map(|next| next.base_offset);
        // The end of an appended index may be torn as any append.
        let torn = if next.is_none() { bytes.len() % AbortedTransaction::LEN } else { 0 };
        let whole = &bytes[..bytes.len() - torn];
        let index = txn_index::decode(whole, base, next.unwrap_or(i64::MAX)).unwrap_or_else(|| {
            self.replay_from = self.replay_from.min(base);
            TxnIndex::default()
        });
        self.aborted.insert(base, (bytes, index));
    }

    /// Turns to the newest snapshot that has not been tried and is old enough.
    fn next_snapshot(&mut self) {
        while self.snapshots.pop_if(|offset| *offset > self.replay_from).is_some() {}
        match self.snapshots.pop() {
            Some(offset) => {
                self.snapshot = offset;
                let file = Kind::Snapshot.file(&self.log.dir, offset);
                // Half a million producers: more than Kafka's own memory would take.
                self.stage = Stage::Snapshot(ReadRange { file, position: 0, len: 32 << 20 });
            }
            None => {
                self.snapshot = i64::MIN;
                self.log.producers = ProducerStates::default();
                self.begin_scan();
            }
        }
    }

    fn drop_snapshot(&mut self, offset: i64) {
        if self.log.snapshots.remove(&offset) {
            self.log.ops.push(StoreOp::Delete { file: Kind::Snapshot.file(&self.log.dir, offset) });
        }
    }

    fn begin_scan(&mut self) {
        let from = self.snapshot.min(self.rescan_from).min(self.replay_from);
        for index in 0..self.log.segments.len() {
            self.keep_aborted(index);
        }
        let index = self.log.segment_at(from);
        let position = if index + 1 == self.log.segments.len() { self.restore_active(from) } else { 0 };
        if position == 0 {
            self.reset(index);
        }
        self.go_on(index, position);
    }

    /// Takes the active segment as it was checkpointed, up to the last indexed batch before `from`.
    /// Says where that batch stands: the scan begins with it.
    fn restore_active(&mut self, from: i64) -> u64 {
        let (Some(offsets), Some(times)) = (&self.active_offsets, &self.active_times) else { return 0 };
        // The end of an appended index may be torn as any append.
        let whole = |bytes: &Bytes, len: usize| bytes.slice(..bytes.len() - bytes.len() % len);
        let (Some(mut offsets), Some(mut times)) =
            (Index::decode(&whole(offsets, 8)), Index::<TimeEntry>::decode(&whole(times, TimeEntry::LEN)))
        else {
            return 0;
        };
        let first = self.active_first.as_deref().and_then(|bytes| BatchHeader::parse(bytes.try_into().ok()?));
        let log_len = self.sizes[&self.log.active().base_offset].log.unwrap_or(0);
        let interval = self.log.config.index_interval_bytes;
        let segment = self.log.active_mut();
        let base = segment.base_offset;
        let before =
            offsets.count_where(|entry: &crate::index::OffsetEntry| base + i64::from(entry.relative_offset) < from);
        let (Some(first), Some(hint)) = (first, before.checked_sub(1).and_then(|index| offsets.get(index))) else {
            return 0;
        };
        if u64::from(hint.position) >= log_len {
            return 0;
        }
        // Noting the batch again makes its index entry again.
        offsets.truncate(before - 1);
        times.truncate(times.count_where(|entry| entry.relative_offset <= hint.relative_offset));
        if let Some(latest) = times.last() {
            segment.max_timestamp = latest.timestamp;
            segment.max_timestamp_offset = base + i64::from(latest.relative_offset);
        }
        segment.end_offset = offsets.last().map_or(base, |entry| base + i64::from(entry.relative_offset) + 1);
        segment.size = u64::from(hint.position);
        segment.first_timestamp = Some(first.max_timestamp);
        segment.unindexed_bytes = u64::from(interval) + 1;
        segment.indexes = Indexes::Held { offsets, times };
        self.hint = Some((segment.size, base + i64::from(hint.relative_offset)));
        segment.size
    }

    /// Scans this segment from nothing.
    fn reset(&mut self, index: usize) {
        let (base, now) = (self.log.segments[index].base_offset, self.now);
        self.log.segments[index] = Arc::new(Segment::new(&self.log.dir, base, now));
        self.keep_aborted(index);
    }

    /// Of the aborted transactions on disk, keeps those that ended before the snapshot: the others are
    /// found again by the scan.
    fn keep_aborted(&mut self, index: usize) {
        let Some((_, aborted)) = self.aborted.get(&self.log.segments[index].base_offset) else { return };
        let mut aborted = aborted.clone();
        aborted.truncate(aborted.count_where(|entry| entry.last_offset < self.snapshot));
        Arc::make_mut(&mut self.log.segments[index]).aborted = aborted;
    }

    fn log_len(&self, index: usize) -> u64 {
        self.sizes.get(&self.log.segments[index].base_offset).and_then(|files| files.log).unwrap_or(0)
    }

    /// Asks for what stands at `position` of a segment, or turns to the next one at its end.
    fn go_on(&mut self, mut index: usize, mut position: u64) {
        while position >= self.log_len(index) {
            self.scanned(index);
            if index + 1 == self.log.segments.len() {
                self.done();
                return;
            }
            index += 1;
            position = 0;
            self.reset(index);
        }
        let len = SCAN_BYTES.min(self.log_len(index) - position);
        self.stage = Stage::Scan { segment: index, position, len };
    }

    fn scan(&mut self, index: usize, mut position: u64, len: u64, bytes: Bytes) {
        if let Some((_, last_offset)) = self.hint.filter(|(hinted, _)| *hinted == position) {
            let header = bytes.first_chunk().and_then(BatchHeader::parse);
            if header.is_none_or(|header| header.last_offset != last_offset) {
                // The index does not fit the segment: without it, all of the segment is scanned.
                self.hint = None;
                self.reset(index);
                return self.go_on(index, 0);
            }
        }
        let remaining = self.log_len(index) - position;
        let mut rest = &bytes[..];
        let (now, interval) = (self.now, self.log.config.index_interval_bytes);
        while !rest.is_empty() {
            let header = rest.first_chunk::<BATCH_HEADER>().map(BatchHeader::parse);
            let size = header.flatten().map(|header| header.size as usize);
            match size {
                // More of the batch is in the file than was asked for.
                Some(size)
                    if size > rest.len()
                        && bytes.len() as u64 >= len
                        && size as u64 <= remaining - (bytes.len() - rest.len()) as u64 =>
                {
                    self.report.scanned_bytes += (bytes.len() - rest.len()) as u64;
                    self.stage = Stage::Scan { segment: index, position, len: (size as u64).max(SCAN_BYTES) };
                    return;
                }
                None if rest.len() < BATCH_HEADER && (bytes.len() as u64) < remaining && bytes.len() as u64 >= len => {
                    self.report.scanned_bytes += (bytes.len() - rest.len()) as u64;
                    self.stage = Stage::Scan { segment: index, position, len: SCAN_BYTES };
                    return;
                }
                Some(size) if size <= rest.len() => {
                    let segment = Arc::make_mut(&mut self.log.segments[index]);
                    match validate::stored_batch(&rest[..size], segment.end_offset) {
                        Some((header, marker)) if segment.relative(header.last_offset).is_some() => {
                            segment.note_batch(&header, interval, now);
                            if self.log.epochs.latest().is_none_or(|latest| latest < header.leader_epoch) {
                                self.log.epochs.assign(header.leader_epoch, header.base_offset);
                            }
                            if header.producer_id >= 0 && header.base_offset >= self.snapshot {
                                let (_, aborted) = self.log.producers.append(&header, marker);
                                aborted.into_iter().for_each(|aborted| segment.aborted.push(aborted));
                            }
                            position += size as u64;
                            rest = &rest[size..];
                        }
                        _ => return self.cut(index, position),
                    }
                }
                _ => return self.cut(index, position),
            }
        }
        self.report.scanned_bytes += bytes.len() as u64;
        if bytes.is_empty() {
            // The file is shorter than it was listed.
            return self.cut(index, position);
        }
        self.go_on(index, position);
    }

    /// What stands at `position` is no batch: it and all that follows was never whole.
    fn cut(&mut self, index: usize, position: u64) {
        let file = self.log.segments[index].log.clone();
        self.report.truncated_bytes += self.log_len(index) - position;
        self.log.ops.push(StoreOp::Truncate { file, len: position });
        for segment in self.log.segments.drain(index + 1..).collect::<Vec<_>>() {
            self.report.truncated_segments += 1;
            self.report.truncated_bytes += self.sizes[&segment.base_offset].log.unwrap_or(0);
            for kind in [Kind::Log, Kind::Index, Kind::TimeIndex, Kind::TxnIndex] {
                self.log.ops.push(StoreOp::Delete { file: kind.file(&self.log.dir, segment.base_offset) });
            }
        }
        // The indexes on disk are those of another segment, or of more of this one.
        (self.active_offsets, self.active_times) = (None, None);
        self.scanned(index);
        self.done();
    }

    /// A segment was read to its end.
    fn scanned(&mut self, index: usize) {
        let is_active = index + 1 == self.log.segments.len();
        let segment = Arc::make_mut(&mut self.log.segments[index]);
        segment.index_time();
        let found = segment.aborted.encode_from(0);
        if self.aborted.get(&segment.base_offset).map_or(&[][..], |(on_disk, _)| on_disk) != found {
            self.log.ops.push(txn_index_op(&self.log.dir, segment));
            self.aborted.entry(segment.base_offset).or_default().0 = found;
        }
        let Indexes::Held { offsets, times } = &segment.indexes else { return };
        let (offsets, times) = (offsets.encode_from(0), times.encode_from(0));
        if is_active {
            let same = self.active_offsets.as_ref() == Some(&offsets) && self.active_times.as_ref() == Some(&times);
            self.log.flushed = same.then(|| segment.index_lens());
        } else {
            let base = segment.base_offset;
            for (kind, bytes) in [(Kind::Index, offsets), (Kind::TimeIndex, times)] {
                self.log.ops.push(StoreOp::Replace { file: kind.file(&self.log.dir, base), bytes });
            }
        }
    }

    fn done(&mut self) {
        let (base, end) = (self.log.active().base_offset, self.log.active().end_offset);
        let last_aborted = self.aborted.get(&base).and_then(|(_, index)| index.last());
        // A snapshot from beyond the end tells of records that are gone: the one before it has to do.
        if self.snapshot > end {
            self.drop_snapshot(self.snapshot);
        } else if last_aborted.is_some_and(|last| last.last_offset >= end) && self.snapshot > base {
            // Nor is there a marker beyond the end.
            self.replay_from = self.replay_from.min(base);
        } else {
            return self.mend(end);
        }
        self.rescan_from = self.rescan_from.min(base);
        self.sizes.entry(base).or_default().log = Some(self.log.active().size);
        self.next_snapshot();
    }

    fn mend(&mut self, end: i64) {
        for beyond in self.log.snapshots.split_off(&(end + 1)) {
            self.log.ops.push(StoreOp::Delete { file: Kind::Snapshot.file(&self.log.dir, beyond) });
        }
        self.log.bytes_since_checkpoint = self.report.scanned_bytes;
        self.stage = Stage::Done;
    }
}

fn topic_id_in(bytes: &[u8]) -> Option<Uuid> {
    let text = std::str::from_utf8(bytes).ok()?;
    Uuid::parse(text.lines().find_map(|line| line.strip_prefix("topic_id:"))?.trim())
}
