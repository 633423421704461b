//! Which batches of a tape belong to a transaction, and what became of it.

use shore_base::collections::BTreeMap;
use shore_broker::view::LogView;
use shore_log::BatchHeader;
use shore_wire::batch::{BatchView, ControlKind};

use crate::model::{Batch, Fate};

/// A marker is one small record.
const MARKER_MOST: usize = 1_024;

/// A batch as its header says; what its transaction became is found by [`settle`].
pub fn batch(header: &BatchHeader, log: &LogView) -> Batch {
    let is_abort = || log.aborted.iter().any(|aborted| aborted.last_offset == header.base_offset);
    Batch {
        base_offset: header.base_offset,
        last_offset: header.last_offset,
        records: header.count.max(0) as u32,
        bytes: header.size,
        producer_id: header.producer_id,
        fate: match (header.is_transactional(), header.is_control()) {
            (true, true) if is_abort() => Fate::AbortMarker,
            (true, true) => Fate::CommitMarker,
            (true, false) => Fate::Open,
            (false, _) => Fate::Plain,
        },
    }
}

/// As [`batch`], of a batch that was read from the store: its marker says itself what it is.
pub fn stored_batch(view: &BatchView<'_>) -> Batch {
    let is_commit = || {
        let records = view.records(MARKER_MOST).ok();
        let kind = records.and_then(|records| ControlKind::of(&records.iter().next()?.ok()?));
        kind == Some(ControlKind::Commit)
    };
    Batch {
        base_offset: view.base_offset(),
        last_offset: view.last_offset(),
        records: view.count().max(0) as u32,
        bytes: view.size() as u32,
        producer_id: view.producer_id(),
        fate: match (view.is_transactional(), view.is_control()) {
            (true, true) if is_commit() => Fate::CommitMarker,
            (true, true) => Fate::AbortMarker,
            (true, false) => Fate::Open,
            (false, _) => Fate::Plain,
        },
    }
}

/// Gives the batches of each transaction the fate that the marker behind them says. `open` has the first offsets of
/// open transactions, by producer.
pub fn settle(batches: &mut [Batch], open: &BTreeMap<i64, i64>) {
    let mut markers: BTreeMap<i64, Fate> = BTreeMap::new();
    for batch in batches.iter_mut().rev() {
        match batch.fate {
            Fate::CommitMarker => drop(markers.insert(batch.producer_id, Fate::Committed)),
            Fate::AbortMarker => drop(markers.insert(batch.producer_id, Fate::Aborted)),
            Fate::Open | Fate::Committed | Fate::Aborted => {
                let is_open = open.get(&batch.producer_id).is_some_and(|first| batch.base_offset >= *first);
                // Compaction may have taken the marker, and never before everything that it aborted.
                let settled = markers.get(&batch.producer_id).copied().unwrap_or(Fate::Committed);
                batch.fate = if is_open { Fate::Open } else { settled };
            }
            Fate::Plain => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base_offset: i64, producer_id: i64, fate: Fate) -> Batch {
        Batch { base_offset, last_offset: base_offset, records: 1, bytes: 70, producer_id, fate }
    }

    #[test]
    fn a_marker_settles_what_its_producer_wrote_before_it() {
        use Fate::*;
        let mut batches = [
            at(0, 7, Open),
            at(1, -1, Plain),
            at(2, 8, Open),
            at(3, 7, AbortMarker),
            at(4, 8, CommitMarker),
            at(5, 7, Open),
            at(6, 9, Open),
        ];
        settle(&mut batches, &BTreeMap::from([(7, 5)]));
        let fates = batches.map(|batch| batch.fate);
        assert_eq!(fates, [Aborted, Plain, Committed, AbortMarker, CommitMarker, Open, Committed]);
    }
}
