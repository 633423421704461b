#![no_main]

use shore_wire::compress::Codec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| shore_fuzz::inflate(Codec::Lz4, bytes));
