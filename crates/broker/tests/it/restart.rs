//! What a restart keeps.

use bytes::Bytes;
use shore_broker::event::Event;
use shore_log::storage::{FileName, ReadRange, StoreOp, StoreRequest, Token};
use shore_wire::batch::{BatchBuilder, BatchOptions, ControlKind};
use shore_wire::messages::ApiVersionsRequest;
use shore_wire::records::metadata::MetadataRecord;

use crate::fetch::fetch_values;
use crate::harness::{Disk, Server, config};

#[test]
fn everything_is_still_there_after_a_restart_and_after_a_kill() {
    let mut server = Server::start();
    let id = server.create_topic("t", 2, &[("retention.ms", "123456789")]).topics[0].topic_id;
    server.produce("t", 0, &["a", "b"]);
    server.produce("t", 1, &["c"]);
    let epoch = server.node.view().controller.epoch;
    for round in 1..4 {
        server = if round % 2 == 0 { server.restart() } else { server.crash() };
        let metadata = server.metadata(12, Some(&["t"]));
        assert_eq!(metadata.topics[0].topic_id, id);
        assert!(metadata.topics[0].partitions.iter().all(|partition| partition.leader_id == 1));
        assert_eq!(fetch_values(&mut server, "t", 0, 0)[..2], ["a", "b"]);
        assert_eq!(fetch_values(&mut server, "t", 1, 0), ["c"]);
        assert_eq!(server.produce("t", 0, &["more"]), (1 + round, 0));
        let view = server.node.view();
        assert_eq!(view.controller.epoch, epoch + round as i32);
        assert_eq!(view.topics[0].configs["retention.ms"], "123456789");
    }
}

#[test]
fn leader_epochs_rise_with_each_start() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let epoch = |server: &Server| server.node.view().topics[0].partitions[0].leader_epoch;
    assert_eq!(epoch(&server), 0);
    server = server.crash();
    assert_eq!(epoch(&server), 2);
    server = server.restart();
    assert_eq!(epoch(&server), 4);
}

#[test]
fn who_leaves_last_stays_eligible_and_comes_back_as_leader() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.node.observe(true);
    server.input(shore_broker::Input::Stop);
    assert_eq!(partition_changes(&server), [(Some(vec![]), Some(-1), Some(vec![1]), Some(vec![1]))]);
    let mut server = server.restart();
    server.node.observe(true);
    server = server.crash();
    let metadata = server.metadata(12, Some(&["t"]));
    assert_eq!(
        (metadata.topics[0].partitions[0].leader_id, &*metadata.topics[0].partitions[0].isr_nodes),
        (1, &[1][..])
    );
}

type Ids = Option<Vec<i32>>;

/// The replicas in sync, the leader, the eligible replicas and the last ones known, where they changed.
fn partition_changes(server: &Server) -> Vec<(Ids, Option<i32>, Ids, Ids)> {
    let changes = server.events.iter().filter_map(|event| match event {
        Event::MetadataRecord { record: MetadataRecord::PartitionChange(change) } => {
            let change = change.clone();
            Some((change.isr, change.leader, change.eligible_leader_replicas, change.last_known_elr))
        }
        _ => None,
    });
    changes.collect()
}

#[test]
fn the_files_of_a_node_are_kafkas() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let files: Vec<String> =
        server.store.list(&"n1/d0".into()).into_iter().map(|entry| entry.file.as_str().to_owned()).collect();
    for file in [
        "n1/d0/meta.properties",
        "n1/d0/bootstrap.checkpoint",
        "n1/d0/__cluster_metadata-0/00000000000000000000.log",
        "n1/d0/__cluster_metadata-0/partition.metadata",
        "n1/d0/__cluster_metadata-0/quorum-state",
        "n1/d0/t-0/00000000000000000000.log",
        "n1/d0/t-0/partition.metadata",
    ] {
        assert!(files.iter().any(|name| name == file), "{file} is missing from {files:?}");
    }
    let text = read(&server, "n1/d0/meta.properties");
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("node.id=1\n") && text.contains("cluster.id=kafkashoreAAAAAAAAAAAw\n"), "{text}");
}

fn read(server: &Server, file: &str) -> Bytes {
    server.store.read(&ReadRange { file: FileName::new(file), position: 0, len: 1 << 20 }).expect("the file")
}

#[test]
fn a_store_of_another_cluster_is_refused_in_words() {
    let server = Server::start();
    let mut other = config();
    other.cluster_id = shore_base::Uuid([9; 16]);
    let server = Server::boot(other, server.store, Disk::Works);
    assert!(!server.is_ready);
    assert!(server.log.iter().any(|line| line.contains("cluster.id=kafkashoreAAAAAAAAAAAw")), "{:?}", server.log);
}

#[test]
fn partitions_of_another_log_directory_are_not_begun_anew() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    let mut store = server.store;
    let other = "node.id=1\ndirectory.id=BQUFBQUFBQUFBQUFBQUFBQ\nversion=1\ncluster.id=kafkashoreAAAAAAAAAAAw\n";
    let file = FileName::new("n1/d0/meta.properties");
    let ops = vec![StoreOp::Replace { file, bytes: Bytes::from_static(other.as_bytes()) }];
    store.carry_out(StoreRequest::Store { token: Token(0), ops });
    let server = Server::boot(config(), store, Disk::Works);
    assert!(!server.is_ready);
    let why = "t-0 is in the log directory";
    assert!(server.log.iter().any(|line| line.contains(why)), "{:?}", server.log);
}

/// The level of `kraft.version` that clients are told.
fn kraft_version(server: &mut Server) -> i16 {
    let mut request = ApiVersionsRequest::default();
    (request.client_software_name, request.client_software_version) = ("it".into(), "1".into());
    let answer = server.ask(4, &request);
    let known = answer.finalized_features.iter().find(|feature| feature.name.as_str() == "kraft.version");
    known.map_or(0, |feature| feature.max_version_level)
}

#[cfg(feature = "quorum")]
#[test]
fn the_version_of_the_quorum_is_raised_for_good() {
    use shore_wire::error::ErrorCode;
    use shore_wire::messages::UpdateFeaturesRequest;
    use shore_wire::messages::update_features_request::FeatureUpdateKey;

    let mut server = Server::start();
    let raise = |server: &mut Server, level: i16, way: i8, validate_only: bool| {
        let mut update = FeatureUpdateKey::default();
        (update.feature, update.max_version_level, update.upgrade_type) = ("kraft.version".into(), level, way);
        let mut request = UpdateFeaturesRequest::default();
        (request.feature_updates, request.validate_only) = (vec![update], validate_only);
        server.ask(1, &request).error_code
    };
    assert_eq!((raise(&mut server, 1, 1, true), kraft_version(&mut server)), (0, 0));
    assert_eq!((raise(&mut server, 1, 1, false), kraft_version(&mut server)), (0, 1));
    for way in 1..=3 {
        assert_eq!(raise(&mut server, 0, way, false), ErrorCode::InvalidUpdateVersion.code());
    }
    let mut server = server.restart();
    assert_eq!((raise(&mut server, 1, 1, false), kraft_version(&mut server)), (0, 1));
}

/// Where `kafka-storage.sh format --standalone` tells of the quorum: a snapshot that ends where the log begins.
#[test]
fn the_snapshot_that_a_cluster_is_formatted_with_tells_of_its_quorum() {
    let with_voters = |count: u8| {
        let version: &[u8] = &[0, 0, 0, 1, 0];
        // Their number is what matters, not who they are.
        let voters = [0, 0, count + 1];
        let mut batch = BatchBuilder::new(BatchOptions { control: true, ..BatchOptions::default() });
        batch.append(0, Some(&ControlKind::KRaftVersion.key()), Some(version), []);
        batch.append(0, Some(&ControlKind::KRaftVoters.key()), Some(&voters), []);
        let mut store = Server::start().store;
        let file = FileName::new("n1/d0/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint");
        let ops = vec![StoreOp::Replace { file, bytes: batch.finish() }];
        store.carry_out(StoreRequest::Store { token: Token(0), ops });
        Server::boot(config(), store, Disk::Works)
    };
    let mut server = with_voters(1);
    server.run();
    assert!(server.is_ready, "{:?}", server.log);
    assert_eq!(kraft_version(&mut server), 1);
    let server = with_voters(3);
    assert!(!server.is_ready);
    let why = "the quorum has several voters: only a cluster of one node can be opened";
    assert!(server.log.iter().any(|line| line.contains(why)), "{:?}", server.log);
}

#[test]
fn a_node_starts_as_soon_as_its_disk_works() {
    let mut server = Server::boot(config(), Default::default(), Disk::Fails);
    server.advance(shore_base::Duration::from_secs(2));
    assert!(!server.is_ready);
    server.set_disk(Disk::Works);
    server.advance(shore_base::Duration::from_secs(2));
    assert!(server.is_ready, "{:?}", server.log);
    assert_eq!(server.create_topic("t", 1, &[]).topics[0].error_code, 0);
}

#[test]
fn events_tell_what_happened_while_somebody_watches() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    assert!(server.events.is_empty());
    server.node.observe(true);
    server.produce("t", 0, &["a"]);
    let told: Vec<&str> = server
        .events
        .iter()
        .map(|event| match event {
            Event::RequestReceived { .. } => "received",
            Event::Appended { .. } => "appended",
            Event::HighWatermarkMoved { .. } => "committed",
            Event::RequestAnswered { .. } => "answered",
            _ => "other",
        })
        .collect();
    assert_eq!(told, ["received", "appended", "committed", "answered"]);
}

#[test]
fn a_clone_of_a_node_goes_its_own_way() {
    let mut server = Server::start();
    server.create_topic("t", 1, &[]);
    server.produce("t", 0, &["a"]);
    let past = server.node.clone();
    let before = past.view();
    server.produce("t", 0, &["b"]);
    assert_eq!(past.view(), before);
    assert_ne!(server.node.view().topics, before.topics);
}
