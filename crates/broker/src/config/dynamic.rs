//! What a broker may be given while it runs. All texts are Kafka's, oddities included.

use super::{BrokerConfig, ConfigMap, Dynamic, Settings, THROTTLES};
use super::{bounds, broker_config, topic_config, topic_value};

/// Pools of threads, which become at most twice as large at a time, and at least half.
const POOLS: &[&str] = &[
    "background.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
    "remote.log.manager.copier.thread.pool.size",
    "remote.log.manager.expiration.thread.pool.size",
    "remote.log.manager.follower.thread.pool.size",
    "remote.log.reader.threads",
];

/// Whether a broker may be given these dynamic configs, each for itself; `of_one` are those of one broker, not of all.
pub(crate) fn check_dynamic(configs: &ConfigMap, of_one: bool) -> Result<(), String> {
    let named = |wanted: &dyn Fn(&str, Option<&BrokerConfig>) -> bool| {
        let names = configs.keys().filter(|name| wanted(name, broker_config(name)));
        names.map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let refuse = |why: &str, names: String| Err(format!("{why}: [{names}]"));
    let fixed = named(&|_, config| config.is_some_and(|config| !config.dynamic));
    if !fixed.is_empty() {
        return refuse("Cannot update these configs dynamically", fixed);
    }
    let of_listeners = named(&|name, _| is_of_one_listener(name));
    if !of_listeners.is_empty() {
        let why = "These security configs can be dynamically updated only per-listener using the listener prefix";
        return refuse(why, of_listeners);
    }
    for (name, value) in configs {
        let throttle = || THROTTLES.iter().find(|config| config.name == name);
        if let Some(config) = broker_config(name).or_else(throttle) {
            bounds::check_one(config, value)?;
        }
    }
    let of_brokers = named(&|name, config| config.is_some() && is_of_one_broker(name));
    if !of_one && !of_brokers.is_empty() {
        return refuse("Cannot update these configs at default cluster level, broker id must be specified", of_brokers);
    }
    Ok(())
}

/// Listeners, security and directories are each broker's own.
fn is_of_one_broker(name: &str) -> bool {
    ["ssl.", "sasl.", "listener"].iter().any(|prefix| name.starts_with(prefix))
        || matches!(name, "principal.builder.class" | "cordoned.log.dirs")
}

fn is_of_one_listener(name: &str) -> bool {
    name == "ssl.key.password" || ["ssl.keystore.", "ssl.truststore."].iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a broker that runs with the settings `current` may go over to `new`, whose dynamic configs are `dynamic`.
pub(crate) fn check_together(current: &Settings, new: &Settings, dynamic: Dynamic) -> Result<(), String> {
    bounds::check_all(new)?;
    if !bounds::REST {
        return Ok(());
    }
    check_changes(current, new, dynamic)
        .map_err(|why| format!("Invalid value org.apache.kafka.common.config.ConfigException: {why} for configuration Invalid dynamic configuration"))
}

/// What depends on what was before, or only concerns a broker that runs: threads, connections and tiers, on which
/// nothing here acts.
fn check_changes(current: &Settings, new: &Settings, dynamic: Dynamic) -> Result<(), String> {
    for name in POOLS {
        let (was, becomes) = (current.long(name), new.long(name));
        let why = if becomes < was / 2 {
            format!("value should be at least half the current value {was}")
        } else if becomes > was * 2 {
            format!("value should not be greater than double the current value {was}")
        } else {
            continue;
        };
        return Err(format!("Dynamic thread count update validation failed for {name}={becomes}, {why}"));
    }
    let (was, becomes) = (current.long("log.cleaner.threads"), new.long("log.cleaner.threads"));
    if becomes < was / 2 {
        return Err(format!("Log cleaner threads cannot be reduced to less than half the current value {was}"));
    }
    if becomes > was * 2 {
        return Err(format!("Log cleaner threads cannot be increased to more than double the current value {was}"));
    }
    for name in ["max.connections", "max.connection.creation.rate"] {
        if new.long(name) == 0 {
            return Err(format!("Invalid {name} 0"));
        }
    }
    for unit in ["ms", "bytes"] {
        let (local, whole) = (format!("log.local.retention.{unit}"), format!("log.retention.{unit}"));
        let of_topics = topic_config(&format!("retention.{unit}")).expect("it is a topic's as well");
        let retention: i64 = topic_value(of_topics, None, dynamic, new).0.trim().parse().unwrap_or(-1);
        let value = new.long(&local);
        if retention < 0 || value == -2 {
            continue;
        }
        let why = if value == -1 {
            format!("Value must not be -1 as {whole} value is set as {retention}.")
        } else if value > retention {
            format!("Value must not be more than {whole} property value: {retention}")
        } else {
            continue;
        };
        return Err(format!("Invalid value {value} for configuration {local}: {why}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dynamic_configs_of_the_right_level_may_change() {
        for (name, value, of_one, refusal) in [
            ("message.max.bytes", "5", false, Ok(())),
            ("unheard.of", "5", false, Ok(())),
            ("num.partitions", "5", true, Err("Cannot update these configs dynamically: [num.partitions]")),
            ("listeners", "PLAINTEXT://:1", true, Ok(())),
            (
                "listeners",
                "PLAINTEXT://:1",
                false,
                Err("Cannot update these configs at default cluster level, broker id must be specified: [listeners]"),
            ),
            (
                "message.max.bytes",
                "many",
                true,
                Err("Invalid value many for configuration message.max.bytes: Not a number of type INT"),
            ),
        ] {
            let configs = ConfigMap::from([(name.to_owned(), value.to_owned())]);
            assert_eq!(check_dynamic(&configs, of_one), refusal.map_err(str::to_owned), "{name}");
        }
    }

    #[cfg(feature = "bounds")]
    #[test]
    fn values_out_of_bounds_are_refused_alone_and_together() {
        let current = Settings::new(ConfigMap::new()).expect("no configs");
        let wrapped = |why: &str| {
            let exception = "org.apache.kafka.common.config.ConfigException";
            format!("Invalid value {exception}: {why} for configuration Invalid dynamic configuration")
        };
        let pool = "Dynamic thread count update validation failed for num.io.threads";
        let local = "Invalid value 2000 for configuration log.local.retention.ms";
        for (configs, refusal) in [
            (&[("num.io.threads", "4")][..], None),
            (&[("num.io.threads", "16")], None),
            (
                &[("num.io.threads", "0")],
                Some("Invalid value 0 for configuration num.io.threads: Value must be at least 1".to_owned()),
            ),
            (
                &[("num.io.threads", "3")],
                Some(wrapped(&format!("{pool}=3, value should be at least half the current value 8"))),
            ),
            (
                &[("num.io.threads", "17")],
                Some(wrapped(&format!("{pool}=17, value should not be greater than double the current value 8"))),
            ),
            (
                &[("log.segment.bytes", "100")],
                Some(
                    "Invalid value 100 for configuration log.segment.bytes: Value must be at least 1048576".to_owned(),
                ),
            ),
            (&[("log.cleaner.threads", "0")], Some("/ by zero".to_owned())),
            (
                &[("log.cleaner.threads", "2"), ("log.cleaner.dedupe.buffer.size", "2000000")],
                Some(
                    "requirement failed: log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."
                        .to_owned(),
                ),
            ),
            (
                &[("log.retention.ms", "0")],
                Some(
                    "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1"
                        .to_owned(),
                ),
            ),
            (&[("log.retention.ms", "1000"), ("log.local.retention.ms", "500")], None),
            (
                &[("log.retention.ms", "1000"), ("log.local.retention.ms", "2000")],
                Some(wrapped(&format!("{local}: Value must not be more than log.retention.ms property value: 1000"))),
            ),
            (&[("max.connections", "0")], Some(wrapped("Invalid max.connections 0"))),
            (&[("max.connections.per.ip.overrides", "::1:5,127.0.0.1:3")], None),
            (&[("max.connections.per.ip.overrides", "a:b")], Some("For input string: \"b\"".to_owned())),
            (
                &[("ssl.keystore.type", "JKS")],
                Some(
                    "These security configs can be dynamically updated only per-listener using the listener prefix: \
                     [ssl.keystore.type]"
                        .to_owned(),
                ),
            ),
        ] {
            let configs: ConfigMap = configs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            let dynamic = Dynamic { own: Some(&configs), all: None };
            let together = || check_together(&current, &current.with_dynamic(dynamic), dynamic);
            assert_eq!(check_dynamic(&configs, true).and_then(|()| together()).err(), refusal, "{configs:?}");
        }
    }
}
