use bytes::Bytes;
use shore_base::collections::BTreeMap;
use shore_base::{Random, Uuid};
use shore_log::storage::{ReadRange, StoreOp};
use shore_log::{AbortedTransaction, LogConfig, Origin};
use shore_wire::batch::{self, ControlKind, end_transaction_marker};

use crate::support::{Disk, NOW, at, batch_of, dir, outline, recover, small, transactional};

/// What the log was when it ended at an offset: its producers, the end of each epoch, and what was aborted.
type Known = BTreeMap<i64, State>;
type State = (Bytes, Vec<(i32, i64)>, Vec<AbortedTransaction>);

fn epochs(disk: &Disk) -> Vec<(i32, i64)> {
    (0..6).map(|epoch| disk.log.end_offset_for_epoch(epoch)).collect()
}

fn state(disk: &Disk) -> State {
    let aborted = disk.log.aborted_transactions(disk.log.start_offset(), disk.log.end_offset());
    (disk.log.producers().encode(), epochs(disk), aborted)
}

/// Appends of several producers in several epochs, over several segments, with retention, checkpoints
/// and a close in between. `after` sees the disk after every single op, and whether it was the last of
/// its request.
fn workload(seed: u64, mut after: impl FnMut(&Disk, &Known, bool)) {
    let mut random = Random::stream(seed, "recovery");
    let mut disk = Disk::new(LogConfig { transaction_verification: false, ..small() });
    disk.log.set_topic_id(Uuid([7; 16]));
    let mut known = Known::new();
    let mut sequences = [0_i32; 3];
    known.insert(0, state(&disk));
    for step in 0..60 {
        for _ in 0..1 + random.below(3) {
            let producer = random.below(3) as usize;
            let records = 1 + random.below(4) as usize;
            // The first of the producers does not use transactions.
            let batch = if producer == 0 { batch_of } else { transactional };
            let appended = disk.append_in(step / 12, &batch(producer as i64, 0, sequences[producer], records));
            sequences[producer] += records as i32;
            known.insert(appended.last_offset + 1, state(&disk));
        }
        if random.percent(40) {
            let kind = if random.percent(70) { ControlKind::Abort } else { ControlKind::Commit };
            let marker = end_transaction_marker(kind, 1 + random.below(2) as i64, 0, 0, NOW.as_millis());
            let origin = Origin::Marker { leader_epoch: step / 12, transaction_version: 0 };
            let appended = disk.log.append(&marker, origin, NOW).expect("a marker");
            known.insert(appended.last_offset + 1, state(&disk));
        }
        match step {
            20 => disk.log.close(),
            35 => {
                let mut config = disk.log.config().clone();
                config.retention_bytes = 4000;
                disk.log.set_config(config);
                disk.log.set_high_watermark(disk.log.durable_end());
                assert!(disk.log.maintain(NOW) > 0);
                // Up to here a crash may take retention back, and with it what it did to the epochs.
                known.values_mut().for_each(|(_, epochs, _)| epochs.clear());
            }
            45 => {
                disk.log.maintain(at(60_000));
                known.values_mut().for_each(|(_, epochs, _)| epochs.clear());
            }
            _ => {}
        }
        let (ops, end) = (disk.log.take_ops(), disk.log.end_offset());
        let last = ops.len() - 1;
        for (index, op) in ops.into_iter().enumerate() {
            disk.store.apply(op).expect("stored");
            after(&disk, &known, index == last);
        }
        disk.log.mark_stored(end);
    }
}

/// What must hold of a log that was opened after a crash.
fn check(disk: &Disk, written: &mut Disk, known: &Known) {
    let end = disk.log.end_offset();
    let mut disk = disk.clone();
    let contents = disk.contents();
    let everything = written.contents();
    let from = batch::batches(&everything)
        .take_while(|view| view.as_ref().is_ok_and(|view| view.base_offset() < disk.log.start_offset()))
        .map(|view| view.expect("a batch").size())
        .sum::<usize>();
    // Retention may have been lost with the crash: then there is more at the front.
    if disk.log.start_offset() >= written.log.start_offset() {
        assert!(everything[from..].starts_with(&contents), "other bytes than were written");
    }
    let batches = outline(&contents);
    assert!(batches.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0), "{batches:?}");
    let (producers, epochs, aborted) = known.get(&end).expect("the log ends where a batch ended");
    assert_eq!(disk.log.producers().encode(), *producers, "producers at {end}");
    let in_log = |found: &&AbortedTransaction| found.last_offset >= disk.log.start_offset();
    assert!(state(&disk).2.iter().eq(aborted.iter().filter(in_log)), "aborted at {end}: {aborted:?}");
    if !epochs.is_empty() {
        let found = self::epochs(&disk);
        // An epoch in which nothing was kept is forgotten; the others end where they ended.
        let latest = disk.log.latest_epoch();
        for (epoch, (found, expected)) in (0..).zip(found.iter().zip(epochs)) {
            if latest.is_some_and(|latest| epoch <= latest) {
                assert_eq!(found, expected, "epoch {epoch} at {end}");
            }
        }
    }
}

#[test]
fn any_prefix_of_the_ops_is_a_legal_log_and_nothing_synced_is_lost() {
    for seed in 0..2 {
        let (mut cases, mut synced_end) = (0, 0);
        workload(seed, |disk, known, whole| {
            let mut written = disk.clone();
            let mut last_end = synced_end;
            let unsynced = disk.store.unsynced();
            for kept in unsynced.saturating_sub(4)..=unsynced {
                for torn in [0, 1, 60, 100] {
                    let mut store = disk.store.clone();
                    store.crash_at(kept, torn);
                    let (again, _) = recover(store, small());
                    assert!(again.log.end_offset() >= last_end, "what survived {kept} ops survives more of them");
                    last_end = again.log.end_offset();
                    check(&again, &mut written, known);
                    // And once more: recovery leaves nothing to mend.
                    let (third, report) = again.reopened();
                    assert_eq!(report.truncated_bytes, 0);
                    assert_eq!(third.log.end_offset(), again.log.end_offset());
                    cases += 1;
                }
            }
            if unsynced == 0 {
                synced_end = last_end;
            }
            if whole {
                assert_eq!(last_end, disk.log.end_offset(), "a killed process loses nothing that was written");
            }
        });
        assert!(cases > 1000, "{cases}");
    }
}

#[test]
fn a_clean_close_leaves_little_to_scan() {
    let mut disk = Disk::new(small());
    for n in 0..100 {
        disk.append_in(0, &batch_of(1, 0, n, 1));
    }
    disk.log.close();
    disk.flush();
    let (again, report) = disk.reopened();
    assert!(report.scanned_bytes < 500, "{report:?}");
    assert_eq!(again.log.end_offset(), 100);
    assert!(again.store.unsynced() == disk.store.unsynced(), "and nothing to mend");
}

#[test]
fn derived_files_that_are_lost_or_damaged_are_made_again() {
    let mut disk = Disk::new(small());
    for n in 0..60 {
        disk.append_in(n / 20, &batch_of(i64::from(n % 2), 0, n / 2, 1));
    }
    disk.log.close();
    disk.flush();
    let contents = disk.contents();
    let expected = state(&disk);
    let entries = disk.store.current().list(&dir());
    for entry in entries.iter().filter(|entry| !entry.file.base_name().ends_with(".log")) {
        let whole = disk
            .store
            .current()
            .read(&ReadRange { file: entry.file.clone(), position: 0, len: entry.len })
            .expect("it is there");
        let mut flipped = whole.to_vec();
        if let Some(byte) = flipped.first_mut() {
            *byte ^= 0x40;
        }
        // The last byte of an entry of the offset index is the end of a position.
        let mut shifted = whole.to_vec();
        shifted.iter_mut().skip(7).step_by(8).for_each(|byte| *byte = byte.wrapping_add(1));
        let replaced = |bytes: Bytes| StoreOp::Replace { file: entry.file.clone(), bytes };
        let damages = [
            StoreOp::Delete { file: entry.file.clone() },
            replaced(Bytes::new()),
            replaced(whole.slice(..whole.len() / 2)),
            replaced(flipped.into()),
            replaced(shifted.into()),
            replaced(Bytes::from(vec![0xff; whole.len()])),
        ];
        for damage in damages {
            let mut store = disk.store.clone();
            store.apply(damage.clone()).expect("stored");
            let (mut again, _) = recover(store, small());
            assert_eq!(again.contents(), contents, "{damage:?}");
            assert_eq!(state(&again), expected, "{damage:?}");
            again.append_in(9, &batch_of(0, 0, 30, 1));
            again.flush();
            assert_eq!(again.reopened().0.log.end_offset(), 61, "{damage:?}");
        }
    }
}

#[test]
fn a_damaged_batch_of_the_active_segment_ends_the_log() {
    let mut disk = Disk::new(small());
    for n in 0..20 {
        disk.append_in(0, &batch_of(1, 0, n, 1));
    }
    disk.flush();
    let active = disk.log.segments().last().expect("a segment");
    let file = dir().join(&format!("{:020}.log", active.base_offset));
    let whole = disk.store.current().read(&ReadRange { file: file.clone(), position: 0, len: u64::MAX }).expect("it");
    let batches = outline(&whole);
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x10;
        let mut store = disk.store.clone();
        store.apply(StoreOp::Replace { file: file.clone(), bytes: bytes.into() }).expect("stored");
        let (again, report) = recover(store, small());
        let size = whole.len() / batches.len();
        // Offset and epoch are not under the checksum: they are assigned after it was made.
        let unchecked = (0..8).contains(&(at % size)) || (12..16).contains(&(at % size));
        if !unchecked {
            assert_eq!(again.log.end_offset(), batches[at / size].0, "byte {at}");
            assert!(report.truncated_bytes > 0);
        }
    }
}

#[test]
fn a_topic_id_and_an_empty_log_come_back() {
    let mut disk = Disk::new(small());
    disk.log.set_topic_id(Uuid([9; 16]));
    disk.flush();
    let (again, report) = disk.reopened();
    assert_eq!(again.log.topic_id(), Some(Uuid([9; 16])));
    assert_eq!((again.log.start_offset(), again.log.end_offset(), report.scanned_bytes), (0, 0, 0));
}

#[test]
fn files_that_are_none_of_ours_are_left_alone() {
    let mut disk = Disk::new(small());
    disk.append_in(0, &batch_of(1, 0, 0, 1));
    disk.flush();
    for name in ["notes.txt", "00000000000000000000.index.bak", "sub/00000000000000000000.log"] {
        disk.store.apply(StoreOp::Replace { file: dir().join(name), bytes: Bytes::from_static(b"x") }).expect("stored");
    }
    let before = disk.store.current().list(&dir());
    let (again, _) = disk.reopened();
    assert_eq!(again.log.end_offset(), 1);
    let after = again.store.current().list(&dir());
    assert!(before.iter().all(|entry| after.contains(entry)));
}
