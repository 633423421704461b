//! ListConfigResources (74): what has configs, by type. Version 0 only ever lists client metrics.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::list_config_resources_response::ConfigResource;
use shore_wire::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::{RequestContext, Served, text};
use crate::broker::Broker;
use crate::config::alter::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: ListConfigResourcesRequest = ctx.decode(body)?;
    let mut response = ListConfigResourcesResponse::default();
    let supported: &[i8] = match ctx.api_version {
        0 => &[CLIENT_METRICS],
        _ => &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC],
    };
    if request.resource_types.iter().any(|wanted| !supported.contains(wanted)) {
        response.error_code = ErrorCode::UnsupportedVersion.code();
        return Ok(Served::Answer(ctx.respond(&response)));
    }
    let is_wanted = |kind: &i8| request.resource_types.is_empty() || request.resource_types.contains(kind);
    for &kind in supported.iter().filter(|kind| is_wanted(kind)) {
        let mut list = |name: &str| {
            let mut resource = ConfigResource::default();
            resource.resource_name = text(name);
            if ctx.api_version >= 1 {
                resource.resource_type = kind;
            }
            response.config_resources.push(resource);
        };
        match kind {
            TOPIC => broker.image.named_topics().for_each(|(name, ..)| list(name)),
            BROKER | BROKER_LOGGER => broker.image.live_brokers().for_each(|(id, _)| list(&id.to_string())),
            _ => broker.image.configured(kind).for_each(list),
        }
    }
    Ok(Served::Answer(ctx.respond(&response)))
}
