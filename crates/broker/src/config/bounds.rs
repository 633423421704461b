//! Which values the configs of a broker may have, each for itself and all together, whether it starts with them or is
//! given them while it runs. All texts are Kafka's, oddities included; `tests/configs` holds them against Kafka's own.

mod rest;

use super::Check::AtLeast;
use super::{BrokerConfig, Dynamic, Kind, Settings, TOPIC_CONFIGS, TopicConfig};
use super::{check_kind, check_topic_configs, check_value, topic_value};

/// Whether there is room for the bounds of what nothing here acts on.
pub(super) const REST: bool = cfg!(feature = "bounds");

/// The least room for the keys of a thread that compacts.
const DEDUPE_BYTES: i64 = 1 << 20;

/// Whether a config may have this value, whatever the others have.
pub(super) fn check_one(config: &BrokerConfig, value: &str) -> Result<(), String> {
    let name = config.name;
    check_kind(config.kind, name, value)?;
    // Topics fall back to it, and it has to be what a topic's may be.
    let of_topics = TOPIC_CONFIGS.iter().find(|config| config.synonym == Some(name));
    let own = || rest::CHECKS.iter().filter(|_| REST).find(|(known, _)| *known == name).map(|(_, check)| check);
    if let Some(check) = of_topics.map(|config| &config.check).or_else(own) {
        check_value(check, name, value)?;
    }
    match (config.kind, config.least) {
        (_, Some(least)) => check_value(&AtLeast(least.into()), name, value),
        (Kind::List, None) => check_list(name, value.trim()),
        // The only classes there are are those that are meant where nothing is said.
        (Kind::Class, None) if config.default != Some(value.trim()) => {
            let class = value.trim();
            Err(format!("Invalid value {class} for configuration {name}: Class {class} could not be found."))
        }
        _ => Ok(()),
    }
}

fn check_list(name: &str, list: &str) -> Result<(), String> {
    if list.is_empty() {
        let Some((_, valid)) = rest::NEVER_EMPTY.iter().filter(|_| REST).find(|(known, _)| *known == name) else {
            return Ok(());
        };
        return Err(format!("Configuration '{name}' must not be empty. Valid values include: {valid}"));
    }
    if list.split(',').any(|item| item.trim().is_empty()) {
        return Err(format!("Configuration '{name}' values must not be empty."));
    }
    Ok(())
}

/// Whether a broker may have these together, each of which may be.
pub(super) fn check_all(settings: &Settings) -> Result<(), String> {
    if REST {
        rest::check_groups(settings)?;
    }
    check_logs(settings)?;
    if REST { rest::check_connections(settings) } else { Ok(()) }
}

fn check_logs(settings: &Settings) -> Result<(), String> {
    if settings.given("broker.id").is_some() && settings.int("broker.id") != settings.int("node.id") {
        return Err("You must set `node.id` to the same value as `broker.id`.".to_owned());
    }
    let below = |name: &str, least: i64| settings.text(name).is_some_and(|_| settings.long(name) < least);
    if below("log.roll.ms", 1) {
        return required("log.roll.ms must be greater than or equal to 1");
    }
    if below("log.roll.jitter.ms", 0) {
        return required("log.roll.jitter.ms must be greater than or equal to 0");
    }
    let mut retention = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"].into_iter();
    if retention.find(|name| settings.text(name).is_some()).is_some_and(|name| settings.long(name) == 0) {
        return required("log.retention.ms must be unlimited (-1) or, greater than or equal to 1");
    }
    let Some(room) = settings.long("log.cleaner.dedupe.buffer.size").checked_div(settings.long("log.cleaner.threads"))
    else {
        return Err("/ by zero".to_owned());
    };
    if room <= DEDUPE_BYTES {
        return required("log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.");
    }
    Ok(())
}

/// What a broker does not start with. It may be given it later.
pub(super) fn check_start(settings: &Settings) -> Result<(), String> {
    if !REST {
        return Ok(());
    }
    let of_topics = |config: &TopicConfig| topic_value(config, None, Dynamic::default(), settings).0;
    check_topic_configs(&TOPIC_CONFIGS.iter().map(|config| (config.name.to_owned(), of_topics(config))).collect())?;
    rest::check_start(settings)
}

fn required(why: &str) -> Result<(), String> {
    Err(format!("requirement failed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker_config;

    #[test]
    fn every_check_is_of_a_config_and_passes_its_default() {
        for (name, check) in rest::CHECKS {
            let config = broker_config(name).expect(name);
            if let Some(default) = config.default {
                assert_eq!(check_value(check, name, default), Ok(()));
            }
        }
    }

    /// `tests/configs/configs.mjs` asked Apache Kafka.
    #[cfg(feature = "bounds")]
    #[test]
    fn static_configs_are_taken_and_refused_as_by_apache_kafka() {
        let cases = include_str!("../../../../tests/configs/configs.txt").lines().filter(|line| !line.starts_with('#'));
        let mut wrong = Vec::new();
        for case in cases {
            let (given, expected) = case.split_once(" =>").expect("what Kafka says follows the configs");
            let mut configs: crate::config::ConfigMap = given
                .split(" & ")
                .map(|config| config.split_once('=').expect("name and value"))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            configs.entry("node.id".to_owned()).or_insert_with(|| "1".to_owned());
            let said = Settings::new(configs).err().unwrap_or_default();
            if said != expected.trim_start() {
                wrong.push(format!("{given}: `{said}` and not `{}`", expected.trim_start()));
            }
        }
        assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[cfg(feature = "bounds")]
    #[test]
    fn what_a_node_cannot_do_is_refused() {
        for (name, value, why) in [
            (
                "authorizer.class.name",
                "org.example.Acls",
                "authorizer.class.name cannot be org.example.Acls: everybody may do everything here",
            ),
            (
                "controller.quorum.voters",
                "1@a:1,2@b:2",
                "controller.quorum.voters cannot be 1@a:1,2@b:2: the node is its quorum's only voter",
            ),
            ("process.roles", "broker", "process.roles cannot be broker: a node is broker and controller"),
            (
                "remote.log.storage.system.enable",
                "true",
                "remote.log.storage.system.enable cannot be true: there is no tiered storage",
            ),
        ] {
            let configs = [(name, value), ("node.id", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(Settings::new(configs.into()).err().as_deref(), Some(why), "{name}");
        }
    }
}
