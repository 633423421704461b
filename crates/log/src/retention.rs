//! Forgetting what is old: whole segments, the oldest first.

use std::sync::Arc;

use shore_base::Wall;
use shore_wire::error::ErrorCode;

use crate::log::Log;
use crate::segment::{Kind, Segment};
use crate::storage::StoreOp;

/// How often expired producers are looked for.
const PRODUCER_CHECK_MS: i64 = 600_000;

impl Log {
    /// Applies retention, deletes files whose delay has passed, and forgets producers that are gone.
    /// Says how many segments were dropped.
    pub fn maintain(&mut self, now: Wall) -> usize {
        self.delete_due(now);
        if now.as_millis() - self.producers_checked.as_millis() >= PRODUCER_CHECK_MS {
            self.producers_checked = now;
            self.producers.expire(now.as_millis(), self.config.producer_id_expiration_ms);
        }
        let deleted = self.drop_before_start(now);
        if !self.config.cleanup_policy.delete {
            return deleted;
        }
        deleted + self.retain_by_size(now) + self.retain_by_time(now)
    }

    /// Lets the log begin at `before`, or at the high watermark if that is -1, and says where it begins
    /// now. It begins no earlier than it did. Segments that are wholly before it go with the next
    /// [`Log::maintain`].
    pub fn delete_records(&mut self, before: i64) -> Result<i64, ErrorCode> {
        let before = if before == -1 { self.high_watermark } else { before };
        // What a store may still take back is not below the start either.
        if before < 0 || before > self.high_watermark.min(self.durable_end) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if before > self.start_offset {
            self.start_offset = before;
            if self.epochs.truncate_from_start(before) {
                self.write_epochs();
            }
        }
        Ok(self.start_offset)
    }

    /// Where the log begins, if that is within its first segment: what has to be remembered elsewhere.
    pub fn start_within_segment(&self) -> Option<i64> {
        Some(self.start_offset).filter(|&start| start > self.segments[0].base_offset)
    }

    fn drop_before_start(&mut self, now: Wall) -> usize {
        let (start, end) = (self.start_offset, self.active().base_offset);
        self.delete_oldest_while(now, |segment| segment.end_offset <= start && segment.base_offset < end)
    }

    /// Deletes the files of dropped segments whose `file.delete.delay.ms` has passed.
    pub fn delete_due(&mut self, now: Wall) {
        while self.deleting.front().is_some_and(|(due, _)| *due <= now) {
            let (_, files) = self.deleting.pop_front().expect("there is one");
            self.ops.extend(files.into_iter().map(|file| StoreOp::Delete { file }));
        }
    }

    /// When the next file is to be deleted, for the caller's timer.
    pub fn next_deletion(&self) -> Option<Wall> {
        self.deleting.front().map(|(due, _)| *due)
    }

    fn retain_by_size(&mut self, now: Wall) -> usize {
        let Ok(retention) = u64::try_from(self.config.retention_bytes) else { return 0 };
        let mut excess = self.size_bytes().saturating_sub(retention);
        self.delete_oldest_while(now, |segment| {
            let fits = segment.size <= excess;
            excess = excess.saturating_sub(segment.size);
            fits
        })
    }

    fn retain_by_time(&mut self, now: Wall) -> usize {
        let retention = self.config.retention_ms;
        if retention < 0 {
            return 0;
        }
        self.delete_oldest_while(now, |segment| now.as_millis().saturating_sub(segment.largest_timestamp()) > retention)
    }

    /// Drops the oldest segment, if all of it is committed and durable, and says how many bytes that
    /// freed: for a host whose memory is all the disk there is. Its files go at once, without
    /// `file.delete.delay.ms`, because the room that they take is what is wanted.
    pub fn drop_oldest(&mut self, now: Wall) -> Option<u64> {
        let size = self.segments[0].size;
        let mut is_first = true;
        let dropped = self.delete_oldest_while(now, |_| std::mem::take(&mut is_first));
        if dropped == 0 {
            return None;
        }
        let files = self.deleting.drain(..).flat_map(|(_, files)| files);
        self.ops.extend(files.map(|file| StoreOp::Delete { file }));
        Some(size)
    }

    fn delete_oldest_while(&mut self, now: Wall, mut breached: impl FnMut(&Segment) -> bool) -> usize {
        // A torn file must be mended while it is the active one, and what is being cleaned has to stay.
        let candidates = if self.mending || self.is_cleaning { &[][..] } else { &self.segments[..] };
        // Files whose ops may have to be emitted again stay.
        let stored = if self.undo.is_empty() { self.segments.len() } else { self.stored_to().0 };
        let mut count = 0;
        for (index, segment) in candidates.iter().enumerate() {
            let next = self.segments.get(index + 1);
            let upper = next.map_or(self.end_offset, |next| next.base_offset);
            let is_empty_active = next.is_none() && segment.size == 0;
            // What is deleted lies below the high watermark and is stored: the start never passes either.
            let settled = upper <= self.high_watermark && index < stored;
            if is_empty_active || !settled || !breached(segment) {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return 0;
        }
        if count == self.segments.len() {
            self.roll_empty(now);
        }
        let gone: Vec<Arc<Segment>> = self.segments.drain(..count).collect();
        self.start_offset = self.start_offset.max(self.segments[0].base_offset);
        self.high_watermark = self.high_watermark.max(self.start_offset);
        if self.epochs.truncate_from_start(self.start_offset) {
            self.write_epochs();
        }
        for segment in gone {
            let mut files: Vec<_> =
                [Kind::Log, Kind::Index, Kind::TimeIndex].map(|kind| kind.file(&self.dir, segment.base_offset)).into();
            if !segment.aborted.is_empty() {
                files.push(Kind::TxnIndex.file(&self.dir, segment.base_offset));
            }
            if self.snapshots.remove(&segment.base_offset) {
                files.push(Kind::Snapshot.file(&self.dir, segment.base_offset));
            }
            self.delete_files(files, now);
        }
        self.room.shrink();
        count
    }

    /// Begins an empty segment at the log's end. Its file holds the place of the log's start. This is
    /// not taken back when a store fails: what was before it is gone.
    fn roll_empty(&mut self, now: Wall) {
        self.roll(self.end_offset, now);
        self.undo.pop_back();
        let file = self.active().log.clone();
        self.ops.push(StoreOp::Append { file, position: 0, bytes: bytes::Bytes::new() });
    }
}
