//! Starting and ending.

use std::net::TcpListener;

use shore_wire::messages::{MetadataRequest, MetadataResponse};

use crate::broker::{Broker, Scratch, refused};

#[test]
fn the_ready_line_says_where_and_what() {
    let broker = Broker::start(&["--topic", "orders:3", "--topic", "clicks:1"]);
    let words: Vec<&str> = broker.ready_line.trim_end().split(' ').collect();
    assert_eq!(words[..2], ["shore", "ready:"]);
    assert!(words[2].starts_with("127.0.0.1:"), "{}", words[2]);
    assert_eq!(words[3].len(), "cluster=".len() + 22);
    assert_eq!(words[4], "data=memory");
    assert_eq!(broker.connect().topics(), [("clicks".to_owned(), 1), ("orders".to_owned(), 3)]);
    assert_eq!(broker.stop().0, Some(0));
}

#[test]
fn loopback_is_listened_on_in_both_families() {
    let broker = Broker::start(&[]);
    let port = broker.address.rsplit(':').next().unwrap().to_owned();
    if TcpListener::bind("[::1]:0").is_ok() {
        crate::client::Client::connect(&format!("[::1]:{port}")).topics();
    }
    crate::client::Client::connect(&format!("127.0.0.1:{port}")).topics();
}

#[test]
fn an_open_listener_is_warned_of() {
    let broker = Broker::start(&["--listen", "0.0.0.0", "--advertise", "127.0.0.1:9999"]);
    let (code, log) = broker.stop();
    assert_eq!(code, Some(0));
    assert!(log.contains("listening on 0.0.0.0 without authentication or encryption"), "{log}");
}

#[test]
fn what_cannot_start_says_why_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below_a_file = file.join("data").to_str().unwrap().to_owned();
    let busy = format!("shore: port {port} is busy: another program listens on 127.0.0.1:{port}\n");
    let kept = scratch.path().join("kept").to_str().unwrap().to_owned();
    let other = format!("shore: Stored node id 7 doesn't match previous node id 8 in {kept}\n");
    assert_eq!(Broker::start(&["--data", &kept, "--config", "node.id=7"]).stop().0, Some(0));
    let not_a_number = "shore: Invalid value many for configuration max.connections: Not a number of type INT\n";
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--port", &port], 3, &busy),
        (&["--frobnicate"], 2, "shore: there is no option `--frobnicate`; `shore --help` lists them\n"),
        (&["--config", "max.connections=many"], 2, not_a_number),
        (&["--config", "max.connections=0"], 2, "shore: --config max.connections is at least 1, not 0\n"),
        (&["--config", "log.dirs=/tmp"], 2, "shore: --config log.dirs is not taken: --data says it\n"),
        (&["--data", &kept, "--config", "broker.id=8"], 4, &other),
        (&["--listen", "192.0.2.1"], 3, "shore: 192.0.2.1 is not an address of this machine\n"),
        (&["--data", &below_a_file], 4, "Not a directory"),
        (&["--topic", "no/such:1"], 1, "INVALID_TOPIC_EXCEPTION"),
    ];
    for (args, code, line) in cases {
        let (got, said) = refused(args);
        assert_eq!(got, Some(code), "{args:?}: {said}");
        assert!(said.contains(line), "{args:?}: {said}");
        assert_eq!(said.lines().filter(|line| !line.contains("closing")).count(), 1, "{args:?}: {said}");
    }
}

#[test]
fn one_process_at_a_time_uses_a_directory() {
    let scratch = Scratch::new();
    let broker = Broker::start(&["--data", scratch.text()]);
    let (code, said) = refused(&["--data", scratch.text()]);
    assert_eq!((code, said), (Some(5), format!("shore: {} is in use by another process\n", scratch.text())));
    assert_eq!(broker.stop().0, Some(0));
    assert_eq!(Broker::start(&["--data", scratch.text()]).stop().0, Some(0));
}

#[test]
fn a_clean_restart_keeps_topics_records_and_the_cluster_id() {
    let scratch = Scratch::new();
    let data = ["--data", scratch.text(), "--topic", "orders:2"];
    let broker = Broker::start(&data);
    let cluster = broker.ready_line.split(' ').nth(3).unwrap().to_owned();
    let mut client = broker.connect();
    let values: Vec<Vec<u8>> = (0..100).map(|index| format!("value {index}").into_bytes()).collect();
    for (offset, value) in values.iter().enumerate() {
        assert_eq!(client.produce("orders", 1, value), offset as i64);
    }
    let (code, log) = broker.stop();
    assert_eq!(code, Some(0), "{log}");

    let broker = Broker::start(&data);
    assert_eq!(broker.ready_line.split(' ').nth(3).unwrap(), cluster);
    let mut client = broker.connect();
    assert_eq!(client.topics(), [("orders".to_owned(), 2)]);
    let read = client.read_all("orders", 1);
    assert_eq!(read, values.into_iter().enumerate().map(|(at, value)| (at as i64, value)).collect::<Vec<_>>());
    assert_eq!(client.produce("orders", 1, b"next"), 100);
}

#[test]
fn a_second_signal_does_not_wait_for_closing_and_loses_nothing() {
    let scratch = Scratch::new();
    let args = ["--data", scratch.text(), "--topic", "many:200"];
    let broker = Broker::start(&args);
    let mut client = broker.connect();
    for partition in 0..200 {
        client.produce("many", partition, b"acknowledged");
    }
    // Both are there when it looks: while it closes 200 logs, the second has its say.
    for signal in ["STOP", "TERM", "INT", "CONT"] {
        broker.signal(signal);
    }
    assert_eq!(broker.wait().0, Some(130));
    let again = Broker::start(&args);
    let mut client = again.connect();
    for partition in 0..200 {
        assert_eq!(client.read_all("many", partition), [(0, b"acknowledged".to_vec())]);
    }
    assert_eq!(again.stop().0, Some(0));
}

#[test]
fn memory_stays_near_its_ceiling_and_what_goes_is_said() {
    let broker = Broker::start(&["--memory-ceiling", "8M", "--topic", "orders:1"]);
    let mut client = broker.connect();
    client.produce("orders", 0, b"first");
    let before = broker.resident_bytes();
    let value = vec![7; 500_000];
    for offset in 1..200 {
        assert_eq!(client.produce("orders", 0, &value), offset);
    }
    let growth = broker.resident_bytes().saturating_sub(before);
    assert!(growth < 40 << 20, "{growth} bytes for 100 MB produced under a ceiling of 8 MiB");
    let (_, log) = broker.stop();
    assert!(log.contains("memory is at its ceiling of 8388608 bytes: orders-0 now begins at offset"), "{log}");
}

#[test]
fn a_node_is_who_its_configs_say_and_stays_it() {
    let scratch = Scratch::new();
    let id = |broker: &Broker| {
        let metadata: MetadataResponse = broker.connect().call(12, &MetadataRequest::default());
        (metadata.brokers[0].node_id, metadata.controller_id)
    };
    let broker = Broker::start(&["--config", "broker.id=5"]);
    assert_eq!(id(&broker), (5, 5));
    let broker = Broker::start(&["--data", scratch.text(), "--config", "node.id=7"]);
    assert_eq!(id(&broker), (7, 7));
    assert_eq!(broker.stop().0, Some(0));
    let text = std::fs::read_to_string(scratch.path().join("n7/d0/meta.properties")).unwrap();
    assert!(text.contains("\nnode.id=7\n"), "{text}");
    for args in [&["--data", scratch.text()][..], &["--data", scratch.text(), "--config", "broker.id=7"]] {
        let broker = Broker::start(args);
        assert_eq!(id(&broker), (7, 7));
        assert_eq!(broker.stop().0, Some(0));
    }
}
