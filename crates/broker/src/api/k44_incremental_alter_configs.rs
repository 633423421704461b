//! AlterConfigs (33) and IncrementalAlterConfigs (44): what concerns this broker is checked here, the rest by the
//! controller, which keeps the configs.
//!
//! Resources that are refused here are left out of what the controller is asked; the answer has all of them, in the
//! order in which they were given.

use bytes::Bytes;
use shore_base::collections::{BTreeMap, BTreeSet};
use shore_wire::api::ApiKey;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::frame::{self, Frame};
use shore_wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::{RequestContext, Served};
use crate::broker::Broker;
use crate::config::alter::{Alteration, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, Operation, TOPIC};
use crate::config::dynamic::{check_dynamic, check_together};
use crate::config::{ConfigMap, Dynamic};
use crate::controller::{Altered, Refusal, incremental_response, legacy_response};
use crate::link::Asked;

/// A request of which the controller answers the part that was not refused here.
#[derive(Clone, Debug)]
pub(crate) struct PreparedAlteration {
    resources: Vec<(Alteration, Result<(), Refusal>)>,
}

pub(super) fn handle_legacy(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let mut request: AlterConfigsRequest = ctx.decode(body)?;
    let prepared = prepare(broker, request.resources.iter().map(Alteration::from).collect());
    if prepared.is_refused() {
        return Ok(Served::Answer(prepared.answer(&ctx)));
    }
    prepared.keep_passed(&mut request.resources);
    Ok(broker.forward_part(&ctx, &request, Asked::ConfigsAltered(ctx.clone(), prepared)))
}

pub(super) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let mut request: IncrementalAlterConfigsRequest = ctx.decode(body)?;
    let prepared = prepare(broker, request.resources.iter().map(Alteration::from).collect());
    if prepared.is_refused() {
        return Ok(Served::Answer(prepared.answer(&ctx)));
    }
    prepared.keep_passed(&mut request.resources);
    Ok(broker.forward_part(&ctx, &request, Asked::ConfigsAltered(ctx.clone(), prepared)))
}

fn prepare(broker: &Broker, alterations: Vec<Alteration>) -> PreparedAlteration {
    let mut seen = BTreeMap::new();
    for alteration in &alterations {
        *seen.entry((alteration.resource_type, alteration.resource_name.clone())).or_insert(0) += 1;
    }
    let resources = alterations.into_iter().map(|alteration| {
        let repeated = seen[&(alteration.resource_type, alteration.resource_name.clone())] > 1;
        let result = if repeated {
            Err((ErrorCode::InvalidRequest, "Each resource must appear at most once.".to_owned()))
        } else {
            check(broker, &alteration)
        };
        (alteration, result)
    });
    PreparedAlteration { resources: resources.collect() }
}

fn check(broker: &Broker, alteration: &Alteration) -> Result<(), Refusal> {
    let invalid = |why: String| Err((ErrorCode::InvalidRequest, why));
    let mut names = BTreeSet::new();
    if !alteration.changes.iter().all(|change| names.insert(&change.name)) {
        return invalid("Error due to duplicate config keys".to_owned());
    }
    let nulls = alteration
        .changes
        .iter()
        .filter(|change| change.value.is_none() && change.operation != Ok(Operation::Delete))
        .map(|change| change.name.as_str())
        .collect::<Vec<_>>();
    if !nulls.is_empty() {
        return invalid(format!("Null value not supported for : {}", nulls.join(", ")));
    }
    match alteration.resource_type {
        TOPIC | CLIENT_METRICS | GROUP => Ok(()),
        BROKER => check_broker(broker, alteration),
        BROKER_LOGGER if !alteration.replaces => check_loggers(broker, alteration),
        other => invalid(format!("Unknown resource type {other}")),
    }
}

fn check_broker(broker: &Broker, alteration: &Alteration) -> Result<(), Refusal> {
    let name = alteration.resource_name.as_str();
    let invalid = |why: String| (ErrorCode::InvalidRequest, why);
    if !name.is_empty() {
        is_this_broker(broker, name)?;
    }
    if let Some(operation) = alteration.changes.iter().find_map(|change| change.operation.err()) {
        return Err(invalid(format!("Unknown operations type {operation}")));
    }
    let current = broker.image.configs(BROKER, name).cloned().unwrap_or_default();
    let outcome = alteration.outcome(&current).map_err(|why| (ErrorCode::InvalidConfig, why))?;
    let mut configs = if alteration.replaces { ConfigMap::new() } else { current };
    for (name, value) in outcome {
        match value {
            Some(value) => configs.insert(name, value),
            None => configs.remove(&name),
        };
    }
    check_dynamic(&configs, !name.is_empty()).map_err(invalid)?;
    let known = broker.image.dynamic_configs(broker.id());
    let dynamic = match name {
        "" => Dynamic { all: Some(&configs), ..known },
        _ => Dynamic { own: Some(&configs), ..known },
    };
    check_together(&broker.settings, &broker.settings.with_dynamic(dynamic), dynamic).map_err(invalid)
}

fn is_this_broker(broker: &Broker, name: &str) -> Result<(), Refusal> {
    let refuse = |why: String| Err((ErrorCode::InvalidRequest, why));
    match name.parse::<i32>() {
        Err(_) => refuse(format!("Node id must be an integer, but it is: {name}")),
        Ok(id) if id != broker.id() => {
            refuse(format!("Unexpected broker id, expected {}, but received {name}", broker.id()))
        }
        Ok(_) => Ok(()),
    }
}

/// Nothing here logs by name: there is no logger whose level could be set.
fn check_loggers(broker: &Broker, alteration: &Alteration) -> Result<(), Refusal> {
    is_this_broker(broker, &alteration.resource_name)?;
    match alteration.changes.first() {
        Some(change) => Err((ErrorCode::InvalidConfig, format!("Logger {} does not exist!", change.name))),
        None => Ok(()),
    }
}

impl PreparedAlteration {
    /// Whether nothing is left to ask the controller.
    fn is_refused(&self) -> bool {
        self.resources.iter().all(|(alteration, result)| result.is_err() || alteration.resource_type == BROKER_LOGGER)
    }

    fn keep_passed<T>(&self, resources: &mut Vec<T>) {
        let mut results = self.resources.iter();
        resources.retain(|_| {
            results
                .next()
                .is_some_and(|(alteration, result)| result.is_ok() && alteration.resource_type != BROKER_LOGGER)
        });
    }

    /// The whole answer, given the controller's to its part.
    pub fn complete(mut self, ctx: &RequestContext, response: Bytes) -> Result<Frame, DecodeError> {
        let version = ctx.api_version;
        match ctx.api {
            ApiKey::AlterConfigs => {
                let (_, answer) = frame::decode_response::<AlterConfigsResponse>(response, version)?;
                for part in answer.responses {
                    self.settle(part.resource_type, &part.resource_name, part.error_code, part.error_message);
                }
            }
            _ => {
                let (_, answer) = frame::decode_response::<IncrementalAlterConfigsResponse>(response, version)?;
                for part in answer.responses {
                    self.settle(part.resource_type, &part.resource_name, part.error_code, part.error_message);
                }
            }
        }
        Ok(self.answer(ctx))
    }

    fn settle(&mut self, kind: i8, name: &str, code: i16, why: Option<shore_wire::messages::StrBytes>) {
        let asked = self.resources.iter_mut().find(|(alteration, result)| {
            result.is_ok() && alteration.resource_type == kind && alteration.resource_name == name
        });
        if let Some((_, result)) = asked.filter(|_| code != 0) {
            let error = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
            *result = Err((error, why.unwrap_or_default().to_string()));
        }
    }

    fn answer(&self, ctx: &RequestContext) -> Frame {
        let altered: Vec<Altered> =
            self.resources.iter().map(|(alteration, result)| Altered { alteration, result: result.clone() }).collect();
        match ctx.api {
            ApiKey::AlterConfigs => ctx.respond(&legacy_response(&altered)),
            _ => ctx.respond(&incremental_response(&altered)),
        }
    }
}
