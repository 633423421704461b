//! A frame, without its length prefix, is refused or read; what was read is written to something that
//! is read alike. The first byte says whether it is a request, or a response of which version; the
//! API of a response is the second.
#![no_main]

#[path = "../../crates/wire/tests/it/apis.rs"]
mod apis;

use std::fmt::Debug;

use bytes::Bytes;
use shore_wire::api::{ApiKey, Versions};
use shore_wire::frame::{decode_request, decode_request_head, decode_response, encode_request, encode_response};
use shore_wire::messages::{KafkaRequest, KafkaResponse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    if kind == REQUEST {
        let Ok((head, body)) = decode_request_head(&Bytes::copy_from_slice(rest)) else { return };
        apis::visit(&mut Request { api_key: head.api_key, version: head.api_version, body });
    } else if let Some((&api_key, frame)) = rest.split_first() {
        let frame = Bytes::copy_from_slice(frame);
        apis::visit(&mut Response { api_key: i16::from(api_key), version: i16::from(kind), frame });
    }
});

const REQUEST: u8 = 0xff;

struct Request {
    api_key: i16,
    version: i16,
    body: Bytes,
}

impl apis::Visitor for Request {
    fn api<Q: KafkaRequest + PartialEq + Debug, S: KafkaResponse + PartialEq + Debug>(
        &mut self,
        api: ApiKey,
        _: Versions,
    ) {
        if api.key() != self.api_key {
            return;
        }
        let Ok(request) = decode_request::<Q>(self.body.clone(), self.version) else { return };
        // What Apache Kafka dropped is read in the shape of a version that it kept, and written by nobody.
        if self.version < Q::SUPPORTED_VERSIONS.min().value() {
            return;
        }
        let again = encode_request(1, None, self.version, &request).expect("what was read can be written");
        let (_, body) = decode_request_head(&again.body()).expect("our own head");
        assert_eq!(decode_request::<Q>(body, self.version), Ok(request));
    }
}

struct Response {
    api_key: i16,
    version: i16,
    frame: Bytes,
}

impl apis::Visitor for Response {
    fn api<Q: KafkaRequest + PartialEq + Debug, S: KafkaResponse + PartialEq + Debug>(
        &mut self,
        api: ApiKey,
        _: Versions,
    ) {
        if api.key() != self.api_key {
            return;
        }
        let Ok((id, response)) = decode_response::<S>(self.frame.clone(), self.version) else { return };
        let again = encode_response(id, self.version, &response).expect("what was read can be written");
        assert_eq!(decode_response::<S>(again.body(), self.version), Ok((id, response)));
    }
}
