//! What the internet sends: nothing of it ends the broker, costs it memory or keeps others from being served.

use std::io::Write;

use crate::broker::Broker;
use crate::client::Client;

const GROWTH: u64 = 64 << 20;

/// A request frame: its header for the key and version given, and a body.
fn request(key: i16, version: i16, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut frame = [&key.to_be_bytes()[..], &version.to_be_bytes(), &1_i32.to_be_bytes()].concat();
    frame.extend([0, 1, b'x']);
    if flexible {
        frame.push(0);
    }
    frame.extend(body);
    [&(frame.len() as i32).to_be_bytes()[..], &frame].concat()
}

/// Frames that lie.
fn hostile_frames() -> Vec<(&'static str, Vec<u8>)> {
    let huge = [0x7f, 0xff, 0xff, 0xff];
    let produce = [&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1][..], &huge].concat();
    let batch = {
        // One topic `t`, one partition, records of a batch that claims 2 GiB.
        let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0];
        let records = [&[0; 8][..], &huge, &[0; 4], &[2], &[0; 44]].concat();
        body.extend((records.len() as i32).to_be_bytes());
        body.extend(records);
        body
    };
    vec![
        ("a negative length", vec![0xff; 4]),
        ("a length of 2 GiB", huge.to_vec()),
        ("one byte more than socket.request.max.bytes", (100 * 1024 * 1024_i32 + 1).to_be_bytes().to_vec()),
        ("an empty frame", vec![0; 4]),
        ("a frame that ends within its header", vec![0, 0, 0, 3, 0, 3, 0]),
        ("a client id longer than its frame", vec![0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff]),
        ("a key that nobody knows", request(999, 0, false, &[])),
        ("a negative key", request(-1, 0, false, &[])),
        ("a version that nobody knows", request(0, 99, true, &[])),
        ("Metadata of 2^31-1 topics", request(3, 1, false, &huge)),
        ("Metadata of 2^28 topics in few bytes", request(3, 12, true, &[0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("Produce to 2^31-1 topics", request(0, 3, false, &produce)),
        ("a batch of 2 GiB", request(0, 3, false, &batch)),
        ("Fetch of 2^31-1 topics", request(1, 4, false, &[&[0; 17][..], &huge].concat())),
        ("2^28 tagged fields", request(18, 3, true, &[2, b'a', 2, b'b', 0xff, 0xff, 0xff, 0xff, 0x0f])),
        (
            "JoinGroup with 2^31-1 protocols",
            request(11, 1, false, &[&[0, 1, b'g', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'c'][..], &huge].concat()),
        ),
    ]
}

#[test]
fn frames_that_lie_are_answered_or_closed_and_cost_nothing() {
    let broker = Broker::start(&["--topic", "orders:1"]);
    let mut good = broker.connect();
    good.produce("orders", 0, b"before");
    let before = broker.resident_bytes();
    for (what, frame) in hostile_frames() {
        // Many at once: what one costs for a moment would add up.
        let mut clients: Vec<Client> = (0..20).map(|_| broker.connect()).collect();
        clients.iter_mut().for_each(|client| client.send(&frame));
        for client in &mut clients {
            // The answer to what is no more than a wrong request, then the end that we ask for.
            let _ = client.socket.shutdown(std::net::Shutdown::Write);
            while client.receive().is_some() {}
        }
        assert_eq!(good.topics(), [("orders".to_owned(), 1)], "after {what}");
    }
    let growth = broker.most_resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH, "{growth} bytes");
    assert_eq!(good.produce("orders", 0, b"after"), 1);
    assert_eq!(broker.stop().0, Some(0));
}

#[test]
fn other_protocols_are_closed_at_once_and_named() {
    let broker = Broker::start(&[]);
    for first in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"POST /topics HTTP/1.1\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01],
    ] {
        let mut client = broker.connect();
        client.send(first);
        assert!(client.is_closed());
    }
    let (code, log) = broker.stop();
    assert_eq!(code, Some(0));
    assert_eq!(log.matches("speaks HTTP, and this port speaks Kafka's protocol").count(), 2, "{log}");
    assert_eq!(log.matches("speaks TLS, and this listener is PLAINTEXT").count(), 1, "{log}");
}

#[test]
fn half_frames_wait_for_their_other_half_and_cost_what_was_sent() {
    let broker = Broker::start(&["--topic", "orders:1"]);
    let before = broker.resident_bytes();
    // Each claims the largest frame there may be and sends a little of it.
    let mut clients: Vec<Client> = (0..200).map(|_| broker.connect()).collect();
    for client in &mut clients {
        client.send(&(100 * 1024 * 1024_i32).to_be_bytes());
        client.send(&[0; 1_000]);
    }
    let mut good = broker.connect();
    let whole = {
        let mut frame = request(3, 1, false, &[0, 0, 0, 0]);
        let second = frame.split_off(7);
        good.send(&frame);
        second
    };
    assert_eq!(broker.connect().produce("orders", 0, b"meanwhile"), 0);
    good.send(&whole);
    assert!(good.receive().is_some());
    let growth = broker.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH, "{growth} bytes for {} half frames", clients.len());
}

#[test]
fn a_peer_that_dribbles_is_as_idle_as_a_silent_one() {
    let broker = Broker::start(&["--config", "connections.max.idle.ms=300"]);
    let mut silent = broker.connect();
    let mut dribbling = broker.connect();
    dribbling.socket.set_nodelay(true).unwrap();
    dribbling.send(&1_000_000_i32.to_be_bytes());
    // Bytes keep coming, a whole request never does: the broker ends it.
    while dribbling.socket.write_all(b"x").is_ok() {}
    assert!(silent.is_closed());
    let (_, log) = broker.stop();
    assert_eq!(log.matches("idle for more than 300 ms (connections.max.idle.ms)").count(), 2, "{log}");
}

#[test]
fn thousands_of_idle_connections_do_not_disturb_hundreds_of_busy_ones() {
    let broker = Broker::start(&["--topic", "orders:1"]);
    let before = broker.resident_bytes();
    rlimit::increase_nofile_limit(4_000).unwrap();
    let mut idle: Vec<Client> = (0..2_000).map(|_| broker.connect()).collect();
    for client in &mut idle {
        assert_eq!(client.topics().len(), 1);
    }
    let mut busy: Vec<Client> = (0..200).map(|_| broker.connect()).collect();
    let mut offsets = Vec::new();
    for _ in 0..10 {
        busy.iter_mut().for_each(|client| client.ask_to_produce("orders", 0, b"busy"));
        offsets.extend(busy.iter_mut().map(|client| client.acknowledged().unwrap()));
    }
    offsets.sort_unstable();
    assert!(offsets.into_iter().eq(0..2_000), "each has its offset");
    let growth = broker.resident_bytes().saturating_sub(before);
    assert!(growth < 32 << 20, "{growth} bytes for {} connections", idle.len() + busy.len());
    assert!(idle.iter_mut().all(|client| client.topics().len() == 1), "each is still served");
}

#[test]
fn connections_over_the_cap_are_refused_and_the_others_go_on() {
    let broker = Broker::start(&["--config", "max.connections=3"]);
    let mut held: Vec<Client> = (0..3).map(|_| broker.connect()).collect();
    held.iter_mut().for_each(|client| assert_eq!(client.topics(), []));
    assert!(broker.connect().is_closed());
    held.iter_mut().for_each(|client| assert_eq!(client.topics(), []));
    let (_, log) = broker.stop();
    assert!(log.contains("max.connections=3 are open"), "{log}");
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from() {
    let broker = Broker::start(&["--topic", "orders:1"]);
    let mut good = broker.connect();
    for _ in 0..8 {
        good.produce("orders", 0, &vec![7; 500_000]);
    }
    let before = broker.resident_bytes();
    // Twenty peers ask for 4 MB a thousand times each, as far as they are let, and read nothing.
    let frame = fetch_everything();
    let mut greedy: Vec<Client> = (0..20).map(|_| broker.connect()).collect();
    for client in &mut greedy {
        client.socket.set_nonblocking(true).unwrap();
        for _ in 0..1_000 {
            if client.socket.write(&frame).is_err() {
                break;
            }
        }
    }
    assert_eq!(good.produce("orders", 0, b"after"), 8);
    let growth = broker.resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH, "{growth} bytes owed to peers that do not read");
}

/// A Fetch of everything in `orders`.
fn fetch_everything() -> Vec<u8> {
    let mut body = vec![0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend((64_i32 << 20).to_be_bytes());
    body.push(0);
    body.extend([0, 0, 0, 1, 0, 6]);
    body.extend(b"orders");
    body.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    body.extend(0_i64.to_be_bytes());
    body.extend((8_i32 << 20).to_be_bytes());
    request(1, 4, false, &body)
}
