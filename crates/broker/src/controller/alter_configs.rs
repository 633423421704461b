//! AlterConfigs and IncrementalAlterConfigs: the configs of topics, brokers, groups and client metrics.

use shore_wire::error::ErrorCode;
use shore_wire::messages::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    alter_configs_response, incremental_alter_configs_response,
};
use shore_wire::records::metadata::{ConfigRecord, MetadataRecord};

use super::{Call, Controller, NOT_STORED, Refusal, told};
use crate::api::text;
use crate::config::alter::{Alteration, BROKER, CLIENT_METRICS, GROUP, TOPIC};
use crate::config::{check_client_metrics, check_group_configs, check_topic_configs};
use crate::features::ELIGIBLE_LEADER_REPLICAS;
use crate::topic_name;

/// The longest value that a config may have.
const LONGEST_VALUE: usize = i16::MAX as usize;

/// What became of one resource.
pub(crate) struct Altered<'a> {
    pub alteration: &'a Alteration,
    pub result: Result<(), Refusal>,
}

impl Controller {
    pub(super) fn alter_configs(&mut self, call: Call, request: AlterConfigsRequest) {
        let alterations: Vec<Alteration> = request.resources.iter().map(Alteration::from).collect();
        self.alter(call, &alterations, request.validate_only, legacy_response);
    }

    pub(super) fn incremental_alter_configs(&mut self, call: Call, request: IncrementalAlterConfigsRequest) {
        let alterations: Vec<Alteration> = request.resources.iter().map(Alteration::from).collect();
        self.alter(call, &alterations, request.validate_only, incremental_response);
    }

    fn alter<M: shore_wire::messages::KafkaResponse>(
        &mut self,
        call: Call,
        alterations: &[Alteration],
        validate_only: bool,
        respond: fn(&[Altered]) -> M,
    ) {
        let mut records = Vec::new();
        let mut altered = Vec::with_capacity(alterations.len());
        for alteration in alterations {
            let result = self.config_records(alteration).map(|mut changed| records.append(&mut changed));
            altered.push(Altered { alteration, result });
        }
        let response = respond(&altered);
        for altered in &mut altered {
            if altered.result.is_ok() {
                altered.result = Err((NOT_STORED, NOT_STORED.message().to_owned()));
            }
        }
        let failed = respond(&altered);
        if !validate_only {
            self.propose(&records);
        }
        self.respond_when_committed(call, &response, &failed);
    }

    /// The records that change a resource's configs.
    fn config_records(&self, alteration: &Alteration) -> Result<Vec<MetadataRecord>, Refusal> {
        let (resource_type, resource_name) = (alteration.resource_type, alteration.resource_name.as_str());
        let invalid = |why: String| (ErrorCode::InvalidConfig, why);
        if alteration.changes.iter().any(|change| change.operation.is_err()) {
            return Err((ErrorCode::UnknownServerError, String::new()));
        }
        let mut configs = self.image.configs(resource_type, resource_name).cloned().unwrap_or_default();
        let outcome = alteration.outcome(&configs).map_err(invalid)?;
        let mut records = Vec::new();
        for (name, value) in outcome {
            if resource_type == BROKER && self.image.feature(ELIGIBLE_LEADER_REPLICAS) > 0 {
                check_min_insync_replicas(resource_name, &name, value.as_deref()).map_err(invalid)?;
            }
            check_length(value.as_deref()).map_err(invalid)?;
            let known = match &value {
                Some(value) => configs.insert(name.clone(), value.clone()),
                None => configs.remove(&name),
            };
            // A broker is told again even of what stays, so that it reloads it.
            if known != value || resource_type == BROKER {
                let resource_name = resource_name.to_owned();
                records.push(MetadataRecord::Config(ConfigRecord { resource_type, resource_name, name, value }));
            }
        }
        match resource_type {
            TOPIC => {
                if resource_name.is_empty() {
                    let why = "Default topic resources are not allowed.";
                    return Err((ErrorCode::InvalidRequest, why.to_owned()));
                }
                topic_name::check(resource_name).map_err(|why| (ErrorCode::InvalidTopicException, why))?;
                check_topic_configs(&configs).map_err(invalid)?;
                if self.image.topic_id(resource_name).is_none() {
                    let why = format!("The topic '{resource_name}' does not exist.");
                    return Err((ErrorCode::UnknownTopicOrPartition, why));
                }
            }
            BROKER => self.check_broker_name(resource_name)?,
            CLIENT_METRICS => check_client_metrics(resource_name, &configs)?,
            GROUP => {
                if resource_name.is_empty() {
                    let why = "Default group resources are not allowed.";
                    return Err((ErrorCode::InvalidRequest, why.to_owned()));
                }
                check_group_configs(&configs, &self.settings).map_err(invalid)?;
            }
            other => return Err((ErrorCode::InvalidRequest, format!("Unknown resource type {other}"))),
        }
        Ok(records)
    }

    fn check_broker_name(&self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() {
            return Ok(());
        }
        match name.parse::<i32>() {
            Err(_) => {
                let why = "Unable to parse broker name as a base 10 number.";
                Err((ErrorCode::InvalidRequest, why.to_owned()))
            }
            Ok(id) if id < 0 => Err((ErrorCode::InvalidRequest, "Invalid negative broker ID.".to_owned())),
            Ok(id) if !self.image.brokers.contains_key(&id) => {
                Err((ErrorCode::BrokerIdNotRegistered, format!("No node with id {id} found.")))
            }
            Ok(_) => Ok(()),
        }
    }
}

/// Eligible leader replicas need the minimum of replicas in sync of all brokers in one place.
fn check_min_insync_replicas(broker: &str, name: &str, value: Option<&str>) -> Result<(), String> {
    let why = match value {
        _ if name != "min.insync.replicas" => return Ok(()),
        _ if !broker.is_empty() => "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        None => "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        Some(_) => return Ok(()),
    };
    Err(why.to_owned())
}

fn check_length(value: Option<&str>) -> Result<(), String> {
    if value.is_some_and(|value| value.encode_utf16().count() > LONGEST_VALUE) {
        return Err(format!(
            "The configuration value cannot be added because it exceeds the maximum value size of {LONGEST_VALUE} bytes."
        ));
    }
    Ok(())
}

pub(crate) fn legacy_response(altered: &[Altered]) -> AlterConfigsResponse {
    let mut response = AlterConfigsResponse::default();
    for Altered { alteration, result } in altered {
        let mut resource = alter_configs_response::AlterConfigsResourceResponse::default();
        (resource.error_code, resource.error_message) = outcome(result);
        resource.resource_type = alteration.resource_type;
        resource.resource_name = text(&alteration.resource_name);
        response.responses.push(resource);
    }
    response
}

pub(crate) fn incremental_response(altered: &[Altered]) -> IncrementalAlterConfigsResponse {
    let mut response = IncrementalAlterConfigsResponse::default();
    for Altered { alteration, result } in altered {
        let mut resource = incremental_alter_configs_response::AlterConfigsResourceResponse::default();
        (resource.error_code, resource.error_message) = outcome(result);
        resource.resource_type = alteration.resource_type;
        resource.resource_name = text(&alteration.resource_name);
        response.responses.push(resource);
    }
    response
}

fn outcome(result: &Result<(), Refusal>) -> (i16, Option<shore_wire::messages::StrBytes>) {
    match result {
        Ok(()) => (0, None),
        Err((error, why)) => (error.code(), told(why)),
    }
}
