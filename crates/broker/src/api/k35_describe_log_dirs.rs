//! DescribeLogDirs (35): what lies in this broker's directories, and how large it is.
//!
//! How large the disk is, and what of it is free, only a host knows: both are -1, which is Kafka's word for unknown.

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::codec::DecodeError;
use shore_wire::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use shore_wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use super::{RequestContext, Served, text};
use crate::broker::Broker;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: DescribeLogDirsRequest = ctx.decode(body)?;
    let asked: Option<BTreeSet<(&str, i32)>> = request.topics.as_ref().map(|topics| {
        let partitions = topics.iter().map(|topic| topic.partitions.iter().map(|&index| (topic.topic.as_str(), index)));
        partitions.flatten().collect()
    });
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in broker.replicas.iter() {
        let index = partition.id.partition;
        if asked.as_ref().is_some_and(|asked| !asked.contains(&(&*partition.topic, index))) {
            continue;
        }
        let mut described = DescribeLogDirsPartition::default();
        described.partition_index = index;
        described.partition_size = partition.log.size_bytes() as i64;
        topics.entry(&partition.topic).or_default().push(described);
    }
    let mut directory = DescribeLogDirsResult::default();
    directory.log_dir = text(broker.node.directory.as_str());
    directory.total_bytes = -1;
    directory.usable_bytes = -1;
    for (name, partitions) in topics {
        let mut topic = DescribeLogDirsTopic::default();
        topic.name = text(name);
        topic.partitions = partitions;
        directory.topics.push(topic);
    }
    let mut response = DescribeLogDirsResponse::default();
    response.results = vec![directory];
    Ok(Served::Answer(ctx.respond(&response)))
}
