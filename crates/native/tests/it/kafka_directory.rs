//! A log directory that Apache Kafka wrote.
//!
//! The one in `apache-kafka-4.3.1.tar.gz` was written by a node with id 7 whose metadata log was rolled
//! every 2000 bytes and cut to 3000, so that only a snapshot tells of the beginning. A producer, a
//! transactional one and an administrator were at work on it, and it was stopped cleanly.

use std::path::Path;
use std::process::Command;

use crate::broker::{Broker, Scratch, refused};

fn unpacked() -> Scratch {
    let scratch = Scratch::new();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/apache-kafka-4.3.1.tar.gz");
    let tar = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(scratch.path()).status().unwrap();
    assert!(tar.success());
    scratch
}

fn texts(broker: &Broker, topic: &str, partition: i32) -> Vec<(i64, String)> {
    let records = broker.connect().read_all(topic, partition).into_iter();
    records.map(|(offset, value)| (offset, String::from_utf8_lossy(&value).into_owned())).collect()
}

#[test]
fn what_apache_kafka_kept_is_served() {
    let kafka = unpacked();
    for run in 0..2 {
        let broker = Broker::start(&["--data", kafka.text()]);
        assert!(broker.ready_line.contains("cluster=kafkashoreAAAAAAAAAAAw"), "{}", broker.ready_line);
        let topics = [("atomic".to_owned(), 1), ("compacted".to_owned(), 1), ("plain".to_owned(), 3)];
        assert_eq!(broker.connect().topics(), topics);
        let plain = texts(&broker, "plain", 0);
        let sent = (0..3).flat_map(|round| [0, 2, 4, 6, 8].map(|number| format!("round {round} of {number}")));
        let rest = (0..run).map(|_| "ours".to_owned());
        assert_eq!(plain, (0..).zip(sent.chain(rest)).collect::<Vec<_>>());
        // What a compaction left and what came after it.
        let compacted: Vec<i64> = texts(&broker, "compacted", 0).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(compacted, [3, 4, 5, 6, 7, 8]);
        let atomic = texts(&broker, "atomic", 0);
        let records = [(0, "abort 1"), (1, "abort 2"), (3, "commit 1"), (4, "commit 2")];
        for (offset, value) in records {
            assert!(atomic.contains(&(offset, value.to_owned())), "{atomic:?}");
        }
        if run == 0 {
            assert_eq!(broker.connect().produce("plain", 0, b"ours"), 15);
        }
        let (code, log) = broker.stop();
        assert_eq!((code, log.as_str()), (Some(0), "shore: closing\n"));
    }
}

type Damage<'a> = &'a dyn Fn(&Path);

#[test]
fn a_directory_that_cannot_be_served_whole_is_refused_in_words() {
    let properties =
        |text: &'static str| move |path: &Path| std::fs::write(path.join("meta.properties"), text).unwrap();
    let cases: [(&str, Damage<'_>); 3] = [
        ("meta.properties names no node.id and cluster.id", &properties("version=0\nbroker.id=7\ncluster.id=c\n")),
        ("there is no __cluster_metadata-0", &|path| {
            std::fs::remove_dir_all(path.join("__cluster_metadata-0")).unwrap();
        }),
        ("quorum-state names 3 voters: only a cluster of one node can be opened", &|path| {
            let voters =
                r#"{"leaderId":7,"leaderEpoch":1,"currentVoters":[{"voterId":7},{"voterId":8},{"voterId":9}]}"#;
            std::fs::write(path.join("__cluster_metadata-0/quorum-state"), voters).unwrap();
        }),
    ];
    for (why, damage) in cases {
        let kafka = unpacked();
        damage(kafka.path());
        let (code, said) = refused(&["--data", kafka.text()]);
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
