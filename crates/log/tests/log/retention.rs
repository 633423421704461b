use shore_log::{CleanupPolicy, LogConfig};

use crate::support::{Disk, at, batch, dir, outline};

fn config() -> LogConfig {
    LogConfig { segment_bytes: 2 * batch(1).len() as u32, ..LogConfig::default() }
}

fn filled(config: LogConfig, batches: i32) -> Disk {
    let mut disk = Disk::new(config);
    for n in 0..batches {
        disk.append_in(n / 3, &batch(1));
    }
    disk.flush();
    disk.log.set_high_watermark(i64::from(batches));
    disk
}

fn names(disk: &Disk) -> Vec<String> {
    disk.store.current().list(&dir()).iter().map(|entry| entry.file.base_name().to_owned()).collect()
}

#[test]
fn the_oldest_segments_go_while_enough_is_left() {
    let size = batch(1).len() as i64;
    for (retention_bytes, start) in [(-1, 0), (10 * size, 0), (9 * size, 0), (8 * size, 2), (size, 8), (0, 10)] {
        let mut disk = filled(LogConfig { retention_bytes, retention_ms: -1, ..config() }, 10);
        disk.log.maintain(at(0));
        disk.flush();
        assert_eq!(disk.log.start_offset(), start, "{retention_bytes}");
        assert!(disk.log.high_watermark() >= start && disk.log.end_offset() == 10);
    }
}

#[test]
fn a_segment_goes_when_its_largest_timestamp_is_too_old() {
    let mut disk = filled(LogConfig { retention_ms: 1000, ..config() }, 10);
    assert_eq!(disk.log.maintain(at(1000)), 0);
    assert_eq!(disk.log.maintain(at(1001)), 5, "the active one too, after a roll");
    assert_eq!((disk.log.start_offset(), disk.log.end_offset()), (10, 10));
    assert_eq!(disk.log.maintain(at(9999)), 0, "an empty active segment stays");
    disk.flush();
    let (mut again, _) = disk.reopened();
    assert_eq!((again.log.start_offset(), again.log.end_offset()), (10, 10), "offsets go on where they were");
    assert_eq!(again.append_in(9, &batch(1)).base_offset, 10);
}

#[test]
fn nothing_at_or_above_the_high_watermark_goes() {
    for (high_watermark, start) in [(0, 0), (1, 0), (2, 2), (5, 4), (9, 8), (10, 10)] {
        let mut disk = filled(LogConfig { retention_ms: 0, ..config() }, 10);
        disk.log.set_high_watermark(high_watermark);
        disk.log.maintain(at(100));
        assert_eq!(disk.log.start_offset(), start, "{high_watermark}");
    }
}

#[test]
fn a_topic_that_is_only_compacted_keeps_its_segments() {
    let cleanup_policy = CleanupPolicy { delete: false, compact: true };
    let mut disk = filled(LogConfig { retention_ms: 0, retention_bytes: 0, cleanup_policy, ..config() }, 10);
    assert_eq!(disk.log.maintain(at(100_000)), 0);
}

#[test]
fn files_are_renamed_at_once_and_deleted_later() {
    let mut disk =
        filled(LogConfig { retention_bytes: 4 * batch(1).len() as i64, file_delete_delay_ms: 500, ..config() }, 10);
    disk.log.maintain(at(0));
    disk.flush();
    assert_eq!(disk.log.start_offset(), 6);
    assert_eq!(outline(&disk.contents())[0].0, 6);
    let deleted = names(&disk).iter().filter(|name| name.ends_with(".deleted")).count();
    assert_eq!(deleted, 3 * 3 + 2, "three segments, of which the first has no snapshot");
    assert_eq!(disk.log.next_deletion(), Some(at(500)));
    assert_eq!(disk.log.end_offset_for_epoch(1), (1, 6), "what is known of epochs begins with the log");
    disk.log.maintain(at(499));
    disk.flush();
    assert!(names(&disk).iter().any(|name| name.ends_with(".deleted")));

    // Killed before the delay has passed, the next start deletes them.
    let (mut again, _) = disk.reopened();
    assert!(!names(&again).iter().any(|name| name.ends_with(".deleted")));
    assert_eq!(again.contents(), disk.contents());

    disk.log.maintain(at(500));
    disk.flush();
    assert_eq!(names(&disk), names(&again));
    assert_eq!(disk.log.next_deletion(), None);
}
