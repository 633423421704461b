//! DeleteRecords: a log begins later than its first segment does.

use shore_log::storage::StoreOp;
use shore_log::{AbortedTransaction, LogConfig, ReadError};
use shore_wire::batch;
use shore_wire::error::ErrorCode;

use crate::support::{Disk, at, batch as batch_of_records, recover_from, small};

fn filled() -> Disk {
    let mut disk = Disk::new(small());
    for epoch in 0..30 {
        disk.append_in(epoch / 10, &batch_of_records(2));
    }
    disk.flush();
    disk.log.set_high_watermark(50);
    disk
}

#[test]
fn the_log_begins_where_it_is_told_to_and_never_earlier() {
    let mut disk = filled();
    let refused = Err(ErrorCode::OffsetOutOfRange);
    assert_eq!(disk.log.start_within_segment(), None);
    for (before, start) in [(7, Ok(7)), (3, Ok(7)), (7, Ok(7)), (51, refused), (-2, refused), (-1, Ok(50))] {
        assert_eq!(disk.log.delete_records(before), start, "{before}");
    }
    assert_eq!(disk.log.start_offset(), 50);
    assert_eq!(disk.read(49, 60, 1000, true).0, Err(ReadError::OutOfRange { start: 50, end: 60 }));
    assert_eq!(disk.log.end_offset_for_epoch(1), (1, 50), "what is known of epochs begins with the log");
    assert_eq!(disk.log.aborted_transactions(50, 60), [] as [AbortedTransaction; 0]);
}

#[test]
fn segments_wholly_below_the_start_go_with_the_next_round_whatever_the_policy() {
    for config in [small(), LogConfig { cleanup_policy: compact_only(), retention_ms: 0, ..small() }] {
        let mut disk = filled();
        disk.log.set_config(config);
        let bases: Vec<i64> = disk.log.segments().map(|segment| segment.base_offset).collect();
        disk.log.delete_records(bases[2] + 1).expect("below the high watermark");
        assert_eq!(disk.log.segments().count(), bases.len());
        assert_eq!(disk.log.maintain(at(0)), 2);
        assert_eq!((disk.log.start_offset(), disk.log.start_within_segment()), (bases[2] + 1, Some(bases[2] + 1)));
        let first = disk.log.segments().next().expect("a segment").base_offset;
        assert_eq!(first, bases[2]);
    }
}

fn compact_only() -> shore_log::CleanupPolicy {
    shore_log::CleanupPolicy { delete: false, compact: true }
}

#[test]
fn the_active_segment_stays_though_all_of_it_was_deleted() {
    let mut disk = Disk::new(LogConfig::default());
    disk.append_in(0, &batch_of_records(5));
    disk.flush();
    disk.log.set_high_watermark(5);
    assert_eq!(disk.log.delete_records(-1), Ok(5));
    assert_eq!(disk.log.maintain(at(0)), 0);
    assert_eq!((disk.log.segments().count(), disk.log.start_offset(), disk.log.end_offset()), (1, 5, 5));
}

#[test]
fn the_start_comes_back_with_the_checkpoint_at_every_op_of_a_deletion() {
    let mut disk = filled();
    disk.store.apply(StoreOp::Sync).expect("stored");
    let start = disk.log.segments().nth(2).expect("a segment").base_offset + 1;
    disk.log.delete_records(start).expect("below the high watermark");
    disk.log.maintain(at(0));
    disk.log.maintain(at(60_000));
    let ops = disk.log.take_ops();
    let expected: Vec<_> = batch::batches(&disk.contents()).map(|view| view.expect("a batch").base_offset()).collect();
    assert!(ops.len() > 8);
    for op in ops {
        disk.store.apply(op).expect("stored");
        for kept in 0..=disk.store.unsynced() {
            let mut store = disk.store.clone();
            store.crash_at(kept, 0);
            let (mut again, report) = recover_from(store, small(), start);
            assert_eq!((again.log.start_offset(), again.log.end_offset(), report.truncated_bytes), (start, 60, 0));
            assert_eq!(again.log.end_offset_for_epoch(1), disk.log.end_offset_for_epoch(1));
            let contents = again.contents();
            let found: Vec<_> = batch::batches(&contents).map(|view| view.expect("a batch").base_offset()).collect();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_log_that_lost_all_that_was_not_deleted_begins_anew_at_its_start() {
    let disk = filled();
    let (mut again, _) = recover_from(disk.store.clone(), small(), 200);
    assert_eq!((again.log.start_offset(), again.log.end_offset()), (200, 200));
    assert_eq!(again.append_in(5, &batch_of_records(1)).base_offset, 200);
    again.flush();
    let (third, report) = recover_from(again.store.clone(), small(), 200);
    assert_eq!((third.log.start_offset(), third.log.end_offset(), report.truncated_bytes), (200, 201, 0));
}
