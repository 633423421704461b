//! DescribeClientQuotas (48): the quotas of users, clients and addresses that pass a filter.

use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_client_quotas_request::ComponentData;
use shore_wire::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use shore_wire::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use super::{RequestContext, Served, text};
use crate::broker::Broker;
use crate::image::QuotaEntity;

/// What an entity's part of a kind has to be.
#[derive(Clone, Copy)]
enum Match<'a> {
    /// This name, or without one the default of its kind.
    Exactly(Option<&'a str>),
    Any,
}

pub(super) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: DescribeClientQuotasRequest = ctx.decode(body)?;
    let mut response = DescribeClientQuotasResponse::default();
    response.error_message = None;
    match filter(&request.components) {
        Err((error, why)) => {
            response.error_code = error.code();
            response.error_message = Some(text(&why));
            response.entries = None;
        }
        Ok(filter) => {
            let passes = |entity: &QuotaEntity| {
                let is_met = |(kind, wanted): (&&str, &Match)| match entity.iter().find(|(known, _)| known == kind) {
                    None => false,
                    Some((_, name)) => match wanted {
                        Match::Exactly(wanted) => *wanted == name.as_deref(),
                        Match::Any => true,
                    },
                };
                (!request.strict || entity.len() == filter.len()) && filter.iter().all(is_met)
            };
            let mut entries: Vec<EntryData> = Vec::new();
            let mut last = None;
            for ((entity, key), &value) in broker.image.quotas.iter().filter(|((entity, _), _)| passes(entity)) {
                if last.replace(entity) != Some(entity) {
                    entries.push(entry(entity));
                }
                let mut quota = ValueData::default();
                quota.key = text(key);
                quota.value = value;
                if let Some(entry) = entries.last_mut() {
                    entry.values.push(quota);
                }
            }
            response.entries = Some(entries);
        }
    }
    Ok(Served::Answer(ctx.respond(&response)))
}

fn entry(entity: &QuotaEntity) -> EntryData {
    let mut entry = EntryData::default();
    for (kind, name) in entity {
        let mut part = EntityData::default();
        part.entity_type = text(kind);
        part.entity_name = name.as_deref().map(text);
        entry.entity.push(part);
    }
    entry
}

/// What is wanted of each kind. The text of a refusal is Kafka's.
fn filter(components: &[ComponentData]) -> Result<BTreeMap<&str, Match<'_>>, (ErrorCode, String)> {
    let invalid = |why: &str| Err((ErrorCode::InvalidRequest, why.to_owned()));
    let mut filter = BTreeMap::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return invalid("Invalid empty entity type.");
        }
        if filter.contains_key(kind) {
            return invalid(&format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if !matches!(kind, "ip" | "user" | "client-id") {
            return Err((ErrorCode::UnsupportedVersion, format!("Unsupported entity type {kind}")));
        }
        let name = component.match_.as_ref().map(|name| name.as_str());
        let wanted = match (component.match_type, name) {
            (0, Some(_)) => Match::Exactly(name),
            (0, None) => return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null."),
            (1, None) => Match::Exactly(None),
            (2, None) => Match::Any,
            (1, Some(_)) => {
                return invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.");
            }
            (2, Some(_)) => {
                return invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.");
            }
            (other, _) => return invalid(&format!("Unknown match type {other}")),
        };
        filter.insert(kind, wanted);
    }
    if filter.contains_key("ip") && filter.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component.",
        );
    }
    Ok(filter)
}
