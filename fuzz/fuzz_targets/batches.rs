//! Bytes are refused or walked to their end; records that were read build a batch that reads alike.
#![no_main]

use shore_wire::batch::{BatchBuilder, BatchOptions, BatchView, Record, batches, patch, set_log_append_time};
use shore_wire::compress::Codec;

const CAP: usize = 1 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for batch in batches(bytes) {
        let Ok(batch) = batch else { return };
        let Ok(records) = batch.records(CAP) else { continue };
        let Ok(records) = records.iter().collect::<Result<Vec<_>, _>>() else { continue };
        rebuild(&records);
        rewrite(batch);
    }
});

/// Appends the records anew, with other offsets: those of a hostile batch need not ascend.
fn rebuild(records: &[Record<'_>]) {
    for codec in [Codec::None, Codec::Lz4] {
        let mut builder = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
        for record in records {
            builder.append(record.timestamp, record.key, record.value, record.headers);
        }
        let bytes = builder.finish();
        let batch = BatchView::parse(&bytes).expect("our own batch");
        assert!(batch.crc_matches());
        let again = batch.records(usize::MAX).expect("our own records");
        let again: Vec<_> = again.iter().map(|record| record.expect("our own record")).collect();
        assert_eq!(again.len(), records.len());
        for (again, record) in again.iter().zip(records) {
            assert_eq!((again.timestamp, again.key, again.value), (record.timestamp, record.key, record.value));
            assert!(again.headers.eq(record.headers));
        }
    }
}

fn rewrite(batch: BatchView<'_>) {
    let mut bytes = batch.bytes().to_vec();
    patch(&mut bytes, 5, 6);
    let patched = BatchView::parse(&bytes).expect("as before");
    assert_eq!((patched.base_offset(), patched.leader_epoch(), patched.crc()), (5, 6, batch.crc()));
    set_log_append_time(&mut bytes, 7);
    let stamped = BatchView::parse(&bytes).expect("as before");
    assert!(stamped.crc_matches() && stamped.max_timestamp() == 7);
}
