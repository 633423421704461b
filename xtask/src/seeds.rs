//! What the fuzz targets start from: the frames that real clients exchanged (tests/wire/*.hex).

use std::fs;
use std::path::Path;

use crate::runner::{Outcome, root};

/// A recorded frame, without its length prefix.
struct Recorded {
    api_key: u8,
    version: u8,
    is_request: bool,
    bytes: Vec<u8>,
}

/// Says to `request_head_and_bodies` that a request follows.
const REQUEST: u8 = 0xff;
/// How finely `frames` and `requests_to_a_live_broker` cut their stream: 100 bytes at a time, or more.
const CUT: u8 = 99;

/// The bytes of a batch before its records, and where it names its codec.
const BATCH_HEADER: usize = 61;
const CODEC_AT: usize = 22;

/// Writes the seeds of every target below `fuzz/corpus`.
pub fn write() -> Outcome {
    for (client, frames) in recorded()? {
        let mut stream = vec![CUT];
        for (index, frame) in frames.iter().enumerate() {
            let name = format!("{client}-{index}");
            let prefixed = [&(frame.bytes.len() as u32).to_be_bytes(), &frame.bytes[..]].concat();
            seed("frames", &name, &[&[CUT], &prefixed[..]].concat())?;
            let kind: &[u8] = if frame.is_request { &[REQUEST] } else { &[frame.version, frame.api_key] };
            seed("request_head_and_bodies", &name, &[kind, &frame.bytes].concat())?;
            if frame.is_request {
                seed("requests_to_a_live_broker", &name, &[&[CUT], &prefixed[..]].concat())?;
                stream.extend(prefixed);
            }
            if let Some(batch) = batch_in(&frame.bytes) {
                seed("batches", &name, batch)?;
                let codecs = [None, Some("gzip"), Some("snappy"), Some("lz4"), Some("zstd")];
                if let Some(codec) = codecs.get(usize::from(batch[CODEC_AT] & 7)).copied().flatten() {
                    seed(&format!("decompress_{codec}"), &name, &batch[BATCH_HEADER..])?;
                }
            }
        }
        seed("frames", &client, &stream)?;
        seed("requests_to_a_live_broker", &client, &stream)?;
    }
    Ok(())
}

fn seed(target: &str, name: &str, bytes: &[u8]) -> Outcome {
    let folder = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join(name), bytes))
        .map_err(|error| format!("{}: {error}", folder.display()))
}

/// Each client's name with what it sent and got.
fn recorded() -> Result<Vec<(String, Vec<Recorded>)>, String> {
    let folder = root().join("tests/wire");
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "hex"));
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Result<(String, Vec<Recorded>), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let frames = lines.map(|line| parse(line).ok_or_else(|| format!("{}: {line:.40}", file.display())));
    let name = file.file_stem().expect("a file's name").to_string_lossy().into_owned();
    Ok((name, frames.collect::<Result<_, _>>()?))
}

/// `00 v07 request 0000..`
fn parse(line: &str) -> Option<Recorded> {
    let words: Vec<&str> = line.split(' ').collect();
    let [api_key, version, direction, digits] = words[..] else { return None };
    let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    Some(Recorded {
        api_key: api_key.parse().ok()?,
        version: version.strip_prefix('v')?.parse().ok()?,
        is_request: direction == "request",
        bytes: bytes.collect::<Option<_>>()?,
    })
}

/// The first thing in `bytes` that looks like a batch: format 2, and a length that lies within.
fn batch_in(bytes: &[u8]) -> Option<&[u8]> {
    (0..bytes.len()).find_map(|at| {
        let batch = &bytes[at..];
        let length = u32::from_be_bytes(*batch.get(8..)?.first_chunk()?) as usize;
        let looks_sound = *batch.get(16)? == 2 && batch.get(21)? == &0 && length >= BATCH_HEADER - 12;
        batch.get(..12 + length).filter(|_| looks_sound)
    })
}
