use shore_base::Random;
use shore_log::storage::StoreOp;

use crate::support::{Disk, batch_of, small};

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

#[test]
fn after_a_failed_store_the_log_is_as_it_was_and_its_files_follow() {
    for seed in 0..60 {
        let mut random = Random::stream(seed, "rewind");
        let mut disk = Disk::new(small());
        let mut sequence = 0;
        for step in 0..40 {
            let before = disk.clone();
            let sequence_before = sequence;
            for _ in 0..random.below(6) {
                let records = 1 + random.below(4) as i32;
                disk.append_in(step / 10, &batch_of(1, 0, sequence, records as usize));
                sequence += records;
            }
            if random.percent(60) {
                disk.flush();
                continue;
            }
            let ops = disk.log.take_ops();
            fail_after(&mut disk, ops, &mut random);
            disk.log.rewind_to_durable();
            sequence = sequence_before;
            let mut expected = before;
            assert_eq!(disk.log.end_offset(), expected.log.end_offset());
            assert_eq!(disk.log.producers().encode(), expected.log.producers().encode());
            assert_eq!(disk.log.segments().collect::<Vec<_>>(), expected.log.segments().collect::<Vec<_>>());
            assert_eq!(disk.log.latest_epoch(), expected.log.latest_epoch());
            // The disk may stay sick for a while.
            while random.percent(40) {
                let ops = disk.log.take_ops();
                fail_after(&mut disk, ops, &mut random);
                disk.log.rewind_to_durable();
            }
            disk.flush();
            assert_eq!(disk.contents(), expected.contents());
            let (mut again, report) = disk.reopened();
            assert_eq!(again.contents(), expected.contents(), "seed {seed}, step {step}");
            assert_eq!(report.truncated_bytes, 0, "the files were mended");
            assert_eq!(again.log.producers().encode(), expected.log.producers().encode());
        }
        let contents = disk.contents();
        disk.flush();
        assert_eq!(disk.reopened().0.contents(), contents, "seed {seed}");
    }
}
