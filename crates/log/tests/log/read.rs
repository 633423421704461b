use shore_base::Random;
use shore_log::{LogConfig, Read, ReadError};
use shore_wire::batch::{self, BatchOptions};

use crate::support::{Disk, NOW, batch, batch_at, small};

/// A log of random batches, many segments long, and what is in it: each batch's bytes, by offset.
fn filled(random: &mut Random, batches: usize) -> (Disk, Vec<(i64, i64, Vec<u8>)>) {
    let mut disk = Disk::new(small());
    for _ in 0..batches {
        let records = 1 + random.below(5) as usize;
        let timestamps: Vec<i64> =
            (0..records).map(|_| NOW.as_millis() - 5_000 + random.below(10_000) as i64).collect();
        disk.append_in(0, &batch_at(&timestamps, BatchOptions::default()));
    }
    disk.flush();
    let contents = disk.contents();
    let known = batch::batches(&contents)
        .map(|view| view.expect("a batch"))
        .map(|view| (view.base_offset(), view.last_offset(), view.bytes().to_vec()))
        .collect();
    (disk, known)
}

/// Forgets a random part of what is in memory, or all that can be forgotten.
fn forget(disk: &mut Disk, random: &mut Random) {
    match random.below(4) {
        0 => disk.log.evict(0),
        1 => disk.log.evict(random.below(disk.log.cached_bytes() + 1)),
        2 => *disk = disk.reopened().0,
        _ => {}
    }
}

#[test]
fn a_read_gives_the_whole_batches_that_fit_whatever_is_in_memory() {
    let mut random = Random::stream(1, "reads");
    let (mut disk, known) = filled(&mut random, 200);
    let log_end = disk.log.end_offset();
    for _ in 0..3000 {
        forget(&mut disk, &mut random);
        let from = random.below(log_end as u64 + 1) as i64;
        let end = known[random.below(known.len() as u64) as usize].1 + 1;
        let max = random.below(3000) as usize;
        let whole = random.percent(50);
        let (found, next) = disk.read(from, end, max, whole).0.expect("within the log");

        let mut expected = Vec::new();
        let mut expected_next = from;
        for (base, last, bytes) in known.iter().filter(|(base, last, _)| *last >= from && *base < end) {
            let fits = expected.len() + bytes.len() <= max || (expected.is_empty() && whole);
            let segment = |offset| disk.log.segments().filter(|segment| segment.base_offset <= offset).count();
            if !fits || from >= end || (!expected.is_empty() && segment(*base) != segment(expected_next - 1)) {
                break;
            }
            expected.extend_from_slice(bytes);
            expected_next = last + 1;
        }
        assert_eq!(found, expected, "{from}..{end}, {max} bytes, {whole}");
        assert_eq!(next, expected_next, "{from}..{end}, {max} bytes, {whole}");
    }
}

#[test]
fn offsets_outside_the_log_are_out_of_range() {
    let mut disk = Disk::new(LogConfig::default());
    disk.append_in(0, &batch(3));
    for (from, good) in [(-1, false), (0, true), (2, true), (3, true), (4, false)] {
        let outcome = disk.read(from, i64::MAX, 1000, true).0;
        assert_eq!(outcome.is_ok(), good, "{from}");
        if !good {
            assert_eq!(outcome, Err(ReadError::OutOfRange { start: 0, end: 3 }));
        }
    }
    assert_eq!(disk.read(3, 3, 1000, true).0, Ok((Vec::new(), 3)));
    assert_eq!(disk.read(2, 0, 1000, true).0, Ok((Vec::new(), 2)), "above the bound and below the end");
}

#[test]
fn a_read_at_the_end_of_a_long_log_loads_little() {
    let mut random = Random::stream(2, "reads");
    let (disk, known) = filled(&mut random, 2000);
    for (base, _, bytes) in known.iter().rev().step_by(97) {
        let mut again = disk.reopened().0;
        let (found, loads) = again.read(*base, i64::MAX, 1, true);
        assert_eq!(found.expect("within the log").0, *bytes);
        assert!(loads <= 2, "index and bytes: {loads}");
    }
}

#[test]
fn a_log_is_read_from_its_store_with_a_load_for_each_read_and_gives_the_memory_back() {
    let mut disk = Disk::new(LogConfig::default());
    for _ in 0..300 {
        disk.append_in(0, &batch(200));
    }
    disk.flush();
    let size = disk.log.size_bytes();
    disk.log.evict(0);
    let (end, mut from, mut reads) = (disk.log.end_offset(), 0, 0);
    while from < end {
        let read = disk.log.read(from, end, 100_000, true);
        let Ok(Read::Load(ranges)) = read else { panic!("nothing is in memory: {read:?}") };
        disk.load(&ranges);
        let Ok(Read::Ready { next_offset, .. }) = disk.log.read(from, end, 100_000, true) else {
            panic!("one load is enough")
        };
        ranges.iter().for_each(|range| disk.log.unload(range));
        assert_eq!(disk.log.cached_bytes(), 0);
        (from, reads) = (next_offset, reads + 1);
    }
    assert!(size > 500_000 && reads <= size / 90_000 + 1, "{reads} reads of {size} bytes");
}

#[test]
fn what_is_left_of_a_load_is_not_loaded_again() {
    let mut disk = Disk::new(LogConfig::default());
    for _ in 0..300 {
        disk.append_in(0, &batch(200));
    }
    disk.flush();
    disk.log.evict(0);
    let (end, mut from, mut loaded) = (disk.log.end_offset(), 0, 0);
    while from < end {
        match disk.log.read(from, end, 100_000, true).expect("within the log") {
            Read::Load(ranges) => {
                loaded += ranges.iter().map(|range| range.len).sum::<u64>();
                disk.load(&ranges);
            }
            Read::Ready { next_offset, .. } => from = next_offset,
        }
    }
    assert_eq!(loaded, disk.log.size_bytes());
}

#[test]
fn the_first_record_at_or_after_a_timestamp_is_found() {
    let mut random = Random::stream(3, "times");
    let (mut disk, known) = filled(&mut random, 120);
    let records: Vec<(i64, i64)> = known
        .iter()
        .flat_map(|(_, _, bytes)| {
            let view = batch::BatchView::parse(bytes).expect("a batch");
            let records = view.records(1 << 20).expect("records");
            records
                .iter()
                .map(|record| record.expect("a record"))
                .map(|record| (record.offset, record.timestamp))
                .collect::<Vec<_>>()
        })
        .collect();
    for round in 0..400 {
        forget(&mut disk, &mut random);
        let wanted = NOW.as_millis() - 5_200 + random.below(10_400) as i64;
        let expected = records.iter().find(|(_, timestamp)| *timestamp >= wanted).copied();
        let found = disk.look_up(|log| log.offset_for_timestamp(wanted));
        assert_eq!(found.map(|found| (found.offset, found.timestamp)), expected, "round {round}: {wanted}");
    }
    let latest = records.iter().map(|(_, timestamp)| *timestamp).max().expect("records");
    let expected = records.iter().find(|(_, timestamp)| *timestamp == latest).copied();
    for _ in 0..4 {
        forget(&mut disk, &mut random);
        let found = disk.look_up(shore_log::Log::max_timestamp);
        assert_eq!(found.map(|found| (found.offset, found.timestamp)), expected);
    }
}

#[test]
fn the_largest_timestamp_may_lie_below_the_logs_start() {
    let mut disk = Disk::new(LogConfig::default());
    let now = NOW.as_millis();
    for timestamps in [[now, now + 1], [now - 2, now - 1]] {
        disk.append_in(0, &batch_at(&timestamps, BatchOptions::default()));
    }
    disk.flush();
    let end = disk.log.end_offset();
    disk.log.set_high_watermark(end);
    assert_eq!(disk.log.delete_records(3), Ok(3));
    let found = disk.look_up(shore_log::Log::max_timestamp).expect("a record");
    assert_eq!((found.offset, found.timestamp), (1, now + 1));
    assert_eq!(disk.look_up(|log| log.offset_for_timestamp(now)).map(|found| found.offset), None);
}

#[test]
fn an_empty_log_has_no_timestamps() {
    let mut disk = Disk::new(LogConfig::default());
    assert_eq!(disk.look_up(|log| log.offset_for_timestamp(0)), None);
    assert_eq!(disk.look_up(shore_log::Log::max_timestamp), None);
}

#[test]
fn what_the_disk_garbled_is_an_error_and_not_a_panic() {
    let mut random = Random::stream(4, "garbled");
    let (disk, known) = filled(&mut random, 30);
    for _ in 0..300 {
        let mut again = disk.reopened().0;
        let from = known[random.below(known.len() as u64) as usize].0;
        for _ in 0..100 {
            match again.log.read(from, i64::MAX, 2000, true) {
                Ok(shore_log::Read::Load(ranges)) => {
                    let garbage: Vec<bytes::Bytes> = ranges
                        .iter()
                        .map(|range| {
                            let mut bytes = vec![0; (range.len as usize).min(4000)];
                            random.fill(&mut bytes);
                            bytes.into()
                        })
                        .collect();
                    again.log.loaded(&ranges, &garbage);
                }
                _ => break,
            }
        }
    }
}

#[test]
fn clones_share_and_do_not_disturb_each_other() {
    let mut one = Disk::new(LogConfig::default());
    one.append_in(0, &batch(3));
    let mut other = one.clone();
    one.append_in(0, &batch(1));
    other.append_in(1, &batch(2));
    assert_eq!(crate::support::outline(&one.contents()), [(0, 2, 0), (3, 3, 0)]);
    assert_eq!(crate::support::outline(&other.contents()), [(0, 2, 0), (3, 4, 1)]);
}
