//! LZ4 in its frame format, as far as Kafka goes: blocks are independent, and there is no dictionary.

use twox_hash::XxHash32;

use super::{Codec, CompressError, corrupt};
use crate::codec::Reader;

/// Magic, flags (version 1, independent blocks), block size (64 KiB), and the checksum of the two:
/// what Kafka's producer writes.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const MAGIC: u32 = 0x184d_2204;
/// In a block's length: it is stored as it is.
const STORED: u32 = 0x8000_0000;
/// What a block holds before compression. The compressor takes another hash for 64 KiB and more,
/// one that depends on the pointer width.
const BLOCK: usize = u16::MAX as usize - 1;
/// No sequence of LZ4 makes more than 255 bytes of one, apart from its first few.
const BEST_RATIO: usize = 255;

const VERSION_MASK: u8 = 0xc0;
const VERSION: u8 = 0x40;
const INDEPENDENT_BLOCKS: u8 = 0x20;
const BLOCK_CHECKSUMS: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const RESERVED: u8 = 0x03;

/// Where the header's checksum stands if the frame does not say how much it holds.
const CHECKSUM_AT: usize = 6;

/// The checksum that Kafka's clients took over the magic too while messages had format 0.
pub(super) fn break_checksum(frame: &mut [u8]) {
    frame[CHECKSUM_AT] = (XxHash32::oneshot(0, &frame[..CHECKSUM_AT]) >> 8) as u8;
}

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER.len() + bytes.len() / 2);
    frame.extend_from_slice(&HEADER);
    for block in bytes.chunks(BLOCK) {
        let compressed = lz4_flex::block::compress(block);
        if compressed.len() < block.len() {
            frame.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
            frame.extend_from_slice(&compressed);
        } else {
            frame.extend_from_slice(&(block.len() as u32 | STORED).to_le_bytes());
            frame.extend_from_slice(block);
        }
    }
    frame.extend_from_slice(&0_u32.to_le_bytes());
    frame
}

/// Inflates one frame. What follows its end mark is ignored, as Kafka ignores it.
pub(super) fn decompress(bytes: &[u8], cap: usize, trusts_header: bool) -> Result<Vec<u8>, CompressError> {
    let mut reader = Reader::new(bytes);
    let (flags, block_max) = read_header(&mut reader, trusts_header)?;
    let mut inflated = Vec::new();
    loop {
        let length = read_u32(&mut reader)?;
        if length == 0 {
            return Ok(inflated);
        }
        let stored = length & STORED != 0;
        let length = (length & !STORED) as usize;
        if length > block_max {
            return Err(corrupt(Codec::Lz4, "a block is larger than its frame allows"));
        }
        let block = take(&mut reader, length)?;
        if flags & BLOCK_CHECKSUMS != 0 && read_u32(&mut reader)? != XxHash32::oneshot(0, block) {
            return Err(corrupt(Codec::Lz4, "a block's checksum does not match"));
        }
        if stored {
            inflated.extend_from_slice(block);
        } else {
            append_block(&mut inflated, block, block_max)?;
        }
        if inflated.len() > cap {
            return Err(CompressError::TooLarge { codec: Codec::Lz4, cap });
        }
    }
}

/// Returns the flags and the bytes that a block may hold.
fn read_header(reader: &mut Reader<'_>, is_trusted: bool) -> Result<(u8, usize), CompressError> {
    if read_u32(reader)? != MAGIC {
        return Err(corrupt(Codec::Lz4, "it does not begin with the frame's magic"));
    }
    let descriptor = reader.rest();
    let flags = take(reader, 2)?;
    let (flags, block_size) = (flags[0], flags[1]);
    if flags & VERSION_MASK != VERSION || flags & RESERVED != 0 || block_size & 0x8f != 0 {
        return Err(corrupt(Codec::Lz4, "its frame is of another version or needs a dictionary"));
    }
    if flags & INDEPENDENT_BLOCKS == 0 {
        return Err(corrupt(Codec::Lz4, "its blocks depend on one another"));
    }
    let block_max = match block_size >> 4 {
        4 => 64 * 1024,
        5 => 256 * 1024,
        6 => 1024 * 1024,
        7 => 4 * 1024 * 1024,
        _ => return Err(corrupt(Codec::Lz4, "its block size is none of LZ4's")),
    };
    if flags & CONTENT_SIZE != 0 {
        take(reader, 8)?;
    }
    let checksum = (XxHash32::oneshot(0, &descriptor[..descriptor.len() - reader.remaining()]) >> 8) as u8;
    if take(reader, 1)?[0] != checksum && !is_trusted {
        return Err(corrupt(Codec::Lz4, "its header's checksum does not match"));
    }
    Ok((flags, block_max))
}

fn append_block(inflated: &mut Vec<u8>, block: &[u8], block_max: usize) -> Result<(), CompressError> {
    let start = inflated.len();
    let room = block_max.min(block.len() * BEST_RATIO);
    inflated.resize(start + room, 0);
    let length =
        lz4_flex::block::decompress_into(block, &mut inflated[start..]).map_err(|error| corrupt(Codec::Lz4, error))?;
    inflated.truncate(start + length);
    Ok(())
}

fn read_u32(reader: &mut Reader<'_>) -> Result<u32, CompressError> {
    // LZ4 is little-endian.
    reader.u32().map(u32::swap_bytes).map_err(|_| corrupt(Codec::Lz4, "it is cut off"))
}

fn take<'a>(reader: &mut Reader<'a>, count: usize) -> Result<&'a [u8], CompressError> {
    reader.take(count).map_err(|_| corrupt(Codec::Lz4, "it is cut off"))
}
