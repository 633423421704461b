//! Bytes from a peer that means harm: every frame of real clients cut at every byte, with bits
//! flipped and lengths blown up. Nothing panics, and nothing allocates more than the bytes justify.
//!
//! A binary of its own with a single test: what it measures is the whole process's memory.

#[path = "it/apis.rs"]
mod apis;
#[path = "it/recorded.rs"]
mod recorded;

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use shore_base::Random;
use shore_wire::api::{ApiKey, Versions};
use shore_wire::batch::{BatchBuilder, BatchOptions, Header, batches};
use shore_wire::compress::Codec;
use shore_wire::frame::{decode_request, decode_request_head, decode_response};
use shore_wire::messages::{KafkaRequest, KafkaResponse};

use apis::{Visitor, visit};
use recorded::{Golden, frames};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What decoding may take whatever the input: error texts, and the tables of an inflater.
const ALWAYS: usize = 1024 * 1024;
/// What a byte may become: an element of an array has many fields, most of which can be absent.
const FOR_EACH_BYTE: usize = 400;
/// The cap for inflation here, low enough to be met.
const CAP: usize = 256 * 1024;

#[test]
fn harm_is_data() {
    visit(&mut Frames { frames: frames() });
    hostile_batches();
    hostile_streams();
}

struct Frames {
    frames: Vec<Golden>,
}

impl Visitor for Frames {
    fn api<Q: KafkaRequest, S: KafkaResponse>(&mut self, api: ApiKey, _: Versions) {
        for golden in self.frames.iter().filter(|golden| golden.api == api) {
            for bytes in harmed(&golden.frame) {
                bounded(&golden.place, bytes.len() * FOR_EACH_BYTE, || {
                    if golden.is_request {
                        if let Ok((head, body)) = decode_request_head(&bytes) {
                            let _ = decode_request::<Q>(body, head.api_version);
                        }
                    } else {
                        let _ = decode_response::<S>(bytes.clone(), golden.version);
                    }
                });
            }
        }
    }
}

fn hostile_batches() {
    for codec in Codec::ALL {
        let mut batch = BatchBuilder::new(BatchOptions { codec, ..BatchOptions::default() });
        for index in 0..40 {
            let headers = [Header { key: b"key", value: Some(b"header") }; 2];
            batch.append(index, Some(b"key"), Some(&[index as u8; 20]), headers);
        }
        for bytes in harmed(&batch.finish()) {
            bounded(codec.name(), 4 * CAP + bytes.len() * 4, || {
                for batch in batches(&bytes).flatten() {
                    if let Ok(records) = batch.records(CAP) {
                        let _ = records.iter().map(|record| record.map_or(0, |record| record.headers.count())).max();
                    }
                }
            });
        }
    }
}

fn hostile_streams() {
    for codec in Codec::ALL {
        for content in [vec![0; 3 * CAP], b"some text and again some text".repeat(40)] {
            let compressed = Bytes::from(codec.compress(&content, None).expect("compressible"));
            let compressed = compressed.slice(..compressed.len().min(2_000));
            for bytes in harmed(&compressed) {
                bounded(codec.name(), 4 * CAP, || {
                    if let Ok(inflated) = codec.decompress(&bytes, CAP) {
                        assert!(inflated.len() <= CAP);
                    }
                });
            }
        }
    }
}

/// Cut at every byte, then with a bit flipped or a length blown up at every byte (of long ones: at
/// some hundred).
fn harmed(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    let step = bytes.len() / 400 + 1;
    let places = move || (0..bytes.len()).step_by(step);
    let mut random = Random::stream(bytes.len() as u64, "harm");
    let cut = (0..bytes.len()).map(|end| bytes.slice(..end));
    let flipped = places().map({
        let bit = 1 << random.below(8);
        move |at| {
            let mut harmed = bytes.to_vec();
            harmed[at] ^= bit;
            harmed.into()
        }
    });
    let blown_up = places().flat_map(|at| {
        let lengths: [&[u8]; 3] =
            [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x00, 0xff, 0xff, 0xf0]];
        lengths.map(|length| {
            let mut harmed = bytes.to_vec();
            let end = (at + length.len()).min(harmed.len());
            harmed[at..end].copy_from_slice(&length[..end - at]);
            harmed.into()
        })
    });
    cut.chain(flipped).chain(blown_up)
}

/// Runs `work`, which may have at most `bytes` more in memory at once than before.
fn bounded(place: &str, bytes: usize, work: impl FnOnce()) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    work();
    let grown = MEMORY.peak_usage().saturating_sub(before);
    assert!(grown <= ALWAYS + bytes, "{place}: {grown} bytes where {} are justified", ALWAYS + bytes);
}
