//! However a stream is cut into chunks, the same frames come out, and no byte is held that did not
//! come in. The first byte says how it is cut.
#![no_main]

use bytes::Bytes;
use shore_wire::frame::{FrameError, FrameSplitter};

const MAX_FRAME: usize = 1 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let whole = split(stream, stream.len().max(1));
    assert_eq!(split(stream, usize::from(cut) + 1), whole);
    let (frames, end) = whole;
    let taken: usize = frames.iter().map(|frame| 4 + frame.len()).sum();
    if let Ok(buffered) = end {
        assert!(taken + buffered <= stream.len());
    }
});

fn split(stream: &[u8], step: usize) -> (Vec<Bytes>, Result<usize, FrameError>) {
    let mut splitter = FrameSplitter::new(MAX_FRAME);
    let mut frames = Vec::new();
    for chunk in stream.chunks(step) {
        splitter.push(Bytes::copy_from_slice(chunk));
        loop {
            match splitter.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    (frames, Ok(splitter.buffered()))
}
