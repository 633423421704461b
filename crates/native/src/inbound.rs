//! From a socket's bytes to whole request frames.
//!
//! A request is read into one buffer and handed on as a slice of it, so that the only copy made is the
//! one into the partition. A length prefix is a claim: memory follows the bytes that came, not the
//! bytes that were announced. A connection that has sent nothing holds no buffer.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};

use bytes::Bytes;

use crate::buffers::{Buffers, SMALL};

/// Reads grow up to this where a connection keeps filling them.
const LARGEST_READ: usize = 256 << 10;
/// A frame from this size on is read exactly to its end, so that nothing of the next one has to move.
const LARGE_FRAME: usize = 64 << 10;
/// How many bytes may be set aside for each byte that came.
const TRUST: usize = 16;

pub struct Inbound {
    max_frame: usize,
    /// The beginning of a frame whose end has not come.
    unfinished: Option<Unfinished>,
    /// Whole frames nobody took yet; nothing is read while there are any.
    ready: VecDeque<Bytes>,
    /// What one read asks for, grown and shrunk with the traffic.
    read_size: usize,
    /// The size of this connection's large frames: the next one is trusted to be of that size.
    usual: usize,
}

struct Unfinished {
    buffer: Vec<u8>,
    filled: usize,
}

/// What one read of the socket brought.
#[derive(Debug, PartialEq)]
pub enum Progress {
    Some,
    /// The socket has no more for now.
    Blocked,
    /// The peer has sent its last byte.
    End,
}

/// Why a connection cannot be read on.
#[derive(Debug)]
pub enum Refused {
    Length(i32),
    Http,
    Tls,
    Io(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(f, "announced a request of {len} bytes"),
            Self::Http => f.write_str("speaks HTTP, and this port speaks Kafka's protocol"),
            Self::Tls => f.write_str("speaks TLS, and this listener is PLAINTEXT"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl Inbound {
    pub fn new(max_frame: usize) -> Self {
        Self { max_frame, unfinished: None, ready: VecDeque::new(), read_size: SMALL, usual: 0 }
    }

    pub fn take(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Memory held for a frame whose end has not come.
    pub fn unfinished_bytes(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |unfinished| unfinished.buffer.len())
    }

    pub fn give_back(self, buffers: &Buffers) {
        if let Some(unfinished) = self.unfinished {
            buffers.give_back(unfinished.buffer);
        }
    }

    /// Reads once.
    pub fn read(&mut self, socket: &mut impl Read, buffers: &Buffers) -> Result<Progress, Refused> {
        let Unfinished { mut buffer, filled } = self
            .unfinished
            .take()
            .unwrap_or_else(|| Unfinished { buffer: buffers.take(self.read_size.max(self.usual)), filled: 0 });
        let end = self.read_end(&buffer, filled);
        let result = loop {
            match socket.read(&mut buffer[filled..end]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        match result {
            Ok(0) => {
                buffers.give_back(buffer);
                Ok(Progress::End)
            }
            Ok(count) => {
                self.adapt(count, end - filled);
                self.carve(buffer, filled + count, buffers)?;
                Ok(Progress::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if filled > 0 {
                    self.unfinished = Some(Unfinished { buffer, filled });
                } else {
                    buffers.give_back(buffer);
                }
                Ok(Progress::Blocked)
            }
            Err(error) => {
                buffers.give_back(buffer);
                Err(Refused::Io(error))
            }
        }
    }

    /// How far into the buffer the next read may go.
    fn read_end(&self, buffer: &[u8], filled: usize) -> usize {
        let frame = match length_at(buffer, 0, filled) {
            Some(len) => 4 + len as usize,
            None => self.usual,
        };
        if frame >= LARGE_FRAME { frame.min(buffer.len()) } else { buffer.len() }
    }

    fn adapt(&mut self, count: usize, asked: usize) {
        if count == asked {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        } else if count < self.read_size / 4 {
            self.read_size = (self.read_size / 2).max(SMALL);
        }
    }

    /// Cuts whole frames out of the first `filled` bytes and keeps the rest for the next read.
    fn carve(&mut self, mut buffer: Vec<u8>, filled: usize, buffers: &Buffers) -> Result<(), Refused> {
        let mut frames = Vec::new();
        let mut start = 0;
        while let Some(len) = length_at(&buffer, start, filled) {
            let len = check_length(len, &buffer[start..start + 4], self.max_frame)?;
            if filled - start < 4 + len {
                break;
            }
            frames.push(start + 4..start + 4 + len);
            start += 4 + len;
            self.usual = if len >= LARGE_FRAME { 4 + len } else { 0 };
        }
        let rest = filled - start;
        let wanted = self.room_for(&buffer[start..filled]);
        if frames.is_empty() {
            if wanted > buffer.len() {
                let mut larger = buffers.take(wanted);
                larger[..filled].copy_from_slice(&buffer[..filled]);
                buffers.give_back(std::mem::replace(&mut buffer, larger));
            }
            self.unfinished = Some(Unfinished { buffer, filled });
            return Ok(());
        }
        if rest > 0 {
            let mut next = buffers.take(wanted);
            next[..rest].copy_from_slice(&buffer[start..filled]);
            self.unfinished = Some(Unfinished { buffer: next, filled: rest });
        }
        let shared = buffers.share(buffer);
        self.ready.extend(frames.into_iter().map(|range| shared.slice(range)));
        Ok(())
    }

    /// How large a buffer the frame that begins with these bytes gets for now.
    fn room_for(&self, bytes: &[u8]) -> usize {
        let claimed = length_at(bytes, 0, bytes.len()).map_or(0, |len| 4 + len as usize);
        let justified = (bytes.len() * TRUST).max(self.usual).max(self.read_size);
        claimed.min(justified).max(self.read_size).max(bytes.len() + 1)
    }
}

/// The length prefix at `start`, if all of it came. Negative ones are refused before this is used as a size.
fn length_at(buffer: &[u8], start: usize, filled: usize) -> Option<i32> {
    let prefix = buffer[..filled].get(start..start + 4)?;
    Some(i32::from_be_bytes(prefix.try_into().expect("four bytes")))
}

fn check_length(len: i32, prefix: &[u8], max_frame: usize) -> Result<usize, Refused> {
    const HTTP: [&[u8]; 7] = [b"GET ", b"POST", b"PUT ", b"HEAD", b"DELE", b"OPTI", b"CONN"];
    match usize::try_from(len) {
        _ if HTTP.contains(&prefix) => Err(Refused::Http),
        _ if prefix.starts_with(&[0x16, 0x03]) => Err(Refused::Tls),
        Ok(len) if len <= max_frame => Ok(len),
        _ => Err(Refused::Length(len)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that gives what it has in pieces of at most `piece` bytes and then blocks.
    struct Pieces<'a> {
        bytes: &'a [u8],
        piece: usize,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.bytes.is_empty() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = self.piece.min(buffer.len()).min(self.bytes.len());
            buffer[..count].copy_from_slice(&self.bytes[..count]);
            self.bytes = &self.bytes[count..];
            Ok(count)
        }
    }

    fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
        frames.iter().flat_map(|frame| [&(frame.len() as i32).to_be_bytes()[..], frame].concat()).collect()
    }

    fn read_all(inbound: &mut Inbound, bytes: &[u8], piece: usize) -> Result<Vec<Bytes>, Refused> {
        let (buffers, mut socket) = (Buffers::default(), Pieces { bytes, piece });
        let mut frames = Vec::new();
        while inbound.read(&mut socket, &buffers)? == Progress::Some {
            frames.extend(std::iter::from_fn(|| inbound.take()));
        }
        Ok(frames)
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let small: &[usize] = &[0, 1, 5, 300, 16_380, 16_384, 70_000, 3];
        let large: &[usize] = &[7, 1_100_000, 1_100_000, 2, 900_000, 17, 65_536, 65_532];
        let cuts = [(small, 1), (small, 3), (small, 4), (small, usize::MAX)];
        for (sizes, piece) in cuts.into_iter().chain([1_000, 16_384, 100_000, usize::MAX].map(|piece| (large, piece))) {
            let frame = |&size: &usize| (0..size).map(|at| (at % 251) as u8).collect();
            let frames: Vec<Vec<u8>> = sizes.iter().map(frame).collect();
            let bytes = stream(&frames);
            let mut inbound = Inbound::new(2_000_000);
            assert_eq!(read_all(&mut inbound, &bytes, piece).unwrap(), frames, "in pieces of {piece}");
            assert_eq!(inbound.unfinished_bytes(), 0);
        }
    }

    #[test]
    fn what_is_claimed_but_not_sent_costs_nothing() {
        let mut inbound = Inbound::new(100 << 20);
        let mut bytes = (100_i32 << 20).to_be_bytes().to_vec();
        bytes.extend([0; 1_000]);
        assert_eq!(read_all(&mut inbound, &bytes, usize::MAX).unwrap(), Vec::<Bytes>::new());
        let held = inbound.unfinished.as_ref().unwrap().buffer.len();
        assert!(held <= 1_004 * TRUST * 2, "{held} bytes for 1,004");
    }

    #[test]
    fn what_is_no_frame_is_refused_by_its_first_bytes() {
        let cases: [(&[u8], &str); 6] = [
            (b"GET / HTTP/1.1\r\n", "speaks HTTP, and this port speaks Kafka's protocol"),
            (b"POST /x", "speaks HTTP, and this port speaks Kafka's protocol"),
            (&[0x16, 0x03, 0x01, 0x02, 0x00], "speaks TLS, and this listener is PLAINTEXT"),
            (&[0xff; 8], "announced a request of -1 bytes"),
            (&[0x7f, 0xff, 0xff, 0xff], "announced a request of 2147483647 bytes"),
            (&[0, 0, 4, 1], "announced a request of 1025 bytes"),
        ];
        for (bytes, reason) in cases {
            let refused = read_all(&mut Inbound::new(1_024), bytes, usize::MAX).unwrap_err();
            assert_eq!(refused.to_string(), reason);
        }
    }
}
