//! gzip, as RFC 1952 has it.

use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate, inflate_flags};

use shore_base::checksum::crc32;

use super::{Codec, CompressError, corrupt};

const LEVELS: std::ops::RangeInclusive<i32> = 1..=9;
/// What Kafka calls the default level; zlib takes it for 6.
const DEFAULT_LEVEL: i32 = -1;
const ZLIB_DEFAULT: i32 = 6;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const DEFLATE: u8 = 8;
/// No name and no time, from an unknown system.
const HEADER: [u8; 10] = [MAGIC[0], MAGIC[1], DEFLATE, 0, 0, 0, 0, 0, 0, 255];

/// What is inflated lies in one piece.
const ONE_BUFFER: u32 = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;

pub(super) fn compress(bytes: &[u8], level: Option<i32>) -> Result<Vec<u8>, CompressError> {
    let level = match level {
        None | Some(DEFAULT_LEVEL) => ZLIB_DEFAULT,
        Some(level) if LEVELS.contains(&level) => level,
        Some(level) => return Err(CompressError::BadLevel { codec: Codec::Gzip, level }),
    };
    Ok([&HEADER[..], &compress_to_vec(bytes, level as u8), &trailer(bytes)].concat())
}

pub(super) fn decompress(bytes: &[u8], cap: usize) -> Result<Vec<u8>, CompressError> {
    // One byte beyond the cap tells data of just that size from too much.
    let room = cap.saturating_add(1);
    let output = vec![0; bytes.len().saturating_mul(2).min(room)];
    let mut inflater = Inflater { state: Box::default(), output, filled: 0, room };
    let mut rest = inflater.member(bytes)?;
    while !rest.is_empty() {
        rest = inflater.member(rest)?;
    }
    if inflater.filled == room {
        return Err(CompressError::TooLarge { codec: Codec::Gzip, cap });
    }
    inflater.output.truncate(inflater.filled);
    Ok(inflater.output)
}

struct Inflater {
    state: Box<DecompressorOxide>,
    /// Grows with what it is filled with, to `room` at most.
    output: Vec<u8>,
    filled: usize,
    room: usize,
}

impl Inflater {
    /// Inflates the first member of `bytes` and returns what follows it: nothing once the room is full.
    fn member<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], CompressError> {
        let mut rest = after_header(bytes)?;
        let start = self.filled;
        self.state.init();
        loop {
            let (output, filled) = (&mut self.output[start..], self.filled - start);
            let (status, taken, given) = inflate(&mut self.state, rest, output, filled, ONE_BUFFER);
            rest = &rest[taken..];
            self.filled += given;
            match status {
                TINFLStatus::Done => break,
                TINFLStatus::HasMoreOutput if self.filled == self.room => return Ok(&[]),
                TINFLStatus::HasMoreOutput => {
                    let larger = self.output.len().saturating_mul(2).max(64);
                    self.output.resize(larger.min(self.room), 0);
                }
                TINFLStatus::FailedCannotMakeProgress => return Err(cut_off()),
                _ => return Err(corrupt(Codec::Gzip, "its deflated data is malformed")),
            }
        }
        let (found, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
        if *found != trailer(&self.output[start..self.filled]) {
            return Err(corrupt(Codec::Gzip, "its checksum or its size does not match"));
        }
        Ok(rest)
    }
}

/// What ends a member that holds `bytes`: their checksum and how many they are, modulo 2^32.
fn trailer(bytes: &[u8]) -> [u8; 8] {
    let crc = crc32(bytes);
    (u64::from(crc) | (bytes.len() as u64) << 32).to_le_bytes()
}

/// A member without its header.
fn after_header(bytes: &[u8]) -> Result<&[u8], CompressError> {
    const HAS_CRC: u8 = 1 << 1;
    const HAS_EXTRA: u8 = 1 << 2;
    const HAS_NAME: u8 = 1 << 3;
    const HAS_COMMENT: u8 = 1 << 4;
    const RESERVED: u8 = 0b1110_0000;

    let (fixed, mut rest) = bytes.split_first_chunk::<10>().ok_or_else(cut_off)?;
    let flags = fixed[3];
    if fixed[..2] != MAGIC || fixed[2] != DEFLATE || flags & RESERVED != 0 {
        return Err(corrupt(Codec::Gzip, "its header is malformed"));
    }
    if flags & HAS_EXTRA != 0 {
        let (length, extra) = rest.split_first_chunk().ok_or_else(cut_off)?;
        rest = extra.get(usize::from(u16::from_le_bytes(*length))..).ok_or_else(cut_off)?;
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|&byte| byte == 0).ok_or_else(cut_off)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & HAS_CRC != 0 {
        let header = &bytes[..bytes.len() - rest.len()];
        let (found, data) = rest.split_first_chunk().ok_or_else(cut_off)?;
        if u16::from_le_bytes(*found) != crc32(header) as u16 {
            return Err(corrupt(Codec::Gzip, "its header's checksum does not match"));
        }
        rest = data;
    }
    Ok(rest)
}

fn cut_off() -> CompressError {
    corrupt(Codec::Gzip, "it is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` stored without compression, in a member whose header has everything that a header may have.
    fn member_with_a_full_header(text: &[u8]) -> Vec<u8> {
        let mut member = vec![0x1f, 0x8b, 8, 0b1_1111, 1, 2, 3, 4, 0, 3];
        member.extend(b"\x03\0ext");
        member.extend(b"name\0comment\0");
        let crc = crc32(&member) as u16;
        member.extend(crc.to_le_bytes());
        let length = text.len() as u16;
        member.push(1);
        member.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        member.extend(text);
        member.extend(trailer(text));
        member
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        assert_eq!(trailer(b"123456789"), [0x26, 0x39, 0xf4, 0xcb, 9, 0, 0, 0]);
    }

    #[test]
    fn members_follow_each_other_and_may_have_full_headers() {
        let members = [member_with_a_full_header(b"ab"), compress(b"", None).unwrap(), compress(b"cd", None).unwrap()];
        assert_eq!(decompress(&members.concat(), 4).as_deref(), Ok(&b"abcd"[..]));
        assert_eq!(decompress(&members.concat(), 3), Err(CompressError::TooLarge { codec: Codec::Gzip, cap: 3 }));
    }

    #[test]
    fn what_is_cut_off_or_altered_is_refused() {
        let whole = member_with_a_full_header(b"some text");
        for length in 0..whole.len() {
            assert_eq!(decompress(&whole[..length], 100), Err(cut_off()), "{length} bytes");
        }
        let time_system_and_flags_of_speed = 4..10;
        for index in 0..whole.len() {
            let mut altered = whole.clone();
            altered[index] ^= 4;
            assert!(decompress(&altered, 100).is_err(), "byte {index}");
        }
        let mut altered = compress(b"some text", None).unwrap();
        for index in time_system_and_flags_of_speed {
            altered[index] ^= 4;
        }
        assert_eq!(decompress(&altered, 100).as_deref(), Ok(&b"some text"[..]));
    }
}
