use shore_log::LogConfig;
use shore_wire::batch::BatchOptions;

use crate::support::{Disk, NOW, at, batch, batch_at, files};

fn bases(disk: &Disk) -> Vec<i64> {
    disk.log.segments().map(|segment| segment.base_offset).collect()
}

#[test]
fn a_segment_rolls_before_it_grows_too_large() {
    let size = batch(1).len() as u32;
    let mut disk = Disk::new(LogConfig { segment_bytes: 2 * size, ..LogConfig::default() });
    for _ in 0..5 {
        disk.append_in(0, &batch(1));
    }
    assert_eq!(bases(&disk), [0, 2, 4]);
    disk.flush();
    let names: Vec<String> = disk
        .store
        .current()
        .list(&crate::support::dir())
        .iter()
        .map(|entry| entry.file.base_name().to_owned())
        .collect();
    let expected = [
        "00000000000000000000.index",
        "00000000000000000000.log",
        "00000000000000000000.timeindex",
        "00000000000000000002.index",
        "00000000000000000002.log",
        "00000000000000000002.snapshot",
        "00000000000000000002.timeindex",
        "00000000000000000004.log",
        "00000000000000000004.snapshot",
        "leader-epoch-checkpoint",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_segment_rolls_by_the_time_of_its_first_record_and_only_on_append() {
    let config = LogConfig { segment_ms: 1000, timestamp_after_max_ms: i64::MAX, ..LogConfig::default() };
    let mut disk = Disk::new(config);
    let at_time = |millis| batch_at(&[at(millis).as_millis()], BatchOptions::default());
    disk.append_in(0, &at_time(0));
    disk.append_in(0, &at_time(1000));
    assert_eq!(bases(&disk), [0]);
    disk.log.maintain(at(100_000));
    assert_eq!(bases(&disk), [0], "time alone rolls nothing");
    disk.append_in(0, &at_time(1001));
    assert_eq!(bases(&disk), [0, 2]);
}

#[test]
fn jitter_rolls_earlier_and_never_later() {
    let config = LogConfig { segment_ms: 1000, segment_jitter_ms: 400, ..LogConfig::default() };
    let mut disk = Disk::new(config);
    let at_time = |millis| batch_at(&[at(millis).as_millis()], BatchOptions::default());
    disk.append_in(0, &at_time(0));
    disk.append_in(0, &at_time(600));
    assert_eq!(bases(&disk), [0]);
    disk.append_in(0, &at_time(1001));
    assert_eq!(bases(&disk).len(), 2);
}

#[test]
fn a_full_index_rolls() {
    let config = LogConfig { segment_index_bytes: 36, index_interval_bytes: 0, ..LogConfig::default() };
    let mut disk = Disk::new(config);
    for n in 0..20 {
        disk.append_in(0, &batch_at(&[NOW.as_millis() + n], BatchOptions::default()));
    }
    // Three entries fit into the time index; the last is kept for closing. The first batch has none.
    assert_eq!(bases(&disk)[..4], [0, 3, 6, 9]);
    disk.flush();
    for entry in disk.store.current().list(&crate::support::dir()) {
        if entry.file.base_name().ends_with("index") {
            assert!(entry.len <= 36, "{entry:?}");
        }
    }
}

#[test]
fn offsets_beyond_a_segments_reach_roll() {
    let mut disk = Disk::new(LogConfig::default());
    disk.append_in(0, &batch(1));
    let far = i64::from(i32::MAX) + 5;
    let mut replicated = batch(1).to_vec();
    replicated[..8].copy_from_slice(&far.to_be_bytes());
    replicated[12..16].copy_from_slice(&0_i32.to_be_bytes());
    disk.log.append(&replicated, shore_log::Origin::Replica, NOW).expect("a gap is the leader's affair");
    assert_eq!(bases(&disk), [0, far]);
    assert_eq!(disk.read(1, i64::MAX, 1000, true).0.expect("within the log").1, far + 1);
}

#[test]
fn checkpoints_write_what_is_new() {
    let mut disk = Disk::new(LogConfig::default());
    let large = batch_at(&vec![NOW.as_millis(); 8_000], BatchOptions::default());
    let mut written = Vec::new();
    for _ in 0..60 {
        disk.append_in(0, &large);
        let ops = disk.log.take_ops();
        written.extend(files(&ops).into_iter().filter(|op| !op.contains(".log")));
    }
    let snapshots = written.iter().filter(|op| op.starts_with("replace") && op.ends_with(".snapshot")).count();
    let expected = 60 * large.len() / (8 << 20);
    assert!(snapshots >= expected - 1 && snapshots <= expected, "{snapshots} of {expected}");
    let replaced = written.iter().filter(|op| *op == "replace 00000000000000000000.index").count();
    assert_eq!(replaced, 1, "afterwards entries are appended: {written:?}");
}

#[test]
fn closing_an_idle_log_again_writes_nothing() {
    let mut disk = Disk::new(LogConfig::default());
    disk.append_in(0, &batch(5));
    disk.log.close();
    disk.flush();
    let mut again = disk.reopened().0;
    again.log.close();
    assert_eq!(files(&again.log.take_ops()), ["sync"]);
}
