//! Frames: how bytes on a connection become requests and responses, and back.

mod acks;
mod split;

pub use acks::is_fire_and_forget;
pub use kafka_wire_core::EncodeError;
pub use split::{FrameError, FrameSplitter};

pub use crate::codec::DecodeError;

use bytes::{Bytes, BytesMut};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder, Encoder, KafkaDecode, KafkaEncode, StrBytes};

use crate::api::{ApiKey, request_header_version, response_header_version};
use crate::codec::{Reader, Writer};
use crate::dropped;
use crate::messages::{KafkaRequest, KafkaResponse};

/// The bytes of a frame's length prefix.
pub const LENGTH_PREFIX: usize = 4;
/// The bytes of a response's head where it has no tagged fields.
const CORRELATION_ID: usize = 4;

/// A whole request or response with its length prefix, as a list of slices that are written out
/// together: record bytes stand in it where they already lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    parts: Vec<Bytes>,
}

impl Frame {
    /// A frame of these parts; the first begins with the length prefix.
    pub(crate) fn new(parts: Vec<Bytes>) -> Self {
        debug_assert!(parts[0].len() >= LENGTH_PREFIX);
        Self { parts }
    }

    /// A frame from a body that lacks its length prefix.
    pub fn from_body(body: &[u8]) -> Self {
        let mut whole = BytesMut::with_capacity(LENGTH_PREFIX + body.len());
        whole.extend_from_slice(&i32::try_from(body.len()).expect("a body within an int32 length").to_be_bytes());
        whole.extend_from_slice(body);
        Self { parts: vec![whole.freeze()] }
    }

    /// The slices, in order, the first of which begins with the length prefix.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// How many bytes go over the connection.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// Never: every frame has its length prefix.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The frame in one piece.
    pub fn into_bytes(mut self) -> Bytes {
        if self.parts.len() == 1 {
            return self.parts.remove(0);
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for part in &self.parts {
            whole.extend_from_slice(part);
        }
        whole.freeze()
    }

    /// The frame in one piece without its length prefix.
    pub fn body(&self) -> Bytes {
        self.clone().into_bytes().slice(LENGTH_PREFIX..)
    }
}

/// What a request says before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
}

/// Reads the head of a request frame (without length prefix); the rest is the body. A key that
/// Kafka does not know is refused: not even the header's shape is known then.
pub fn decode_request_head(frame: &Bytes) -> Result<(RequestHead, Bytes), DecodeError> {
    let mut reader = Reader::new(frame);
    let api_key = reader.i16()?;
    let api_version = reader.i16()?;
    let correlation_id = reader.i32()?;
    let api = ApiKey::from_key(api_key).ok_or(DecodeError::UnknownApiKey(api_key))?;
    // Any version of ApiVersions has an answer.
    if api_version < 0 && api != ApiKey::ApiVersions {
        return Err(DecodeError::UnsupportedVersion { api: api.name(), version: api_version });
    }
    let header_version = request_header_version(api, api_version);
    // The client id keeps its int16 length in flexible headers too.
    let client_id = if header_version >= 1 { reader.nullable_string()? } else { None };
    let client_id = client_id.map(StrBytes::from);
    if header_version >= 2 {
        reader.skip_tagged_fields()?;
    }
    let body = frame.slice(frame.len() - reader.remaining()..);
    Ok((RequestHead { api_key, api_version, correlation_id, client_id }, body))
}

/// Reads a request's body. What comes after its end is ignored, as by Apache Kafka: librdkafka asks for the metadata of
/// all topics with an array length of four bytes where one is due. The version may be one that Apache Kafka 4 dropped.
pub fn decode_request<M: KafkaRequest>(body: Bytes, version: i16) -> Result<M, DecodeError> {
    let api = M::API_KEY.value();
    let mut decoder = decoder(dropped::rewrite_request(api, version, body)?)?;
    Ok(M::decode(&mut decoder, ApiVersion::new(dropped::kept_version(api, version)))?)
}

/// Writes a request with its head.
pub fn encode_request<M: KafkaRequest>(
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    request: &M,
) -> Result<Frame, EncodeError> {
    let api = ApiKey::from_key(M::API_KEY.value()).expect("every message's key is known");
    encode_message(request_head(api, correlation_id, client_id, version)?, version, request)
}

/// A request whose body is passed on as it came.
pub fn request_with_body(
    api: ApiKey,
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    body: &[u8],
) -> Result<Frame, EncodeError> {
    with_body(request_head(api, correlation_id, client_id, version)?, body)
}

/// A request's head after an empty length prefix.
fn request_head(
    api: ApiKey,
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
) -> Result<Writer, EncodeError> {
    let header_version = request_header_version(api, version);
    let mut head = Writer::with_capacity(LENGTH_PREFIX + 16);
    head.i32(0);
    head.i16(api.key());
    head.i16(version);
    head.i32(correlation_id);
    if header_version >= 1 {
        if let Some(id) = client_id.filter(|id| i16::try_from(id.len()).is_err()) {
            return Err(EncodeError::LengthOverflow {
                kind: "client id",
                length: id.len(),
                maximum: i16::MAX as usize,
            });
        }
        head.nullable_string(client_id);
    }
    if header_version >= 2 {
        head.no_tagged_fields();
    }
    Ok(head)
}

/// Writes a response with its head. The version may be one that Apache Kafka 4 dropped.
pub fn encode_response<M: KafkaResponse>(
    correlation_id: i32,
    version: i16,
    response: &M,
) -> Result<Frame, EncodeError> {
    let api = ApiKey::from_key(M::API_KEY.value()).expect("every message's key is known");
    let kept = dropped::kept_version(api.key(), version);
    let frame = encode_message(response_head(api, correlation_id, kept), kept, response)?;
    if kept == version { Ok(frame) } else { as_dropped(api, correlation_id, version, &frame) }
}

/// A response of the oldest version that was kept, in one that was dropped.
fn as_dropped(api: ApiKey, correlation_id: i32, version: i16, frame: &Frame) -> Result<Frame, EncodeError> {
    let body = &frame.body()[CORRELATION_ID..];
    let rewritten = dropped::rewrite_response(api.key(), version, body).expect("a version that was dropped");
    response_with_body(api, correlation_id, version, &rewritten)
}

/// A response whose body is passed on as it came.
pub fn response_with_body(api: ApiKey, correlation_id: i32, version: i16, body: &[u8]) -> Result<Frame, EncodeError> {
    with_body(response_head(api, correlation_id, version), body)
}

/// A response's head after an empty length prefix.
pub(crate) fn response_head(api: ApiKey, correlation_id: i32, version: i16) -> Writer {
    let mut head = Writer::with_capacity(LENGTH_PREFIX + 5);
    head.i32(0);
    head.i32(correlation_id);
    if response_header_version(api, version) >= 1 {
        head.no_tagged_fields();
    }
    head
}

/// The correlation id of a response frame (without length prefix).
pub fn response_correlation_id(frame: &Bytes) -> Option<i32> {
    Reader::new(frame).i32().ok()
}

/// Reads a whole response frame (without length prefix) and refuses bytes after its end.
pub fn decode_response<M: KafkaResponse>(frame: Bytes, version: i16) -> Result<(i32, M), DecodeError> {
    let api = ApiKey::from_key(M::API_KEY.value()).expect("every message's key is known");
    let (correlation_id, body) = decode_response_head(api, version, &frame)?;
    Ok((correlation_id, decode_message(body, version)?))
}

/// Reads the head of a response frame (without length prefix): the correlation id, and the rest, which is the body.
pub fn decode_response_head(api: ApiKey, version: i16, frame: &Bytes) -> Result<(i32, Bytes), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation_id = reader.i32()?;
    if response_header_version(api, version) >= 1 {
        reader.skip_tagged_fields()?;
    }
    Ok((correlation_id, frame.slice(frame.len() - reader.remaining()..)))
}

fn decode_message<M: KafkaDecode>(body: Bytes, version: i16) -> Result<M, DecodeError> {
    let mut decoder = decoder(body)?;
    let message = M::decode(&mut decoder, ApiVersion::new(version))?;
    decoder.finish()?;
    Ok(message)
}

fn decoder(body: Bytes) -> Result<Decoder, DecodeError> {
    // No element of an array takes less than a byte, so the body itself bounds every count.
    let mut limits = DecodeLimits::default();
    limits.max_frame_bytes = body.len();
    limits.max_string_bytes = body.len();
    limits.max_bytes_bytes = body.len();
    limits.max_array_elements = body.len();
    Ok(Decoder::new(body, limits)?)
}

/// The length prefix and head in `head`, then the message, with the prefix filled in.
fn encode_message<M: KafkaEncode>(head: Writer, version: i16, message: &M) -> Result<Frame, EncodeError> {
    let mut buffer = BytesMut::from(head.into_bytes());
    // Not `encode_into`: it finds the length first, for which all writers are compiled once more.
    message.encode(&mut Encoder::new(&mut buffer), ApiVersion::new(version))?;
    sealed(buffer)
}

fn with_body(head: Writer, body: &[u8]) -> Result<Frame, EncodeError> {
    let mut buffer = BytesMut::from(head.into_bytes());
    buffer.extend_from_slice(body);
    sealed(buffer)
}

/// The frame, with its length prefix filled in.
fn sealed(mut buffer: BytesMut) -> Result<Frame, EncodeError> {
    let length = buffer.len() - LENGTH_PREFIX;
    let prefix = i32::try_from(length).map_err(|_| EncodeError::FrameTooLarge { bytes: length })?;
    buffer[..LENGTH_PREFIX].copy_from_slice(&prefix.to_be_bytes());
    Ok(Frame::new(vec![buffer.freeze()]))
}
