//! Apache Kafka's own measuring tools, ProducerPerformance and ConsumerPerformance, with the defaults of its clients but
//! for acks=all, which is one too. Each round is a JVM of its own; what it compiles first does not count.

use std::process::Command;

use crate::peers::{self, Kind, Peer};
use crate::report::Case;
use crate::{Options, in_turn};

/// Of this many records one warms the producer's JVM.
const WARMUP: usize = 5;

/// Producing to brokers with files, then consuming what was produced.
pub fn bench(options: &Options) -> Result<(), String> {
    let peers = peers::with_files()?;
    for record in crate::RECORDS {
        let count = options.megabytes * 1_000_000 / record;
        let mut producing = Case::new(format!("ProducerPerformance, {record} B records"), "MB/s", &peers);
        let mut consuming = Case::new(format!("ConsumerPerformance, {record} B records"), "MB/s", &peers);
        for round in 0..=options.rounds {
            for (index, peer) in in_turn(&peers, round) {
                let topic = format!("java-{record}-{round}");
                peer.create_topic(&topic);
                let produced = produce(peer, &topic, record, count)?;
                let consumed = consume(peer, &topic, record, count)?;
                peer.delete_topic(&topic);
                let name = peer.kind.name();
                eprintln!("java: {record} B, round {round}: {name} {produced:.0} MB/s in, {consumed:.0} MB/s out");
                if round > 0 {
                    producing.round(index, produced);
                    consuming.round(index, consumed);
                }
            }
        }
        producing.print(&[(Kind::Files, Kind::Kafka, "> 1x")]);
        consuming.print(&[(Kind::Files, Kind::Kafka, "> 1x")]);
    }
    Ok(())
}

/// In MB/s, by the records after those that warm it.
fn produce(peer: &Peer, topic: &str, record: usize, count: usize) -> Result<f64, String> {
    let (number, warmup, size) = (count.to_string(), (count / WARMUP).to_string(), record.to_string());
    let said = tool(&[
        "org.apache.kafka.tools.ProducerPerformance",
        "--bootstrap-server",
        &peer.bootstrap,
        "--topic",
        topic,
        "--num-records",
        &number,
        "--warmup-records",
        &warmup,
        "--record-size",
        &size,
        "--throughput",
        "-1",
        "--command-property",
        "acks=all",
    ])?;
    produced_per_second(&said).map(|records| records * record as f64 / 1e6).ok_or(said)
}

/// In MB/s of what it fetched, without the time until it had its partitions.
fn consume(peer: &Peer, topic: &str, record: usize, count: usize) -> Result<f64, String> {
    let number = count.to_string();
    let said = tool(&[
        "org.apache.kafka.tools.ConsumerPerformance",
        "--bootstrap-server",
        &peer.bootstrap,
        "--topic",
        topic,
        "--num-records",
        &number,
        // A machine with much to do may take its time until a member has its partitions.
        "--timeout",
        "60000",
    ])?;
    consumed_per_second(&said).map(|records| records * record as f64 / 1e6).ok_or(said)
}

fn tool(arguments: &[&str]) -> Result<String, String> {
    let jars = peers::kafka_jars()?;
    let class_path = format!("{}/*", jars.display());
    let java = Command::new("java").args(["-Xms256m", "-Xmx512m", "-cp", &class_path]).args(arguments).output();
    let ended = java.map_err(|error| format!("java: {error}"))?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    if ended.status.success() { Ok(said) } else { Err(said + &String::from_utf8_lossy(&ended.stderr)) }
}

/// `80000 steady state records sent, 40322.580645 records/sec (...`
fn produced_per_second(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.contains(" steady state records sent, "))?;
    line.split(", ").nth(1)?.split(' ').next()?.parse().ok()
}

/// The last column, `fetch.nMsg.sec`, of the line below the head.
fn consumed_per_second(said: &str) -> Option<f64> {
    let mut lines = said.lines().skip_while(|line| !line.contains("fetch.nMsg.sec"));
    lines.nth(1)?.rsplit(", ").next()?.parse().ok()
}
