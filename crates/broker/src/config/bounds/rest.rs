//! Bounds of configs on which nothing here acts: of replication, security, tiered storage, of groups of other protocols.
//! Left out without the feature `bounds`: a page has better things to download.

use crate::config::Check::{self, AtLeast, Between, ListOf, NotEmpty, OneOf, OneOfAnyCase};
use crate::config::Settings;
use crate::config::bounds::required;

/// The checks that are no topic's and say more than the least of a number.
pub(super) const CHECKS: &[(&str, Check)] = &[
    ("fetch.max.bytes", AtLeast(1024)),
    ("group.consumer.migration.policy", OneOfAnyCase(&["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"])),
    ("group.coordinator.cached.buffer.max.bytes", AtLeast(512 * 1024)),
    ("group.coordinator.rebalance.protocols", ListOf(&["consumer", "classic", "share", "streams"])),
    ("group.share.delivery.count.limit", Between(2, 10)),
    ("group.share.max.delivery.count.limit", Between(5, 25)),
    ("group.share.max.partition.max.record.locks", Between(2_000, 10_000)),
    ("group.share.max.record.lock.duration.ms", Between(30_000, 3_600_000)),
    ("group.share.max.size", Between(1, 1_000)),
    ("group.share.min.delivery.count.limit", Between(2, 5)),
    ("group.share.min.partition.max.record.locks", Between(100, 2_000)),
    ("group.share.min.record.lock.duration.ms", Between(1_000, 30_000)),
    ("group.share.partition.max.record.locks", Between(100, 10_000)),
    ("group.share.record.lock.duration.ms", Between(1_000, 3_600_000)),
    ("metadata.log.segment.bytes", AtLeast(8 << 20)),
    ("process.roles", ListOf(&["broker", "controller"])),
    ("remote.log.metadata.manager.class.name", NotEmpty),
    ("remote.log.metadata.manager.impl.prefix", NotEmpty),
    ("remote.log.metadata.manager.listener.name", NotEmpty),
    ("remote.log.storage.manager.class.name", NotEmpty),
    ("remote.log.storage.manager.impl.prefix", NotEmpty),
    ("sasl.oauthbearer.assertion.algorithm", OneOfAnyCase(&["ES256", "RS256"])),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", Between(0, 86_400)),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", Between(0, 3_600)),
    ("security.inter.broker.protocol", OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])),
    ("share.coordinator.cached.buffer.max.bytes", AtLeast(512 * 1024)),
    ("share.coordinator.snapshot.update.records.per.snapshot", Between(0, 500)),
    ("ssl.client.auth", OneOf(&["required", "requested", "none"])),
];

/// The lists that have to name something, and what they may name.
pub(super) const NEVER_EMPTY: &[(&str, &str)] = &[
    ("group.consumer.assignors", "any non-empty value"),
    ("group.coordinator.rebalance.protocols", "[consumer, classic, share, streams]"),
    ("group.share.assignors", "any non-empty value"),
    ("process.roles", "[broker, controller]"),
];

pub(super) fn check_groups(settings: &Settings) -> Result<(), String> {
    let at_least = |name: &str, least: &str| match settings.long(name) < settings.long(least) {
        true => Err(format!("{name} must be greater than or equal to {least}")),
        false => Ok(()),
    };
    let at_most = |name: &str, most: &str| match settings.long(name) > settings.long(most) {
        true => Err(format!("{name} must be less than or equal to {most}")),
        false => Ok(()),
    };
    check_assignors(settings, "group.consumer.assignors", &["uniform", "range"])?;
    check_codec(settings, "offsets.topic.compression.codec")?;
    check_assignors(settings, "group.share.assignors", &["simple"])?;
    for kind in ["consumer", "share", "streams"] {
        let name = |bound: &str, what: &str| format!("group.{kind}.{bound}{what}");
        for what in ["heartbeat.interval.ms", "session.timeout.ms", "assignment.interval.ms"] {
            let (own, least, most) = (name("", what), name("min.", what), name("max.", what));
            at_least(&most, &least)?;
            at_least(&own, &least)?;
            at_most(&own, &most)?;
            let heartbeat = name("", "heartbeat.interval.ms");
            if what == "session.timeout.ms" && settings.long(&heartbeat) >= settings.long(&own) {
                return Err(format!("{heartbeat} must be less than {own}"));
            }
        }
    }
    at_most("group.streams.num.standby.replicas", "group.streams.max.standby.replicas")?;
    for (greater, lesser) in [
        ("group.share.max.delivery.count.limit", "group.share.delivery.count.limit"),
        ("group.share.delivery.count.limit", "group.share.min.delivery.count.limit"),
        ("group.share.max.partition.max.record.locks", "group.share.partition.max.record.locks"),
        ("group.share.partition.max.record.locks", "group.share.min.partition.max.record.locks"),
        ("group.share.record.lock.duration.ms", "group.share.min.record.lock.duration.ms"),
        ("group.share.max.record.lock.duration.ms", "group.share.record.lock.duration.ms"),
        ("group.share.max.share.sessions", "group.share.max.size"),
    ] {
        at_least(greater, lesser)?;
    }
    check_codec(settings, "share.coordinator.state.topic.compression.codec")?;
    let mut protocols = settings.text("group.coordinator.rebalance.protocols").unwrap_or_default().split(',');
    if !protocols.any(|protocol| protocol.trim() == "classic") {
        return Err("Disabling the 'classic' protocol is not supported.".to_owned());
    }
    Ok(())
}

fn check_assignors(settings: &Settings, name: &str, known: &[&str]) -> Result<(), String> {
    let mut assignors = settings.text(name).unwrap_or_default().split(',').map(str::trim);
    match assignors.find(|assignor| !known.contains(assignor)) {
        Some(unknown) => Err(format!("Class {unknown} cannot be found")),
        None => Ok(()),
    }
}

fn check_codec(settings: &Settings, name: &str) -> Result<(), String> {
    match settings.long(name) {
        0..=4 => Ok(()),
        unknown => Err(format!("Unknown compression type id: {unknown}")),
    }
}

/// And those that carry what brokers and clients send.
pub(super) fn check_connections(settings: &Settings) -> Result<(), String> {
    let wait = settings.long("replica.fetch.wait.max.ms");
    if wait > settings.long("replica.socket.timeout.ms") {
        return required(
            "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary \
             socket timeouts",
        );
    }
    if wait > settings.long("replica.lag.time.max.ms") {
        return required(
            "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent \
             frequent changes in ISR",
        );
    }
    let queued = settings.long("queued.max.request.bytes");
    if queued > 0 && queued < settings.long("socket.request.max.bytes") {
        return required("queued.max.request.bytes must be larger or equal to socket.request.max.bytes");
    }
    // Java drops what is empty at the end, and nowhere else.
    let overrides = settings.text("max.connections.per.ip.overrides").unwrap_or_default();
    let overrides = overrides.trim().trim_end_matches([',', ' ']);
    check_overrides(overrides)?;
    if settings.long("max.connections.per.ip") == 0 && overrides.is_empty() {
        return required(
            "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
        );
    }
    let (delay, idle) =
        (settings.long("connection.failed.authentication.delay.ms"), settings.long("connections.max.idle.ms"));
    if idle >= 0 && delay >= idle {
        return required(&format!(
            "connection.failed.authentication.delay.ms={delay} should always be less than \
             connections.max.idle.ms={idle} to prevent failed authentication responses from timing out"
        ));
    }
    Ok(())
}

/// What a broker does not start with because it could not do what it says, in words of our own.
pub(super) fn check_start(settings: &Settings) -> Result<(), String> {
    let text = |name: &str| settings.text(name).unwrap_or_default().trim();
    if text("security.inter.broker.protocol") != "PLAINTEXT" {
        return required(
            "inter.broker.listener.name must be a listener name defined in advertised.listeners. The valid options \
             based on currently configured listeners are PLAINTEXT",
        );
    }
    let refuse = |name: &str, why: &str| Err(format!("{name} cannot be {}: {why}", text(name)));
    if !text("authorizer.class.name").is_empty() {
        return refuse("authorizer.class.name", "everybody may do everything here");
    }
    if settings.flag("remote.log.storage.system.enable") {
        return refuse("remote.log.storage.system.enable", "there is no tiered storage");
    }
    let roles = || text("process.roles").split(',').map(str::trim);
    if settings.given("process.roles").is_some()
        && !["broker", "controller"].iter().all(|role| roles().any(|it| it == *role))
    {
        return refuse("process.roles", "a node is broker and controller");
    }
    let mut others = text("controller.quorum.voters").split(',').filter(|voter| !voter.trim().is_empty());
    if others.any(|voter| voter.trim().split('@').next() != Some(text("node.id"))) {
        return refuse("controller.quorum.voters", "the node is its quorum's only voter");
    }
    Ok(())
}

/// `[host]:[count]` pairs.
fn check_overrides(text: &str) -> Result<(), String> {
    const NAME: &str = "max.connections.per.ip.overrides";
    let mut invalid = Vec::new();
    for pair in text.split(',').map(str::trim).filter(|_| !text.is_empty()) {
        let Some((host, count)) = pair.rsplit_once(':') else {
            let why = format!("begin 0, end -1, length {}", pair.len());
            return Err(format!("Error parsing configuration property '{NAME}': {why}"));
        };
        if count.trim().parse::<i32>().is_err() {
            return Err(format!("For input string: \"{}\"", count.trim()));
        }
        let host = host.trim();
        if !host.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-%._:".contains(&letter)) {
            invalid.push(host);
        }
    }
    if invalid.is_empty() { Ok(()) } else { Err(format!("{NAME} contains invalid addresses : {}", invalid.join(","))) }
}
