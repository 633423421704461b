//! A log on a store in memory, and batches to put into it.

use bytes::Bytes;
use shore_base::Wall;
use shore_log::memory::CrashingStore;
use shore_log::storage::{FileName, ReadRange, StoreOp, StoreReply, StoreRequest, Token};
use shore_log::{AppendError, Appended, Log, LogConfig, Lookup, Origin, Read, ReadError, Recovery, RecoveryReport};
use shore_wire::batch::{self, BatchBuilder, BatchOptions};

pub const NOW: Wall = Wall::from_millis(1_700_000_000_000);

pub fn at(millis_after_now: i64) -> Wall {
    Wall::from_millis(NOW.as_millis() + millis_after_now)
}

pub fn dir() -> FileName {
    FileName::from("n1/d0/orders-0")
}

/// A log and the disk below it.
#[derive(Clone)]
pub struct Disk {
    pub log: Log,
    pub store: CrashingStore,
}

impl Disk {
    pub fn new(config: LogConfig) -> Self {
        let mut disk = Self { log: Log::create(dir(), config, NOW), store: CrashingStore::new() };
        disk.flush();
        disk
    }

    /// Writes everything that the log wants written.
    pub fn flush(&mut self) {
        let (ops, end) = (self.log.take_ops(), self.log.end_offset());
        stored(self.store.carry_out(StoreRequest::Store { token: Token(0), ops }));
        self.log.mark_stored(end);
    }

    pub fn append(&mut self, batch: &[u8]) -> Result<Appended, AppendError> {
        self.log.append(batch, Origin::Client { leader_epoch: 0, guard: None }, NOW)
    }

    pub fn append_in(&mut self, epoch: i32, batch: &[u8]) -> Appended {
        self.log.append(batch, Origin::Client { leader_epoch: epoch, guard: None }, NOW).expect("a good batch")
    }

    pub fn load(&mut self, ranges: &[ReadRange]) {
        let request = StoreRequest::Load { token: Token(0), reads: ranges.to_vec() };
        let StoreReply::Loaded { result, .. } = self.store.carry_out(request) else { panic!("a load") };
        self.log.loaded(ranges, &result.expect("loaded"));
    }

    /// Reads, loading what is needed. Says how many loads that took.
    pub fn read(&mut self, from: i64, end: i64, max: usize, whole: bool) -> (Result<(Vec<u8>, i64), ReadError>, usize) {
        for loads in 0.. {
            match self.log.read(from, end, max, whole) {
                Ok(Read::Ready { slices, bytes, next_offset }) => {
                    let joined = slices.concat();
                    assert_eq!(joined.len(), bytes);
                    return (Ok((joined, next_offset)), loads);
                }
                Ok(Read::Load(ranges)) => self.load(&ranges),
                Err(error) => return (Err(error), loads),
            }
            assert!(loads < 1000, "loading does not help");
        }
        unreachable!()
    }

    /// All bytes from the log's start to its end.
    pub fn contents(&mut self) -> Vec<u8> {
        let (mut from, end) = (self.log.start_offset(), self.log.end_offset());
        let mut contents = Vec::new();
        while from < end {
            let (bytes, next) = self.read(from, end, 1 << 20, true).0.expect("within the log");
            assert!(next > from, "reading goes on");
            contents.extend(bytes);
            from = next;
        }
        contents
    }

    pub fn look_up<T>(&mut self, ask: impl Fn(&Log) -> Result<Lookup<T>, ReadError>) -> T {
        for _ in 0..1000 {
            match ask(&self.log).expect("a sound log") {
                Lookup::Ready(found) => return found,
                Lookup::Load(ranges) => self.load(&ranges),
            }
        }
        panic!("loading does not help")
    }

    /// Opens the log anew from what its store holds.
    pub fn reopened(&self) -> (Self, RecoveryReport) {
        recover(self.store.clone(), self.log.config().clone())
    }
}

pub fn recover(store: CrashingStore, config: LogConfig) -> (Disk, RecoveryReport) {
    recover_from(store, config, 0)
}

pub fn recover_from(mut store: CrashingStore, config: LogConfig, start_offset: i64) -> (Disk, RecoveryReport) {
    let files = store.current().list(&dir());
    let mut recovery = Recovery::start(dir(), config, start_offset, &files, NOW);
    loop {
        let reads = recovery.wants();
        if reads.is_empty() {
            break;
        }
        let reply = store.carry_out(StoreRequest::Load { token: Token(0), reads });
        let StoreReply::Loaded { result, .. } = reply else { panic!("a load") };
        recovery.feed(result.expect("loaded"));
    }
    let (log, report) = recovery.finish();
    let mut disk = Disk { log, store };
    disk.flush();
    (disk, report)
}

pub fn stored(reply: StoreReply) {
    let StoreReply::Stored { result, .. } = reply else { panic!("a store") };
    result.expect("stored");
}

pub fn files(ops: &[StoreOp]) -> Vec<String> {
    ops.iter()
        .map(|op| match op {
            StoreOp::Append { file, position, .. } => format!("append {} {position}", file.base_name()),
            StoreOp::Truncate { file, len } => format!("truncate {} {len}", file.base_name()),
            StoreOp::Replace { file, .. } => format!("replace {}", file.base_name()),
            StoreOp::Rename { from, to } => format!("rename {} {}", from.base_name(), to.base_name()),
            StoreOp::Delete { file } => format!("delete {}", file.base_name()),
            StoreOp::Sync => "sync".to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

/// A batch with one record per timestamp.
pub fn batch_at(timestamps: &[i64], options: BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (index, timestamp) in timestamps.iter().enumerate() {
        let value = format!("value {index} of a batch at {timestamp}");
        builder.append(*timestamp, Some(b"key"), Some(value.as_bytes()), []);
    }
    builder.finish()
}

pub fn batch(records: usize) -> Bytes {
    batch_at(&vec![NOW.as_millis(); records], BatchOptions::default())
}

pub fn batch_of(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: usize) -> Bytes {
    let options = BatchOptions { producer_id, producer_epoch, base_sequence, ..BatchOptions::default() };
    batch_at(&vec![NOW.as_millis(); records], options)
}

pub fn transactional(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: usize) -> Bytes {
    let options =
        BatchOptions { producer_id, producer_epoch, base_sequence, transactional: true, ..BatchOptions::default() };
    batch_at(&vec![NOW.as_millis(); records], options)
}

/// Base offset, last offset and leader epoch of each batch, every one of them intact.
pub fn outline(bytes: &[u8]) -> Vec<(i64, i64, i32)> {
    batch::batches(bytes)
        .map(|view| {
            let view = view.expect("whole batches");
            assert!(view.crc_matches(), "batch at {}", view.base_offset());
            (view.base_offset(), view.last_offset(), view.leader_epoch())
        })
        .collect()
}

/// Small segments and a dense index: many of everything in few bytes.
pub fn small() -> LogConfig {
    LogConfig { segment_bytes: 1500, index_interval_bytes: 200, ..LogConfig::default() }
}
