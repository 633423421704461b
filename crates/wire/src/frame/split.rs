//! Splitting a connection's bytes into frames.

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::LENGTH_PREFIX;

/// A request has a key, a version and a correlation id, a response a correlation id.
const SHORTEST_FRAME: i32 = 4;

/// Splits a stream of chunks into frames. A frame that lies in one chunk is a slice of it; only one
/// that spans chunks is copied together, and only once all of it is there, so that a length prefix
/// which promises more than it sends costs nothing.
#[derive(Clone, Debug)]
pub struct FrameSplitter {
    max_frame_bytes: i32,
    chunks: VecDeque<Bytes>,
    buffered: usize,
    /// The prefix of the frame whose rest is awaited.
    awaited: Option<usize>,
    error: Option<FrameError>,
}

/// Why a stream is not one of Kafka frames. The connection has to be closed: where the next frame
/// would begin is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    Negative {
        length: i32,
    },
    TooShort {
        length: i32,
    },
    TooLarge {
        length: i32,
        max: i32,
    },
    /// The first bytes are those of an HTTP request.
    Http,
    /// The first bytes are those of a TLS handshake.
    Tls,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negative { length } => write!(f, "a frame of negative length {length}"),
            Self::TooShort { length } => write!(f, "a frame of {length} bytes, too short for a header"),
            Self::TooLarge { length, max } => write!(f, "a frame of {length} bytes where {max} are allowed"),
            Self::Http => f.write_str("this is an HTTP request, but the port speaks Kafka's protocol"),
            Self::Tls => f.write_str("this is a TLS handshake, but the listener is plaintext"),
        }
    }
}

impl std::error::Error for FrameError {}

impl FrameSplitter {
    /// Refuses frames of more than `max_frame_bytes` (Kafka's `socket.request.max.bytes`).
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            max_frame_bytes: i32::try_from(max_frame_bytes).unwrap_or(i32::MAX),
            chunks: VecDeque::new(),
            buffered: 0,
            awaited: None,
            error: None,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && self.error.is_none() {
            self.buffered += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes held that are not yet a whole frame.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// The next whole frame without its length prefix, or `None` until more bytes come. After an
    /// error the stream stays refused.
    #[allow(clippy::should_implement_trait, reason = "a stream of frames is not over when none is there")]
    pub fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let length = match self.awaited {
            Some(length) => length,
            None if self.buffered < LENGTH_PREFIX => return Ok(None),
            None => {
                let mut prefix = [0; LENGTH_PREFIX];
                self.copy_out(&mut prefix);
                let length = self.checked_length(prefix).inspect_err(|&error| {
                    self.error = Some(error);
                    self.chunks.clear();
                    self.buffered = 0;
                })?;
                self.awaited = Some(length);
                length
            }
        };
        if self.buffered < length {
            return Ok(None);
        }
        self.awaited = None;
        Ok(Some(self.take(length)))
    }

    fn checked_length(&self, prefix: [u8; LENGTH_PREFIX]) -> Result<usize, FrameError> {
        let length = i32::from_be_bytes(prefix);
        if length >= SHORTEST_FRAME && length <= self.max_frame_bytes {
            return Ok(length as usize);
        }
        Err(match prefix {
            [b'G', b'E', b'T', b' '] | [b'P', b'O', b'S', b'T'] | [b'P', b'U', b'T', b' '] => FrameError::Http,
            [b'H', b'E', b'A', b'D'] | [b'O', b'P', b'T', b'I'] | [b'P', b'R', b'I', b' '] => FrameError::Http,
            // A handshake record of TLS 1.0 to 1.3.
            [0x16, 0x03, 0x00..=0x04, _] => FrameError::Tls,
            _ if length < 0 => FrameError::Negative { length },
            _ if length < SHORTEST_FRAME => FrameError::TooShort { length },
            _ => FrameError::TooLarge { length, max: self.max_frame_bytes },
        })
    }

    /// Moves the first `length` bytes out. They are there.
    fn take(&mut self, length: usize) -> Bytes {
        let first = self.chunks.front_mut().expect("a frame has bytes");
        if first.len() >= length {
            let frame = first.split_to(length);
            if first.is_empty() {
                self.chunks.pop_front();
            }
            self.buffered -= length;
            return frame;
        }
        let mut frame = BytesMut::zeroed(length);
        self.copy_out(&mut frame);
        frame.freeze()
    }

    /// Copies the first bytes out. They are there.
    fn copy_out(&mut self, mut target: &mut [u8]) {
        self.buffered -= target.len();
        while !target.is_empty() {
            let first = self.chunks.front_mut().expect("as many bytes as are counted");
            let count = first.len().min(target.len());
            let (now, later) = target.split_at_mut(count);
            now.copy_from_slice(&first[..count]);
            first.advance(count);
            if first.is_empty() {
                self.chunks.pop_front();
            }
            target = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(bodies: &[&[u8]]) -> Vec<u8> {
        bodies.iter().flat_map(|body| [&(body.len() as i32).to_be_bytes(), *body].concat()).collect()
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let bodies: [&[u8]; 4] = [b"first", b"the second", b"3333", &[7; 300]];
        let stream = stream(&bodies);
        for step in 1..=stream.len() {
            let mut splitter = FrameSplitter::new(1_000);
            let mut frames = Vec::new();
            for chunk in stream.chunks(step) {
                splitter.push(Bytes::copy_from_slice(chunk));
                while let Some(frame) = splitter.next().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, bodies, "in steps of {step}");
            assert_eq!(splitter.buffered(), 0);
        }
    }

    #[test]
    fn a_frame_within_one_chunk_is_not_copied() {
        let chunk = Bytes::from(stream(&[b"first", b"second"]));
        let mut splitter = FrameSplitter::new(1_000);
        splitter.push(chunk.clone());
        for range in [4..9, 13..19] {
            let frame = splitter.next().unwrap().unwrap();
            assert_eq!(frame.as_ptr(), chunk.slice(range).as_ptr());
        }
    }

    #[test]
    fn bad_prefixes_are_refused_and_stay_refused() {
        let max = 1_000_000;
        let cases: [(&[u8], FrameError); 8] = [
            (&[0xff, 0xff, 0xff, 0xff], FrameError::Negative { length: -1 }),
            (&[0x80, 0, 0, 0], FrameError::Negative { length: i32::MIN }),
            (&[0, 0, 0, 0], FrameError::TooShort { length: 0 }),
            (&[0, 0, 0, 3], FrameError::TooShort { length: 3 }),
            (&[0x7f, 0xff, 0xff, 0xff], FrameError::TooLarge { length: i32::MAX, max }),
            (&[0, 0x0f, 0x42, 0x41], FrameError::TooLarge { length: max + 1, max }),
            (b"GET / HTTP/1.1\r\n", FrameError::Http),
            (&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01], FrameError::Tls),
        ];
        for (bytes, error) in cases {
            let mut splitter = FrameSplitter::new(max as usize);
            splitter.push(Bytes::copy_from_slice(bytes));
            assert_eq!(splitter.next(), Err(error));
            splitter.push(Bytes::from(stream(&[b"a good one"])));
            assert_eq!(splitter.next(), Err(error));
            assert_eq!(splitter.buffered(), 0);
        }
    }
}
