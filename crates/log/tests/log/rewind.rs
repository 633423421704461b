use shore_base::Random;
use shore_log::storage::StoreOp;
use shore_log::{AbortedTransaction, LogConfig, Origin};
use shore_wire::batch::{ControlKind, end_transaction_marker};

use crate::support::{Disk, NOW, at, batch_of, outline, small, transactional};

/// A store that carries out some of the ops and then fails.
fn fail_after(disk: &mut Disk, ops: Vec<StoreOp>, random: &mut Random) {
    let kept = random.below(ops.len() as u64 + 1) as usize;
    let mut ops = ops.into_iter();
    for op in ops.by_ref().take(kept) {
        disk.store.apply(op).expect("stored");
    }
    if let Some(StoreOp::Append { file, position, bytes }) = ops.next() {
        let torn = random.below(bytes.len() as u64 + 1) as usize;
        if torn > 0 {
            disk.store.apply(StoreOp::Append { file, position, bytes: bytes.slice(..torn) }).expect("stored");
        }
    }
}

fn aborted(disk: &Disk) -> Vec<AbortedTransaction> {
    disk.log.aborted_transactions(disk.log.start_offset(), disk.log.end_offset())
}

#[test]
fn after_a_failed_store_the_log_is_as_it_was_and_its_files_follow() {
    for seed in 0..60 {
        let mut random = Random::stream(seed, "rewind");
        let mut disk =
            Disk::new(LogConfig { producer_id_expiration_ms: i64::MAX, transaction_verification: false, ..small() });
        let (mut sequence, mut begun) = (0, 0);
        for step in 0..40 {
            if random.percent(5) {
                // Everything goes; the store may fail with it.
                disk.log.set_high_watermark(disk.log.durable_end());
                disk.log.maintain(at(8 * 86_400_000));
            }
            let before = disk.clone();
            let before_failure = (sequence, begun);
            for _ in 0..random.below(6) {
                let records = 1 + random.below(4) as i32;
                // Producer 1 writes, producer 2 begins transactions and has them aborted.
                disk.append_in(step / 10, &batch_of(1, 0, sequence, records as usize));
                sequence += records;
                if random.percent(50) {
                    disk.append_in(step / 10, &transactional(2, 0, begun, 1));
                    begun += 1;
                }
                if random.percent(30) {
                    let marker = end_transaction_marker(ControlKind::Abort, 2, 0, 0, NOW.as_millis());
                    let origin = Origin::Marker { leader_epoch: step / 10, transaction_version: 0 };
                    disk.log.append(&marker, origin, NOW).expect("a marker");
                }
            }
            if random.percent(60) {
                disk.flush();
                continue;
            }
            let ops = disk.log.take_ops();
            fail_after(&mut disk, ops, &mut random);
            disk.log.store_failed();
            (sequence, begun) = before_failure;
            let mut expected = before;
            assert_eq!(disk.log.end_offset(), expected.log.end_offset());
            assert_eq!(disk.log.producers().encode(), expected.log.producers().encode());
            assert_eq!(disk.log.segments().collect::<Vec<_>>(), expected.log.segments().collect::<Vec<_>>());
            assert_eq!(disk.log.latest_epoch(), expected.log.latest_epoch());
            assert_eq!(aborted(&disk), aborted(&expected));
            // The disk may stay sick for a while.
            while random.percent(40) {
                let ops = disk.log.take_ops();
                fail_after(&mut disk, ops, &mut random);
                disk.log.store_failed();
            }
            disk.flush();
            assert_eq!(disk.contents(), expected.contents());
            let (mut again, report) = disk.reopened();
            assert_eq!(again.log.end_offset(), expected.log.end_offset(), "seed {seed}, step {step}");
            assert!(again.contents().ends_with(&expected.contents()), "seed {seed}, step {step}");
            assert_eq!(report.truncated_bytes, 0, "the files were mended");
            assert!(aborted(&again).ends_with(&aborted(&expected)), "seed {seed}, step {step}");
            assert_eq!(again.log.producers().encode(), expected.log.producers().encode());
        }
        disk.flush();
        disk.log.maintain(at(9 * 86_400_000));
        disk.flush();
        let (mut again, contents) = (disk.reopened().0, disk.contents());
        assert_eq!(again.log.end_offset(), disk.log.end_offset());
        assert!(again.contents().ends_with(&contents), "seed {seed}");
    }
}

#[test]
fn an_epoch_that_began_before_the_failed_append_stays() {
    let mut disk = Disk::new(small());
    disk.append_in(0, &batch_of(1, 0, 0, 1));
    disk.log.begin_epoch(4);
    disk.flush();
    disk.append_in(4, &batch_of(1, 0, 1, 1));
    disk.append_in(6, &batch_of(1, 0, 2, 1));
    disk.log.store_failed();
    assert_eq!((disk.log.end_offset(), disk.log.latest_epoch()), (1, Some(4)));
}

#[test]
fn a_failed_first_write_leaves_nothing_out() {
    let mut disk = Disk { log: shore_log::Log::create(crate::support::dir(), small(), at(0)), ..Disk::new(small()) };
    disk.store = shore_log::memory::CrashingStore::new();
    disk.log.set_topic_id(shore_base::Uuid([3; 16]));
    disk.log.take_ops();
    disk.log.store_failed();
    disk.flush();
    let (again, _) = disk.reopened();
    assert_eq!(again.log.topic_id(), disk.log.topic_id());
    assert_eq!(again.store.current().list(&crate::support::dir()).len(), 3, "log, epochs, metadata");
}

/// Where nothing waits for the store, a failed one takes nothing back: its ops come again until they are
/// taken, and a crash at any moment finds files that hold a prefix of the log, without a hole.
#[test]
fn what_counts_as_durable_is_kept_and_stored_later() {
    for seed in 0..60 {
        let mut random = Random::stream(seed, "again");
        let mut disk = Disk::new(LogConfig { producer_id_expiration_ms: i64::MAX, ..small() });
        let mut sequence = 0;
        for step in 0..40 {
            if random.percent(5) {
                disk.log.set_high_watermark(disk.log.durable_end());
                disk.log.maintain(at(8 * 86_400_000));
            }
            for _ in 0..random.below(6) {
                let records = 1 + random.below(4) as i32;
                disk.append_in(step / 10, &batch_of(1, 0, sequence, records as usize));
                sequence += records;
                disk.log.mark_durable(disk.log.end_offset());
            }
            disk.log.evict(0);
            let (start, end) = (disk.log.start_offset(), disk.log.end_offset());
            match random.below(10) {
                // A store that is under way when more comes, and fails.
                0..4 => {
                    let ops = disk.log.take_ops();
                    disk.append_in(step / 10, &batch_of(1, 0, sequence, 2));
                    sequence += 2;
                    disk.log.mark_durable(disk.log.end_offset());
                    fail_after(&mut disk, ops, &mut random);
                    disk.log.store_failed();
                    assert_eq!((disk.log.start_offset(), disk.log.end_offset()), (start, end + 2));
                }
                4..6 => disk.flush(),
                _ => {}
            }
            // A crash now loses the end, and only that.
            let (mut after, _) = disk.reopened();
            let whole = disk.contents();
            let left = after.contents();
            assert!(after.log.end_offset() <= disk.log.end_offset(), "seed {seed}, step {step}");
            assert!(is_kept(&left, &whole), "seed {seed}, step {step}: the files are no prefix");
        }
        disk.flush();
        let (mut again, contents) = (disk.reopened().0, disk.contents());
        assert_eq!(again.log.end_offset(), i64::from(sequence));
        assert!(again.contents().ends_with(&contents), "seed {seed}");
        assert_eq!(again.log.producers().encode(), disk.log.producers().encode());
    }
}

/// Whether the batches on disk follow each other, and are those of the log as far as it still has them.
fn is_kept(left: &[u8], whole: &[u8]) -> bool {
    let (left, whole) = (outline(left), outline(whole));
    let dense = left.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0);
    let first = whole.first().map_or(i64::MAX, |batch| batch.0);
    let shared: Vec<_> = left.into_iter().filter(|batch| batch.0 >= first).collect();
    dense && whole.starts_with(&shared)
}
