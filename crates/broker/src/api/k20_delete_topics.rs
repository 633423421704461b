//! DeleteTopics (20): forwarded to the controller in the client's version.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::delete_topics_response::DeletableTopicResult;
use shore_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use super::{RequestContext, Served, text};
use crate::broker::Broker;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: DeleteTopicsRequest = ctx.decode(body.clone())?;
    if broker.settings.flag("delete.topic.enable") {
        return Ok(broker.forward(&ctx, &body));
    }
    let error = if ctx.api_version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled };
    let refuse = |name: Option<&str>, id| {
        let mut result = DeletableTopicResult::default();
        result.name = name.map(text);
        if ctx.api_version >= 6 {
            result.topic_id = id;
        }
        result.error_code = error.code();
        if ctx.api_version >= 5 {
            result.error_message = Some(text(error.message()));
        }
        result
    };
    let mut response = DeleteTopicsResponse::default();
    let names = request.topic_names.iter().map(|name| refuse(Some(name.as_str()), Default::default()));
    let topics =
        request.topics.iter().map(|topic| refuse(topic.name.as_ref().map(|name| name.as_str()), topic.topic_id));
    response.responses = names.chain(topics).collect();
    Ok(Served::Answer(ctx.respond(&response)))
}
