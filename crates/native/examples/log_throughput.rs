//! How fast a log takes and gives back batches, against copying and checksumming the same bytes:
//! `cargo run --release -p shore --example log_throughput`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use shore_base::Wall;
use shore_log::memory::MemoryStore;
use shore_log::storage::{FileName, StoreRequest, Token};
use shore_log::{Log, LogConfig, Origin, Read};
use shore_wire::batch::{BatchBuilder, BatchOptions};
use shore_wire::crc32c::crc32c;

const NOW: Wall = Wall::from_millis(1_700_000_000_000);
const TOTAL: usize = 1 << 30;
/// What stays in memory while appending: the store is emptied as the log rolls.
const KEPT: i64 = 128 << 20;

fn main() {
    println!("batch of records      copy+crc     append        read   append/copy+crc");
    for (records, value) in [(1, 100), (160, 100), (16, 1000), (10_000, 100), (1_000, 1000)] {
        let batch = batch(records, value);
        let reference = rate(batch.len(), copy_and_checksum(&batch));
        let (append, read) = append_and_read(&batch);
        let (append, read) = (rate(batch.len(), append), rate(batch.len(), read));
        println!(
            "{:>9} B {:>6} {:>8} MB/s {:>5} MB/s {:>6} MB/s   {:.2}",
            batch.len(),
            records,
            reference as u64,
            append as u64,
            read as u64,
            append / reference
        );
    }
}

fn batch(records: usize, value: usize) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for _ in 0..records {
        builder.append(NOW.as_millis(), None, Some(&vec![7; value]), []);
    }
    builder.finish()
}

fn rounds(batch: usize) -> usize {
    (TOTAL / batch).min(500_000)
}

fn rate(batch: usize, time: Duration) -> f64 {
    (rounds(batch) * batch) as f64 / 1e6 / time.as_secs_f64()
}

fn copy_and_checksum(batch: &[u8]) -> Duration {
    let mut room = BytesMut::with_capacity(batch.len());
    let begin = Instant::now();
    for _ in 0..rounds(batch.len()) {
        room.clear();
        room.extend_from_slice(batch);
        black_box(crc32c(&room[21..]));
    }
    begin.elapsed()
}

fn append_and_read(batch: &[u8]) -> (Duration, Duration) {
    let config = LogConfig {
        retention_bytes: KEPT,
        retention_ms: -1,
        segment_bytes: 32 << 20,
        file_delete_delay_ms: 0,
        max_message_bytes: 4 << 20,
        ..LogConfig::default()
    };
    let mut log = Log::create(FileName::from("n1/d0/bench-0"), config, NOW);
    let mut store = MemoryStore::new();
    let (mut append, mut read) = (Duration::ZERO, Duration::ZERO);
    let mut from = 0;
    let rounds = rounds(batch.len());
    for round in 0..rounds {
        let begin = Instant::now();
        log.append(batch, Origin::Client { leader_epoch: 0, guard: None }, NOW).expect("a good batch");
        let (ops, end) = (log.take_ops(), log.end_offset());
        store.carry_out(StoreRequest::Store { token: Token(0), ops });
        log.mark_stored(end);
        log.set_high_watermark(end);
        append += begin.elapsed();
        // A consumer that follows, a mebibyte at a time.
        let begin = Instant::now();
        let due = (round + 1) * batch.len() / (1 << 20) > round * batch.len() / (1 << 20) || round + 1 == rounds;
        while due && from < end {
            match log.read(from, end, 1 << 20, true).expect("within the log") {
                Read::Ready { slices, next_offset, .. } => {
                    black_box(slices);
                    from = next_offset;
                }
                Read::Load(ranges) => panic!("a follower reads from memory: {ranges:?}"),
            }
        }
        read += begin.elapsed();
        if due {
            log.maintain(NOW);
            log.evict(KEPT as u64);
        }
    }
    (append, read)
}
