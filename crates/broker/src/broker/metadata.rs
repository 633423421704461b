//! Following the metadata log: topics and configs are learned only here.

use std::sync::Arc;

use bytes::Bytes;
use shore_base::Uuid;
use shore_base::collections::BTreeSet;
use shore_log::storage::StoreOp;
use shore_log::{LogConfig, Recovery};
use shore_wire::batch::batches;
use shore_wire::error::ErrorCode;
use shore_wire::frame;
use shore_wire::messages::fetch_request::{FetchPartition, FetchTopic, ReplicaState};
use shore_wire::messages::{FetchRequest, FetchResponse};
use shore_wire::records::metadata::MetadataRecord;

use super::{Broker, Lifecycle, LoadFor, Timer};
use crate::api::to_wire;
use crate::config::alter::{BROKER, TOPIC};
use crate::config::log_config;
use crate::controller::METADATA_TOPIC_ID;
use crate::event::Event;
use crate::image::MetadataImage;
use crate::link::Asked;
use crate::replica::{Partition, PartitionId, directory_name};

const FETCH_VERSION: i16 = 17;
/// A fetch that finds nothing new is answered after this time.
const FETCH_WAIT_MS: i32 = 10_000;
const FETCH_BYTES: i32 = 1 << 20;
const LARGEST_RECORDS: usize = 64 << 20;

impl Broker {
    pub(super) fn fetch_metadata(&mut self) {
        let mut partition = FetchPartition::default();
        partition.fetch_offset = self.image_end;
        partition.log_start_offset = 0;
        partition.partition_max_bytes = FETCH_BYTES;
        let mut topic = FetchTopic::default();
        topic.topic_id = to_wire(METADATA_TOPIC_ID);
        topic.partitions = vec![partition];
        let mut replica = ReplicaState::default();
        replica.replica_id = self.id();
        let mut request = FetchRequest::default();
        request.replica_state = replica;
        request.max_wait_ms = FETCH_WAIT_MS;
        request.max_bytes = FETCH_BYTES;
        request.session_epoch = -1;
        request.topics = vec![topic];
        self.link.send(self.node.node_id.0, FETCH_VERSION, &request, Asked::Metadata);
    }

    pub(super) fn metadata_fetched(&mut self, version: i16, response: Bytes) {
        if let Ok((_, response)) = frame::decode_response::<FetchResponse>(response, version) {
            let partition = response.responses.first().and_then(|topic| topic.partitions.first());
            if let Some(records) = partition.and_then(|partition| partition.records.as_ref()) {
                self.follow(records);
            }
        }
        if matches!(self.lifecycle, Lifecycle::CatchingUp { .. }) {
            self.heartbeat();
        }
        self.fetch_metadata();
    }

    /// Applies batches of the metadata log, then does what they mean for this broker.
    fn follow(&mut self, bytes: &[u8]) {
        let mut changes = Changes::default();
        let image = Arc::make_mut(&mut self.image);
        for batch in batches(bytes).map_while(Result::ok) {
            if batch.base_offset() < self.image_end {
                continue;
            }
            self.image_end = batch.next_offset();
            let Ok(records) = batch.records(LARGEST_RECORDS) else { continue };
            for record in records.iter().map_while(Result::ok) {
                if batch.is_control() {
                    // What cannot be read has kept the controller from starting.
                    let _ = image.apply_control(&record);
                } else if let Ok(record) = MetadataRecord::decode(record.value.unwrap_or_default()) {
                    changes.note(image, &record);
                    image.apply(&record);
                }
            }
        }
        for (topic, name, partitions) in changes.removed {
            self.topic_removed(topic, &name, partitions);
        }
        if changes.all_configs {
            return self.take_image();
        }
        for topic in changes.topics {
            self.reconcile(topic);
        }
    }

    /// Does what the image says of configs and topics.
    pub(super) fn take_image(&mut self) {
        self.settings = Arc::new(self.settings.with_dynamic(self.image.dynamic_configs(self.id())));
        let topics: Vec<Uuid> = self.image.topics.keys().copied().collect();
        for topic in topics {
            self.reconcile(topic);
        }
    }

    /// Makes the partitions of this broker agree with what the metadata says of a topic.
    fn reconcile(&mut self, topic_id: Uuid) {
        let image = self.image.clone();
        let Some(topic) = image.topics.get(&topic_id) else { return };
        let config = self.log_config(&topic.name);
        let is_new = self.replicas.of_topic(topic_id).next().is_none();
        let own = self.id();
        for record in topic.partitions.iter().filter(|record| record.replicas.contains(&own)) {
            let id = PartitionId { topic: topic_id, partition: record.partition };
            if self.opening.contains_key(&id) {
                continue;
            }
            if self.replicas.get(id).is_none() && !self.open(id, &topic.name, config.clone()) {
                continue;
            }
            if self.replicas.get(id).is_some_and(|partition| *partition.log.config() != config) {
                self.replicas.get_mut(id).expect("it is there").log.set_config(config.clone());
            }
            self.lead(id);
        }
        if config.cleanup_policy.compact {
            self.wake_cleaner();
        }
        if is_new && self.is_running() {
            self.creating.remove(&*topic.name);
            let (name, partitions) = (topic.name.clone(), topic.partitions.len() as i32);
            self.emit(|| Event::TopicCreated { topic: name, id: topic_id, partitions });
        }
    }

    /// Leads a partition in the epoch that the metadata says.
    fn lead(&mut self, id: PartitionId) {
        let Some(record) = self.image.partition(id.topic, id.partition) else { return };
        let (leader, epoch) = (record.leader, record.leader_epoch);
        if leader == self.id() && self.replicas.get(id).is_some_and(|partition| partition.leader_epoch < epoch) {
            self.replicas.get_mut(id).expect("it is there").lead(leader, epoch);
            self.leads(id);
        } else if leader != self.id() {
            self.leads_no_more(id);
        }
    }

    /// Creates a partition, or begins to recover it from its files, and says whether it is there.
    fn open(&mut self, id: PartitionId, topic: &Arc<str>, config: LogConfig) -> bool {
        let name = directory_name(topic, id.partition);
        let dir = self.node.directory.join(&name);
        match self.found.remove(&name) {
            None => {
                self.cleaner_forgets(id, &dir);
                self.replicas.insert(Partition::create(topic.clone(), id, dir, config, self.wall));
                true
            }
            Some(files) => {
                let start_offset = self.replicas.recorded_start(&name);
                self.opening.insert(id, Recovery::start(dir, config, start_offset, &files, self.wall));
                self.recover();
                false
            }
        }
    }

    /// Asks for what the recoveries want next, and finishes those that want nothing more.
    fn recover(&mut self) {
        let mut wanted = Vec::new();
        let mut reads = Vec::new();
        let done: Vec<PartitionId> = self
            .opening
            .iter()
            .filter_map(|(&id, recovery)| {
                let mut wants = recovery.wants();
                if wants.is_empty() {
                    return Some(id);
                }
                wanted.push((id, wants.len()));
                reads.append(&mut wants);
                None
            })
            .collect();
        for id in done {
            self.recovered(id);
        }
        if !reads.is_empty() && !self.is_recovering {
            self.is_recovering = true;
            self.load(LoadFor::Recovery(wanted), reads);
        }
        if self.opening.is_empty() && matches!(self.lifecycle, Lifecycle::CatchingUp { .. }) {
            self.heartbeat();
        }
    }

    pub fn recovery_loaded(&mut self, wanted: Vec<(PartitionId, usize)>, bytes: Vec<Bytes>) {
        self.is_recovering = false;
        let mut bytes = bytes.into_iter();
        for (id, count) in wanted {
            let piece = bytes.by_ref().take(count).collect();
            if let Some(recovery) = self.opening.get_mut(&id) {
                recovery.feed(piece);
            }
        }
        self.recover();
    }

    /// The files could not be read: it is tried again with the next heartbeat's timer.
    pub fn recovery_failed(&mut self, why: &str) {
        self.is_recovering = false;
        self.log_line(format!("partitions cannot be opened: {why}"));
        self.set_timer(self.now + self.settings.millis("broker.heartbeat.interval.ms"), Timer::Recovery);
    }

    pub(super) fn retry_recovery(&mut self) {
        self.recover();
    }

    fn recovered(&mut self, id: PartitionId) {
        let Some(recovery) = self.opening.remove(&id) else { return };
        let Some(topic) = self.image.topics.get(&id.topic) else { return };
        let name = topic.name.clone();
        let (log, report) = recovery.finish();
        if report.truncated_bytes > 0 {
            self.log_line(format!(
                "{}: {} bytes after offset {} were torn and are cut off",
                log.directory(),
                report.truncated_bytes,
                log.end_offset()
            ));
        }
        if log.topic_id().is_some_and(|found| found != id.topic) {
            // Left over from a topic of the same name that is gone.
            let dir = log.directory().clone();
            self.outputs.push_back(super::BrokerOutput::Store(StoreOp::DeleteDirectory { directory: dir.clone() }));
            let config = log.config().clone();
            self.cleaner_forgets(id, &dir);
            self.replicas.insert(Partition::create(name, id, dir, config, self.wall));
        } else {
            self.replicas.insert(Partition::recovered(name, id, log));
        }
        if self.replicas.get(id).is_some_and(|partition| partition.log.config().cleanup_policy.compact) {
            self.wake_cleaner();
        }
        self.lead(id);
    }

    fn topic_removed(&mut self, id: Uuid, name: &Arc<str>, partitions: i32) {
        for partition in 0..partitions {
            let at = PartitionId { topic: id, partition };
            self.opening.remove(&at);
            let Some(partition) = self.replicas.remove(at) else { continue };
            let directory = partition.log.directory().clone();
            self.cleaner_forgets(at, &directory);
            self.outputs.push_back(super::BrokerOutput::Store(StoreOp::DeleteDirectory { directory }));
            self.partition_gone(&partition);
        }
        self.coordinators_forget_topic(name, id);
        let topic = name.clone();
        self.emit(|| Event::TopicDeleted { topic, id });
    }

    /// Answers whoever waits for a partition that was deleted.
    fn partition_gone(&mut self, partition: &Partition) {
        for &request in &partition.fetches {
            self.finish_fetch(request);
        }
        let mut gone = partition.clone();
        for waiter in gone.store_failed() {
            self.append_failed(waiter, ErrorCode::NotLeaderOrFollower);
        }
    }

    /// Deletes directories of partitions that no topic has any more. What else stands there is nobody's
    /// to delete.
    pub(super) fn drop_strays(&mut self) {
        for name in std::mem::take(&mut self.found).into_keys() {
            let number = name.rsplit_once('-').map_or("", |(_, number)| number);
            // A deletion that Apache Kafka did not live to end leaves a directory `TOPIC-NUMBER.ID-delete`.
            if number != "delete" && number.parse::<u32>().is_err() {
                self.log_line(format!("{name} is no partition's directory and is left alone"));
                continue;
            }
            self.log_line(format!("{name} belongs to no topic and is deleted"));
            let directory = self.node.directory.join(&name);
            self.outputs.push_back(super::BrokerOutput::Store(StoreOp::DeleteDirectory { directory }));
        }
    }

    pub fn log_config(&self, topic: &str) -> LogConfig {
        log_config(self.image.topic_configs(topic), self.image.dynamic_configs(self.id()), &self.settings)
    }
}

/// What metadata records change for a broker.
#[derive(Default)]
struct Changes {
    topics: BTreeSet<Uuid>,
    removed: Vec<(Uuid, Arc<str>, i32)>,
    all_configs: bool,
}

impl Changes {
    /// `image` is the one that the record is about to be applied to.
    fn note(&mut self, image: &MetadataImage, record: &MetadataRecord) {
        match record {
            MetadataRecord::Partition(partition) => {
                self.topics.insert(partition.topic_id);
            }
            MetadataRecord::PartitionChange(change) => {
                self.topics.insert(change.topic_id);
            }
            MetadataRecord::RemoveTopic { topic_id } => {
                if let Some(topic) = image.topics.get(topic_id) {
                    self.removed.push((*topic_id, topic.name.clone(), topic.partitions.len() as i32));
                }
                self.topics.remove(topic_id);
            }
            MetadataRecord::Config(config) if config.resource_type == TOPIC => {
                self.topics.extend(image.topic_id(&config.resource_name));
            }
            MetadataRecord::Config(config) if config.resource_type == BROKER => self.all_configs = true,
            _ => {}
        }
    }
}
