//! ApiVersions (18): what is served, and the features of the cluster.
//!
//! A version that is not served is answered in version 0 with UNSUPPORTED_VERSION and the range of
//! this very API, from which clients learn what to ask instead. Version 3 and later carry a client's
//! software name and the features; version 3 leaves out features that may be at level 0.

use bytes::Bytes;
use shore_wire::api::ApiKey;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::frame::Frame;
use shore_wire::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use shore_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{APIS, RequestContext, Served, text};
use crate::broker::Broker;
use crate::features::FEATURES;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: ApiVersionsRequest = ctx.decode(body)?;
    let mut response = ApiVersionsResponse::default();
    if ctx.api_version >= 3 && !names_software(&request) {
        response.error_code = ErrorCode::InvalidRequest.code();
        return Ok(Served::Answer(ctx.respond(&response)));
    }
    response.api_keys = APIS.iter().map(|api| version_range(api.key)).collect();
    if ctx.api_version >= 3 {
        for feature in FEATURES {
            if feature.min > 0 || ctx.api_version >= 4 {
                let mut supported = SupportedFeatureKey::default();
                supported.name = text(feature.name);
                supported.min_version = feature.min;
                supported.max_version = feature.max;
                response.supported_features.push(supported);
            }
        }
        for (name, &level) in &broker.image.features {
            let mut finalized = FinalizedFeatureKey::default();
            finalized.name = text(name);
            finalized.min_version_level = level;
            finalized.max_version_level = level;
            response.finalized_features.push(finalized);
        }
        response.finalized_features_epoch = broker.image_end() - 1;
    }
    Ok(Served::Answer(ctx.respond(&response)))
}

pub(super) fn unsupported(ctx: &RequestContext) -> Frame {
    let mut response = ApiVersionsResponse::default();
    response.error_code = ErrorCode::UnsupportedVersion.code();
    response.api_keys = vec![version_range(ApiKey::ApiVersions)];
    ctx.respond(&response)
}

fn version_range(key: ApiKey) -> ApiVersion {
    let versions = super::find(key.key()).expect("it is in the table").versions;
    let mut range = ApiVersion::default();
    range.api_key = key.key();
    range.min_version = versions.min;
    range.max_version = versions.max;
    range
}

/// A client's software name and version: letters, digits, dots and dashes, beginning and ending with
/// a letter or digit.
fn names_software(request: &ApiVersionsRequest) -> bool {
    [&request.client_software_name, &request.client_software_version].iter().all(|name| {
        let name = name.as_bytes();
        let ends = [name.first(), name.last()];
        ends.iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    })
}
