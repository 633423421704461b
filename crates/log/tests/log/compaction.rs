use shore_base::collections::BTreeMap;
use shore_base::{Random, Wall};
use shore_log::storage::{StoreOp, StoreReply, StoreRequest, Token};
use shore_log::{CleanStep, Cleaned, CleanupPolicy, LogConfig, MapLimits, Origin};
use shore_wire::batch::{self, BatchBuilder, BatchOptions, ControlKind, end_transaction_marker};
use shore_wire::compress::Codec;

use crate::support::{Disk, NOW, at, dir, recover, stored};

const DAY: i64 = 86_400_000;

fn compacted() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        segment_bytes: 1000,
        index_interval_bytes: 200,
        transaction_verification: false,
        ..LogConfig::default()
    }
}

/// A batch of records: `a=1` has a key and a value, `a~` is a tombstone.
fn records(options: BatchOptions, text: &str) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(options);
    for record in text.split_whitespace() {
        let (key, value) = match record.split_once('=') {
            Some((key, value)) => (key, Some(value.as_bytes())),
            None => (record.trim_end_matches('~'), None),
        };
        builder.append(NOW.as_millis(), Some(key.as_bytes()), value, []);
    }
    builder.finish()
}

fn append(disk: &mut Disk, text: &str) {
    disk.append(&records(BatchOptions::default(), text)).expect("a batch");
}

fn append_transactional(disk: &mut Disk, producer_id: i64, base_sequence: i32, text: &str) {
    let options =
        BatchOptions { producer_id, producer_epoch: 0, base_sequence, transactional: true, ..BatchOptions::default() };
    disk.append(&records(options, text)).expect("in order");
}

fn append_marker(disk: &mut Disk, producer_id: i64, kind: ControlKind) {
    let marker = end_transaction_marker(kind, producer_id, 0, 0, NOW.as_millis());
    disk.log.append(&marker, Origin::Marker { leader_epoch: 0, transaction_version: 0 }, NOW).expect("a marker");
}

/// Closes the active segment: what is in it can be cleaned.
fn roll(disk: &mut Disk) {
    let config = disk.log.config().clone();
    disk.log.set_config(LogConfig { segment_ms: 0, ..config.clone() });
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let later = NOW.as_millis() + disk.log.end_offset();
    builder.append(later, Some(b"last"), Some(b"last"), []);
    disk.append(&builder.finish()).expect("a batch");
    disk.log.set_config(config);
    settle(disk);
}

fn settle(disk: &mut Disk) {
    disk.flush();
    disk.log.set_high_watermark(disk.log.end_offset());
}

/// One round of cleaning, as far as there is anything to clean. `each_op` sees the disk after every op.
fn clean_watched(
    disk: &mut Disk,
    from: Option<i64>,
    now: Wall,
    map_bytes: u64,
    mut each_op: impl FnMut(&Disk),
) -> Option<Cleaned> {
    let dirt = disk.log.dirt(from, now).filter(|dirt| dirt.is_enough(0))?;
    let limits = MapLimits { bytes: map_bytes, load: 900_000_000 };
    let mut cleaning = disk.log.begin_cleaning(dirt, limits, now);
    loop {
        match cleaning.step(&mut disk.log, &mut 300).expect("sound segments") {
            CleanStep::Load(range) => {
                let request = StoreRequest::Load { token: Token(0), reads: vec![range.clone()] };
                let StoreReply::Loaded { result, .. } = disk.store.carry_out(request) else { panic!("a load") };
                cleaning.loaded(&range, result.expect("loaded").remove(0));
            }
            CleanStep::Store(ops) => {
                for op in ops {
                    disk.store.apply(op).expect("stored");
                    each_op(disk);
                }
                cleaning.stored(&mut disk.log, now);
            }
            CleanStep::Pause => {}
            CleanStep::Done(cleaned) => return Some(cleaned),
        }
    }
}

fn clean(disk: &mut Disk, from: Option<i64>, now: Wall) -> Option<Cleaned> {
    clean_watched(disk, from, now, 1 << 20, |_| {})
}

/// Every batch as a line: its offsets, what it is, and its records.
fn picture(disk: &mut Disk) -> Vec<String> {
    let contents = disk.contents();
    let lines = batch::batches(&contents).map(|view| {
        let view = view.expect("a batch");
        assert!(view.crc_matches());
        let mut line = format!("{}-{}", view.base_offset(), view.last_offset());
        if view.is_control() {
            line.push_str(" marker");
        }
        if let Some(horizon) = view.delete_horizon() {
            line.push_str(&format!(" until +{}", horizon - NOW.as_millis()));
        }
        let found = view.records(1 << 20).expect("records");
        for record in found.iter().map(|record| record.expect("a record")).filter(|_| !view.is_control()) {
            assert_eq!(record.timestamp / DAY, NOW.as_millis() / DAY, "timestamps are kept");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let value = record.value.map_or("~".to_owned(), |value| format!("={}", text(value)));
            line.push_str(&format!(" {}:{}{value}", record.offset, text(record.key.unwrap_or_default())));
        }
        line
    });
    lines.collect()
}

#[test]
fn only_the_newest_record_of_a_key_is_kept_at_its_offset() {
    let mut disk = Disk::new(compacted());
    append(&mut disk, "a=1 b=1 c=1");
    append(&mut disk, "a=2");
    append(&mut disk, "b=2 d=1");
    roll(&mut disk);
    append(&mut disk, "a=3");
    settle(&mut disk);
    let cleaned = clean(&mut disk, None, NOW).expect("it is dirty");
    assert_eq!(picture(&mut disk), ["0-2 2:c=1", "3-3 3:a=2", "4-5 4:b=2 5:d=1", "6-6 6:last=last", "7-7 7:a=3"]);
    assert_eq!((cleaned.to, cleaned.records_before, cleaned.records_after), (6, 6, 4));
    assert_eq!(clean(&mut disk, Some(cleaned.to), NOW), None, "nothing of it is dirty");
    let (mut again, report) = disk.reopened();
    assert_eq!(picture(&mut again), picture(&mut disk));
    assert_eq!(report.truncated_bytes, 0);
}

#[test]
fn a_batch_that_loses_nothing_is_not_written_anew() {
    let mut disk = Disk::new(compacted());
    append(&mut disk, "a=1 b=1");
    append(&mut disk, "c=1 d=1");
    roll(&mut disk);
    let before = disk.contents();
    clean(&mut disk, None, NOW).expect("it is dirty");
    assert_eq!(disk.contents(), before);
}

#[test]
fn a_tombstone_stays_for_its_time() {
    let mut disk = Disk::new(compacted());
    append(&mut disk, "a=1 b=1");
    append(&mut disk, "a~");
    append(&mut disk, "c=1");
    roll(&mut disk);
    let cleaned = clean(&mut disk, None, at(5)).expect("it is dirty");
    let horizon = 5 + DAY;
    let until = format!("2-2 until +{horizon} 2:a~");
    assert_eq!(picture(&mut disk), ["0-1 1:b=1", &until, "3-3 3:c=1", "4-4 4:last=last"]);
    let mut sooner = disk.clone();
    roll(&mut sooner);
    clean(&mut sooner, Some(cleaned.to), at(horizon - 1)).expect("it is dirty");
    assert_eq!(picture(&mut sooner)[1], until, "the horizon is not moved");
    roll(&mut disk);
    clean(&mut disk, Some(cleaned.to), at(horizon)).expect("it is dirty");
    assert_eq!(picture(&mut disk), ["0-1 1:b=1", "3-3 3:c=1", "4-4 4:last=last", "5-5 5:last=last"]);
}

#[test]
fn aborted_records_go_and_markers_when_nothing_is_left_of_their_transaction() {
    let mut disk = Disk::new(compacted());
    append(&mut disk, "a=1");
    append_transactional(&mut disk, 1, 0, "a=2 b=2");
    append_transactional(&mut disk, 2, 0, "c=2");
    append_marker(&mut disk, 1, ControlKind::Abort);
    append_marker(&mut disk, 2, ControlKind::Commit);
    append(&mut disk, "c=3");
    // Later batches of the two: those above are not the last that tell of them.
    append_transactional(&mut disk, 1, 2, "x=1");
    append_transactional(&mut disk, 2, 1, "y=1");
    append_marker(&mut disk, 1, ControlKind::Commit);
    append_marker(&mut disk, 2, ControlKind::Commit);
    roll(&mut disk);
    assert_eq!(disk.log.aborted_transactions(0, 4).len(), 1);
    let first = clean(&mut disk, None, NOW).expect("it is dirty");
    // The batch was there when the marker was met: the marker outlives it by a round.
    assert_eq!(
        picture(&mut disk),
        [
            "0-0 0:a=1",
            "4-4 marker",
            "5-5 marker",
            "6-6 6:c=3",
            "7-7 7:x=1",
            "8-8 8:y=1",
            "9-9 marker",
            "10-10 marker",
            "11-11 11:last=last"
        ]
    );
    roll(&mut disk);
    let second = clean(&mut disk, Some(first.to), at(1)).expect("it is dirty");
    let horizon = 1 + DAY;
    assert_eq!(picture(&mut disk)[1], format!("4-4 marker until +{horizon}"));
    assert_eq!(disk.log.aborted_transactions(0, 4), []);
    roll(&mut disk);
    clean(&mut disk, Some(second.to), at(horizon)).expect("it is dirty");
    assert_eq!(picture(&mut disk)[..2], ["0-0 0:a=1", "6-6 6:c=3"]);
    assert!(picture(&mut disk).contains(&"9-9 marker".to_owned()), "their data is still there");
}

#[test]
fn the_last_batch_of_a_producer_is_kept_empty() {
    let mut disk = Disk::new(compacted());
    let idempotent = |sequence| BatchOptions {
        producer_id: 5,
        producer_epoch: 3,
        base_sequence: sequence,
        ..BatchOptions::default()
    };
    disk.append(&records(idempotent(0), "a=1 b=1")).expect("in order");
    disk.append(&records(idempotent(2), "a=2 b=2")).expect("in order");
    append(&mut disk, "a=3 b=3");
    roll(&mut disk);
    clean(&mut disk, None, NOW).expect("it is dirty");
    assert_eq!(picture(&mut disk), ["2-3", "4-5 4:a=3 5:b=3", "6-6 6:last=last"]);
    // With no snapshot that could tell of it, the batch does.
    for entry in disk.store.current().list(&dir()).iter().filter(|entry| entry.file.as_str().ends_with(".snapshot")) {
        disk.store.apply(StoreOp::Delete { file: entry.file.clone() }).expect("stored");
    }
    let (mut again, _) = disk.reopened();
    let appended = again.append(&records(idempotent(2), "a=2 b=2")).expect("a retry");
    assert!(appended.duplicate && appended.base_offset == 2);
    assert_eq!(again.append(&records(idempotent(4), "z=1")).expect("in order").base_offset, 7);
}

#[test]
fn what_is_open_or_too_new_is_not_cleaned() {
    let mut disk = Disk::new(compacted());
    append(&mut disk, "a=1");
    roll(&mut disk);
    append_transactional(&mut disk, 1, 0, "b=1");
    roll(&mut disk);
    append(&mut disk, "a=2");
    roll(&mut disk);
    let bounds = |disk: &Disk, now| disk.log.dirt(None, now).map(|dirt| dirt.first_uncleanable);
    assert_eq!(bounds(&disk, NOW), Some(1), "the transaction is open");
    append_marker(&mut disk, 1, ControlKind::Commit);
    settle(&mut disk);
    assert_eq!(bounds(&disk, NOW), Some(5));
    disk.log.set_high_watermark(2);
    assert_eq!(bounds(&disk, NOW), Some(1), "as much is committed");
    settle(&mut disk);
    disk.log.set_config(LogConfig { min_compaction_lag_ms: 1000, ..compacted() });
    assert_eq!(bounds(&disk, at(1000)), Some(1), "the second segment has a record of NOW + 1");
    assert_eq!(bounds(&disk, at(1001)), Some(3), "and the third one of NOW + 3");
    assert_eq!(bounds(&disk, at(1003)), Some(5));
    assert_eq!(Disk::new(LogConfig::default()).log.dirt(None, NOW), None, "not a compacted topic");
}

#[test]
fn a_log_is_cleaned_when_enough_of_it_is_dirty_or_has_been_for_too_long() {
    let mut disk = Disk::new(LogConfig { max_compaction_lag_ms: 1000, ..compacted() });
    append(&mut disk, "a=1 b=2 c=3 d=4");
    roll(&mut disk);
    let all = disk.log.dirt(None, NOW).expect("compacted");
    assert!(all.is_enough(500_000_000) && !all.is_overdue && all.clean_bytes == 0);
    let cleaned = clean(&mut disk, None, NOW).expect("it is dirty");
    let clean_bytes = disk.log.segments().next().expect("a segment").size;
    append(&mut disk, "a=5");
    roll(&mut disk);
    let dirt = disk.log.dirt(Some(cleaned.to), NOW).expect("compacted");
    assert_eq!(dirt.clean_bytes, clean_bytes);
    assert!(all.is_dirtier_than(&dirt) && !dirt.is_dirtier_than(&all));
    let ratio = dirt.dirty_bytes * 1_000_000_000 / (dirt.dirty_bytes + dirt.clean_bytes);
    assert!(dirt.is_enough(ratio - 1) && !dirt.is_enough(ratio + 1));
    let late = disk.log.dirt(Some(cleaned.to), at(1005)).expect("compacted");
    assert!(late.is_overdue && late.is_enough(1_000_000_000));
    let again = disk.reopened().0.log;
    let overdue = |now| again.dirt(Some(cleaned.to), now).map(|dirt| dirt.is_overdue);
    // The recovered log is not committed yet, but what is overdue is known.
    assert_eq!((overdue(at(1004)), overdue(at(1005))), (Some(false), Some(true)));
}

#[test]
fn small_segments_become_one() {
    let mut disk = Disk::new(LogConfig { segment_bytes: 400, ..compacted() });
    for n in 0..40 {
        append(&mut disk, &format!("k{}={n}", n % 3));
    }
    roll(&mut disk);
    let before = disk.log.segments().count();
    let cleaned = clean(&mut disk, None, NOW).expect("it is dirty");
    assert_eq!(cleaned.segments_before, before - 1);
    // The groups are those of the sizes before cleaning.
    let again = clean(&mut disk, None, NOW).expect("all of it counts as dirty");
    assert_eq!((again.segments_before, again.segments_after), (cleaned.segments_after, 1));
    assert_eq!(picture(&mut disk), ["37-37 37:k1=37", "38-38 38:k2=38", "39-39 39:k0=39", "40-40 40:last=last"]);
    assert_eq!(disk.log.start_offset(), 0);
    let names: Vec<_> = disk.store.current().list(&dir()).into_iter().map(|entry| entry.file).collect();
    assert!(names.iter().all(|file| !file.as_str().ends_with("cleaned") && !file.as_str().ends_with("swap")));
    disk.log.maintain(at(60_000));
    disk.flush();
    let left = disk.store.current().list(&dir()).len();
    assert_eq!(left, disk.reopened().0.store.current().list(&dir()).len(), "nothing is left to delete");
}

/// The newest committed value of each key: what a `read_committed` consumer ends up with.
fn table(disk: &mut Disk) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let aborted = disk.log.aborted_transactions(disk.log.start_offset(), disk.log.end_offset());
    let contents = disk.contents();
    let mut table = BTreeMap::new();
    for view in batch::batches(&contents).map(|view| view.expect("a batch")).filter(|view| !view.is_control()) {
        let is_aborted = aborted.iter().any(|transaction| {
            transaction.producer_id == view.producer_id()
                && (transaction.first_offset..transaction.last_offset).contains(&view.base_offset())
        });
        if view.is_transactional() && is_aborted {
            continue;
        }
        for record in &view.records(1 << 20).expect("records") {
            let record = record.expect("a record");
            let key = record.key.expect("a key").to_vec();
            match record.value {
                Some(value) => table.insert(key, value.to_vec()),
                None => table.remove(&key),
            };
        }
    }
    table
}

/// A log of many small segments with everything in it.
fn random_log(random: &mut Random, disk: &mut Disk, sequences: &mut [i32; 4]) {
    for _ in 0..60 {
        let producer = random.below(4) as usize;
        let text: String = (0..1 + random.below(4))
            .map(|_| match (random.below(12), random.percent(20)) {
                (key, true) => format!("k{key}~ "),
                (key, false) => format!("k{key}={} ", random.below(1000)),
            })
            .collect();
        let count = text.split_whitespace().count() as i32;
        let codec = if random.percent(30) { Codec::Lz4 } else { Codec::None };
        let options = match producer {
            0 => BatchOptions { codec, ..BatchOptions::default() },
            _ => BatchOptions {
                codec,
                producer_id: producer as i64,
                producer_epoch: 0,
                base_sequence: sequences[producer],
                transactional: producer != 1,
                ..BatchOptions::default()
            },
        };
        disk.append(&records(options, &text)).expect("in order");
        sequences[producer] += count;
        if random.percent(25) {
            let kind = if random.percent(50) { ControlKind::Abort } else { ControlKind::Commit };
            append_marker(disk, 2 + random.below(2) as i64, kind);
        }
    }
    for producer in [2, 3] {
        append_marker(disk, producer, ControlKind::Commit);
    }
    roll(disk);
}

#[test]
fn a_consumer_ends_up_with_the_same_whenever_it_was_cleaned() {
    for seed in 0..20 {
        let mut random = Random::stream(seed, "compaction");
        let mut disk = Disk::new(compacted());
        let (mut sequences, mut cleaned_to, mut now) = ([0; 4], None, NOW);
        for round in 0..4 {
            random_log(&mut random, &mut disk, &mut sequences);
            if random.percent(50) {
                disk.log.evict(0);
            }
            let (expected, producers, end) = (table(&mut disk), disk.log.producers().encode(), disk.log.end_offset());
            now = Wall::from_millis(now.as_millis() + random.below(2 * DAY as u64) as i64);
            let before = disk.log.size_bytes();
            let cleaned = clean(&mut disk, cleaned_to, now).expect("it is dirty");
            assert!(disk.log.size_bytes() < before);
            assert_eq!(table(&mut disk), expected, "seed {seed}, round {round}");
            assert_eq!(disk.log.end_offset(), end);
            // In what was cleaned each key comes once.
            let mut keys = BTreeMap::new();
            let contents = disk.contents();
            for view in batch::batches(&contents).map(|view| view.expect("a batch")) {
                for record in view.records(1 << 20).expect("records").iter().map(|record| record.expect("a record")) {
                    if record.offset < cleaned.to && !view.is_control() {
                        let before = keys.insert(record.key.expect("a key").to_vec(), record.offset);
                        assert_eq!(before, None, "seed {seed}, round {round}, offset {}", record.offset);
                    }
                }
            }
            let (mut again, report) = disk.reopened();
            assert_eq!(table(&mut again), expected, "seed {seed}, round {round}");
            assert_eq!((again.log.producers().encode(), report.truncated_bytes), (producers.clone(), 0));
            // Without snapshots, what is left of the log tells the same of the producers.
            let mut bare = disk.clone();
            let list = bare.store.current().list(&dir());
            for entry in list.iter().filter(|entry| entry.file.as_str().ends_with(".snapshot")) {
                bare.store.apply(StoreOp::Delete { file: entry.file.clone() }).expect("stored");
            }
            let (bare, _) = recover(bare.store, compacted());
            for (id, producer) in disk.log.producers().iter() {
                let found = bare.log.producers().get(id).expect("its last batch is kept");
                assert_eq!(found.last_batch(), producer.last_batch(), "producer {id}");
                assert_eq!(found.epoch, producer.epoch);
                assert_eq!(found.transaction_start, None, "all are ended");
            }
            cleaned_to = Some(cleaned.to);
            if random.percent(30) {
                disk = again;
                settle(&mut disk);
            }
        }
    }
}

#[test]
fn a_crash_leaves_the_old_segments_or_the_new_ones() {
    for seed in 0..3 {
        let mut random = Random::stream(seed, "crash");
        let mut disk = Disk::new(LogConfig { segment_bytes: 700, ..compacted() });
        random_log(&mut random, &mut disk, &mut [0; 4]);
        disk.store.apply(StoreOp::Sync).expect("stored");
        disk.log.evict(0);
        let mut uninterrupted = disk.clone();
        clean(&mut uninterrupted, None, NOW).expect("it is dirty");
        let (old, new) = (disk.contents(), uninterrupted.contents());
        let (expected, end) = (table(&mut disk), disk.log.end_offset());
        let mut crashes = 0;
        clean_watched(&mut disk, None, NOW, 1 << 20, |disk| {
            let unsynced = disk.store.unsynced();
            for (kept, torn) in [(unsynced, 0), (unsynced.saturating_sub(1), 40)] {
                let mut store = disk.store.clone();
                store.crash_at(kept, torn);
                let (mut again, report) = recover(store, disk.log.config().clone());
                assert_eq!(report.truncated_bytes, 0, "seed {seed}");
                assert_eq!(again.log.end_offset(), end);
                assert_eq!(table(&mut again), expected, "seed {seed}");
                let names = again.store.current().list(&dir());
                let is_left = |name: &str| ["cleaned", "swap", "deleted"].iter().any(|end| name.ends_with(end));
                assert!(names.iter().all(|entry| !is_left(entry.file.as_str())), "{names:?}");
                let contents = again.contents();
                let (third, report) = again.reopened();
                assert_eq!((third.log.end_offset(), report.truncated_bytes), (end, 0));
                // Cleaned once more, nothing tells of the crash.
                settle(&mut again);
                clean(&mut again, None, NOW);
                if contents == old {
                    assert_eq!(again.contents(), new, "seed {seed}");
                }
                assert_eq!(table(&mut again), expected, "seed {seed}");
                crashes += 1;
            }
        });
        assert!(crashes > 100, "{crashes}");
    }
}

#[test]
fn ops_that_failed_can_be_carried_out_again() {
    for seed in 0..4 {
        let mut random = Random::stream(seed, "failures");
        let mut disk = Disk::new(LogConfig { segment_bytes: 700, ..compacted() });
        random_log(&mut random, &mut disk, &mut [0; 4]);
        let mut undisturbed = disk.clone();
        clean(&mut undisturbed, None, NOW).expect("it is dirty");
        let dirt = disk.log.dirt(None, NOW).expect("compacted");
        let mut cleaning = disk.log.begin_cleaning(dirt, MapLimits { bytes: 1 << 20, load: 900_000_000 }, NOW);
        loop {
            match cleaning.step(&mut disk.log, &mut { u64::MAX }).expect("sound segments") {
                CleanStep::Store(ops) => {
                    while random.percent(60) {
                        for op in &ops[..random.below(ops.len() as u64 + 1) as usize] {
                            disk.store.apply(op.clone()).expect("stored");
                        }
                    }
                    stored(disk.store.carry_out(StoreRequest::Store { token: Token(0), ops }));
                    cleaning.stored(&mut disk.log, NOW);
                }
                CleanStep::Done(_) => break,
                CleanStep::Load(_) | CleanStep::Pause => unreachable!("all is in memory, and the budget large"),
            }
        }
        disk.log.evict(0);
        assert_eq!(disk.contents(), undisturbed.contents());
        let files = |disk: &Disk| {
            let files = disk.store.current().list(&dir()).into_iter();
            files.filter(|entry| !entry.file.as_str().ends_with(".deleted")).collect::<Vec<_>>()
        };
        assert_eq!(files(&disk), files(&undisturbed), "seed {seed}");
    }
}

#[test]
fn a_full_map_ends_the_round_early_and_the_next_goes_on() {
    let mut disk = Disk::new(LogConfig { segment_bytes: 4000, ..compacted() });
    for n in 0..200 {
        append(&mut disk, &format!("key{n}=1"));
    }
    for n in 0..200 {
        append(&mut disk, &format!("key{n}=2"));
    }
    roll(&mut disk);
    let (mut from, mut rounds) = (None, 0);
    // Room for 57 keys.
    while let Some(cleaned) = clean_watched(&mut disk, from, NOW, 64 * 24, |_| {}) {
        assert!(from.is_none_or(|from| from < cleaned.to), "it goes on");
        (from, rounds) = (Some(cleaned.to), rounds + 1);
    }
    assert!(rounds >= 7, "{rounds}");
    assert_eq!(picture(&mut disk).len(), 200 + 1);
    assert!(picture(&mut disk)[0].starts_with("200-200 200:key0=2"));
}
