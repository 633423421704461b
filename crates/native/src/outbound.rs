//! What a connection is still owed: slices that are written out together.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};

use bytes::{Buf, Bytes};

/// How many slices go into one write.
const GATHERED: usize = 64;

#[derive(Default)]
pub struct Outbound {
    slices: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbound {
    pub fn push(&mut self, parts: &[Bytes]) {
        for part in parts {
            self.bytes += part.len();
            self.slices.push_back(part.clone());
        }
    }

    /// Bytes that wait for the peer to read.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes until nothing is left or the socket takes no more; `false` means the latter.
    pub fn write(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        while self.bytes > 0 {
            let gathered: [IoSlice<'_>; GATHERED] =
                std::array::from_fn(|index| IoSlice::new(self.slices.get(index).map_or(&[], |slice| slice)));
            let count = gathered.len().min(self.slices.len());
            match socket.write_vectored(&gathered[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.slices.clear();
        Ok(true)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(front) = self.slices.front_mut() {
            if front.len() > written {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.slices.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `room` bytes a call, and blocks after each.
    struct Slow {
        taken: Vec<u8>,
        room: usize,
        blocked: bool,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.blocked = !self.blocked;
            if self.blocked {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(self.room);
            self.taken.extend(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_is_written_in_order_however_little_the_socket_takes() {
        let parts: Vec<Bytes> = (0..200_u8).map(|index| Bytes::from(vec![index; usize::from(index) % 7])).collect();
        for room in [1, 2, 5, 1_000] {
            let mut outbound = Outbound::default();
            outbound.push(&parts);
            let mut socket = Slow { taken: Vec::new(), room, blocked: false };
            while !outbound.write(&mut socket).unwrap() {}
            assert_eq!(socket.taken, parts.concat());
            assert_eq!(outbound.bytes(), 0);
        }
    }
}
