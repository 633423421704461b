//! The log cleaner of a running broker.

use shore_base::Duration;
use shore_broker::event::Event;
use shore_log::storage::{ReadRange, StoreOp};
use shore_wire::batch::{BatchBuilder, BatchOptions, batches};
use shore_wire::frame;
use shore_wire::messages::{DeleteTopicsRequest, FetchResponse};

use crate::fetch::fetch_request;
use crate::harness::{Disk, Server, WALL, produce_request, produced};

const COMPACT: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0.1")];

/// Produces one record in a segment of its own.
fn put(server: &mut Server, n: i64, key: &str, value: &str) {
    let mut batch = BatchBuilder::new(BatchOptions::default());
    batch.append(WALL + n * 10, Some(key.as_bytes()), Some(value.as_bytes()), []);
    let response = server.ask(9, &produce_request("t", 0, -1, batch.finish()));
    assert_eq!(produced(&response), (n, 0));
}

/// Offset, key and value of everything that can be read.
fn contents(server: &mut Server) -> Vec<(i64, String, String)> {
    let (mut found, mut from) =
        (Vec::new(), server.node.view().topics[0].partitions[0].log.as_ref().expect("a log").start_offset);
    loop {
        let mut request = fetch_request("t", 0, from);
        request.max_wait_ms = 0;
        let response = server.ask(12, &request);
        let bytes = response.responses[0].partitions[0].records.clone().unwrap_or_default();
        let before = from;
        for batch in batches(&bytes).map(|batch| batch.expect("a batch")) {
            from = batch.next_offset();
            for record in batch.records(1 << 20).expect("records").iter().map(|record| record.expect("a record")) {
                let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                found.push((record.offset, text(record.key), text(record.value)));
            }
        }
        if from == before {
            return found;
        }
    }
}

fn filled() -> Server {
    let mut server = Server::start();
    server.node.observe(true);
    server.create_topic("t", 1, &COMPACT);
    for n in 0..20 {
        put(&mut server, n, &format!("k{}", n % 4), &format!("v{n}"));
    }
    server
}

fn newest() -> Vec<(i64, String, String)> {
    (15..20).map(|n| (n, format!("k{}", n % 4), format!("v{n}"))).collect()
}

fn file(server: &Server, name: &str) -> String {
    let range = ReadRange { file: format!("n1/d0/{name}").as_str().into(), position: 0, len: 1 << 20 };
    String::from_utf8(server.store.read(&range).expect(name).to_vec()).expect("text")
}

#[test]
fn a_compacted_topic_is_cleaned_and_stays_so_after_a_kill() {
    let mut server = filled();
    assert_eq!(contents(&mut server).len(), 20);
    server.advance(Duration::from_secs(16));
    // The last segment is active: what is in it is not looked at.
    assert_eq!(contents(&mut server), newest());
    let cleaned: Vec<_> = server.events.iter().filter(|event| matches!(event, Event::LogCleaned { .. })).collect();
    let [Event::LogCleaned { cleaned, .. }] = cleaned[..] else { panic!("{cleaned:?}") };
    assert_eq!((cleaned.to, cleaned.records_before, cleaned.records_after, cleaned.segments_after), (19, 19, 4, 1));
    assert!(server.events.iter().any(|event| matches!(event, Event::CleaningBegan { .. })));
    assert_eq!(file(&server, "cleaner-offset-checkpoint"), "0\n1\nt 0 19\n");
    server.advance(Duration::from_secs(120));
    let list = server.store.list(&"n1/d0/t-0".into());
    assert!(list.iter().all(|entry| !entry.file.as_str().ends_with(".deleted")), "{list:?}");

    let mut server = server.crash();
    assert_eq!(contents(&mut server), newest());
    server.node.observe(true);
    server.advance(Duration::from_secs(60));
    let begun = server.events.iter().filter(|event| matches!(event, Event::CleaningBegan { .. })).count();
    assert_eq!(begun, 0, "it is known to be clean");
    put(&mut server, 20, "k0", "v20");
    server.advance(Duration::from_secs(16));
    assert_eq!(contents(&mut server).len(), 5, "a little dirt, but more than a tenth");
}

#[test]
fn a_read_while_segments_are_swapped_waits_for_them() {
    // After a kill nothing of the closed segments is in memory.
    let mut server = filled().crash();
    server.disk = Disk::Hangs;
    server.advance(Duration::from_secs(15));
    let is_swap = |op: &StoreOp| matches!(op, StoreOp::Rename { to, .. } if to.as_str().ends_with(".swap"));
    while !server.kept_ops().iter().any(is_swap) {
        server.answer_one();
        server.advance(Duration::from_millis(1));
    }
    let mut waiting = Vec::new();
    for offset in [0, 2, 7, 15, 18] {
        let conn = server.connect();
        let mut request = fetch_request("t", 0, offset);
        request.max_wait_ms = 0;
        server.send(conn, 12, &request);
        assert!(server.raw_answer(conn).is_none(), "offset {offset}");
        waiting.push((conn, offset));
    }
    server.set_disk(Disk::Works);
    for (conn, offset) in waiting {
        let answer = server.raw_answer(conn).expect("an answer once the disk works");
        let (_, response) = frame::decode_response::<FetchResponse>(answer, 12).expect("an answer");
        let partition = &response.responses[0].partitions[0];
        assert_eq!(partition.error_code, 0, "offset {offset}");
        let records = partition.records.clone().expect("records");
        let first = batches(&records).next().expect("a batch").expect("whole");
        assert!(first.crc_matches() && first.base_offset() == offset.max(15), "{first:?}");
    }
    assert_eq!(contents(&mut server), newest());
}

#[test]
fn cleaning_goes_on_when_a_failing_disk_heals() {
    for failing_from in 0..12 {
        let mut server = filled().crash();
        server.advance(Duration::from_millis(14_999));
        for turn in 0..30 {
            if turn == failing_from {
                server.set_disk(Disk::Fails);
            }
            server.advance(Duration::from_millis(1));
        }
        server.advance(Duration::from_secs(2));
        server.set_disk(Disk::Works);
        server.advance(Duration::from_secs(2));
        assert_eq!(contents(&mut server), newest(), "failing from turn {failing_from}");
        let mut server = server.crash();
        assert_eq!(contents(&mut server), newest(), "failing from turn {failing_from}");
    }
}

#[test]
fn a_topic_that_is_deleted_while_it_is_cleaned_leaves_nothing() {
    for turns in 0..8 {
        let mut server = filled().crash();
        server.advance(Duration::from_millis(14_999));
        server.disk = Disk::Hangs;
        for _ in 0..turns {
            server.advance(Duration::from_millis(1));
            server.answer_store();
        }
        server.set_disk(Disk::Works);
        let mut request = DeleteTopicsRequest::default();
        request.topic_names = vec!["t".into()];
        request.timeout_ms = 1000;
        assert_eq!(server.ask(3, &request).responses[0].error_code, 0);
        server.advance(Duration::from_secs(60));
        let list = server.store.list(&"n1/d0/t-0".into());
        assert_eq!(list, [], "after {turns} turns");
        server.create_topic("t", 1, &COMPACT);
        put(&mut server, 0, "k", "v");
        server.advance(Duration::from_secs(60));
        assert_eq!(contents(&mut server).len(), 1);
    }
}
