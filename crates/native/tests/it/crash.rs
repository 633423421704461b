//! `kill -9` under load, and while a broker starts. `cargo xtask kills COUNT` does it more often than the test command.

use std::collections::VecDeque;
use std::process::Stdio;

use shore_base::Random;

use crate::broker::{Broker, Scratch, shore};
use crate::client::Client;

/// Unless the environment says how many.
const KILLS: u64 = 10;
const PARTITIONS: i32 = 3;
/// Records that may be on their way without an acknowledgement.
const WINDOW: usize = 20;
/// A write of so much is torn by a kill now and then.
const LARGE: u64 = 60_000;

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let kills = std::env::var("SHORE_KILLS").map_or(KILLS, |count| count.parse().expect("SHORE_KILLS is a number"));
    let scratch = Scratch::new();
    // The client's records are of 2023: a life that lasts until retention has its turn would end with fewer.
    let small_segments = ["--config", "log.index.size.max.bytes=128", "--config", "log.retention.ms=-1"];
    let args = [&["--data", scratch.text(), "--topic", "orders:3"][..], &small_segments].concat();
    let mut random = Random::stream(1, "kills");
    let mut acked: Acked = vec![Vec::new(); PARTITIONS as usize];
    let mut torn = 0;
    for life in 0..kills {
        if random.below(4) == 0 {
            kill_while_starting(&args, random.below(3_000));
        }
        let broker = Broker::start(&args);
        let mut client = broker.connect();
        expect_acknowledged(&mut client, &acked, life);
        let mut waiting = VecDeque::new();
        for number in 0..50 + random.below(400) {
            let partition = random.below(PARTITIONS as u64) as i32;
            let most = if random.below(10) == 0 { LARGE } else { 2_000 };
            let filling = vec![b'x'; random.below(most) as usize];
            let value = [format!("{life}/{number}/").as_bytes(), &filling].concat();
            client.ask_to_produce("orders", partition, &value);
            waiting.push_back((partition, value));
            while waiting.len() >= WINDOW {
                let (partition, value) = waiting.pop_front().unwrap();
                acked[partition as usize].push((client.acknowledged().unwrap(), value));
            }
        }
        // With a full window on its way.
        let log = broker.kill();
        torn += log.matches("were torn and are cut off").count();
        while let Some(offset) = client.acknowledged() {
            let (partition, value) = waiting.pop_front().unwrap();
            acked[partition as usize].push((offset, value));
        }
    }
    let last = Broker::start(&args);
    expect_acknowledged(&mut last.connect(), &acked, kills);
    torn += last.kill().matches("were torn and are cut off").count();
    let records: usize = acked.iter().map(Vec::len).sum();
    println!("{kills} kills under load: {records} acknowledged records are all there, {torn} torn tails were cut off");
}

/// Offset and value of what was acknowledged, for each partition.
type Acked = Vec<Vec<(i64, Vec<u8>)>>;

fn expect_acknowledged(client: &mut Client, acked: &Acked, life: u64) {
    for (partition, acked) in acked.iter().enumerate() {
        let read = client.read_all("orders", partition as i32);
        let offsets: Vec<i64> = read.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>(), "life {life}: holes in {partition}");
        for record in acked {
            assert_eq!(read.get(record.0 as usize), Some(record), "life {life}: lost in {partition}");
        }
    }
}

/// Somewhere between its first instruction and its ready line: as many turns of the scheduler after its start.
fn kill_while_starting(args: &[&str], turns: u64) {
    let mut process = shore(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    (0..turns).for_each(|_| std::thread::yield_now());
    process.kill().unwrap();
    process.wait().unwrap();
}
