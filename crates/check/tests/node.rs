//! One seed, one trace: as wasm in Node.

#![cfg(target_arch = "wasm32")]

mod hashes;

use wasm_bindgen_test::wasm_bindgen_test;

#[wasm_bindgen_test]
fn every_seed_has_its_hash() {
    hashes::every_seed_has_its_hash();
}
