//! CRC-32C (Castagnoli), the checksum of record batches.

/// The checksum of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    update(0, bytes)
}

/// The checksum of everything summed up in `crc`, followed by `bytes`.
#[cfg(not(target_arch = "wasm32"))]
#[inline]
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    // Takes the processor's own instruction.
    ::crc32c::crc32c_append(crc, bytes)
}

/// The checksum of everything summed up in `crc`, followed by `bytes`.
#[cfg(target_arch = "wasm32")]
#[inline]
pub fn update(crc: u32, bytes: &[u8]) -> u32 {
    // In a crate that is built for speed there; this one is built for size.
    shore_base::checksum::crc32c::update(crc, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3720, B.4.
    #[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
    #[cfg_attr(not(target_arch = "wasm32"), test)]
    fn the_vectors_of_rfc_3720() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        let cases: [(&[u8], u32); 6] = [
            (b"", 0),
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (&descending, 0x113f_db5c),
        ];
        for (bytes, crc) in cases {
            assert_eq!(crc32c(bytes), crc);
        }
    }

    #[cfg_attr(target_arch = "wasm32", wasm_bindgen_test::wasm_bindgen_test)]
    #[cfg_attr(not(target_arch = "wasm32"), test)]
    fn a_checksum_can_be_continued() {
        let bytes: Vec<u8> = (0..5_000_u32).map(|index| (index * index) as u8).collect();
        for split in [0, 1, 17, 767, 768, 2_500, 4_999, 5_000] {
            assert_eq!(update(crc32c(&bytes[..split]), &bytes[split..]), crc32c(&bytes), "split at {split}");
        }
    }
}
