//! A record of `__consumer_offsets` or of `__cluster_metadata` is refused or read; what was read is
//! written to something that is read alike. The first byte says which log; for the first of them the
//! second says how long the key is.
#![no_main]

use shore_wire::records::group::GroupRecord;
use shore_wire::records::metadata::MetadataRecord;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&log, rest)) = bytes.split_first() else { return };
    if log % 2 == 0 {
        let Some((&length, rest)) = rest.split_first() else { return };
        let Some((key, value)) = rest.split_at_checked(usize::from(length)) else { return };
        group(key, Some(value));
        group(key, None);
    } else if let Ok(record) = MetadataRecord::decode(rest) {
        let again = MetadataRecord::decode(&record.encode()).expect("what was written is read");
        // A quota that is not a number does not equal itself.
        assert!(again == record || format!("{again:?}") == format!("{record:?}"), "{again:?} of {record:?}");
    }
});

fn group(key: &[u8], value: Option<&[u8]>) {
    let Ok(record) = GroupRecord::decode(key, value) else { return };
    // What flexible versions can carry may be too long for the version that is written.
    let Ok((key, value)) = record.encode() else { return };
    if !matches!(record, GroupRecord::Other { .. }) {
        assert_eq!(GroupRecord::decode(&key, value.as_deref()), Ok(record));
    }
}
