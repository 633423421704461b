//! DescribeCluster (60): the cluster's id, its brokers, and whom to ask for controller work.
//!
//! Version 1 says which kind of endpoint is meant: this one is a broker's. Version 2 can ask for fenced brokers too.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_cluster_response::DescribeClusterBroker;
use shore_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::{RequestContext, Served, text};
use crate::broker::Broker;

const BROKER_ENDPOINT: i8 = 1;
const CONTROLLER_ENDPOINT: i8 = 2;
/// What may be done with a cluster without an authorizer: everything. Create, Alter, Describe, ClusterAction,
/// DescribeConfigs, AlterConfigs and IdempotentWrite, as bits of Kafka's operation codes.
const ALL_CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: DescribeClusterRequest = ctx.decode(body)?;
    let mut response = DescribeClusterResponse::default();
    let refusal = match request.endpoint_type {
        BROKER_ENDPOINT => None,
        CONTROLLER_ENDPOINT => Some((
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        )),
        other => Some((ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}"))),
    };
    if let Some((error, why)) = refusal {
        response.error_code = error.code();
        response.error_message = Some(text(&why));
        return Ok(Served::Answer(ctx.respond(&response)));
    }
    response.cluster_id = text(&broker.node.cluster_id.to_string());
    response.controller_id = broker.image.live_brokers().next().map_or(-1, |(id, _)| id);
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = ALL_CLUSTER_OPERATIONS;
    }
    for (&id, registration) in &broker.image.brokers {
        if registration.fenced && !request.include_fenced_brokers {
            continue;
        }
        let Some(end_point) = registration.end_points.first() else { continue };
        let mut described = DescribeClusterBroker::default();
        described.broker_id = id;
        described.host = text(&end_point.host);
        described.port = i32::from(end_point.port);
        described.rack = registration.rack.as_deref().map(text);
        if ctx.api_version >= 2 {
            described.is_fenced = registration.fenced;
        }
        response.brokers.push(described);
    }
    Ok(Served::Answer(ctx.respond(&response)))
}
