//! DescribeConfigs (32): what topics, brokers and groups are configured with, and where each value comes from.
//!
//! A value's synonyms are the places it could come from, the winner first. A topic falls back to one broker config;
//! where that one is given in another unit alone (`log.retention.hours` for `retention.ms`), the value counts but is no
//! synonym. A broker's loggers (resource 8) are none: nothing here logs by name.

use bytes::Bytes;
use shore_wire::codec::DecodeError;
use shore_wire::error::ErrorCode;
use shore_wire::messages::describe_configs_request::DescribeConfigsResource;
use shore_wire::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use shore_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};

use super::{RequestContext, Served, text};
use crate::broker::Broker;
use crate::config::alter::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::config::{
    BROKER_CONFIGS, BrokerConfig, CLIENT_METRICS_CONFIGS, ConfigMap, Dynamic, GROUP_CONFIGS, GroupConfig, Kind,
    Settings, Source, THROTTLES, TOPIC_CONFIGS, TopicConfig, broker_config, documentation, topic_value,
};
use crate::image::MetadataImage;
use crate::topic_name;

pub(crate) fn handle(broker: &mut Broker, ctx: RequestContext, body: Bytes) -> Result<Served, DecodeError> {
    let request: DescribeConfigsRequest = ctx.decode(body)?;
    let cluster = Cluster { image: &broker.image, settings: &broker.settings, node_id: broker.id() };
    Ok(Served::Answer(ctx.respond(&describe(&cluster, &request))))
}

/// What configs are read from.
struct Cluster<'a> {
    image: &'a MetadataImage,
    settings: &'a Settings,
    node_id: i32,
}

impl Cluster<'_> {
    fn dynamic(&self) -> Dynamic<'_> {
        self.image.dynamic_configs(self.node_id)
    }
}

/// One config of a resource.
struct Entry {
    name: &'static str,
    value: Option<String>,
    kind: Kind,
    read_only: bool,
    documentation: Option<&'static str>,
    /// The winner first.
    synonyms: Vec<Synonym>,
    /// Where the value comes from if it has no synonyms.
    source: Source,
}

struct Synonym {
    name: &'static str,
    value: String,
    source: Source,
}

fn describe(cluster: &Cluster, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let mut response = DescribeConfigsResponse::default();
    let is_known = |kind: i8| matches!(kind, TOPIC | BROKER | BROKER_LOGGER | CLIENT_METRICS | GROUP);
    let all_known = request.resources.iter().all(|resource| is_known(resource.resource_type));
    for resource in &request.resources {
        let entries = if all_known {
            entries(cluster, resource.resource_type, resource.resource_name.as_str())
        } else {
            // One unknown type spoils the whole request.
            Err((ErrorCode::InvalidRequest, ErrorCode::InvalidRequest.message().to_owned()))
        };
        let mut result = DescribeConfigsResult::default();
        result.resource_type = resource.resource_type;
        result.resource_name = resource.resource_name.clone();
        match entries {
            Ok(entries) => {
                let wanted = entries.into_iter().filter(|entry| is_wanted(resource, entry.name));
                result.error_message = Some(text(""));
                result.configs = wanted.map(|entry| encode(entry, request)).collect();
            }
            Err((error, message)) => {
                result.error_code = error.code();
                result.error_message = Some(text(&message));
            }
        }
        response.results.push(result);
    }
    response
}

/// No names, or none at all, ask for every config.
fn is_wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key.as_bytes() == name.as_bytes()),
        _ => true,
    }
}

fn encode(entry: Entry, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let is_sensitive = matches!(entry.kind, Kind::Password);
    let mut result = DescribeConfigsResourceResult::default();
    result.name = text(entry.name);
    result.value = entry.value.as_deref().filter(|_| !is_sensitive).map(text);
    result.read_only = entry.read_only;
    result.is_sensitive = is_sensitive;
    result.config_source = entry.synonyms.first().map_or(entry.source, |synonym| synonym.source) as i8;
    result.config_type = entry.kind as i8;
    result.documentation = None;
    if request.include_documentation {
        result.documentation = entry.documentation.map(text);
    }
    if request.include_synonyms {
        result.synonyms = entry.synonyms.iter().map(encode_synonym).collect();
    }
    result
}

fn encode_synonym(synonym: &Synonym) -> DescribeConfigsSynonym {
    let mut result = DescribeConfigsSynonym::default();
    result.name = text(synonym.name);
    result.value = Some(text(&synonym.value));
    result.source = synonym.source as i8;
    result
}

/// The code and the message, which Kafka leaves empty rather than null.
type Refusal = (ErrorCode, String);

fn entries(cluster: &Cluster, resource_type: i8, name: &str) -> Result<Vec<Entry>, Refusal> {
    let invalid = |why: &str| Err((ErrorCode::InvalidRequest, why.to_owned()));
    match resource_type {
        TOPIC => {
            if let Err(why) = topic_name::check(name) {
                return Err((ErrorCode::InvalidTopicException, why));
            }
            if cluster.image.topic(name).is_none() {
                return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
            }
            Ok(TOPIC_CONFIGS
                .iter()
                .map(|config| topic_entry(cluster, config, cluster.image.topic_configs(name)))
                .collect())
        }
        BROKER if name.is_empty() => Ok(default_broker_entries(cluster)),
        BROKER => {
            let expected = format!("expected {} or empty string,", cluster.node_id);
            is_this_broker(cluster, name, &expected)?;
            let throttles = THROTTLES.iter().map(|config| broker_entry(cluster, config));
            let is_set = throttles.filter(|entry| !entry.synonyms.is_empty());
            Ok(BROKER_CONFIGS.iter().map(|config| broker_entry(cluster, config)).chain(is_set).collect())
        }
        BROKER_LOGGER if name.is_empty() => invalid("Broker id must not be empty"),
        BROKER_LOGGER => is_this_broker(cluster, name, &format!("expected {}", cluster.node_id)).map(|()| Vec::new()),
        CLIENT_METRICS if name.is_empty() => invalid("Client metrics subscription name must not be empty"),
        CLIENT_METRICS => {
            let own = cluster.image.configs(CLIENT_METRICS, name);
            let entries = CLIENT_METRICS_CONFIGS.iter();
            Ok(entries.map(|&(name, kind, default)| client_metrics_entry(name, kind, default, own)).collect())
        }
        GROUP if name.is_empty() => invalid("Group name must not be empty"),
        _ => {
            let own = cluster.image.configs(GROUP, name);
            Ok(GROUP_CONFIGS.iter().map(|config| group_entry(cluster, config, own)).collect())
        }
    }
}

fn is_this_broker(cluster: &Cluster, name: &str, expected: &str) -> Result<(), Refusal> {
    let refuse = |why: String| Err((ErrorCode::InvalidRequest, why));
    match name.parse::<i32>() {
        Err(_) => refuse(format!("Broker id must be an integer, but it is: {name}")),
        Ok(id) if id != cluster.node_id => refuse(format!("Unexpected broker id, {expected} but received {name}")),
        Ok(_) => Ok(()),
    }
}

fn topic_entry(cluster: &Cluster, config: &'static TopicConfig, own: Option<&ConfigMap>) -> Entry {
    let (value, source) = topic_value(config, own, cluster.dynamic(), cluster.settings);
    let mut synonyms = Vec::new();
    if source == Source::DynamicTopic {
        synonyms.push(Synonym { name: config.name, value: value.clone(), source });
    }
    if let Some(name) = config.broker_name() {
        synonyms.extend(broker_synonyms(cluster, name));
    }
    Entry {
        name: config.name,
        value: Some(value),
        kind: config.kind,
        read_only: false,
        documentation: Some(config.documentation),
        synonyms,
        source: Source::Default,
    }
}

/// Where a broker config's value can come from: its own dynamic one, that of all brokers, what it was started with,
/// Kafka's default. What the same thing in other units says follows, once this one is given.
fn broker_synonyms(cluster: &Cluster, name: &'static str) -> Vec<Synonym> {
    let dynamic = cluster.dynamic();
    let of = |configs: Option<&ConfigMap>, name: &str| configs.and_then(|configs| configs.get(name)).cloned();
    let mut all = Vec::new();
    for source in [Source::DynamicBroker, Source::DynamicDefaultBroker, Source::StaticBroker, Source::Default] {
        for name in std::iter::once(name).chain(other_units(name).iter().copied()) {
            let value = match source {
                Source::DynamicBroker => of(dynamic.own, name),
                Source::DynamicDefaultBroker => of(dynamic.all, name),
                Source::StaticBroker => cluster.settings.given(name).map(str::to_owned),
                _ => broker_config(name).and_then(|config| config.default).map(str::to_owned),
            };
            all.extend(value.map(|value| Synonym { name, value, source }));
        }
    }
    let first = all.iter().position(|synonym| synonym.name == name).unwrap_or(all.len());
    all.split_off(first)
}

/// The configs that say the same in coarser units, by rising unit.
fn other_units(name: &str) -> &'static [&'static str] {
    match name {
        "log.retention.ms" => &["log.retention.minutes", "log.retention.hours"],
        "log.roll.ms" => &["log.roll.hours"],
        "log.roll.jitter.ms" => &["log.roll.jitter.hours"],
        "log.flush.interval.ms" => &["log.flush.scheduler.interval.ms"],
        _ => &[],
    }
}

fn broker_entry(cluster: &Cluster, config: &'static BrokerConfig) -> Entry {
    let synonyms = broker_synonyms(cluster, config.name);
    Entry {
        name: config.name,
        value: synonyms.first().map(|synonym| synonym.value.clone()),
        kind: config.kind,
        read_only: !config.dynamic,
        documentation: documentation(config.name),
        synonyms,
        source: Source::Default,
    }
}

/// What all brokers have unless they have their own: only what was set.
fn default_broker_entries(cluster: &Cluster) -> Vec<Entry> {
    let is_set = |name: &str| cluster.dynamic().all.is_some_and(|configs| configs.contains_key(name));
    let set = BROKER_CONFIGS.iter().chain(&THROTTLES).filter(|config| is_set(config.name));
    set.map(|config| {
        let mut entry = broker_entry(cluster, config);
        entry.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
        // This broker may have a value of its own.
        entry.value = entry.synonyms.first().map(|synonym| synonym.value.clone());
        entry
    })
    .collect()
}

/// A group's config falls back to the broker's of a longer name, or to a default of its own.
fn group_entry(cluster: &Cluster, config: &'static GroupConfig, own: Option<&ConfigMap>) -> Entry {
    let mut synonyms = match config.synonym {
        Some(name) => broker_synonyms(cluster, name),
        None => vec![Synonym { name: config.name, value: config.default.to_owned(), source: Source::Default }],
    };
    if let Some(value) = own.and_then(|configs| configs.get(config.name)) {
        synonyms.insert(0, Synonym { name: config.name, value: value.clone(), source: Source::DynamicGroup });
    }
    Entry {
        name: config.name,
        value: synonyms.first().map(|synonym| synonym.value.clone()),
        kind: config.kind,
        read_only: false,
        documentation: documentation(config.synonym.unwrap_or(config.name)),
        synonyms,
        source: Source::Default,
    }
}

fn client_metrics_entry(name: &'static str, kind: Kind, default: &'static str, own: Option<&ConfigMap>) -> Entry {
    let set = own.and_then(|configs| configs.get(name)).cloned();
    let synonyms = set.iter().map(|value| Synonym { name, value: value.clone(), source: Source::DynamicClientMetrics });
    Entry {
        name,
        synonyms: synonyms.collect(),
        value: Some(set.unwrap_or_else(|| default.to_owned())),
        kind,
        read_only: false,
        documentation: documentation(&format!("client.metrics.{name}")),
        source: Source::Default,
    }
}
