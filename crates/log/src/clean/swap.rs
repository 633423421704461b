//! How a cleaned segment takes the place of those that it was made from: in the store, by ops that may be
//! carried out again from any of them on, and then in memory.

use std::sync::Arc;

use bytes::Bytes;
use shore_base::Wall;

use crate::log::{DELETED_SUFFIX, Log};
use crate::segment::{Indexes, Kind, Segment};
use crate::storage::{FileName, StoreOp};

/// Of files that are being written: a crash leaves them to be deleted.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// Of files that are whole: a crash leaves them to take the old ones' place.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

const PARTS: [Kind; 4] = [Kind::Log, Kind::Index, Kind::TimeIndex, Kind::TxnIndex];

fn with(file: &FileName, suffix: &str) -> FileName {
    FileName::new(format!("{file}{suffix}"))
}

/// Appends to the new segment's file, of which `written` bytes are there.
pub(super) fn append_cleaned(dir: &FileName, segment: &Segment, written: u64, bytes: Bytes) -> Vec<StoreOp> {
    let file = with(&Kind::Log.file(dir, segment.base_offset), CLEANED_SUFFIX);
    // It may be longer: by what a failed store did, or by a round that was given up.
    let cut = match written {
        0 => StoreOp::Delete { file: file.clone() },
        len => StoreOp::Truncate { file: file.clone(), len },
    };
    vec![cut, StoreOp::Append { file, position: written, bytes }]
}

pub(super) fn delete_cleaned(dir: &FileName, base: i64) -> Vec<StoreOp> {
    vec![StoreOp::Delete { file: with(&Kind::Log.file(dir, base), CLEANED_SUFFIX) }]
}

/// Completes the new segment's files and lets them take the place of the group's.
pub(super) fn ops(log: &Log, new: &Segment, group: &[i64]) -> Vec<StoreOp> {
    let file = |kind: Kind| kind.file(&log.dir, new.base_offset);
    let mut ops = Vec::new();
    if new.size == 0 {
        ops.extend(append_cleaned(&log.dir, new, 0, Bytes::new()));
    }
    let Indexes::Held { offsets, times } = &new.indexes else { return ops };
    let mut derived = vec![(Kind::Index, offsets.encode_from(0)), (Kind::TimeIndex, times.encode_from(0))];
    if !new.aborted.is_empty() {
        derived.push((Kind::TxnIndex, new.aborted.encode_from(0)));
    }
    for (kind, bytes) in derived {
        ops.push(StoreOp::Replace { file: with(&file(kind), CLEANED_SUFFIX), bytes });
    }
    ops.push(StoreOp::Sync);
    for kind in PARTS {
        let file = file(kind);
        ops.push(StoreOp::Rename { from: with(&file, CLEANED_SUFFIX), to: with(&file, SWAP_SUFFIX) });
    }
    // The files of the first segment are overwritten, those of the others go.
    for file in others(log, group) {
        let to = with(&file, DELETED_SUFFIX);
        ops.push(StoreOp::Rename { from: file, to });
    }
    if new.aborted.is_empty() {
        ops.push(StoreOp::Delete { file: file(Kind::TxnIndex) });
    }
    for kind in PARTS {
        let file = file(kind);
        ops.push(StoreOp::Rename { from: with(&file, SWAP_SUFFIX), to: file });
    }
    ops.push(StoreOp::Sync);
    ops
}

/// The files of all segments of a group but the first, the last one's first.
fn others<'a>(log: &'a Log, group: &'a [i64]) -> impl Iterator<Item = FileName> + 'a {
    group[1..].iter().rev().flat_map(|&base| Kind::ALL.map(|kind| kind.file(&log.dir, base)))
}

impl Log {
    /// The store has swapped a group of segments for a new one: so does memory.
    pub(super) fn swap_in(&mut self, mut new: Segment, group: &[i64], now: Wall) {
        let first = self.segment_at(group[0]);
        let doomed: Vec<FileName> = others(self, group).map(|file| with(&file, DELETED_SUFFIX)).collect();
        group[1..].iter().for_each(|base| {
            self.snapshots.remove(base);
        });
        if let Indexes::Held { offsets, times } = &new.indexes {
            let (offsets_len, times_len) = (offsets.file_len(), times.file_len());
            new.indexes = Indexes::OnDisk { offsets_len, times_len };
        }
        self.segments.splice(first..first + group.len(), [Arc::new(new)]);
        if !doomed.is_empty() {
            let due = Wall::from_millis(now.as_millis().saturating_add(self.config.file_delete_delay_ms));
            self.deleting.push_back((due, doomed));
        }
        self.room.shrink();
    }
}
