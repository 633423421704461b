//! Where a consumer is in one partition.

use std::collections::VecDeque;

use shore_base::Instant;

use super::ConsumedRecord;

/// NeedsCommitted -> Fetching, or -> NeedsReset -> Fetching; a seek goes to Fetching from anywhere, an
/// offset that is gone from Fetching to NeedsReset.
#[derive(Clone, Debug)]
pub(super) enum Position {
    /// The group's committed offset is asked for.
    NeedsCommitted,
    /// The partition's first or last offset is asked for.
    NeedsReset { asked: bool, not_before: Instant },
    /// Nothing to begin with; the owner was told and has to seek.
    Undefined,
    Fetching {
        /// Offset of the next record to fetch.
        fetch: i64,
        /// Offset of the next record to hand out.
        next: i64,
        not_before: Instant,
    },
}

/// A partition that the consumer reads.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub state: Position,
    pub paused: bool,
    /// Fetched and not handed out yet.
    pub buffer: VecDeque<ConsumedRecord>,
    /// Where readable records ended at the last fetch: the high watermark, or the last stable offset for who reads
    /// committed.
    pub end: Option<i64>,
    pub committed: Option<i64>,
}

impl Slot {
    pub fn new(state: Position) -> Self {
        Self { state, paused: false, buffer: VecDeque::new(), end: None, committed: None }
    }

    pub fn begin_at(&mut self, offset: i64) {
        self.buffer.clear();
        self.state = Position::Fetching { fetch: offset, next: offset, not_before: Instant::ZERO };
    }

    /// Nothing of what was fetched counts: the committed offset is asked for again.
    pub fn rewind(&mut self) {
        self.buffer.clear();
        self.state = Position::NeedsCommitted;
    }

    pub fn position(&self) -> Option<i64> {
        match self.state {
            Position::Fetching { next, .. } => Some(next),
            _ => None,
        }
    }

    pub fn has_records(&self) -> bool {
        !self.paused && !self.buffer.is_empty()
    }

    /// Takes records off the buffer and moves the position past them.
    pub fn take(&mut self, count: usize) -> Vec<ConsumedRecord> {
        let count = count.min(self.buffer.len());
        let records: Vec<ConsumedRecord> = self.buffer.drain(..count).collect();
        if let Position::Fetching { fetch, next, .. } = &mut self.state {
            match records.last() {
                _ if self.buffer.is_empty() => *next = *fetch,
                Some(last) => *next = last.offset + 1,
                None => {}
            }
        }
        records
    }
}
