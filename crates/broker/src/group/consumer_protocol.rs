//! What consumers put into the opaque bytes of JoinGroup and SyncGroup, as far as the coordinator and
//! its viewers look into it: the topics of a subscription, the partitions of an assignment. Fields are
//! read as version 0 has them, which every later version begins with.

use std::sync::Arc;

use shore_wire::codec::{DecodeError, Reader};

/// The protocol type of consumer groups.
pub(super) const TYPE: &str = "consumer";

/// The topics of a subscription.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Result<Vec<&str>, DecodeError> {
    let mut reader = versioned(metadata)?;
    reader.array(Reader::string)
}

/// The partitions of an assignment.
pub(super) fn assigned_partitions(assignment: &[u8]) -> Result<Vec<(Arc<str>, i32)>, DecodeError> {
    let mut reader = versioned(assignment)?;
    let mut assigned = Vec::new();
    for _ in 0..reader.array_len()? {
        let topic: Arc<str> = Arc::from(reader.string()?);
        for _ in 0..reader.array_len()? {
            assigned.push((topic.clone(), reader.i32()?));
        }
    }
    Ok(assigned)
}

fn versioned(bytes: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    if version < 0 {
        return Err(DecodeError::Invalid { what: "version of the consumer protocol", value: i64::from(version) });
    }
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_versions_are_read_as_far_as_version_0_goes() {
        let subscription =
            b"\x00\x03\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x07\xff\xff";
        assert_eq!(subscribed_topics(subscription), Ok(vec!["a", "bc"]));
        let assignment =
            b"\x00\x01\x00\x00\x00\x01\x00\x01a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x05\xff\xff\xff\xff";
        assert_eq!(assigned_partitions(assignment), Ok(vec![(Arc::from("a"), 0), (Arc::from("a"), 5)]));
    }

    #[test]
    fn what_is_cut_off_or_malformed_cannot_be_read() {
        for bytes in [
            &b""[..],
            b"\x00",
            b"\xff\xff\x00\x00\x00\x00",
            b"\x00\x00\x7f\xff\xff\xff",
            b"\x00\x00\x00\x00\x00\x01\x00\x01\xff",
        ] {
            assert!(subscribed_topics(bytes).is_err(), "{bytes:?}");
        }
    }
}
