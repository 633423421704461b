//! The one kind of request that gets no answer, told apart without decoding it: a host that counts what is under way
//! has to know that nothing will come back.

use super::DecodeError;
use crate::api::{ApiKey, request_header_version};
use crate::codec::Reader;

/// Whether this request, without its length prefix, is a Produce request with acks=0. What cannot be read is not: its
/// connection will be closed.
pub fn is_fire_and_forget(request: &[u8]) -> bool {
    matches!(produce_acks(request), Ok(Some(0)))
}

fn produce_acks(request: &[u8]) -> Result<Option<i16>, DecodeError> {
    let mut reader = Reader::new(request);
    if reader.i16()? != ApiKey::Produce.key() {
        return Ok(None);
    }
    let version = reader.i16()?;
    let _correlation_id = reader.i32()?;
    let client_id_len = usize::try_from(reader.i16()?).unwrap_or(0);
    reader.take(client_id_len)?;
    let is_flexible = request_header_version(ApiKey::Produce, version) >= 2;
    if is_flexible {
        reader.skip_tagged_fields()?;
        let len_and_one = reader.unsigned_varint()?;
        reader.take(len_and_one.saturating_sub(1) as usize)?;
    } else if version >= 3 {
        let transactional_id_len = usize::try_from(reader.i16()?).unwrap_or(0);
        reader.take(transactional_id_len)?;
    }
    reader.i16().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::encode_request;
    use crate::messages::{HeartbeatRequest, ProduceRequest};

    #[test]
    fn acks_are_found_in_every_version() {
        let long = "t".repeat(300);
        for version in 3..=13 {
            for acks in [0, 1, -1] {
                for (client, transactional_id) in [(None, None), (Some("me"), None), (Some(""), Some(long.as_str()))] {
                    let mut request = ProduceRequest::default();
                    request.acks = acks;
                    request.transactional_id = transactional_id.map(Into::into);
                    let frame = encode_request(7, client, version, &request).expect("it fits the version");
                    assert_eq!(produce_acks(&frame.body()), Ok(Some(acks)), "version {version}, client {client:?}");
                }
            }
        }
    }

    #[test]
    fn before_version_3_there_is_no_transactional_id() {
        assert!(is_fire_and_forget(&[0, 0, 0, 2, 0, 0, 0, 7, 0, 1, b'c', 0, 0]));
        assert!(!is_fire_and_forget(&[0, 0, 0, 2, 0, 0, 0, 7, 0xff, 0xff, 0, 1]));
    }

    #[test]
    fn other_requests_and_torn_ones_are_answered() {
        let heartbeat = encode_request(7, None, 4, &HeartbeatRequest::default()).expect("it fits the version");
        assert!(!is_fire_and_forget(&heartbeat.body()));
        let mut request = ProduceRequest::default();
        request.acks = 0;
        let produce = encode_request(7, Some("me"), 9, &request).expect("it fits the version").body();
        let acks_end = produce.len() - 4 - 1 - 1;
        for len in 0..acks_end {
            assert!(!is_fire_and_forget(&produce[..len]), "{len} bytes");
        }
        assert!(is_fire_and_forget(&produce[..acks_end]));
    }
}
