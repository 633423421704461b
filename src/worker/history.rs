//! What a store held when it was opened: the node reads old batches only when a client asks for them,
//! the tapes show them at once.

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_broker::view::NodeView;
use shore_log::storage::{FileName, ReadRange, StoreReply, StoreRequest, Token};
use shore_view::fate;
use shore_view::model::{Batch, Partition, Screen};
use shore_web::store::TabStore;
use shore_wire::batch;

/// A segment longer than this is not read for its last batches.
const MOST_BYTES: u64 = 2 * 1024 * 1024;
/// As many batches of a partition are shown.
const SHOWN: usize = 64;

#[derive(Clone, Debug, Default)]
pub struct History {
    partitions: BTreeMap<(String, i32), Vec<(Batch, Bytes)>>,
}

/// A partition whose newest batches are not in memory.
pub struct Wanted {
    topic: String,
    partition: i32,
    file: FileName,
}

/// The partitions that were there before this run.
pub fn wanted(node: &NodeView, directory: &FileName) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for topic in node.topics.iter().filter(|topic| !topic.is_internal) {
        for partition in &topic.partitions {
            let Some(log) = &partition.log else { continue };
            let Some(segment) = log.segments.last().filter(|segment| segment.size > 0 && segment.size <= MOST_BYTES)
            else {
                continue;
            };
            let name = format!("{}-{}/{:020}.log", topic.name, partition.partition, segment.base_offset);
            let file = directory.join(&name);
            wanted.push(Wanted { topic: topic.name.to_string(), partition: partition.partition, file });
        }
    }
    wanted
}

impl History {
    pub async fn read(store: &mut TabStore, wanted: Vec<Wanted>) -> Self {
        let mut history = Self::default();
        for Wanted { topic, partition, file } in wanted {
            let reads = vec![ReadRange { file, position: 0, len: MOST_BYTES }];
            let replies = store.carry_out(vec![StoreRequest::Load { token: Token(0), reads }]).await;
            let Some(StoreReply::Loaded { result: Ok(loaded), .. }) = replies.into_iter().next() else { continue };
            let Some(bytes) = loaded.into_iter().next() else { continue };
            history.partitions.insert((topic, partition), newest(&bytes));
        }
        history
    }

    /// Adds to each tape what came before the batches that are in memory.
    pub fn complete(&self, screen: &mut Screen) {
        for topic in &mut screen.topics {
            let name = topic.name.to_string();
            if topic.partitions.iter().any(|partition| self.has(&name, partition)) {
                let topic = std::rc::Rc::make_mut(topic);
                for partition in &mut topic.partitions {
                    if self.has(&name, partition) {
                        self.complete_partition(&name, std::rc::Rc::make_mut(partition));
                    }
                }
            }
        }
    }

    /// The bytes of the batch at an offset.
    pub fn batch_at(&self, topic: &str, partition: i32, offset: i64) -> Option<Bytes> {
        let batches = self.partitions.get(&(topic.to_owned(), partition))?;
        let found = batches.iter().find(|(batch, _)| (batch.base_offset..=batch.last_offset).contains(&offset));
        found.map(|(_, bytes)| bytes.clone())
    }

    fn has(&self, topic: &str, partition: &Partition) -> bool {
        partition.batches.len() < SHOWN && self.partitions.contains_key(&(topic.to_owned(), partition.index))
    }

    fn complete_partition(&self, topic: &str, partition: &mut Partition) {
        let Some(old) = self.partitions.get(&(topic.to_owned(), partition.index)) else { return };
        let first = partition.batches.first().map_or(partition.log_end, |batch| batch.base_offset);
        let older = old.iter().map(|(batch, _)| *batch);
        let older = older.filter(|batch| batch.last_offset < first && batch.base_offset >= partition.log_start);
        let mut batches: Vec<Batch> = older.collect();
        batches.append(&mut partition.batches);
        fate::settle(&mut batches, &partition.open.iter().copied().collect());
        batches.drain(..batches.len().saturating_sub(SHOWN));
        partition.batches = batches;
    }

    /// A deleted topic's batches are not those of a new one of its name.
    pub fn forget(&mut self, topic: &str) {
        self.partitions.retain(|(known, _), _| known != topic);
    }
}

fn newest(bytes: &Bytes) -> Vec<(Batch, Bytes)> {
    let mut batches: Vec<(Batch, Bytes)> = batch::batches(bytes)
        .map_while(Result::ok)
        .map(|view| (fate::stored_batch(&view), bytes.slice_ref(view.bytes())))
        .collect();
    batches.drain(..batches.len().saturating_sub(SHOWN));
    batches
}
