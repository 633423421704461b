//! `kill -9` under load.

use shore_base::Random;

use crate::broker::{Broker, Scratch};

const KILLS: u64 = 10;
const PARTITIONS: i32 = 3;
/// Records that may be on their way without an acknowledgement.
const WINDOW: usize = 20;

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let scratch = Scratch::new();
    let args = ["--data", scratch.text(), "--topic", "orders:3", "--config", "log.segment.bytes=65536"];
    let mut random = Random::stream(1, "kills");
    let mut acked: Vec<Vec<(i64, Vec<u8>)>> = vec![Vec::new(); PARTITIONS as usize];
    for life in 0..KILLS {
        let broker = Broker::start(&args);
        let mut client = broker.connect();
        for partition in 0..PARTITIONS {
            let read = client.read_all("orders", partition);
            let offsets: Vec<i64> = read.iter().map(|(offset, _)| *offset).collect();
            assert_eq!(offsets, (0..offsets.len() as i64).collect::<Vec<_>>(), "life {life}: holes in {partition}");
            for record in &acked[partition as usize] {
                assert_eq!(read.get(record.0 as usize), Some(record), "life {life}: lost in {partition}");
            }
        }
        let mut waiting = std::collections::VecDeque::new();
        let target = 50 + random.below(400);
        for number in 0..target {
            let partition = random.below(PARTITIONS as u64) as i32;
            let value = [format!("{life}/{number}/").as_bytes(), &vec![b'x'; random.below(2_000) as usize]].concat();
            client.ask_to_produce("orders", partition, &value);
            waiting.push_back((partition, value));
            while waiting.len() >= WINDOW {
                let (partition, value) = waiting.pop_front().unwrap();
                acked[partition as usize].push((client.acknowledged().unwrap(), value));
            }
        }
        // With a full window on its way.
        broker.kill();
        while let Some(offset) = client.acknowledged() {
            let (partition, value) = waiting.pop_front().unwrap();
            acked[partition as usize].push((offset, value));
        }
    }
}
