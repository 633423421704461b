//! AlterClientQuotas: what users, client ids and addresses may use. Quotas are kept, and limit nobody yet.

use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::error::ErrorCode;
use shore_wire::messages::alter_client_quotas_request::EntryData as Asked;
use shore_wire::messages::alter_client_quotas_response::{EntityData, EntryData};
use shore_wire::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use shore_wire::records::metadata::{ClientQuotaRecord, MetadataRecord};

use super::{Call, Controller, NOT_STORED, Refusal, told};
use crate::api::text;
use crate::image::QuotaEntity;

impl Controller {
    pub(super) fn alter_client_quotas(&mut self, call: Call, request: AlterClientQuotasRequest) {
        let mut records = Vec::new();
        let mut results: BTreeMap<QuotaEntity, Result<(), Refusal>> = BTreeMap::new();
        for asked in &request.entries {
            let entity = entity(asked);
            let mut keys = BTreeSet::new();
            let is_twice = !asked.ops.iter().all(|op| keys.insert(op.key.as_str()));
            let result = if is_twice || results.contains_key(&entity) {
                Err((ErrorCode::InvalidRequest, format!("Ignoring duplicate entity {}", in_words(&entity))))
            } else {
                self.quota_records(&entity, asked).map(|mut changed| records.append(&mut changed))
            };
            results.insert(entity, result);
        }
        if !request.validate_only {
            self.propose(&records);
        }
        let response = response(&results);
        let failed = response_of(results.iter().map(|(entity, result)| {
            let not_stored = result.clone().and(Err((NOT_STORED, NOT_STORED.message().to_owned())));
            (entity, not_stored)
        }));
        self.respond_when_committed(call, &response, &failed);
    }

    fn quota_records(&self, entity: &QuotaEntity, asked: &Asked) -> Result<Vec<MetadataRecord>, Refusal> {
        let invalid = |why: String| (ErrorCode::InvalidRequest, why);
        let kinds = check_entity(entity).map_err(invalid)?;
        let mut records = Vec::new();
        for op in &asked.ops {
            let value = (!op.remove).then_some(op.value);
            if let Some(value) = value {
                check_quota(kinds, &op.key, value).map_err(invalid)?;
            }
            let key = (entity.clone(), op.key.to_string());
            if self.image.quotas.get(&key).map(|current| current.to_bits()) != value.map(f64::to_bits) {
                let (entity, key) = key;
                records.push(MetadataRecord::ClientQuota(ClientQuotaRecord { entity, key, value }));
            }
        }
        Ok(records)
    }
}

/// As the image has it. Where a kind comes twice the last one counts.
fn entity(asked: &Asked) -> QuotaEntity {
    let parts: BTreeMap<String, Option<String>> = asked
        .entity
        .iter()
        .map(|part| (part.entity_type.to_string(), part.entity_name.as_ref().map(ToString::to_string)))
        .collect();
    parts.into_iter().collect()
}

/// As Kafka prints one.
fn in_words(entity: &QuotaEntity) -> String {
    let parts: Vec<String> =
        entity.iter().map(|(kind, name)| format!("{kind}={}", name.as_deref().unwrap_or("null"))).collect();
    format!("ClientQuotaEntity(entries={{{}}})", parts.join(", "))
}

/// The types of the quotas that an entity may have.
type Kinds = &'static [(&'static str, f64, bool)];

/// Name, greatest value, and whether it may have a fraction.
const OF_CLIENTS: Kinds = &[
    ("consumer_byte_rate", i64::MAX as f64, false),
    ("controller_mutation_rate", f64::INFINITY, true),
    ("producer_byte_rate", i64::MAX as f64, false),
    ("request_percentage", f64::INFINITY, true),
];
const OF_ADDRESSES: Kinds = &[("connection_creation_rate", i32::MAX as f64, false)];

/// Whether there may be quotas of this entity, and which. The text is Kafka's.
fn check_entity(entity: &QuotaEntity) -> Result<Kinds, String> {
    if entity.is_empty() {
        return Err("Invalid empty client quota entity".to_owned());
    }
    for (kind, name) in entity {
        if !matches!(kind.as_str(), "user" | "client-id" | "ip") {
            return Err(format!("Unhandled client quota entity type: {kind}"));
        }
        if name.as_deref() == Some("") {
            return Err(format!("Empty {kind} not supported"));
        }
    }
    match entity.iter().find(|(kind, _)| kind == "ip") {
        None => Ok(OF_CLIENTS),
        Some(_) if entity.len() > 1 => {
            let why = "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId";
            Err(why.to_owned())
        }
        Some((_, Some(name))) if !is_address(name) => Err(format!("{name} is not a valid IP or resolvable host.")),
        Some(_) => Ok(OF_ADDRESSES),
    }
}

/// Four numbers with dots, or what only an address of IPv6 is made of. Names of hosts are not looked up.
fn is_address(text: &str) -> bool {
    let is_v4 = text.split('.').count() == 4 && text.split('.').all(|part| part.parse::<u8>().is_ok());
    is_v4 || (text.contains(':') && text.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')))
}

fn check_quota(kinds: Kinds, key: &str, value: f64) -> Result<(), String> {
    let Some((_, most, has_fraction)) = kinds.iter().find(|(name, ..)| *name == key) else {
        return Err(format!("Invalid configuration key {key}"));
    };
    if value <= 0.0 {
        return Err(format!("Quota {key} must be greater than 0"));
    }
    if value > *most {
        let kind = if *most > i32::MAX as f64 { "a LONG" } else { "an INT" };
        return Err(format!("Proposed value for {key} is too large for {kind}."));
    }
    if !has_fraction && value - value.trunc() > 1e-6 {
        return Err(format!("{key} cannot be a fractional value."));
    }
    Ok(())
}

fn response(results: &BTreeMap<QuotaEntity, Result<(), Refusal>>) -> AlterClientQuotasResponse {
    response_of(results.iter().map(|(entity, result)| (entity, result.clone())))
}

fn response_of<'a>(results: impl Iterator<Item = (&'a QuotaEntity, Result<(), Refusal>)>) -> AlterClientQuotasResponse {
    let mut response = AlterClientQuotasResponse::default();
    for (entity, result) in results {
        let mut entry = EntryData::default();
        entry.error_message = None;
        if let Err((error, why)) = result {
            entry.error_code = error.code();
            entry.error_message = told(&why);
        }
        for (kind, name) in entity {
            let mut part = EntityData::default();
            part.entity_type = text(kind);
            part.entity_name = name.as_deref().map(text);
            entry.entity.push(part);
        }
        response.entries.push(entry);
    }
    response
}
