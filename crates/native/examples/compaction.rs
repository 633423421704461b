//! One partition's log as files, so that Apache Kafka's own classes can read and clean it beside ours:
//!
//! - `compaction write DIR SEED` makes `DIR/t-0`: keys that come again, tombstones, transactions, gaps of time.
//! - `compaction clean DIR HOURS` cleans it once, so long after it was written.
//! - `compaction show DIR` prints what a reader finds: batches, aborted transactions, producers.

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use shore_base::{Random, Wall};
use shore_log::memory::MemoryStore;
use shore_log::storage::{FileName, ReadRange, StoreOp, StoreReply, StoreRequest, Token};
use shore_log::{CleanStep, CleanupPolicy, Log, LogConfig, MapLimits, Origin, Read, Recovery};
use shore_wire::batch::{BatchBuilder, BatchOptions, ControlKind, batches, end_transaction_marker};

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", dir, seed] => write(Path::new(dir), seed.parse()?),
        ["clean", dir, hours] => clean(Path::new(dir), hours.parse()?),
        ["show", dir] => show(Path::new(dir)),
        _ => Err("compaction write DIR SEED | clean DIR HOURS | show DIR".into()),
    }
}

fn config() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        segment_bytes: 16 << 10,
        index_interval_bytes: 1024,
        transaction_verification: false,
        producer_id_expiration_ms: i64::MAX,
        ..LogConfig::default()
    }
}

fn partition() -> FileName {
    FileName::from("t-0")
}

fn write(dir: &Path, seed: u64) -> Result<(), Box<dyn Error>> {
    let mut random = Random::stream(seed, "compaction");
    let mut log = Log::create(partition(), config(), Wall::from_millis(NOW));
    log.begin_epoch(0);
    let mut sequences = [0; 5];
    for n in 0..2000_i64 {
        let now = NOW + n * 100;
        let producer = random.below(5) as usize;
        // The first writes without an id, the second without transactions.
        let options = match producer {
            0 => BatchOptions::default(),
            _ => BatchOptions {
                producer_id: producer as i64,
                producer_epoch: 0,
                base_sequence: sequences[producer],
                transactional: producer > 1,
                ..BatchOptions::default()
            },
        };
        let mut batch = BatchBuilder::new(options);
        for _ in 0..1 + random.below(6) {
            let key = format!("key{}", random.below(120));
            let value = random.percent(85).then(|| format!("value {} of {n}", random.below(1 << 30)));
            batch.append(now, Some(key.as_bytes()), value.as_deref().map(str::as_bytes), []);
            sequences[producer] += 1;
        }
        append(&mut log, &batch.finish(), Origin::Client { leader_epoch: 0, guard: None }, now);
        if random.percent(10) {
            end(&mut log, &mut random, now);
        }
    }
    for producer in 2..5 {
        let marker = end_transaction_marker(ControlKind::Commit, producer, 0, 0, NOW + HOUR);
        append(&mut log, &marker, Origin::Marker { leader_epoch: 0, transaction_version: 0 }, NOW + HOUR);
    }
    let mut store = MemoryStore::new();
    log.close();
    stored(&mut store, log.take_ops())?;
    save(&store, dir)
}

fn end(log: &mut Log, random: &mut Random, now: i64) {
    let kind = if random.percent(50) { ControlKind::Abort } else { ControlKind::Commit };
    let marker = end_transaction_marker(kind, 2 + random.below(3) as i64, 0, 0, now);
    append(log, &marker, Origin::Marker { leader_epoch: 0, transaction_version: 0 }, now);
}

fn append(log: &mut Log, batch: &[u8], origin: Origin, now: i64) {
    log.append(batch, origin, Wall::from_millis(now)).expect("a good batch");
}

fn clean(dir: &Path, hours: i64) -> Result<(), Box<dyn Error>> {
    let (mut log, mut store) = open(dir)?;
    let now = Wall::from_millis(NOW + hours * HOUR);
    let dirt = log.dirt(None, now).ok_or("nothing to clean")?;
    let mut cleaning = log.begin_cleaning(dirt, MapLimits { bytes: 4 << 20, load: 900_000_000 }, now);
    let cleaned = loop {
        match cleaning.step(&mut log, &mut { u64::MAX }).map_err(|error| error.what)? {
            CleanStep::Load(range) => {
                let bytes = store.read(&range)?;
                cleaning.loaded(&range, bytes);
            }
            CleanStep::Store(ops) => {
                stored(&mut store, ops)?;
                cleaning.stored(&mut log, now);
            }
            CleanStep::Pause => {}
            CleanStep::Done(cleaned) => break cleaned,
        }
    };
    log.maintain(Wall::from_millis(now.as_millis() + HOUR));
    stored(&mut store, log.take_ops())?;
    println!("{cleaned:?}");
    save(&store, dir)
}

fn show(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (mut log, store) = open(dir)?;
    let mut from = log.start_offset();
    println!("{}..{}", from, log.end_offset());
    while from < log.end_offset() {
        match log.read(from, log.end_offset(), 1 << 20, true).map_err(|error| format!("{error:?}"))? {
            Read::Load(ranges) => {
                let bytes: Vec<Bytes> = ranges.iter().map(|range| store.read(range)).collect::<Result<_, _>>()?;
                log.loaded(&ranges, &bytes);
            }
            Read::Ready { bytes: 0, .. } => break,
            Read::Ready { slices, next_offset, .. } => {
                for batch in batches(&slices.concat()) {
                    let batch = batch?;
                    println!("{batch:?} horizon {:?} crc {}", batch.delete_horizon(), batch.crc_matches());
                    for record in &batch.records(1 << 20)? {
                        let record = record?;
                        println!("  {} {} {:?} {:?}", record.offset, record.timestamp, record.key, record.value);
                    }
                }
                from = next_offset;
            }
        }
    }
    for aborted in log.aborted_transactions(log.start_offset(), log.end_offset()) {
        println!("{aborted:?}");
    }
    for (id, producer) in log.producers().iter() {
        println!("producer {id}: {} {:?} {:?}", producer.epoch, producer.last_batch(), producer.transaction_start);
    }
    Ok(())
}

fn stored(store: &mut MemoryStore, ops: Vec<StoreOp>) -> Result<(), Box<dyn Error>> {
    match store.carry_out(StoreRequest::Store { token: Token(0), ops }) {
        StoreReply::Stored { result, .. } => Ok(result?),
        _ => Err("a store is answered as one".into()),
    }
}

fn open(dir: &Path) -> Result<(Log, MemoryStore), Box<dyn Error>> {
    let mut store = MemoryStore::new();
    for entry in std::fs::read_dir(dir.join("t-0"))? {
        let entry = entry?;
        let file = partition().join(&entry.file_name().to_string_lossy());
        store.apply(StoreOp::Replace { file, bytes: std::fs::read(entry.path())?.into() })?;
    }
    let files = store.list(&partition());
    let mut recovery = Recovery::start(partition(), config(), 0, &files, Wall::from_millis(NOW));
    while !recovery.wants().is_empty() {
        let bytes = recovery.wants().iter().map(|range| store.read(range)).collect::<Result<_, _>>()?;
        recovery.feed(bytes);
    }
    let (mut log, report) = recovery.finish();
    eprintln!("{report:?}");
    log.set_high_watermark(log.end_offset());
    stored(&mut store, log.take_ops())?;
    Ok((log, store))
}

fn save(store: &MemoryStore, dir: &Path) -> Result<(), Box<dyn Error>> {
    let _ = std::fs::remove_dir_all(dir.join("t-0"));
    std::fs::create_dir_all(dir.join("t-0"))?;
    for entry in store.list(&partition()) {
        let bytes = store.read(&ReadRange { file: entry.file.clone(), position: 0, len: entry.len })?;
        std::fs::write(dir.join(entry.file.as_str()), bytes)?;
    }
    Ok(())
}
