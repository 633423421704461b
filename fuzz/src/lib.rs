//! What several fuzz targets do.

pub mod server;

use shore_wire::compress::Codec;

/// More than any input can be worth, little enough to inflate often.
const CAP: usize = 1 << 20;

/// Whatever the bytes are, inflating them ends within the cap; the codec takes them for content and
/// gives them back; and what it made of them may be damaged anywhere, as their first three bytes say.
pub fn inflate(codec: Codec, bytes: &[u8]) {
    inflate_hostile(codec, bytes);
    let compressed = codec.compress(bytes, None).expect("every codec takes whatever bytes there are");
    assert_eq!(codec.decompress(&compressed, bytes.len()).as_deref(), Ok(bytes));
    if let [high, low, flip, ..] = *bytes {
        let mut damaged = compressed;
        let at = usize::from(u16::from_be_bytes([high, low])) % damaged.len();
        damaged[at] ^= flip;
        inflate_hostile(codec, &damaged);
    }
}

fn inflate_hostile(codec: Codec, bytes: &[u8]) {
    if let Ok(inflated) = codec.decompress(bytes, CAP) {
        assert!(inflated.len() <= CAP);
    }
}
