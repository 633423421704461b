//! CRC-32C (Castagnoli), the checksum of record batches.

/// The checksum of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    update(0, bytes)
}

/// The checksum of everything summed up in `crc`, followed by `bytes`.
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}
