use shore_base::Random;
use shore_log::storage::{ReadRange, StoreOp};
use shore_log::{AbortedTransaction, LogConfig, Origin, VerificationGuard};
use shore_wire::batch::ControlKind::{self, Abort, Commit};
use shore_wire::batch::end_transaction_marker;
use shore_wire::error::ErrorCode;

use crate::support::{Disk, NOW, at, batch_of, dir, recover, small, transactional};

fn marker(
    disk: &mut Disk,
    (producer, epoch): (i64, i16),
    kind: ControlKind,
    coordinator_epoch: i32,
    transaction_version: i16,
) -> Result<i64, ErrorCode> {
    let marker = end_transaction_marker(kind, producer, epoch, coordinator_epoch, NOW.as_millis());
    let origin = Origin::Marker { leader_epoch: 0, transaction_version };
    disk.log.append(&marker, origin, NOW).map(|appended| appended.base_offset).map_err(|error| error.code)
}

/// `12` is a batch of producer 1 in its transaction, `c1` and `a1` end it, `-` is a batch of no
/// producer: each takes one offset.
fn written(config: LogConfig, steps: &str) -> Disk {
    let mut disk = Disk::new(LogConfig { transaction_verification: false, ..config });
    let mut sequences = [0; 10];
    for step in steps.split_whitespace() {
        let id = step.chars().last().and_then(|digit| digit.to_digit(10)).unwrap_or(9) as usize;
        let kind = match &step[..1] {
            "a" => Abort,
            "c" => Commit,
            "-" => {
                disk.append(&batch_of(-1, -1, -1, 1)).expect("a batch");
                continue;
            }
            _ => {
                disk.append(&transactional(id as i64, 0, sequences[id], 1)).expect("in order");
                sequences[id] += 1;
                continue;
            }
        };
        marker(&mut disk, (id as i64, 0), kind, 0, 0).expect("a marker");
    }
    disk.flush();
    disk.log.set_high_watermark(disk.log.end_offset());
    disk
}

/// First and last offset of every aborted transaction that a read tells of.
fn aborted(disk: &Disk, from: i64, next: i64) -> Vec<(i64, i64)> {
    disk.log.aborted_transactions(from, next).iter().map(|found| (found.first_offset, found.last_offset)).collect()
}

fn all(disk: &Disk) -> Vec<AbortedTransaction> {
    disk.log.aborted_transactions(0, disk.log.end_offset())
}

/// A batch has 100 bytes or so: an index entry for nearly each.
fn dense() -> LogConfig {
    LogConfig { index_interval_bytes: 1, ..LogConfig::default() }
}

#[test]
fn a_read_tells_of_the_aborted_transactions_that_it_may_meet() {
    //                       0 1 2  3 4 5  6  7 8 9  10
    let disk = written(dense(), "- 1 2 a1 - 3 c2 a3 1 - a1");
    assert_eq!(aborted(&disk, 0, 11), [(1, 3), (5, 7), (8, 10)]);
    assert_eq!(aborted(&disk, 4, 11), [(5, 7), (8, 10)]);
    assert_eq!(aborted(&disk, 0, 2), [(1, 3)]);
    assert_eq!(aborted(&disk, 2, 4), [(1, 3)]);
    assert_eq!(aborted(&disk, 8, 9), [(8, 10)]);
    assert_eq!(aborted(&disk, 0, 1), [(0, 0); 0], "offset 1 is the first that the index knows, and ends the search");
    assert_eq!(
        all(&disk)[0],
        AbortedTransaction { producer_id: 1, first_offset: 1, last_offset: 3, last_stable_offset: 2 },
        "producer 2 was still open"
    );
    let sparse = written(LogConfig::default(), "- 1 2 a1 - 3 c2 a3 1 - a1");
    assert_eq!(aborted(&sparse, 0, 1), [(1, 3), (5, 7), (8, 10)], "without an entry, up to the segment's end");
}

#[test]
fn what_was_aborted_is_found_across_segments() {
    // Five batches to a segment: the transaction of 1 begins in the first and ends in the third.
    let steps = "1 2 a2 - - - 2 - a2 - - - a1 - -";
    let disk = written(LogConfig { segment_bytes: 520, index_interval_bytes: 1, ..LogConfig::default() }, steps);
    assert!(disk.log.segments().count() > 2);
    assert_eq!(aborted(&disk, 0, 1), [(0, 12)]);
    assert_eq!(aborted(&disk, 0, 3), [(1, 2), (0, 12)]);
    assert_eq!(aborted(&disk, 7, 8), [(6, 8), (0, 12)]);
    assert_eq!(aborted(&disk, 13, 15), [(0, 0); 0]);
}

#[test]
fn the_file_is_kafkas() {
    let disk = written(LogConfig::default(), "- 1 2 a1 c2");
    let file = dir().join("00000000000000000000.txnindex");
    let bytes = disk.store.current().read(&ReadRange { file, position: 0, len: 99 }).expect("it is there");
    let expected: Vec<u8> = [&[0, 0][..], &1_i64.to_be_bytes(), &1_i64.to_be_bytes(), &3_i64.to_be_bytes()].concat();
    assert_eq!(bytes[..26], expected);
    assert_eq!(bytes[26..], 2_i64.to_be_bytes());
    let none = written(LogConfig::default(), "- 1 c1");
    assert!(none.store.current().list(&dir()).iter().all(|entry| !entry.file.as_str().ends_with(".txnindex")));
}

#[test]
fn a_marker_of_version_two_needs_a_larger_epoch_than_its_transaction() {
    let mut disk = Disk::new(LogConfig { transaction_verification: false, ..LogConfig::default() });
    let fenced = Err(ErrorCode::InvalidProducerEpoch);
    disk.append(&transactional(1, 5, 0, 1)).expect("in order");
    assert_eq!(marker(&mut disk, (1, 4), Commit, 0, 0), fenced);
    assert_eq!(marker(&mut disk, (1, 5), Commit, 0, 2), fenced);
    assert_eq!(marker(&mut disk, (1, 6), Commit, 0, 2), Ok(1));
    assert_eq!(marker(&mut disk, (1, 6), Commit, 0, 2), Ok(2), "a retry finds nothing open");
    assert_eq!(marker(&mut disk, (1, 5), Commit, 0, 2), fenced);
    disk.append(&transactional(1, 6, 0, 1)).expect("the next one has the epoch of that marker");
    assert_eq!(marker(&mut disk, (1, 6), Abort, 0, 2), fenced);
    assert_eq!(marker(&mut disk, (1, 6), Abort, 0, 0), Ok(4), "version 0 keeps the epoch");
    disk.append(&transactional(1, i16::MAX, 0, 1)).expect("a new epoch");
    assert_eq!(marker(&mut disk, (1, i16::MAX), Abort, 0, 2), Ok(6), "there is no larger one");
    assert_eq!(all(&disk).len(), 2);
}

#[test]
fn a_coordinator_with_an_old_epoch_is_fenced() {
    let mut disk = Disk::new(LogConfig { transaction_verification: false, ..LogConfig::default() });
    disk.append(&transactional(1, 0, 0, 1)).expect("in order");
    marker(&mut disk, (1, 0), Commit, 7, 0).expect("the first");
    assert_eq!(marker(&mut disk, (1, 0), Abort, 6, 0), Err(ErrorCode::TransactionCoordinatorFenced));
    assert_eq!(marker(&mut disk, (1, 0), Abort, 7, 0), Ok(2));
    assert_eq!(all(&disk), [], "it ended nothing");
}

#[test]
fn a_transaction_begins_only_when_it_was_verified() {
    let mut disk = Disk::new(LogConfig::default());
    let append = |disk: &mut Disk, epoch, sequence, guard: Option<VerificationGuard>| {
        let origin = Origin::Client { leader_epoch: 0, guard };
        disk.log.append(&transactional(1, epoch, sequence, 1), origin, NOW).map(|_| ()).map_err(|error| error.code)
    };
    let begin = |disk: &mut Disk, epoch, sequence, v2| {
        disk.log.begin_verification(1, epoch, sequence, v2, NOW).map_err(|refused| refused.code)
    };
    let missing = Err(ErrorCode::InvalidTxnState);
    let out_of_order = Err(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(append(&mut disk, 0, 0, None), missing);
    let guard = begin(&mut disk, 0, 3, false).expect("no newer epoch is known");
    assert_eq!(append(&mut disk, 0, 0, None), missing, "the guard must come with it");
    assert_eq!(begin(&mut disk, 0, 0, false), Ok(guard), "another request of the same transaction");
    assert_eq!(append(&mut disk, 0, 3, guard), out_of_order, "0 was seen, and comes first");
    assert_eq!(append(&mut disk, 0, 0, guard), Ok(()));
    assert_eq!(begin(&mut disk, 0, 1, false), Ok(None), "it is open");
    assert_eq!(append(&mut disk, 0, 1, None), Ok(()));
    marker(&mut disk, (1, 0), Commit, 0, 0).expect("a marker");
    assert_eq!(append(&mut disk, 0, 2, guard), missing, "that guard was for the transaction before");

    let late = begin(&mut disk, 0, 2, false).expect("the same epoch");
    marker(&mut disk, (1, 0), Abort, 0, 0).expect("a marker");
    assert_eq!(append(&mut disk, 0, 2, late), missing, "a marker came in between");
    let next = begin(&mut disk, 1, 0, true).expect("a larger epoch");
    marker(&mut disk, (1, 1), Abort, 0, 2).expect("a marker");
    assert_eq!(append(&mut disk, 1, 0, next), Ok(()), "in version 2 that marker ended the transaction before");
    assert_eq!(begin(&mut disk, 0, 3, false), Err(ErrorCode::InvalidProducerEpoch));

    let mut fresh = Disk::new(LogConfig::default());
    let guard = begin(&mut fresh, 0, 4, true).expect("nothing is known");
    assert_eq!(append(&mut fresh, 0, 4, guard), out_of_order, "version 2 begins with 0");
    fresh.log.maintain(at(86_400_000));
    assert_eq!(append(&mut fresh, 0, 0, guard), missing, "forgotten with the producers' expiry");
}

#[test]
fn the_index_is_made_again_where_it_was_torn_damaged_or_lost_with_the_others() {
    for seed in 0..6 {
        let mut random = Random::stream(seed, "transactions");
        let mut steps = String::new();
        for _ in 0..120 {
            let producer = random.below(4);
            let kind = ["", "", "", "a", "c", "-"][random.below(6) as usize];
            steps.push_str(&if kind == "-" { "- ".to_owned() } else { format!("{kind}{producer} ") });
        }
        let mut disk = written(small(), &steps);
        if seed % 2 == 0 {
            disk.log.close();
            disk.flush();
        }
        let expected = all(&disk);
        assert!(expected.len() > 5, "{}", expected.len());
        let files = disk.store.current().list(&dir());
        let active = disk.log.segments().last().expect("a segment").base_offset;
        for entry in files.iter().filter(|entry| entry.file.as_str().ends_with(".txnindex")) {
            let range = ReadRange { file: entry.file.clone(), position: 0, len: entry.len };
            let whole = disk.store.current().read(&range).expect("it is there");
            let replaced = |bytes: Vec<u8>| vec![StoreOp::Replace { file: entry.file.clone(), bytes: bytes.into() }];
            let with_byte = |at: usize, byte: u8| {
                let mut bytes = whole.to_vec();
                bytes[at] = byte;
                replaced(bytes)
            };
            let beside = |suffix: &str| StoreOp::Delete {
                file: entry.file.as_str().replace("txnindex", suffix).as_str().into(),
            };
            let mut damages =
                vec![with_byte(0, 9), with_byte(18, 0x7f), with_byte(10, 0xff), replaced(vec![0xff; whole.len()])];
            if !entry.file.base_name().starts_with(&format!("{active:020}")) {
                damages.push(replaced(whole[..whole.len() - 1].to_vec()));
                damages.push(vec![StoreOp::Delete { file: entry.file.clone() }, beside("index"), beside("timeindex")]);
            }
            for damage in damages {
                let mut store = disk.store.clone();
                damage.iter().for_each(|op| store.apply(op.clone()).expect("stored"));
                let (again, _) = recover(store, disk.log.config().clone());
                assert_eq!(all(&again), expected, "{damage:?}");
                assert_eq!(again.log.producers().encode(), disk.log.producers().encode());
                let mended = again.store.current().read(&range).expect("it is there again");
                assert_eq!(mended, whole, "{damage:?}");
            }
        }
    }
}

#[test]
fn the_last_stable_offset_never_lies_below_the_logs_start() {
    let config = LogConfig { segment_bytes: 400, retention_bytes: 0, ..LogConfig::default() };
    let mut disk = written(config, "1 - - - - - - -");
    assert_eq!(disk.log.last_stable_offset(), 0);
    disk.log.maintain(NOW);
    assert!(disk.log.start_offset() > 0);
    assert_eq!(disk.log.last_stable_offset(), disk.log.start_offset());
}
