//! One run, one machine, one client: librdkafka against `shore serve`, its own mock broker and Apache Kafka.
//!
//! `cargo xtask bench [--rounds N] [--megabytes N] [produce|consume|start]...`
//!
//! Rounds go through all brokers in turn, so that what else the machine does meets all of them alike; a
//! figure is the median of its rounds without the first, which warms the JVM, and what counts are the ratios.

mod client;
mod peers;
mod report;

use std::time::Instant;

use peers::{Kind, Peer};
use report::Table;

/// Record sizes and the batch sizes that they are sent in.
const RECORDS: [usize; 2] = [100, 1_000];
const BATCHES: [usize; 2] = [16 << 10, 1 << 20];
const STARTS: usize = 11;

struct Options {
    rounds: usize,
    megabytes: usize,
    what: Vec<String>,
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "mock") {
        return client::serve_mock();
    }
    let mut number = |name: &str, default: usize| match args.iter().position(|arg| arg == name) {
        Some(at) => {
            let value = args.get(at + 1).and_then(|text| text.parse().ok());
            args.drain(at..(at + 2).min(args.len()));
            value.unwrap_or_else(|| exit(&format!("{name} takes a number")))
        }
        None => default,
    };
    let (rounds, megabytes) = (number("--rounds", 5), number("--megabytes", 200));
    let options = Options { rounds, megabytes, what: args };
    if let Some(unknown) = options.what.iter().find(|what| !["produce", "consume", "start"].contains(&what.as_str())) {
        exit(&format!("there is no benchmark `{unknown}`; there are produce, consume and start"));
    }
    let wanted = |what: &str| options.what.is_empty() || options.what.iter().any(|name| name == what);
    if wanted("start") {
        start();
    }
    if wanted("produce") || wanted("consume") {
        let peers = peers::start_all().unwrap_or_else(|why| exit(&why));
        if wanted("produce") {
            produce(&peers, &options);
        }
        if wanted("consume") {
            consume(&peers, &options);
        }
    }
}

fn exit(why: &str) -> ! {
    eprintln!("bench: {why}");
    std::process::exit(2)
}

/// From the start of the process to its ready line, and what it holds then.
fn start() {
    for data in [false, true] {
        let mut times = Vec::new();
        let mut memory = 0;
        for _ in 0..STARTS {
            let begin = Instant::now();
            let peer = Peer::shore(data).unwrap_or_else(|why| exit(&why));
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            memory = memory.max(peer.resident_bytes().unwrap_or(0));
        }
        let place = if data { "files" } else { "memory" };
        let (time, memory) = (report::median(&mut times), memory as f64 / 1e6);
        println!("shore serve ({place}): ready in {time:.1} ms (goal <= 40), idle at {memory:.1} MB (goal <= 10)");
    }
}

fn produce(peers: &[Peer], options: &Options) {
    let mut table = Table::new(format!("producing, acks=all, {} MB a round, MB/s", options.megabytes), peers);
    for batch in BATCHES {
        for record in RECORDS {
            let count = options.megabytes * 1_000_000 / record;
            let mut rates = vec![Vec::new(); peers.len()];
            for round in 0..=options.rounds {
                for (peer, rates) in peers.iter().zip(&mut rates) {
                    let topic = format!("produce-{batch}-{record}-{round}");
                    peer.create_topic(&topic);
                    let time = client::produce(&peer.bootstrap, &topic, record, batch, count);
                    rates.push((count * record) as f64 / time.as_secs_f64() / 1e6);
                    peer.delete_topic(&topic);
                }
            }
            for rates in &mut rates {
                rates.remove(0);
            }
            table.row(format!("{record} B in {} KiB", batch >> 10), rates);
        }
    }
    table.print(&[(Kind::Memory, Kind::Mock, 0.6), (Kind::Files, Kind::Kafka, 1.0)]);
}

/// The mock keeps 5 MB of a partition, so there is nothing to read from it.
fn consume(peers: &[Peer], options: &Options) {
    let peers: Vec<&Peer> = peers.iter().filter(|peer| peer.kind != Kind::Mock).collect();
    let mut table = Table::new(format!("consuming, {} MB a round, MB/s", options.megabytes), peers.iter().copied());
    for record in RECORDS {
        let count = options.megabytes * 1_000_000 / record;
        let mut rates = vec![Vec::new(); peers.len()];
        let topic = format!("consume-{record}");
        for peer in &peers {
            peer.create_topic(&topic);
            client::produce(&peer.bootstrap, &topic, record, BATCHES[1], count);
        }
        for _ in 0..=options.rounds {
            for (peer, rates) in peers.iter().zip(&mut rates) {
                let (time, read) = client::consume(&peer.bootstrap, &topic, count);
                rates.push((read * record) as f64 / time.as_secs_f64() / 1e6);
            }
        }
        for rates in &mut rates {
            rates.remove(0);
        }
        peers.iter().for_each(|peer| peer.delete_topic(&topic));
        table.row(format!("{record} B"), rates);
    }
    table.print(&[(Kind::Memory, Kind::Kafka, 1.0), (Kind::Files, Kind::Kafka, 1.0)]);
}
