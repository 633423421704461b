//! Configs: what there is, what it defaults to, and what a topic's log is told.

pub(crate) mod alter;
mod bounds;
mod broker;
mod documentation;
pub(crate) mod double;
pub(crate) mod dynamic;
mod group;
mod topic;

use shore_base::collections::BTreeMap;
use shore_log::{CleanupPolicy, Compression, LogConfig};
use shore_wire::batch::TimestampType;
use shore_wire::error::ErrorCode;

pub(crate) use broker::{BROKER_CONFIGS, THROTTLES};
pub(crate) use documentation::documentation;
pub(crate) use group::{CLIENT_METRICS_CONFIGS, CLIENT_METRICS_MATCHES, GROUP_CONFIGS, GroupConfig};
pub(crate) use topic::TOPIC_CONFIGS;

/// A config's type, with the number that DescribeConfigs gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    Password = 9,
}

/// A config of a broker.
#[derive(Debug)]
pub(crate) struct BrokerConfig {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Option<&'static str>,
    /// Whether it may change while the broker runs.
    pub dynamic: bool,
    /// The least number it may be, where that is a small one.
    pub least: Option<i8>,
}

/// A config of a topic.
#[derive(Debug)]
pub(crate) struct TopicConfig {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    /// The broker config that gives topics their default, as DescribeConfigs names it.
    pub synonym: Option<&'static str>,
    pub check: Check,
    pub documentation: &'static str,
}

impl TopicConfig {
    /// The broker config that stands for this one. The four that brokers also have in coarser units have no default of
    /// their own under this name, which is why the table does not hold them.
    pub fn broker_name(&self) -> Option<&'static str> {
        match self.name {
            "retention.ms" => Some("log.retention.ms"),
            "segment.ms" => Some("log.roll.ms"),
            "segment.jitter.ms" => Some("log.roll.jitter.ms"),
            "flush.ms" => Some("log.flush.interval.ms"),
            _ => self.synonym,
        }
    }
}

/// Which values of the right type are allowed.
#[derive(Debug)]
pub(crate) enum Check {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// -1 for the codec's own choice, else 1 to 9.
    GzipLevel,
    /// A fraction from 0 to 1.
    Fraction,
    OneOf(&'static [&'static str]),
    /// One of these, which are in capitals, in any case.
    OneOfAnyCase(&'static [&'static str]),
    NotEmpty,
    /// A list of these.
    ListOf(&'static [&'static str]),
    /// `[partition]:[broker]` pairs, or `*`.
    ThrottledReplicas,
}

/// Where a value comes from, with the number that DescribeConfigs gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    DynamicTopic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicClientMetrics = 7,
    DynamicGroup = 8,
}

/// The configs of one resource that were set.
pub type ConfigMap = BTreeMap<String, String>;

pub(crate) fn broker_config(name: &str) -> Option<&'static BrokerConfig> {
    BROKER_CONFIGS.binary_search_by(|config| config.name.cmp(name)).ok().map(|index| &BROKER_CONFIGS[index])
}

pub(crate) fn topic_config(name: &str) -> Option<&'static TopicConfig> {
    TOPIC_CONFIGS.binary_search_by(|config| config.name.cmp(name)).ok().map(|index| &TOPIC_CONFIGS[index])
}

/// The configs that a broker was given while it ran.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dynamic<'a> {
    pub own: Option<&'a ConfigMap>,
    /// What all brokers have unless they have their own.
    pub all: Option<&'a ConfigMap>,
}

impl<'a> Dynamic<'a> {
    pub fn get(self, name: &str) -> Option<(&'a str, Source)> {
        let of = |configs: Option<&'a ConfigMap>, source| Some((configs?.get(name)?.as_str(), source));
        of(self.own, Source::DynamicBroker).or_else(|| of(self.all, Source::DynamicDefaultBroker))
    }
}

/// A broker's configs: what it was given while it ran, over its static ones (`server.properties`), over Kafka's
/// defaults.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    values: ConfigMap,
    dynamic: ConfigMap,
}

impl Settings {
    /// Refuses what Kafka does not start with.
    pub fn new(mut values: ConfigMap) -> Result<Self, String> {
        // Either name of the node's id says what the other does not.
        for (name, other) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
            if let Some(id) = values.get(other).cloned() {
                values.entry(name.to_owned()).or_insert(id);
            }
        }
        for (name, value) in &values {
            if let Some(config) = broker_config(name) {
                bounds::check_one(config, value)?;
            }
        }
        let settings = Self { values, dynamic: ConfigMap::new() };
        bounds::check_all(&settings)?;
        bounds::check_start(&settings)?;
        Ok(settings)
    }

    /// These with other dynamic configs, of which those that cannot be read are left out.
    pub fn with_dynamic(&self, dynamic: Dynamic) -> Self {
        let configs = [dynamic.all, dynamic.own].into_iter().flatten().flatten();
        let readable = configs.filter(|(name, value)| {
            broker_config(name).is_some_and(|config| config.dynamic && check_kind(config.kind, name, value).is_ok())
        });
        let dynamic = readable.map(|(name, value)| (name.clone(), value.clone())).collect();
        Self { values: self.values.clone(), dynamic }
    }

    /// What was set statically, which need not be a config that Kafka has.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.dynamic.get(name).map(String::as_str).or_else(|| self.given(name)).or_else(|| broker_config(name)?.default)
    }

    /// A number, which must be a config with a default.
    pub fn long(&self, name: &str) -> i64 {
        self.text(name).and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| panic!("{name} has no number"))
    }

    /// A fraction, which must be a config with a default.
    pub fn billionths(&self, name: &str) -> i64 {
        self.text(name)
            .and_then(|text| double::billionths(text.trim()))
            .unwrap_or_else(|| panic!("{name} has no number"))
    }

    pub fn int(&self, name: &str) -> i32 {
        self.long(name) as i32
    }

    pub fn millis(&self, name: &str) -> std::time::Duration {
        std::time::Duration::from_millis(self.long(name).max(0) as u64)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
    }

    /// What a topic config falls back to, where the broker was given a value for it.
    fn topic_default(&self, config: &TopicConfig) -> Option<String> {
        let scaled = |name: &str, unit: i64| {
            let value: i64 = self.given(name)?.trim().parse().ok()?;
            Some(if value < 0 { -1 } else { value.saturating_mul(unit) }.to_string())
        };
        const MINUTE: i64 = 60_000;
        const HOUR: i64 = 60 * MINUTE;
        match config.name {
            "retention.ms" => scaled("log.retention.ms", 1)
                .or_else(|| scaled("log.retention.minutes", MINUTE))
                .or_else(|| scaled("log.retention.hours", HOUR)),
            "segment.ms" => scaled("log.roll.ms", 1).or_else(|| scaled("log.roll.hours", HOUR)),
            "segment.jitter.ms" => scaled("log.roll.jitter.ms", 1).or_else(|| scaled("log.roll.jitter.hours", HOUR)),
            "flush.ms" => scaled("log.flush.interval.ms", 1).or_else(|| scaled("log.flush.scheduler.interval.ms", 1)),
            _ => self.given(config.synonym?).map(str::to_owned),
        }
    }
}

/// A topic config's value: the topic's own, else the broker's dynamic one, else its static one, else Kafka's.
pub(crate) fn topic_value(
    config: &TopicConfig,
    topic: Option<&ConfigMap>,
    dynamic: Dynamic,
    settings: &Settings,
) -> (String, Source) {
    if let Some(value) = topic.and_then(|configs| configs.get(config.name)) {
        return (value.clone(), Source::DynamicTopic);
    }
    if let Some((value, source)) = config.broker_name().and_then(|name| dynamic.get(name)) {
        return (value.to_owned(), source);
    }
    match settings.topic_default(config) {
        Some(value) => (value, Source::StaticBroker),
        None => (config.default.to_owned(), Source::Default),
    }
}

/// What the logs of a topic with these configs are told.
pub(crate) fn log_config(topic: Option<&ConfigMap>, dynamic: Dynamic, settings: &Settings) -> LogConfig {
    let text = |name: &str| {
        let config = topic_config(name).unwrap_or_else(|| panic!("{name} is a topic config"));
        topic_value(config, topic, dynamic, settings).0
    };
    let long = |name: &str| text(name).trim().parse::<i64>().unwrap_or_else(|_| panic!("{name} was checked"));
    let policy = text("cleanup.policy");
    let has_policy = |wanted: &str| policy.split(',').any(|policy| policy.trim() == wanted);
    LogConfig {
        segment_bytes: long("segment.bytes") as u32,
        segment_ms: long("segment.ms"),
        segment_jitter_ms: long("segment.jitter.ms"),
        segment_index_bytes: long("segment.index.bytes") as u32,
        index_interval_bytes: long("index.interval.bytes") as u32,
        retention_ms: long("retention.ms"),
        retention_bytes: long("retention.bytes"),
        file_delete_delay_ms: long("file.delete.delay.ms"),
        max_message_bytes: long("max.message.bytes") as u32,
        timestamp_type: match text("message.timestamp.type").as_str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        },
        timestamp_before_max_ms: long("message.timestamp.before.max.ms"),
        timestamp_after_max_ms: long("message.timestamp.after.max.ms"),
        compression: match text("compression.type").as_str() {
            "uncompressed" => Compression::Uncompressed,
            "gzip" => Compression::Gzip { level: long("compression.gzip.level") as i32 },
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4 { level: long("compression.lz4.level") as i32 },
            "zstd" => Compression::Zstd { level: long("compression.zstd.level") as i32 },
            _ => Compression::Producer,
        },
        cleanup_policy: CleanupPolicy { delete: has_policy("delete"), compact: has_policy("compact") },
        min_cleanable_dirty_ratio: billionths(&text("min.cleanable.dirty.ratio")),
        min_compaction_lag_ms: long("min.compaction.lag.ms"),
        max_compaction_lag_ms: long("max.compaction.lag.ms"),
        delete_retention_ms: long("delete.retention.ms"),
        producer_id_expiration_ms: settings.long("producer.id.expiration.ms"),
        transaction_verification: settings.flag("transaction.partition.verification.enable"),
    }
}

/// A fraction that was checked.
fn billionths(fraction: &str) -> u64 {
    double::billionths(fraction.trim()).unwrap_or(double::ONE).unsigned_abs()
}

/// Whether a topic may be given these configs; the text is Kafka's.
pub(crate) fn check_topic_configs(configs: &ConfigMap) -> Result<(), String> {
    for (name, value) in configs {
        let Some(config) = topic_config(name) else {
            return Err(format!("Unknown topic config name: {name}"));
        };
        check_kind(config.kind, name, value)?;
        check_value(&config.check, name, value)?;
    }
    if configs.get("remote.storage.enable").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
        let why = "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
                   storage.";
        return Err(why.to_owned());
    }
    let lag = |name: &str, default| configs.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or(default);
    let (min, max) = (lag("min.compaction.lag.ms", 0), lag("max.compaction.lag.ms", i64::MAX));
    if min > max {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        ));
    }
    Ok(())
}

/// Whether a group may be given these configs; the text is Kafka's.
pub(crate) fn check_group_configs(configs: &ConfigMap, settings: &Settings) -> Result<(), String> {
    let find = |name: &str| GROUP_CONFIGS.iter().find(|config| config.name == name);
    for name in configs.keys() {
        if find(name).is_none() {
            return Err(format!("Unknown group config name: {name}"));
        }
    }
    for (name, value) in configs {
        let config = find(name).expect("it was found");
        check_kind(config.kind, name, value)?;
        // `consumer.session.timeout.ms` lies between `group.consumer.min.session.timeout.ms` and the maximum.
        let Some((family, rest)) = name.split_once('.') else { continue };
        let bound = |bound: &str| {
            let name = format!("group.{family}.{bound}.{rest}");
            let limit = broker_config(&name).map(|_| settings.long(&name))?;
            Some((name, limit))
        };
        let Ok(number) = value.trim().parse::<i64>() else { continue };
        if let Some((least, _)) = bound("min").filter(|(_, least)| number < *least) {
            return Err(format!("{name} must be greater than or equal to {least}"));
        }
        if let Some((most, _)) = bound("max").filter(|(_, most)| number > *most) {
            return Err(format!("{name} must be less than or equal to {most}"));
        }
    }
    Ok(())
}

/// Whether a client metrics subscription may be given these configs; the text is Kafka's.
pub(crate) fn check_client_metrics(name: &str, configs: &ConfigMap) -> Result<(), (ErrorCode, String)> {
    let refuse = |why: String| Err((ErrorCode::InvalidRequest, why));
    if name.is_empty() {
        return refuse("Subscription name can't be empty".to_owned());
    }
    if let Some(unknown) = configs.keys().find(|name| !CLIENT_METRICS_CONFIGS.iter().any(|(known, ..)| known == name)) {
        return refuse(format!("Unknown client metrics configuration: {unknown}"));
    }
    if let Some(interval) = configs.get("interval.ms") {
        check_kind(Kind::Int, "interval.ms", interval).map_err(|why| (ErrorCode::InvalidConfig, why))?;
        if !(100..=3_600_000).contains(&interval.trim().parse().unwrap_or(0)) {
            return refuse(format!(
                "Invalid value {interval} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
            ));
        }
    }
    let patterns = configs.get("match").map_or("", String::as_str).split(',').filter(|pattern| !pattern.is_empty());
    for pattern in patterns {
        let names_a_client = match pattern.trim_end_matches('=').split('=').collect::<Vec<_>>()[..] {
            [name, _] => CLIENT_METRICS_MATCHES.contains(&name.trim()),
            _ => false,
        };
        if !names_a_client {
            let why = format!("Illegal client matching pattern: {}", pattern.trim());
            return Err((ErrorCode::InvalidConfig, why));
        }
    }
    Ok(())
}

/// Whether `value` is of this type; the text is Kafka's.
fn check_kind(kind: Kind, name: &str, value: &str) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("Invalid value {value} for configuration {name}: {why}"));
    let text = value.trim();
    match kind {
        Kind::Boolean if !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false") => {
            refuse("Expected value to be either true or false")
        }
        Kind::Int if text.parse::<i32>().is_err() => refuse("Not a number of type INT"),
        Kind::Short if text.parse::<i16>().is_err() => refuse("Not a number of type SHORT"),
        Kind::Long if text.parse::<i64>().is_err() => refuse("Not a number of type LONG"),
        Kind::Double if double::billionths(text).is_none() => refuse("Not a number of type DOUBLE"),
        _ => Ok(()),
    }
}

/// A decimal number as Java prints it: with a fraction, and without zeros behind that.
fn decimal(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}.0"),
        fraction => format!("{whole}.{fraction}"),
    }
}

fn check_value(check: &Check, name: &str, value: &str) -> Result<(), String> {
    let refuse = |value: &str, why: String| Err(format!("Invalid value {value} for configuration {name}: {why}"));
    let text = value.trim();
    let number = || text.parse::<i64>().expect("the type was checked");
    let refuse_number = |why: String| refuse(&number().to_string(), why);
    match check {
        Check::Any => Ok(()),
        Check::AtLeast(least) | Check::Between(least, _) if number() < *least => {
            refuse_number(format!("Value must be at least {least}"))
        }
        Check::Between(_, most) if number() > *most => refuse_number(format!("Value must be no more than {most}")),
        Check::AtLeast(_) | Check::Between(..) => Ok(()),
        Check::GzipLevel if !matches!(number(), -1 | 1..=9) => {
            refuse_number("Value must be between 1 and 9 or equal to -1".to_owned())
        }
        Check::GzipLevel => Ok(()),
        Check::Fraction => {
            let fraction = double::billionths(text).expect("the type was checked");
            if fraction < 0 {
                refuse(&decimal(text), "Value must be at least 0".to_owned())
            } else if fraction > double::ONE {
                refuse(&decimal(text), "Value must be no more than 1".to_owned())
            } else {
                Ok(())
            }
        }
        Check::OneOf(allowed) if !allowed.contains(&text) => {
            refuse(text, format!("String must be one of: {}", allowed.join(", ")))
        }
        Check::OneOf(_) => Ok(()),
        Check::OneOfAnyCase(allowed)
            if bounds::REST && !allowed.iter().any(|known| known.eq_ignore_ascii_case(text)) =>
        {
            refuse(text, format!("String must be one of (case insensitive): {}", allowed.join(", ")))
        }
        Check::OneOfAnyCase(_) => Ok(()),
        Check::NotEmpty if bounds::REST && text.is_empty() => refuse(text, "String must be non-empty".to_owned()),
        Check::NotEmpty => Ok(()),
        Check::ListOf(allowed) => {
            let items: Vec<&str> = if text.is_empty() { Vec::new() } else { text.split(',').map(str::trim).collect() };
            match items.iter().find(|item| !allowed.contains(item)) {
                Some(&"") => Err(format!("Configuration '{name}' values must not be empty.")),
                Some(item) => refuse(item, format!("String must be one of: {}", allowed.join(", "))),
                None => Ok(()),
            }
        }
        Check::ThrottledReplicas => {
            let pair = |pair: &str| {
                pair.split_once(':').is_some_and(|(partition, broker)| {
                    [partition, broker].iter().all(|number| number.trim().parse::<u32>().is_ok())
                })
            };
            if text.is_empty() || text == "*" || text.split(',').all(pair) {
                Ok(())
            } else {
                let items: Vec<&str> = text.split(',').map(str::trim).collect();
                refuse(
                    &format!("[{}]", items.join(", ")),
                    format!(
                        "{name} must be the literal '*' or a list of replicas in the following format: \
                         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                    ),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_so_that_names_are_found() {
        assert!(BROKER_CONFIGS.is_sorted_by(|a, b| a.name < b.name));
        assert!(TOPIC_CONFIGS.is_sorted_by(|a, b| a.name < b.name));
    }

    #[test]
    fn every_default_is_a_value_that_may_be_set() {
        for config in BROKER_CONFIGS {
            if let Some(default) = config.default {
                assert_eq!(check_kind(config.kind, config.name, default), Ok(()));
            }
        }
        for config in TOPIC_CONFIGS {
            let configs = ConfigMap::from([(config.name.to_owned(), config.default.to_owned())]);
            assert_eq!(check_topic_configs(&configs), Ok(()));
        }
    }

    #[test]
    fn every_broker_config_that_a_topic_falls_back_to_exists_and_has_the_same_default() {
        for config in TOPIC_CONFIGS {
            if let Some(synonym) = config.synonym {
                assert_eq!(broker_config(synonym).and_then(|broker| broker.default), Some(config.default), "{synonym}");
            }
        }
    }

    #[test]
    fn an_unconfigured_topic_has_the_defaults_of_the_log() {
        let settings = Settings::new(ConfigMap::new()).expect("no configs");
        assert_eq!(log_config(None, Dynamic::default(), &settings), LogConfig::default());
    }

    #[test]
    fn retention_of_a_broker_is_taken_from_the_finest_unit_given() {
        for (given, retention_ms) in [
            (vec![("log.retention.hours", "1")], 3_600_000),
            (vec![("log.retention.hours", "1"), ("log.retention.minutes", "2")], 120_000),
            (vec![("log.retention.minutes", "2"), ("log.retention.ms", "5")], 5),
            (vec![("log.retention.hours", "-1")], -1),
        ] {
            let given = given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let settings = Settings::new(given).expect("valid configs");
            assert_eq!(log_config(None, Dynamic::default(), &settings).retention_ms, retention_ms);
        }
    }

    #[test]
    fn bad_values_are_refused_in_kafkas_words() {
        for (name, value, refusal) in [
            ("nonsense", "1", "Unknown topic config name: nonsense"),
            ("retention.ms", "soon", "Invalid value soon for configuration retention.ms: Not a number of type LONG"),
            ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
            (
                "cleanup.policy",
                "shred",
                "Invalid value shred for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            ("cleanup.policy", "delete,", "Configuration 'cleanup.policy' values must not be empty."),
            (
                "min.cleanable.dirty.ratio",
                "1.5",
                "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
            (
                "preallocate",
                "maybe",
                "Invalid value maybe for configuration preallocate: Expected value to be either true or false",
            ),
        ] {
            let configs = ConfigMap::from([(name.to_owned(), value.to_owned())]);
            assert_eq!(check_topic_configs(&configs), Err(refusal.to_owned()));
        }
    }
}
