//! The bytes are the files of a log's directory. It opens, whatever they are; what it then has can be
//! read or is said to be corrupt; it takes a batch; and opened again it is the same, with nothing left to
//! mend. The first byte is the offset that the disk's checkpoint says the log begins at; each file is a
//! byte for its kind and base offset, two for its length, and its content.
#![no_main]

use bytes::Bytes;
use shore_base::Wall;
use shore_log::memory::MemoryStore;
use shore_log::storage::{FileName, StoreOp, StoreReply, StoreRequest, Token};
use shore_log::{Log, LogConfig, Lookup, Origin, Read, Recovery, RecoveryReport};
use shore_wire::batch::{BatchBuilder, BatchOptions};
use shore_wire::crc32c::crc32c;

const NOW: Wall = Wall::from_millis(1_700_000_000_000);
/// More loads than any file here can ask for.
const PATIENCE: usize = 10_000;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&start, files)) = bytes.split_first() else { return };
    let mut store = MemoryStore::new();
    lay_out(files, &mut store);
    let (mut log, _) = open(&mut store, i64::from(start));
    read(&mut log, &mut store);
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(NOW.as_millis(), None, Some(b"after"), std::iter::empty());
    let end = log.end_offset();
    let origin = Origin::Client { leader_epoch: log.latest_epoch().unwrap_or(0), guard: None };
    if let Ok(appended) = log.append(&builder.finish(), origin, NOW) {
        assert_eq!((appended.base_offset, log.end_offset()), (end, end + 1));
        flush(&mut log, &mut store);
    }
    let (again, report) = open(&mut store, log.start_offset());
    assert_eq!((again.start_offset(), again.end_offset()), (log.start_offset(), log.end_offset()));
    assert_eq!((report.truncated_bytes, report.truncated_segments), (0, 0));
});

fn directory() -> FileName {
    FileName::from("n1/d0/orders-0")
}

fn lay_out(mut bytes: &[u8], store: &mut MemoryStore) {
    while let Some((&[kind, high, low], rest)) = bytes.split_first_chunk() {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(u16::from_be_bytes([high, low]))));
        bytes = rest;
        let offset = i64::from(kind >> 4) * 7;
        let mut content = content.to_vec();
        // Every second of those with a checksum has the right one: a fuzzer does not find it.
        let name = match kind & 7 {
            0 => format!("{offset:020}.log"),
            1 => mend_batches(&mut content, format!("{offset:020}.log")),
            2 => format!("{offset:020}.index"),
            3 => format!("{offset:020}.timeindex"),
            4 => format!("{offset:020}.txnindex"),
            5 => mend_snapshot(&mut content, format!("{offset:020}.snapshot")),
            6 => "leader-epoch-checkpoint".to_owned(),
            _ => "partition.metadata".to_owned(),
        };
        // What compaction and deletion leave when they are interrupted.
        let state = if kind & 8 == 0 { "" } else { [".swap", ".cleaned", ".deleted"][usize::from(kind >> 4) % 3] };
        let file = directory().join(&format!("{name}{state}"));
        store.apply(StoreOp::Replace { file, bytes: content.into() }).expect("a store in memory");
    }
}

fn mend_batches(content: &mut [u8], name: String) -> String {
    let mut at = 0;
    while let Some(head) = content.get(at..at + 12) {
        let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let Some(batch) = content.get_mut(at..).and_then(|rest| rest.get_mut(..12usize.saturating_add(length))) else {
            break;
        };
        if batch.len() < 61 {
            break;
        }
        let crc = crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        at += batch.len();
    }
    name
}

fn mend_snapshot(content: &mut [u8], name: String) -> String {
    if let Some((head, body)) = content.split_at_mut_checked(6) {
        head[2..].copy_from_slice(&crc32c(body).to_be_bytes());
    }
    name
}

fn open(store: &mut MemoryStore, start_offset: i64) -> (Log, RecoveryReport) {
    let config = LogConfig { segment_bytes: 1 << 20, ..LogConfig::default() };
    let files = store.list(&directory());
    let mut recovery = Recovery::start(directory(), config, start_offset, &files, NOW);
    for _ in 0..PATIENCE {
        let reads = recovery.wants();
        if reads.is_empty() {
            let (mut log, report) = recovery.finish();
            flush(&mut log, store);
            return (log, report);
        }
        let StoreReply::Loaded { result, .. } = store.carry_out(StoreRequest::Load { token: Token(0), reads }) else {
            unreachable!("a load is answered by what was loaded")
        };
        recovery.feed(result.expect("files that are there"));
    }
    panic!("recovery does not end");
}

fn flush(log: &mut Log, store: &mut MemoryStore) {
    let end = log.end_offset();
    for op in log.take_ops() {
        store.apply(op).expect("a store in memory");
    }
    log.mark_stored(end);
}

fn read(log: &mut Log, store: &mut MemoryStore) {
    let mut from = log.start_offset();
    let end = log.end_offset();
    for _ in 0..PATIENCE {
        match log.read(from, end, 4_096, true) {
            Ok(Read::Ready { next_offset, .. }) if next_offset > from && next_offset < end => from = next_offset,
            Ok(Read::Load(reads)) => load(log, store, reads),
            Ok(Read::Ready { .. }) | Err(_) => break,
        }
    }
    log.aborted_transactions(log.start_offset(), end);
    for _ in 0..PATIENCE {
        match log.offset_for_timestamp(0).or_else(|_| log.max_timestamp()) {
            Ok(Lookup::Load(reads)) => load(log, store, reads),
            _ => return,
        }
    }
    panic!("loading does not help");
}

fn load(log: &mut Log, store: &mut MemoryStore, reads: Vec<shore_log::storage::ReadRange>) {
    let bytes: Vec<Bytes> = reads.iter().map(|range| store.read(range).unwrap_or_default()).collect();
    log.loaded(&reads, &bytes);
}
