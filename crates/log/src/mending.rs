//! After a failed store: the files follow memory again, however much of the store was carried out.
//!
//! What does not count as durable is taken back. What does (all that was appended, where nothing waits for
//! the store) is kept, and its ops are emitted again until they are taken. Either way the files go back
//! before they go on, the newest first, so that at every moment they hold a prefix of what was emitted.

use bytes::Bytes;
use shore_base::collections::BTreeSet;

use crate::log::{Log, Undo, txn_index_op};
use crate::segment::Kind;
use crate::storage::{FileName, StoreOp};

impl Log {
    /// A store failed. What is emitted next makes the files agree.
    pub fn store_failed(&mut self) {
        self.mending = true;
        let mut lost = std::mem::take(&mut self.taken);
        lost.append(&mut self.ops);
        if self.durable_end == self.end_offset {
            self.ops = self.again(lost);
        } else {
            self.rewind_to_durable(lost);
        }
    }

    /// Bytes of records that wait because a store failed: they are in memory alone.
    pub fn overdue_bytes(&self) -> u64 {
        if !self.mending {
            return 0;
        }
        let (segment, stored) = self.stored_to();
        self.segments[segment..].iter().map(|segment| segment.size).sum::<u64>() - stored
    }

    /// The log goes back to its durable end.
    fn rewind_to_durable(&mut self, lost: Vec<StoreOp>) {
        while let Some(undo) = self.undo.pop_back() {
            match undo {
                Undo::Append { end_before, segment, producers, epochs, .. } => {
                    self.active_mut().rewind(&segment);
                    producers.into_iter().rev().for_each(|undo| self.producers.undo(undo));
                    self.epochs = epochs.unwrap_or_else(|| std::mem::take(&mut self.epochs));
                    self.end_offset = end_before;
                }
                Undo::Roll { segment, .. } => {
                    let base = self.segments.pop().expect("a roll made a segment").base_offset;
                    self.doubtful.extend(Kind::ALL.map(|kind| kind.file(&self.dir, base)));
                    self.active_mut().rewind(&segment);
                }
            }
        }
        self.high_watermark = self.high_watermark.min(self.end_offset);
        self.epochs.truncate_from_start(self.start_offset);
        // Files that retention has taken away do not come back. The oldest go first: no hole is left.
        let first = self.segments[0].base_offset;
        let is_gone = |file: &FileName| Kind::parse(file.base_name()).is_none_or(|(base, _)| base < first);
        self.ops.extend(lost.into_iter().filter(|op| match op {
            StoreOp::Rename { .. } => true,
            StoreOp::Delete { file } => is_gone(file),
            _ => false,
        }));
        self.ops.extend(self.doubtful.iter().map(|file| StoreOp::Delete { file: file.clone() }));
        for offset in self.snapshots.split_off(&(self.end_offset + 1)) {
            self.ops.push(StoreOp::Delete { file: Kind::Snapshot.file(&self.dir, offset) });
        }
        let (file, len) = (self.active().log.clone(), self.active().size);
        self.ops.push(StoreOp::Truncate { file: file.clone(), len });
        if len == 0 {
            // An empty segment's file holds the place of the log's end.
            self.ops.push(StoreOp::Append { file, position: 0, bytes: Bytes::new() });
        }
        let aborted = txn_index_op(&self.dir, self.active());
        self.ops.push(aborted);
        self.write_epochs();
        if let Some(topic_id) = self.topic_id {
            self.set_topic_id(topic_id);
        }
        // A snapshot promises indexes that fit: the failed store may have left others. It may also have
        // lost the snapshot that was thought to stand here.
        self.flushed = None;
        self.snapshots.remove(&self.end_offset);
        self.checkpoint();
    }

    /// The ops once more, after those that bring the files back to where they were before them.
    fn again(&self, lost: Vec<StoreOp>) -> Vec<StoreOp> {
        let mut gone = BTreeSet::new();
        let mut ops: Vec<StoreOp> = Vec::with_capacity(lost.len() * 2);
        for op in lost.into_iter().rev() {
            match &op {
                StoreOp::Rename { from: file, .. } | StoreOp::Delete { file } => {
                    gone.insert(file.clone());
                }
                // There may be nothing left to append to.
                StoreOp::Append { file, .. } if gone.contains(file) => continue,
                _ => {}
            }
            ops.push(op);
        }
        let stored = self.segments[self.stored_to().0].base_offset;
        let mut back = Vec::new();
        let mut seen = BTreeSet::new();
        for op in ops.iter().rev() {
            let (StoreOp::Append { file, .. } | StoreOp::Replace { file, .. }) = op else { continue };
            if !seen.insert(file.clone()) {
                continue;
            }
            match (op, Kind::parse(file.base_name())) {
                (_, Some((_, Kind::Snapshot))) => back.push(StoreOp::Delete { file: file.clone() }),
                (StoreOp::Append { .. }, Some((base, _))) if base > stored => {
                    back.push(StoreOp::Delete { file: file.clone() });
                }
                (StoreOp::Append { position, .. }, _) => {
                    back.push(StoreOp::Truncate { file: file.clone(), len: *position });
                }
                _ => {}
            }
        }
        ops.extend(back);
        ops.reverse();
        ops
    }
}
