//! Promises of a node's own state, as its events and its view show it: marks, leader epochs, registrations.

use shore_base::NodeId;
use shore_base::collections::BTreeMap;
use shore_broker::NodeView;
use shore_broker::view::{LogView, PartitionView};

use crate::wire_watch::Broken;

type Place = (String, i32);

#[derive(Default)]
pub(crate) struct NodeWatch {
    marks: BTreeMap<Place, Marks>,
    /// How often the node was started, and with which epoch each broker was registered at which start.
    starts: u64,
    registered: BTreeMap<NodeId, (u64, i64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    high_watermark: i64,
    log_start: i64,
}

impl NodeWatch {
    pub fn started(&mut self) {
        self.starts += 1;
    }

    /// What a reader of the log sees after a restart begins anew.
    pub fn is_down(&mut self) {
        self.marks.clear();
    }

    /// A topic is gone; one of its name begins anew.
    pub fn forget(&mut self, topic: &str) {
        self.marks.retain(|(name, _), _| name != topic);
    }

    pub fn high_watermark_moved(&mut self, topic: &str, partition: i32, from: i64, to: i64) -> Option<Broken> {
        let marks = self.marks.entry((topic.to_owned(), partition)).or_default();
        let before = core::mem::replace(&mut marks.high_watermark, to);
        (to < from || to < before).then(|| {
            let what = format!("the high watermark of {topic}-{partition} fell from {before} to {to}");
            ("1: log start <= high watermark <= log end", what)
        })
    }

    pub fn log_start_moved(&mut self, topic: &str, partition: i32, from: i64, to: i64) -> Option<Broken> {
        let marks = self.marks.entry((topic.to_owned(), partition)).or_default();
        marks.log_start = to;
        (to < from || (marks.high_watermark > 0 && to > marks.high_watermark)).then(|| {
            let what = format!("the start of {topic}-{partition} moved from {from} to {to}");
            ("47: retention removes what is committed and goes forward", what)
        })
    }

    pub fn look(&mut self, node: &NodeView) -> Vec<Broken> {
        let mut broken: Vec<Broken> = self.registration(node).into_iter().collect();
        for topic in &node.topics {
            for (partition, log) in topic.partitions.iter().filter_map(|p| Some((p, p.log.as_ref()?))) {
                broken.extend(marks_in_order(&topic.name, partition.partition, log));
                broken.extend(epochs_fit(&topic.name, partition, log));
                broken.extend(stable_offset_fits(&topic.name, partition.partition, log));
            }
        }
        broken
    }

    /// 24: each registration of a broker has a greater epoch than those before.
    fn registration(&mut self, node: &NodeView) -> Option<Broken> {
        let broker = node.brokers.iter().find(|broker| node.is_ready && broker.id == node.node_id.0)?;
        let now = (self.starts, broker.epoch);
        let (start, epoch) = self.registered.insert(node.node_id, now)?;
        let rises = if start == self.starts { broker.epoch >= epoch } else { broker.epoch > epoch };
        (!rises).then(|| {
            let what = format!("broker {} came from epoch {epoch} to {}", broker.id, broker.epoch);
            ("24: a broker's epochs rise", what)
        })
    }
}

fn marks_in_order(topic: &str, partition: i32, log: &LogView) -> Option<Broken> {
    let marks = [log.start_offset, log.last_stable_offset, log.high_watermark, log.durable_end, log.end_offset];
    (!marks.is_sorted()).then(|| {
        let what =
            format!("{topic}-{partition} has its start, stable, committed, durable and last offset at {marks:?}");
        ("1: log start <= stable <= high watermark <= log end", what)
    })
}

/// 43: what is stable ends where the first open transaction begins, or where all that is committed does. A transaction
/// that has ended counts until its marker is committed.
fn stable_offset_fits(topic: &str, partition: i32, log: &LogView) -> Option<Broken> {
    let starts = log.producers.iter().filter_map(|producer| producer.transaction_start);
    let end = starts.chain([log.high_watermark]).min().unwrap_or_default();
    let is_settled = log.high_watermark == log.end_offset;
    let fits = if is_settled { log.last_stable_offset == end } else { log.last_stable_offset <= end };
    (!fits).then(|| {
        let what = format!("{topic}-{partition} is stable to {}, where {end} is right", log.last_stable_offset);
        ("43: what is stable ends at the first open transaction", what)
    })
}

/// 17: leader epochs and the offsets at which they begin rise, none is above the leader's, and a batch is of the
/// epoch in which it lies.
fn epochs_fit(topic: &str, partition: &PartitionView, log: &LogView) -> Option<Broken> {
    const RULE: &str = "17: a batch is of the epoch in which it lies";
    let epochs = &log.epochs;
    let place = format!("{topic}-{}", partition.partition);
    let rise = epochs.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
    let newest = epochs.last().map_or(-1, |(epoch, _)| *epoch);
    if !rise || newest > partition.leader_epoch {
        return Some((RULE, format!("{place} of epoch {} has the epochs {epochs:?}", partition.leader_epoch)));
    }
    // DeleteRecords lets the epochs begin where the log does; a crash may take the log's start back alone.
    let first = epochs.first().map_or(0, |(_, start)| *start);
    let stray = log.batches.iter().filter(|batch| batch.last_offset >= first).find(|batch| {
        let after = epochs.partition_point(|(_, start)| *start <= batch.last_offset);
        after.checked_sub(1).map(|index| epochs[index].0) != Some(batch.leader_epoch)
    })?;
    let (offset, epoch) = (stray.last_offset, stray.leader_epoch);
    Some((RULE, format!("{place} has a batch of epoch {epoch} at {offset} and the epochs {epochs:?}")))
}
