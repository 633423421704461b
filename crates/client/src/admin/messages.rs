//! What the admin's requests and answers look like.

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_wire::error::ErrorCode;
use shore_wire::frame::decode_response;
use shore_wire::messages::create_partitions_request::CreatePartitionsTopic;
use shore_wire::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use shore_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use shore_wire::messages::delete_topics_request::DeleteTopicState;
use shore_wire::messages::describe_configs_request::DescribeConfigsResource;
use shore_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use shore_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use shore_wire::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeConfigsRequest,
    IncrementalAlterConfigsRequest, ListOffsetsRequest, ListOffsetsResponse, StrBytes,
};

use super::{AdminCall, AdminResult, CALL_TIMEOUT, NewTopic};
use crate::cluster::TopicPartition;
use crate::error::{ClientError, is_retriable};

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;

pub(super) fn create_topics(topics: &[NewTopic], validate_only: bool) -> CreateTopicsRequest {
    let mut request = CreateTopicsRequest::default();
    request.timeout_ms = 30_000;
    request.validate_only = validate_only;
    for new in topics {
        let mut topic = CreatableTopic::default();
        topic.name = StrBytes::from(new.name.as_str());
        topic.num_partitions = new.partitions;
        topic.replication_factor = new.replication;
        for (name, value) in &new.configs {
            let mut config = CreatableTopicConfig::default();
            config.name = StrBytes::from(name.as_str());
            config.value = Some(StrBytes::from(value.as_str()));
            topic.configs.push(config);
        }
        request.topics.push(topic);
    }
    request
}

pub(super) fn delete_topics(names: &[String], version: i16) -> DeleteTopicsRequest {
    let mut request = DeleteTopicsRequest::default();
    request.timeout_ms = 30_000;
    for name in names {
        if version >= 6 {
            let mut topic = DeleteTopicState::default();
            topic.name = Some(StrBytes::from(name.as_str()));
            request.topics.push(topic);
        } else {
            request.topic_names.push(StrBytes::from(name.as_str()));
        }
    }
    request
}

pub(super) fn create_partitions(name: &str, total: i32) -> CreatePartitionsRequest {
    let mut topic = CreatePartitionsTopic::default();
    topic.name = StrBytes::from(name);
    topic.count = total;
    topic.assignments = None;
    let mut request = CreatePartitionsRequest::default();
    request.timeout_ms = 30_000;
    request.topics = vec![topic];
    request
}

pub(super) fn delete_records(at: &TopicPartition, offset: i64) -> DeleteRecordsRequest {
    let mut partition = DeleteRecordsPartition::default();
    partition.partition_index = at.partition;
    partition.offset = offset;
    let mut topic = DeleteRecordsTopic::default();
    topic.name = StrBytes::from(at.topic.as_str());
    topic.partitions = vec![partition];
    let mut request = DeleteRecordsRequest::default();
    request.timeout_ms = 30_000;
    request.topics = vec![topic];
    request
}

const SET: i8 = 0;
const DELETE: i8 = 1;

pub(super) fn alter_configs(
    resource_type: i8,
    name: &str,
    configs: &BTreeMap<String, Option<String>>,
) -> IncrementalAlterConfigsRequest {
    let mut resource = AlterConfigsResource::default();
    resource.resource_type = resource_type;
    resource.resource_name = StrBytes::from(name);
    for (name, value) in configs {
        let mut config = AlterableConfig::default();
        config.name = StrBytes::from(name.as_str());
        config.config_operation = if value.is_some() { SET } else { DELETE };
        config.value = value.as_deref().map(StrBytes::from);
        resource.configs.push(config);
    }
    let mut request = IncrementalAlterConfigsRequest::default();
    request.resources = vec![resource];
    request
}

pub(super) fn describe_configs(resource_type: i8, name: &str) -> DescribeConfigsRequest {
    let mut resource = DescribeConfigsResource::default();
    resource.resource_type = resource_type;
    resource.resource_name = StrBytes::from(name);
    resource.configuration_keys = None;
    let mut request = DescribeConfigsRequest::default();
    request.resources = vec![resource];
    request
}

pub(super) fn list_offsets(partitions: &[TopicPartition], timestamp: i64, version: i16) -> ListOffsetsRequest {
    let mut request = ListOffsetsRequest::default();
    request.replica_id = -1;
    if version >= 10 {
        request.timeout_ms = CALL_TIMEOUT.as_millis() as i32;
    }
    for at in partitions {
        let mut partition = ListOffsetsPartition::default();
        partition.partition_index = at.partition;
        partition.timestamp = timestamp;
        let mut topic = ListOffsetsTopic::default();
        topic.name = StrBytes::from(at.topic.as_str());
        topic.partitions = vec![partition];
        request.topics.push(topic);
    }
    request
}

pub(super) fn read_answer(call: &AdminCall, version: i16, frame: Bytes) -> Result<AdminResult, ClientError> {
    fn read<M: shore_wire::messages::KafkaResponse>(frame: Bytes, version: i16) -> Result<M, ClientError> {
        let decoded = decode_response::<M>(frame, version);
        decoded.map(|(_, response)| response).map_err(|error| ClientError::BadResponse(error.to_string()))
    }
    Ok(match call {
        AdminCall::CreateTopics { .. } => AdminResult::CreateTopics(read(frame, version)?),
        AdminCall::DeleteTopics { .. } => AdminResult::DeleteTopics(read(frame, version)?),
        AdminCall::CreatePartitions { .. } => AdminResult::CreatePartitions(read(frame, version)?),
        AdminCall::DeleteRecords { .. } => AdminResult::DeleteRecords(read(frame, version)?),
        AdminCall::AlterTopicConfigs { .. } => AdminResult::AlterConfigs(read(frame, version)?),
        AdminCall::DescribeTopicConfigs { .. } | AdminCall::DescribeBrokerConfigs { .. } => {
            AdminResult::DescribeConfigs(read(frame, version)?)
        }
        AdminCall::DescribeCluster => AdminResult::DescribeCluster(read(frame, version)?),
        AdminCall::DescribeGroup { .. } => AdminResult::DescribeGroup(read(frame, version)?),
        AdminCall::ListGroups => AdminResult::ListGroups(read(frame, version)?),
        AdminCall::ListOffsets { .. } => {
            let response: ListOffsetsResponse = read(frame, version)?;
            let mut offsets = BTreeMap::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    let at = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let offset = match partition.error_code {
                        0 => Ok((partition.offset, partition.timestamp)),
                        code => Err(code),
                    };
                    offsets.insert(at, offset);
                }
            }
            AdminResult::ListOffsets(offsets)
        }
    })
}

/// A code that says that the same call may succeed a little later.
pub(super) fn retriable_code(result: &AdminResult) -> Option<i16> {
    // Of what the controller refuses, only this is not about what was asked.
    let elsewhere = |code: &i16| *code == ErrorCode::NotController.code();
    let codes: Vec<i16> = match result {
        AdminResult::CreateTopics(response) => response.topics.iter().map(|topic| topic.error_code).collect(),
        AdminResult::DescribeGroup(response) => response.groups.iter().map(|group| group.error_code).collect(),
        AdminResult::ListGroups(response) => vec![response.error_code],
        AdminResult::DescribeCluster(response) => vec![response.error_code],
        AdminResult::DeleteRecords(response) => {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.error_code).collect()
        }
        AdminResult::CreatePartitions(response) => {
            response.results.iter().map(|result| result.error_code).filter(elsewhere).collect()
        }
        AdminResult::AlterConfigs(response) => {
            response.responses.iter().map(|response| response.error_code).filter(elsewhere).collect()
        }
        // A topic that is not there, or is gone by the second try, is an answer.
        AdminResult::DeleteTopics(_) | AdminResult::DescribeConfigs(_) | AdminResult::ListOffsets(_) => Vec::new(),
    };
    codes.into_iter().find(|code| is_retriable(*code))
}
