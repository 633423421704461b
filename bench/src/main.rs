//! One run, one machine, one client: librdkafka against `shore serve`, its own mock broker and Apache Kafka, and
//! Apache Kafka's own tools against both that have files.
//!
//! `bench [--rounds N] [--megabytes N] [start|produce|consume|send|java]...`: rows of the table of `cargo xtask bench`.
//!
//! Rounds go through all brokers in turn, so that what else the machine does meets all of them alike; a
//! figure is the median of its rounds without the first, which warms the JVM, and what counts are the ratios.
//! Brokers are compared that keep the same: what is in memory with what is in memory, files with files.

mod client;
mod java;
mod peers;
mod report;

use std::time::Instant;

use peers::{Kind, Peer, Place};
use report::Case;

/// Record sizes and the batch sizes that they are sent in.
const RECORDS: [usize; 2] = [100, 1_000];
const BATCHES: [usize; 2] = [16 << 10, 1 << 20];
const STARTS: usize = 11;

struct Options {
    rounds: usize,
    megabytes: usize,
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "mock") {
        return client::serve_mock();
    }
    let mut number = |name: &str, default: usize| match args.iter().position(|arg| arg == name) {
        Some(at) => {
            let value = args.get(at + 1).and_then(|text| text.parse().ok()).filter(|&value| value > 0);
            args.drain(at..(at + 2).min(args.len()));
            value.unwrap_or_else(|| exit(&format!("{name} takes a number above 0")))
        }
        None => default,
    };
    let options = Options { rounds: number("--rounds", 7), megabytes: number("--megabytes", 200) };
    for what in &args {
        match what.as_str() {
            "start" => start(),
            "produce" => produce(&options),
            "consume" => consume(&options),
            "send" => send(&options),
            "java" => java::bench(&options).unwrap_or_else(|why| exit(&why)),
            unknown => {
                exit(&format!("there is no benchmark `{unknown}`; there are start, produce, consume, send and java"))
            }
        }
    }
}

fn exit(why: &str) -> ! {
    eprintln!("bench: {why}");
    std::process::exit(2)
}

/// From the start of the process to its ready line, and what it holds then.
fn start() {
    for (place, name) in [(Place::Memory { ceiling_mib: None }, "in memory"), (Place::Files, "with files")] {
        let mut times = Vec::new();
        let mut memory = 0;
        for _ in 0..STARTS {
            let begin = Instant::now();
            let peer = Peer::shore(place).unwrap_or_else(|why| exit(&why));
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            memory = memory.max(peer.resident_bytes().unwrap_or(0));
        }
        println!("| `shore serve` {name} is ready | {:.1} ms | | | <= 40 ms |", report::median(&mut times));
        println!("| `shore serve` {name} holds when idle | {:.1} MB | | | <= 10 MB |", memory as f64 / 1e6);
    }
}

fn produce(options: &Options) {
    let peers = peers::for_producing().unwrap_or_else(|why| exit(&why));
    for (record, batch) in cases() {
        let count = options.megabytes * 1_000_000 / record;
        let mut case =
            Case::new(format!("producing {record} B records in {} KiB batches", batch >> 10), "MB/s", &peers);
        for round in 0..=options.rounds {
            for (index, peer) in in_turn(&peers, round) {
                let topic = format!("produce-{batch}-{record}-{round}");
                peer.create_topic(&topic);
                let time = client::produce(&peer.bootstrap, &topic, record, batch, count);
                peer.delete_topic(&topic);
                let rate = (count * record) as f64 / time.as_secs_f64() / 1e6;
                eprintln!("produce: {record} B in {batch} B, round {round}: {} {rate:.0} MB/s", peer.kind.name());
                if round > 0 {
                    case.round(index, rate);
                }
            }
        }
        case.print(&[
            (Kind::Memory, Kind::Mock, ">= 0.75x"),
            (Kind::Memory, Kind::Tansu, above_tansu(record)),
            (Kind::Files, Kind::Kafka, "> 1x"),
        ]);
    }
}

fn consume(options: &Options) {
    let peers = peers::for_consuming().unwrap_or_else(|why| exit(&why));
    for (record, batch) in cases() {
        let count = options.megabytes * 1_000_000 / record;
        let mut case =
            Case::new(format!("consuming {record} B records in {} KiB batches", batch >> 10), "MB/s", &peers);
        let topic = format!("consume-{batch}-{record}");
        for peer in &peers {
            peer.create_topic(&topic);
            client::produce(&peer.bootstrap, &topic, record, batch, count);
        }
        for round in 0..=options.rounds {
            for (index, peer) in in_turn(&peers, round) {
                let (time, read) = client::consume(&peer.bootstrap, &topic, count);
                let rate = (read * record) as f64 / time.as_secs_f64() / 1e6;
                eprintln!("consume: {record} B in {batch} B, round {round}: {} {rate:.0} MB/s", peer.kind.name());
                if round > 0 {
                    case.round(index, rate);
                }
            }
        }
        peers.iter().for_each(|peer| peer.delete_topic(&topic));
        case.print(&[
            (Kind::Files, Kind::Kafka, "> 1x"),
            (Kind::Memory, Kind::Kafka, "> 1x"),
            (Kind::Memory, Kind::Tansu, above_tansu(record)),
        ]);
    }
}

/// How long a client waits that awaits every send.
fn send(options: &Options) {
    let peers = peers::for_producing().unwrap_or_else(|why| exit(&why));
    let mut case = Case::new("kafkajs awaits a send of 100 B, median".to_owned(), "us", &peers);
    for round in 0..=options.rounds {
        for (index, peer) in in_turn(&peers, round) {
            let topic = format!("send-{round}");
            peer.create_topic(&topic);
            let median = client::kafkajs_send(&peer.bootstrap, &topic).unwrap_or_else(|why| exit(&why));
            peer.delete_topic(&topic);
            eprintln!("send: round {round}: {} {median:.0} us", peer.kind.name());
            if round > 0 {
                case.round(index, median);
            }
        }
    }
    case.print(&[
        (Kind::Memory, Kind::Mock, "<= 1.3x"),
        (Kind::Memory, Kind::Tansu, "< 1x"),
        (Kind::Memory, Kind::Kafka, "< 1x"),
        (Kind::Files, Kind::Kafka, "< 1x"),
    ]);
}

/// What is asked of a broker in memory beside tansu, whose cost of a byte is what sets it back.
fn above_tansu(record: usize) -> &'static str {
    if record == RECORDS[0] { ">= 1.1x" } else { ">= 3x" }
}

/// Each record size in each batch size.
fn cases() -> impl Iterator<Item = (usize, usize)> {
    BATCHES.into_iter().flat_map(|batch| RECORDS.map(|record| (record, batch)))
}

/// Every broker, another one first in each round.
fn in_turn(peers: &[Peer], round: usize) -> impl Iterator<Item = (usize, &Peer)> {
    peers.iter().enumerate().cycle().skip(round % peers.len()).take(peers.len())
}
