//! AlterReplicaLogDirs (34): replicas that are to move to another directory of this broker, which has one.

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use shore_wire::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};

use super::{RequestContext, Served, text};
use crate::broker::Broker;

/// The longest name of a directory, and what the name of a moving replica has behind topic and partition: a dot, an id of
/// 32 digits, `-future`.
const LONGEST_NAME: usize = 255;
const SUFFIX: usize = 1 + 32 + "-future".len();

pub(super) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: AlterReplicaLogDirsRequest = ctx.decode(body)?;
    // Of a partition that is to be in two places the last one counts.
    let mut wanted: BTreeMap<(&str, i32), &str> = BTreeMap::new();
    for directory in &request.dirs {
        for topic in &directory.topics {
            wanted
                .extend(topic.partitions.iter().map(|&index| ((topic.name.as_str(), index), directory.path.as_str())));
        }
    }
    let mut response = AlterReplicaLogDirsResponse::default();
    let mut last = None;
    for ((topic, index), directory) in wanted {
        let mut partition = AlterReplicaLogDirPartitionResult::default();
        partition.partition_index = index;
        partition.error_code = moved(broker, topic, index, directory).code();
        let mut result = match response.results.pop() {
            Some(result) if last == Some(topic) => result,
            other => {
                response.results.extend(other);
                let mut result = AlterReplicaLogDirTopicResult::default();
                result.topic_name = text(topic);
                result
            }
        };
        result.partitions.push(partition);
        response.results.push(result);
        last = Some(topic);
    }
    Ok(Served::Answer(ctx.respond(&response)))
}

fn moved(broker: &Broker, topic: &str, index: i32, directory: &str) -> ErrorCode {
    if topic.len() + format!("-{index}").len() + SUFFIX > LONGEST_NAME {
        ErrorCode::InvalidTopicException
    } else if directory != broker.node.directory.as_str() {
        ErrorCode::LogDirNotFound
    } else if broker.image.topic_id(topic).and_then(|id| broker.image.partition(id, index)).is_none() {
        ErrorCode::UnknownTopicOrPartition
    } else {
        ErrorCode::None
    }
}
