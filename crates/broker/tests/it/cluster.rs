//! What concerns the cluster: levels of features, brokers that are struck off, directories of replicas.

use shore_base::Duration;
use shore_wire::error::ErrorCode;
use shore_wire::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use shore_wire::messages::update_features_request::FeatureUpdateKey;
use shore_wire::messages::{
    AlterReplicaLogDirsRequest, ApiVersionsRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};

use crate::harness::Server;

const UPGRADE: i8 = 1;
const SAFE: i8 = 2;
const UNSAFE: i8 = 3;

fn update(
    server: &mut Server,
    version: i16,
    validate_only: bool,
    updates: &[(&str, i16, i8)],
) -> Result<usize, String> {
    let mut request = UpdateFeaturesRequest::default();
    request.validate_only = validate_only;
    for &(feature, level, way) in updates {
        let mut update = FeatureUpdateKey::default();
        (update.feature, update.max_version_level) = (feature.into(), level);
        if version >= 1 {
            update.upgrade_type = way;
        }
        request.feature_updates.push(update);
    }
    let response = server.ask(version, &request);
    match response.error_code {
        0 => Ok(response.results.len()),
        code => {
            assert_eq!(code, ErrorCode::InvalidUpdateVersion.code());
            let why = response.error_message.expect("a reason").to_string();
            let head = "The update failed for all features since the following feature had an error: ";
            Err(why.strip_prefix(head).expect("Kafka's words").to_owned())
        }
    }
}

fn level(server: &mut Server, feature: &str) -> Option<i16> {
    let mut request = ApiVersionsRequest::default();
    (request.client_software_name, request.client_software_version) = ("test".into(), "1".into());
    let response = server.ask(4, &request);
    let mut features = response.finalized_features.iter();
    features.find(|finalized| finalized.name.as_str() == feature).map(|finalized| finalized.max_version_level)
}

#[test]
fn features_go_down_and_up_again() {
    let mut server = Server::start();
    for version in 1..=2 {
        let told = if version == 1 { 1 } else { 0 };
        for feature in ["transaction.version", "eligible.leader.replicas.version"] {
            let before = level(&mut server, feature);
            assert_eq!(update(&mut server, version, true, &[(feature, 0, SAFE)]), Ok(told));
            assert_eq!(level(&mut server, feature), before);
            assert_eq!(update(&mut server, version, false, &[(feature, 0, UNSAFE)]), Ok(told));
            assert_eq!(level(&mut server, feature), None);
            server = server.restart();
            assert_eq!(level(&mut server, feature), None);
            assert_eq!(update(&mut server, version, false, &[(feature, 1, UPGRADE)]), Ok(told));
            assert_eq!(level(&mut server, feature), Some(1));
        }
    }
    assert_eq!(update(&mut server, 0, false, &[("metadata.version", 30, UPGRADE)]), Ok(1));
}

#[test]
fn one_refused_feature_spoils_all() {
    let mut server = Server::start();
    for (feature, to, way, why) in [
        (
            "no.such",
            1,
            UPGRADE,
            "Invalid update version 1 for feature no.such. Local controller 1 does not support this feature.",
        ),
        ("no.such", 0, UPGRADE, "Invalid update version 0 for feature no.such. Feature no.such not found."),
        (
            "group.version",
            -1,
            UPGRADE,
            "Invalid update version -1 for feature group.version. A feature version cannot be less than 0.",
        ),
        (
            "group.version",
            2,
            UPGRADE,
            "Invalid update version 2 for feature group.version. Local controller 1 only supports versions 0-1",
        ),
        (
            "group.version",
            1,
            0,
            "Invalid update version 1 for feature group.version. The controller does not support the given upgrade type.",
        ),
        (
            "group.version",
            0,
            UPGRADE,
            "Invalid update version 0 for feature group.version. Can't downgrade the version of this feature without \
             setting the upgrade type to either safe or unsafe downgrade.",
        ),
        (
            "metadata.version",
            29,
            SAFE,
            "Unsupported metadata.version downgrade from 30 to 29. Refusing to perform the requested downgrade because \
             it might delete metadata information.",
        ),
        (
            "metadata.version",
            29,
            UNSAFE,
            "Unsupported metadata.version downgrade from 30 to 29. Unsafe metadata downgrade is not supported in this \
             version.",
        ),
        (
            "kraft.version",
            1,
            SAFE,
            "Invalid update version 1 for feature kraft.version. Can't downgrade to a newer version.",
        ),
    ] {
        let updates = [("share.version", 0, SAFE), (feature, to, way)];
        assert_eq!(update(&mut server, 2, false, &updates), Err(why.to_owned()));
        assert_eq!(level(&mut server, "share.version"), Some(1), "{feature}");
    }
}

#[test]
fn a_broker_that_is_struck_off_registers_again() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut request = UnregisterBrokerRequest::default();
    request.broker_id = 7;
    let response = server.ask(0, &request);
    assert_eq!(response.error_code, ErrorCode::BrokerIdNotRegistered.code());
    assert_eq!(response.error_message.as_deref(), Some("Broker ID 7 is not currently registered"));
    request.broker_id = 1;
    assert_eq!(server.ask(0, &request).error_code, 0);
    assert_eq!(server.metadata(12, Some(&["t"])).topics[0].partitions[0].leader_id, -1);
    for _ in 0..5 {
        server.advance(Duration::from_secs(1));
    }
    assert_eq!(server.produce("t", 0, &["a"]), (0, 0));
}

#[test]
fn replicas_stay_in_the_one_directory() {
    let mut server = Server::start();
    server.create_topic("t", 2, &[]);
    let long = "x".repeat(249);
    use ErrorCode::{InvalidTopicException, LogDirNotFound, None, UnknownTopicOrPartition};
    for version in 1..=2 {
        for (path, topic, partition, error) in [
            ("n1/d0", "t", 1, None),
            ("n1/d0", "t", 2, UnknownTopicOrPartition),
            ("/elsewhere", "t", 1, LogDirNotFound),
            ("n1/d0", &*long, 0, InvalidTopicException),
        ] {
            let mut asked = AlterReplicaLogDirTopic::default();
            (asked.name, asked.partitions) = (topic.into(), vec![partition]);
            let mut directory = AlterReplicaLogDir::default();
            (directory.path, directory.topics) = (path.into(), vec![asked]);
            let mut request = AlterReplicaLogDirsRequest::default();
            request.dirs = vec![directory];
            let response = server.ask(version, &request);
            let result = &response.results[0];
            assert_eq!((&*result.topic_name, result.partitions[0].partition_index), (topic, partition));
            assert_eq!(result.partitions[0].error_code, error.code(), "{path} {topic}");
        }
    }
}
