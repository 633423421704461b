//! CreateTopics: names, configs, placement.

use shore_base::Uuid;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::error::ErrorCode;
use shore_wire::messages::create_topics_request::CreatableTopic;
use shore_wire::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use shore_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use shore_wire::records::metadata::{ConfigRecord, MetadataRecord};

use super::placement::partition_record;
use super::{Call, Controller, MAX_RECORDS_PER_REQUEST, NOT_STORED, Refusal, told, too_many_records};
use crate::api::{text, to_wire};
use crate::config::alter::TOPIC;
use crate::config::{ConfigMap, TOPIC_CONFIGS, check_topic_configs, topic_value};
use crate::topic_name::{self, METADATA_TOPIC};

/// A topic that can be created.
struct NewTopic {
    configs: ConfigMap,
    /// The replicas of each partition.
    placement: Vec<Vec<i32>>,
}

impl Controller {
    pub(super) fn create_topics(&mut self, call: Call, request: CreateTopicsRequest) {
        let repeated = repeated_names(request.topics.iter().map(|topic| topic.name.as_str()));
        if let Some(refusal) = self.refuse_request(&request, &repeated) {
            return self.refuse_topics(call, &request, &refusal);
        }
        let mut results = Vec::new();
        let mut records = Vec::new();
        for topic in request.topics.iter().filter(|topic| !repeated.contains(topic.name.as_str())) {
            results.push(match self.check_new_topic(topic) {
                Ok(new) if records.len() + new.configs.len() + new.placement.len() >= MAX_RECORDS_PER_REQUEST => {
                    return self.refuse_topics(call, &request, &too_many_records());
                }
                Ok(new) => {
                    let id = self.new_topic_id();
                    records.extend(creation_records(&topic.name, id, &new, &self.image.brokers));
                    self.created(call.version, &topic.name, id, &new)
                }
                Err(refusal) => refused(call.version, &topic.name, refusal),
            });
        }
        for name in &repeated {
            results.push(refused(call.version, name, (ErrorCode::InvalidRequest, "Duplicate topic name.".to_owned())));
        }
        let mut failed = CreateTopicsResponse::default();
        failed.topics = results
            .iter()
            .map(|result| match result.error_code {
                0 => refused(call.version, &result.name, (NOT_STORED, NOT_STORED.message().to_owned())),
                _ => result.clone(),
            })
            .collect();
        let mut response = CreateTopicsResponse::default();
        response.topics = results;
        if !request.validate_only {
            self.propose(&records);
        }
        self.respond_when_committed(call, &response, &failed);
    }

    fn refuse_topics(&mut self, call: Call, request: &CreateTopicsRequest, refusal: &Refusal) {
        let mut response = CreateTopicsResponse::default();
        let refused = |topic: &CreatableTopic| refused(call.version, &topic.name, refusal.clone());
        response.topics = request.topics.iter().map(refused).collect();
        self.respond_when_committed(call, &response, &response);
    }

    /// Why no topic of the request is even looked at.
    fn refuse_request(&self, request: &CreateTopicsRequest, repeated: &BTreeSet<&str>) -> Option<Refusal> {
        let mut topics = request.topics.iter().filter(|topic| !repeated.contains(topic.name.as_str())).peekable();
        topics.peek()?;
        if request.timeout_ms <= 0 {
            // Its time is over before its turn comes.
            return Some((ErrorCode::RequestTimedOut, String::new()));
        }
        let partitions = |topic: &CreatableTopic| match (topic.assignments.len(), topic.num_partitions) {
            (0, -1) => self.settings.int("num.partitions").into(),
            (0, given) => i64::from(given.max(0)),
            (assigned, _) => assigned as i64,
        };
        let is_too_much = topics.map(partitions).sum::<i64>() > MAX_RECORDS_PER_REQUEST as i64;
        let why = "Excessively large number of partitions per request.";
        is_too_much.then(|| (ErrorCode::PolicyViolation, why.to_owned()))
    }

    fn check_new_topic(&self, topic: &CreatableTopic) -> Result<NewTopic, Refusal> {
        let name = topic.name.as_str();
        if name == METADATA_TOPIC {
            let why = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return Err((ErrorCode::InvalidRequest, why));
        }
        if self.image.topic_id(name).is_some() {
            return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
        }
        if let Some(other) =
            self.image.named_topics().map(|(other, ..)| other).find(|other| topic_name::collides(name, other))
        {
            let why = format!("Topic '{name}' collides with existing topic: {other}");
            return Err((ErrorCode::InvalidTopicException, why));
        }
        topic_name::check(name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
        let configs = given_configs(topic)?;
        check_topic_configs(&configs).map_err(|why| (ErrorCode::InvalidConfig, why))?;
        let placement =
            if topic.assignments.is_empty() { self.place_new(topic)? } else { self.check_assignments(topic)? };
        Ok(NewTopic { configs, placement })
    }

    /// The assignment that the request spells out.
    fn check_assignments(&self, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        let refuse = |code, why: &str| Err((code, why.to_owned()));
        if topic.replication_factor != -1 {
            let why = "A manual partition assignment was specified, but replication factor was not set to -1.";
            return refuse(ErrorCode::InvalidRequest, why);
        }
        if topic.num_partitions != -1 {
            let why = "A manual partition assignment was specified, but numPartitions was not set to -1.";
            return refuse(ErrorCode::InvalidRequest, why);
        }
        let invalid = |why: String| Err((ErrorCode::InvalidReplicaAssignment, why));
        let mut placement: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        let mut factor = None;
        for assignment in &topic.assignments {
            let (index, replicas) = (assignment.partition_index, &assignment.broker_ids);
            if placement.contains_key(&index) {
                return invalid(format!("Found multiple manual partition assignments for partition {index}"));
            }
            self.check_assignment(index, replicas, factor)?;
            factor = Some(replicas.len());
            placement.insert(index, replicas.clone());
        }
        if !placement.keys().copied().eq(0..placement.len() as i32) {
            return invalid("partitions should be a consecutive 0-based integer sequence".to_owned());
        }
        Ok(placement.into_values().collect())
    }

    /// The assignment of a topic that leaves it to the controller.
    fn place_new(&self, topic: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
        if topic.replication_factor < -1 || topic.replication_factor == 0 {
            let why = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err((ErrorCode::InvalidReplicationFactor, why.to_owned()));
        }
        if topic.num_partitions < -1 || topic.num_partitions == 0 {
            let why = "Number of partitions was set to an invalid non-positive value.";
            return Err((ErrorCode::InvalidPartitions, why.to_owned()));
        }
        let default_or = |given: i32, default: &str| if given == -1 { self.settings.int(default) } else { given };
        let partitions = default_or(topic.num_partitions, "num.partitions") as usize;
        let factor = default_or(topic.replication_factor.into(), "default.replication.factor") as usize;
        self.place(0, partitions, factor)
    }

    fn new_topic_id(&mut self) -> Uuid {
        loop {
            let id = Uuid::random(&mut self.topic_ids);
            if !self.image.topics.contains_key(&id) {
                return id;
            }
        }
    }

    fn created(&self, version: i16, name: &str, id: Uuid, new: &NewTopic) -> CreatableTopicResult {
        let mut result = CreatableTopicResult::default();
        result.name = text(name);
        result.error_message = None;
        if version >= 7 {
            result.topic_id = to_wire(id);
        }
        if version >= 5 {
            result.num_partitions = new.placement.len() as i32;
            result.replication_factor = new.placement[0].len() as i16;
            let dynamic = self.image.dynamic_configs(self.node.node_id.0);
            let configs = TOPIC_CONFIGS.iter().map(|config| {
                let (value, source) = topic_value(config, Some(&new.configs), dynamic, &self.settings);
                let mut entry = CreatableTopicConfigs::default();
                entry.name = text(config.name);
                entry.value = Some(text(&value));
                entry.config_source = source as i8;
                entry
            });
            result.configs = Some(configs.collect());
        }
        result
    }
}

pub(super) fn repeated_names<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|&name| !seen.insert(name)).collect()
}

fn given_configs(topic: &CreatableTopic) -> Result<ConfigMap, Refusal> {
    let nulls: Vec<&str> =
        topic.configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        let why = format!("Null value not supported for topic configs: {}", nulls.join(","));
        return Err((ErrorCode::InvalidConfig, why));
    }
    let given =
        topic.configs.iter().filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())));
    Ok(given.collect())
}

fn creation_records(
    name: &str,
    topic_id: Uuid,
    new: &NewTopic,
    brokers: &BTreeMap<i32, crate::image::BrokerRegistration>,
) -> Vec<MetadataRecord> {
    let mut records = vec![MetadataRecord::Topic { name: name.to_owned(), topic_id }];
    records.extend(new.configs.iter().map(|(config, value)| {
        MetadataRecord::Config(ConfigRecord {
            resource_type: TOPIC,
            resource_name: name.to_owned(),
            name: config.clone(),
            value: Some(value.clone()),
        })
    }));
    records.extend(
        new.placement
            .iter()
            .enumerate()
            .map(|(partition, replicas)| partition_record(topic_id, partition as i32, replicas, brokers)),
    );
    records
}

fn refused(version: i16, name: &str, (code, message): Refusal) -> CreatableTopicResult {
    let mut result = CreatableTopicResult::default();
    result.name = text(name);
    result.error_code = code.code();
    result.error_message = told(&message);
    if version >= 5 {
        result.num_partitions = -1;
        result.replication_factor = -1;
        result.configs = Some(Vec::new());
    }
    result
}
