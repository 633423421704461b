//! Configs: altered, described, refused; more partitions for topics that are there.

use shore_wire::error::ErrorCode;
use shore_wire::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use shore_wire::messages::describe_configs_request::DescribeConfigsResource;
use shore_wire::messages::{
    AlterConfigsRequest, CreatePartitionsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest, alter_configs_request, incremental_alter_configs_request,
};

use shore_base::{Instant, Wall};
use shore_broker::Node;

use crate::harness::{Server, config};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

type Resource<'a> = (i8, &'a str, &'a [(&'a str, i8, Option<&'a str>)]);

/// Alters configs and returns code and message of each resource.
fn alter(server: &mut Server, version: i16, resources: &[Resource]) -> Vec<(i16, Option<String>)> {
    let mut request = IncrementalAlterConfigsRequest::default();
    for (kind, name, changes) in resources {
        let mut resource = incremental_alter_configs_request::AlterConfigsResource::default();
        (resource.resource_type, resource.resource_name) = (*kind, (*name).into());
        for (name, operation, value) in *changes {
            let mut config = incremental_alter_configs_request::AlterableConfig::default();
            (config.name, config.config_operation) = ((*name).into(), *operation);
            config.value = value.map(Into::into);
            resource.configs.push(config);
        }
        request.resources.push(resource);
    }
    let response = server.ask(version, &request);
    response.responses.iter().map(|it| (it.error_code, it.error_message.as_ref().map(ToString::to_string))).collect()
}

/// The value of a config and where it comes from.
fn describe(server: &mut Server, kind: i8, name: &str, config: &str) -> (String, i8) {
    let mut resource = DescribeConfigsResource::default();
    (resource.resource_type, resource.resource_name) = (kind, name.into());
    resource.configuration_keys = Some(vec![config.into()]);
    let mut request = DescribeConfigsRequest::default();
    request.resources = vec![resource];
    let response = server.ask(4, &request);
    let config = response.results[0].configs.first().expect("the config is there");
    (config.value.as_ref().map(ToString::to_string).unwrap_or_default(), config.config_source)
}

#[test]
fn what_other_units_say_follows_once_this_one_is_given() {
    let synonyms = |given: &str| {
        let mut config = config();
        config.static_configs.insert(given.to_owned(), "5".to_owned());
        let mut server = Server::with(config);
        let mut resource = DescribeConfigsResource::default();
        (resource.resource_type, resource.resource_name) = (BROKER, "1".into());
        resource.configuration_keys = Some(vec!["log.retention.ms".into()]);
        let mut request = DescribeConfigsRequest::default();
        (request.resources, request.include_synonyms) = (vec![resource], true);
        let response = server.ask(4, &request);
        response.results[0].configs[0].synonyms.iter().map(|synonym| synonym.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(synonyms("log.retention.ms"), ["log.retention.ms", "log.retention.hours"]);
    assert!(synonyms("log.retention.hours").is_empty());
}

#[test]
fn a_broker_says_what_it_is_as_static_configs() {
    let mut given = config();
    (given.advertised_host, given.advertised_port) = ("::1".to_owned(), 19092);
    given.static_configs.insert("broker.id".to_owned(), "1".to_owned());
    let mut server = Server::with(given);
    for (name, value) in [
        ("advertised.listeners", "PLAINTEXT://[::1]:19092"),
        ("broker.id", "1"),
        ("controller.listener.names", "CONTROLLER"),
        ("node.id", "1"),
        ("process.roles", "broker,controller"),
    ] {
        assert_eq!(describe(&mut server, BROKER, "1", name), (value.to_owned(), 4), "{name}");
    }
}

#[test]
fn a_node_does_not_start_with_configs_that_it_cannot_obey() {
    for (name, value, why) in [
        ("node.id", "7", "node.id cannot be 7: this node's id is 1"),
        ("broker.id", "7", "node.id cannot be 7: this node's id is 1"),
        (
            "listeners",
            "SSL://:9093",
            "listeners is not a config here: where a node listens and stores is its host's to say",
        ),
        ("num.partitions", "0", "Invalid value 0 for configuration num.partitions: Value must be at least 1"),
    ] {
        let mut given = config();
        given.static_configs.insert(name.to_owned(), value.to_owned());
        let refusal = Node::try_new(given, Instant::ZERO, Wall::default()).err();
        assert_eq!(refusal.as_deref(), Some(why), "{name}");
    }
}

#[test]
fn a_topics_configs_change_at_once_and_stay() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[("retention.ms", "1000")]);
    let changes: &[_] = &[
        ("retention.ms", DELETE, None),
        ("cleanup.policy", APPEND, Some("compact")),
        ("max.message.bytes", SET, Some("10")),
    ];
    for version in 0..=1 {
        assert_eq!(alter(&mut server, version, &[(TOPIC, "orders", changes)]), [(0, None)]);
    }
    let mut server = server.restart();
    assert_eq!(describe(&mut server, TOPIC, "orders", "retention.ms"), ("604800000".to_owned(), 5));
    assert_eq!(describe(&mut server, TOPIC, "orders", "cleanup.policy"), ("delete,compact".to_owned(), 1));
    let (_, code) = server.produce("orders", 0, &["longer than ten bytes"]);
    assert_eq!(code, ErrorCode::MessageTooLarge.code());
}

#[test]
fn bad_changes_are_refused_resource_by_resource() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[]);
    let refused = |code: ErrorCode, why: &str| (code.code(), Some(why.to_owned()));
    use ErrorCode::{InvalidConfig, InvalidRequest, UnknownTopicOrPartition};
    let cases: &[(Resource, (i16, Option<String>))] = &[
        (
            (TOPIC, "nowhere", &[("retention.ms", SET, Some("1"))]),
            refused(UnknownTopicOrPartition, "The topic 'nowhere' does not exist."),
        ),
        (
            (TOPIC, "orders", &[("nonsense", SET, Some("1"))]),
            refused(InvalidConfig, "Unknown topic config name: nonsense"),
        ),
        (
            (TOPIC, "orders", &[("retention.ms", SET, None)]),
            refused(InvalidRequest, "Null value not supported for : retention.ms"),
        ),
        (
            (TOPIC, "orders", &[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))]),
            refused(InvalidRequest, "Error due to duplicate config keys"),
        ),
        (
            (TOPIC, "orders", &[("retention.ms", APPEND, Some("1"))]),
            refused(InvalidConfig, "Can't APPEND to key retention.ms because its type is not LIST."),
        ),
        (
            (BROKER, "2", &[("message.max.bytes", SET, Some("1"))]),
            refused(InvalidRequest, "Unexpected broker id, expected 1, but received 2"),
        ),
        (
            (BROKER, "1", &[("num.partitions", SET, Some("1"))]),
            refused(InvalidRequest, "Cannot update these configs dynamically: [num.partitions]"),
        ),
        (
            (BROKER, "", &[("min.insync.replicas", DELETE, None)]),
            refused(InvalidConfig, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."),
        ),
        (
            (GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("1"))]),
            refused(
                InvalidConfig,
                "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
            ),
        ),
        (
            (CLIENT_METRICS, "m", &[("interval.ms", SET, Some("1"))]),
            refused(
                InvalidRequest,
                "Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
            ),
        ),
        (
            (CLIENT_METRICS, "m", &[("match", SET, Some("client_id=a,nobody=b"))]),
            refused(InvalidConfig, "Illegal client matching pattern: nobody=b"),
        ),
        (
            (CLIENT_METRICS, "m", &[("match", SET, Some("client_id==a"))]),
            refused(InvalidConfig, "Illegal client matching pattern: client_id==a"),
        ),
        ((99, "x", &[]), refused(InvalidRequest, "Unknown resource type 99")),
    ];
    for (resource, expected) in cases {
        assert_eq!(alter(&mut server, 1, &[*resource]), std::slice::from_ref(expected));
    }
    let all: Vec<Resource> = cases.iter().map(|(resource, _)| *resource).take(1).collect();
    let good: Resource = (TOPIC, "orders", &[("retention.ms", SET, Some("7"))]);
    assert_eq!(alter(&mut server, 1, &[all[0], good]), [cases[0].1.clone(), (0, None)]);
    assert_eq!(describe(&mut server, TOPIC, "orders", "retention.ms"), ("7".to_owned(), 1));
    let twice = alter(&mut server, 1, &[good, good]);
    assert_eq!(twice, vec![refused(InvalidRequest, "Each resource must appear at most once."); 2]);
}

#[test]
fn legacy_alteration_removes_what_it_does_not_name() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[("retention.ms", "1000"), ("segment.ms", "5000")]);
    let mut config = alter_configs_request::AlterableConfig::default();
    (config.name, config.value) = ("retention.ms".into(), Some("2000".into()));
    let mut resource = alter_configs_request::AlterConfigsResource::default();
    (resource.resource_type, resource.resource_name) = (TOPIC, "orders".into());
    resource.configs = vec![config];
    let mut request = AlterConfigsRequest::default();
    request.resources = vec![resource];
    request.validate_only = true;
    assert_eq!(server.ask(0, &request).responses[0].error_code, 0);
    assert_eq!(describe(&mut server, TOPIC, "orders", "retention.ms"), ("1000".to_owned(), 1));
    request.validate_only = false;
    for version in 0..=2 {
        assert_eq!(server.ask(version, &request).responses[0].error_code, 0);
    }
    assert_eq!(describe(&mut server, TOPIC, "orders", "retention.ms"), ("2000".to_owned(), 1));
    assert_eq!(describe(&mut server, TOPIC, "orders", "segment.ms"), ("604800000".to_owned(), 5));
}

#[test]
fn brokers_take_dynamic_configs_of_their_own_over_those_of_all() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[]);
    let name = "message.max.bytes";
    for (broker, value, expected) in [("", "2000", ("2000", 3)), ("1", "10", ("10", 2))] {
        assert_eq!(alter(&mut server, 1, &[(BROKER, broker, &[(name, SET, Some(value))])]), [(0, None)]);
        assert_eq!(describe(&mut server, BROKER, "1", name), (expected.0.to_owned(), expected.1));
        let (value, source) = describe(&mut server, TOPIC, "orders", "max.message.bytes");
        assert_eq!((value.as_str(), source), expected);
        // What all brokers have stays what it is.
        assert_eq!(describe(&mut server, BROKER, "", name), ("2000".to_owned(), 3));
    }
    assert_eq!(server.produce("orders", 0, &["longer than ten bytes"]).1, ErrorCode::MessageTooLarge.code());
    assert_eq!(alter(&mut server, 1, &[(BROKER, "1", &[(name, DELETE, None)])]), [(0, None)]);
    assert_eq!(server.produce("orders", 0, &["longer than ten bytes"]).1, 0);
}

#[test]
fn a_throttle_is_described_while_it_is_set() {
    let mut server = Server::start();
    let name = "leader.replication.throttled.rate";
    let wrong = alter(&mut server, 1, &[(BROKER, "1", &[(name, SET, Some("fast"))])]);
    let why = format!("Invalid value fast for configuration {name}: Not a number of type LONG");
    assert_eq!(wrong, [(ErrorCode::InvalidRequest.code(), Some(why))]);
    assert_eq!(alter(&mut server, 1, &[(BROKER, "1", &[(name, SET, Some("1000"))])]), [(0, None)]);
    assert_eq!(describe(&mut server, BROKER, "1", name), ("1000".to_owned(), 2));
    assert_eq!(alter(&mut server, 1, &[(BROKER, "1", &[(name, DELETE, None)])]), [(0, None)]);
    let mut resource = DescribeConfigsResource::default();
    (resource.resource_type, resource.resource_name) = (BROKER, "1".into());
    let mut request = DescribeConfigsRequest::default();
    request.resources = vec![resource];
    let described = server.ask(4, &request);
    assert!(described.results[0].configs.iter().all(|config| config.name.as_str() != name));
}

#[test]
fn groups_and_client_metrics_keep_configs_and_are_listed() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[]);
    let altered = alter(
        &mut server,
        1,
        &[
            (GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))]),
            (CLIENT_METRICS, "m", &[("match", SET, Some("client_id=a.*"))]),
        ],
    );
    assert_eq!(altered, [(0, None), (0, None)]);
    assert_eq!(describe(&mut server, GROUP, "g", "consumer.session.timeout.ms"), ("50000".to_owned(), 8));
    assert_eq!(describe(&mut server, CLIENT_METRICS, "m", "match"), ("client_id=a.*".to_owned(), 7));
    let listed = server.ask(1, &ListConfigResourcesRequest::default());
    let names: Vec<(i8, &str)> =
        listed.config_resources.iter().map(|it| (it.resource_type, it.resource_name.as_str())).collect();
    assert_eq!(names, [(GROUP, "g"), (CLIENT_METRICS, "m"), (8, "1"), (BROKER, "1"), (TOPIC, "orders")]);
    let old = server.ask(0, &ListConfigResourcesRequest::default());
    assert_eq!(old.config_resources.len(), 1);
}

fn grow(server: &mut Server, version: i16, name: &str, count: i32, assigned: Option<&[&[i32]]>) -> (i16, String) {
    let mut topic = CreatePartitionsTopic::default();
    (topic.name, topic.count) = (name.into(), count);
    topic.assignments = assigned.map(|partitions| {
        let assignment = |brokers: &&[i32]| {
            let mut assignment = CreatePartitionsAssignment::default();
            assignment.broker_ids = brokers.to_vec();
            assignment
        };
        partitions.iter().map(assignment).collect()
    });
    let mut request = CreatePartitionsRequest::default();
    request.topics = vec![topic];
    request.timeout_ms = 1_000;
    let response = server.ask(version, &request);
    let result = &response.results[0];
    (result.error_code, result.error_message.as_ref().map(ToString::to_string).unwrap_or_default())
}

#[test]
fn a_topic_gets_more_partitions_and_never_fewer() {
    let mut server = Server::start();
    server.create_topic("orders", 1, &[]);
    for version in 0..=3 {
        let wanted = 2 + i32::from(version);
        assert_eq!(grow(&mut server, version, "orders", wanted, None), (0, String::new()));
        assert_eq!(server.produce("orders", wanted - 1, &["a"]), (0, 0));
    }
    use ErrorCode::{InvalidPartitions, InvalidReplicaAssignment, UnknownTopicOrPartition};
    for (name, count, assigned, code, why) in [
        ("orders", 5, None, InvalidPartitions, "Topic already has 5 partition(s)."),
        (
            "orders",
            -1,
            None,
            InvalidPartitions,
            "The topic orders currently has 5 partition(s); -1 would not be an increase.",
        ),
        ("nowhere", 2, None, UnknownTopicOrPartition, ""),
        (
            "orders",
            7,
            Some(&[&[1][..]][..]),
            InvalidReplicaAssignment,
            "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
        ),
        (
            "orders",
            6,
            Some(&[&[9][..]][..]),
            InvalidReplicaAssignment,
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
    ] {
        assert_eq!(grow(&mut server, 3, name, count, assigned), (code.code(), why.to_owned()));
    }
    assert_eq!(grow(&mut server, 3, "orders", 20_000, None), (ErrorCode::UnknownServerError.code(), String::new()));
    let mut late = CreatePartitionsRequest::default();
    let mut topic = CreatePartitionsTopic::default();
    (topic.name, topic.count) = ("orders".into(), 9);
    (late.topics, late.timeout_ms) = (vec![topic], 0);
    assert_eq!(server.ask(3, &late).results[0].error_code, ErrorCode::RequestTimedOut.code());
    assert_eq!(grow(&mut server, 3, "orders", 6, Some(&[&[1]])), (0, String::new()));
    let mut server = server.restart();
    assert_eq!(server.metadata(12, Some(&["orders"])).topics[0].partitions.len(), 6);
}
