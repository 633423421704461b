//! What a broker without security answers to those who ask for it: SASL (17, 36), ACLs (29 to 31), delegation tokens
//! (38 to 41), SCRAM credentials (50).

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::create_acls_response::AclCreationResult;
use shore_wire::messages::delete_acls_response::DeleteAclsFilterResult;
use shore_wire::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use shore_wire::messages::{
    CreateAclsRequest, CreateAclsResponse, CreateDelegationTokenRequest, CreateDelegationTokenResponse,
    DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest, DescribeAclsResponse, DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    ExpireDelegationTokenRequest, ExpireDelegationTokenResponse, KafkaRequest, KafkaResponse,
    RenewDelegationTokenRequest, RenewDelegationTokenResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};

use super::{RequestContext, Served, text};
use crate::broker::Broker;

type Handled = Result<Served, DecodeError>;

const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// Reads a request and answers what `answer` makes of it.
fn answer<Q: KafkaRequest, R: KafkaResponse>(ctx: &RequestContext, body: Bytes, answer: fn(i16, Q) -> R) -> Handled {
    let request = ctx.decode(body)?;
    Ok(Served::Answer(ctx.respond(&answer(ctx.api_version, request))))
}

/// Refuses to read a request with a kind of ACL that is said to be unknown. It is no error that could be answered.
fn all_known(kinds: &[i8]) -> Result<(), DecodeError> {
    if kinds.contains(&0) { Err(DecodeError::Invalid { what: "kind of an ACL", value: 0 }) } else { Ok(()) }
}

pub(super) fn sasl_handshake(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    answer(&ctx, body, |_, _: SaslHandshakeRequest| {
        let mut response = SaslHandshakeResponse::default();
        response.error_code = ErrorCode::IllegalSaslState.code();
        response
    })
}

pub(super) fn sasl_authenticate(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    answer(&ctx, body, |_, _: SaslAuthenticateRequest| {
        let mut response = SaslAuthenticateResponse::default();
        response.error_code = ErrorCode::IllegalSaslState.code();
        response.error_message = Some(text("SaslAuthenticate request received after successful authentication"));
        response
    })
}

pub(super) fn describe_acls(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    let asked: DescribeAclsRequest = ctx.decode(body)?;
    all_known(&[asked.pattern_type_filter, asked.resource_type_filter, asked.permission_type, asked.operation])?;
    let mut response = DescribeAclsResponse::default();
    response.error_code = ErrorCode::SecurityDisabled.code();
    response.error_message = Some(text("No Authorizer is configured on the broker"));
    Ok(Served::Answer(ctx.respond(&response)))
}

pub(super) fn create_acls(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    let request: CreateAclsRequest = ctx.decode(body)?;
    for acl in &request.creations {
        all_known(&[acl.resource_pattern_type, acl.resource_type, acl.permission_type, acl.operation])?;
    }
    let mut refused = AclCreationResult::default();
    refused.error_code = ErrorCode::SecurityDisabled.code();
    refused.error_message = Some(text(NO_AUTHORIZER));
    let mut response = CreateAclsResponse::default();
    response.results = vec![refused; request.creations.len()];
    Ok(Served::Answer(ctx.respond(&response)))
}

pub(super) fn delete_acls(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    let request: DeleteAclsRequest = ctx.decode(body)?;
    for filter in &request.filters {
        let kinds = [filter.pattern_type_filter, filter.resource_type_filter, filter.permission_type, filter.operation];
        all_known(&kinds)?;
    }
    let mut refused = DeleteAclsFilterResult::default();
    refused.error_code = ErrorCode::SecurityDisabled.code();
    refused.error_message = Some(text(NO_AUTHORIZER));
    let mut response = DeleteAclsResponse::default();
    response.filter_results = vec![refused; request.filters.len()];
    Ok(Served::Answer(ctx.respond(&response)))
}

/// Tokens are given only to who has proved who it is.
const NO_TOKENS: i16 = ErrorCode::DelegationTokenRequestNotAllowed as i16;

pub(super) fn create_token(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    answer(&ctx, body, |version, request: CreateDelegationTokenRequest| {
        let mut response = CreateDelegationTokenResponse::default();
        response.error_code = NO_TOKENS;
        let owner = request.owner_principal_name.filter(|name| !name.as_bytes().is_empty());
        (response.principal_type, response.principal_name) = match (owner, request.owner_principal_type) {
            (Some(name), Some(kind)) => (kind, name),
            (owner, _) => {
                // Kafka trips over an owner that has a name alone.
                if owner.is_some() {
                    response.error_code = ErrorCode::UnknownServerError.code();
                }
                (text("User"), text("ANONYMOUS"))
            }
        };
        if version >= 3 {
            response.token_requester_principal_type = text("User");
            response.token_requester_principal_name = text("ANONYMOUS");
        }
        response.issue_timestamp_ms = -1;
        response.expiry_timestamp_ms = -1;
        response.max_timestamp_ms = -1;
        response
    })
}

pub(super) fn renew_token(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    answer(&ctx, body, |_, _: RenewDelegationTokenRequest| {
        let mut response = RenewDelegationTokenResponse::default();
        response.error_code = NO_TOKENS;
        response.expiry_timestamp_ms = -1;
        response
    })
}

pub(super) fn expire_token(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    answer(&ctx, body, |_, _: ExpireDelegationTokenRequest| {
        let mut response = ExpireDelegationTokenResponse::default();
        response.error_code = NO_TOKENS;
        response.expiry_timestamp_ms = -1;
        response
    })
}

pub(super) fn describe_tokens(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    answer(&ctx, body, |_, _: DescribeDelegationTokenRequest| {
        let mut response = DescribeDelegationTokenResponse::default();
        response.error_code = NO_TOKENS;
        response
    })
}

pub(super) fn describe_scram_credentials(_: &mut Broker, ctx: RequestContext, body: Bytes) -> Handled {
    answer(&ctx, body, |_, request: DescribeUserScramCredentialsRequest| {
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        for user in request.users.unwrap_or_default() {
            *asked.entry(user.name.to_string()).or_default() += 1;
        }
        let mut response = DescribeUserScramCredentialsResponse::default();
        response.error_message = None;
        for (user, times) in asked {
            let (error, why) = match times {
                1 => {
                    let why = "Attempt to describe a user credential that does not exist: ";
                    (ErrorCode::ResourceNotFound, why)
                }
                _ => (
                    ErrorCode::DuplicateResource,
                    "Cannot describe SCRAM credentials for the same user twice in a single request: ",
                ),
            };
            let mut result = DescribeUserScramCredentialsResult::default();
            result.error_code = error.code();
            result.error_message = Some(text(&format!("{why}{user}")));
            result.user = text(&user);
            response.results.push(result);
        }
        response
    })
}
