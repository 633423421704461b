use shore_log::{LogConfig, Origin};
use shore_wire::batch::{ControlKind, end_transaction_marker};
use shore_wire::error::ErrorCode;

use crate::support::{Disk, NOW, at, batch_of, transactional};

fn code(disk: &mut Disk, batch: &[u8]) -> Result<(i64, bool), ErrorCode> {
    disk.append(batch).map(|appended| (appended.base_offset, appended.duplicate)).map_err(|error| error.code)
}

#[test]
fn a_retry_gets_the_offset_of_the_original() {
    let mut disk = Disk::new(LogConfig::default());
    for n in 0..7 {
        assert_eq!(code(&mut disk, &batch_of(1, 0, n * 2, 2)), Ok((i64::from(n) * 2, false)));
    }
    for n in 2..7 {
        assert_eq!(code(&mut disk, &batch_of(1, 0, n * 2, 2)), Ok((i64::from(n) * 2, true)));
    }
    assert_eq!(code(&mut disk, &batch_of(1, 0, 2, 2)), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(code(&mut disk, &batch_of(1, 0, 15, 1)), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(disk.log.end_offset(), 14);
    assert_eq!(code(&mut disk, &batch_of(2, 0, 99, 1)), Ok((14, false)), "nothing is known of this producer");
    assert_eq!(code(&mut disk, &batch_of(1, 1, 3, 1)), Err(ErrorCode::OutOfOrderSequenceNumber));
    assert_eq!(code(&mut disk, &batch_of(1, 1, 0, 1)), Ok((15, false)));
    assert_eq!(code(&mut disk, &batch_of(1, 0, 14, 1)), Err(ErrorCode::InvalidProducerEpoch));
}

#[test]
fn a_retry_is_known_again_after_a_restart() {
    let mut disk = Disk::new(LogConfig::default());
    for n in 0..7 {
        code(&mut disk, &batch_of(1, 0, n, 1)).expect("in order");
    }
    disk.flush();
    let (mut killed, _) = disk.reopened();
    assert_eq!(code(&mut killed, &batch_of(1, 0, 2, 1)), Ok((2, true)), "scanned from the log");
    disk.log.close();
    disk.flush();
    let (mut closed, _) = disk.reopened();
    assert_eq!(code(&mut closed, &batch_of(1, 0, 6, 1)), Ok((6, true)), "the snapshot has the last batch");
    assert_eq!(code(&mut closed, &batch_of(1, 0, 7, 1)), Ok((7, false)));
}

#[test]
fn producers_are_forgotten_after_their_time() {
    let mut disk = Disk::new(LogConfig { producer_id_expiration_ms: 3_600_000, ..LogConfig::default() });
    code(&mut disk, &batch_of(1, 0, 0, 1)).expect("in order");
    disk.log.maintain(at(3_599_999));
    assert_eq!(code(&mut disk, &batch_of(1, 0, 5, 1)), Err(ErrorCode::OutOfOrderSequenceNumber));
    disk.log.maintain(at(4_300_000));
    assert_eq!(code(&mut disk, &batch_of(1, 0, 5, 1)), Ok((1, false)));
}

#[test]
fn the_last_stable_offset_waits_for_open_transactions() {
    let mut disk = Disk::new(LogConfig { transaction_verification: false, ..LogConfig::default() });
    let transactional = |producer_id, base_sequence| transactional(producer_id, 0, base_sequence, 1);
    let marker = |disk: &mut Disk, producer_id, coordinator_epoch| {
        let marker = end_transaction_marker(ControlKind::Commit, producer_id, 0, coordinator_epoch, NOW.as_millis());
        disk.log
            .append(&marker, Origin::Marker { leader_epoch: 0, transaction_version: 0 }, NOW)
            .map_err(|error| error.code)
    };
    let stable = |disk: &mut Disk| {
        disk.log.set_high_watermark(disk.log.end_offset());
        disk.log.last_stable_offset()
    };
    disk.append(&batch_of(9, 0, 0, 1)).expect("in order");
    assert_eq!(stable(&mut disk), 1);
    disk.append(&transactional(1, 0)).expect("in order");
    disk.append(&transactional(2, 0)).expect("in order");
    disk.append(&transactional(1, 1)).expect("in order");
    assert_eq!(stable(&mut disk), 1);
    assert_eq!(code(&mut disk, &batch_of(1, 0, 2, 1)), Err(ErrorCode::InvalidTxnState));
    marker(&mut disk, 1, 5).expect("a marker");
    assert_eq!(disk.log.last_stable_offset(), 1, "the marker is not below the high watermark");
    assert_eq!(stable(&mut disk), 2);
    assert_eq!(marker(&mut disk, 1, 4), Err(ErrorCode::TransactionCoordinatorFenced));
    marker(&mut disk, 2, 5).expect("a marker");
    assert_eq!(stable(&mut disk), disk.log.end_offset());

    disk.append(&transactional(1, 2)).expect("in order");
    let open = disk.log.end_offset() - 1;
    disk.flush();
    for close in [false, true] {
        let (mut again, _) = disk.reopened();
        assert_eq!(stable(&mut again), open);
        if close {
            again.log.close();
            again.flush();
            let (mut again, _) = again.reopened();
            assert_eq!(stable(&mut again), open);
        }
    }
}
