//! What the fuzz targets start from: the frames that real clients exchanged (tests/wire/*.hex), Apache Kafka's own
//! messages and records (tests/wire/messages, tests/wire/records), and what fuzzing found before (fuzz/found).

use std::fs;
use std::path::{Path, PathBuf};

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
/// Says to `recovery` that the log begins at 0, and that the batches of its segment at offset 0 follow.
const MENDED_LOG: [u8; 2] = [0, 1];
/// Say to `records_of_internal_logs` which log a record is of.
const GROUP: u8 = 0;
const METADATA: u8 = 1;
/// Keys of `__consumer_offsets`: partition 0 of `t` for group `g`, and group `g`.
const OFFSET_KEY: &[u8] = &[0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 0];
const GROUP_KEY: &[u8] = &[0, 2, 0, 1, b'g'];

/// The bytes of a batch before its records, and where it names its codec.
const BATCH_HEADER: usize = 61;
const CODEC_AT: usize = 22;

/// How much of what fuzzing finds is kept for each target: half of the digits below `fuzz/found`.
const KEPT_BYTES: usize = 36 << 10;

/// Writes the seeds of every target below `fuzz/corpus`.
pub fn write() -> Outcome {
    recorded_frames()?;
    messages()?;
    records()?;
    faults()?;
    found()
}

fn recorded_frames() -> Outcome {
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
                seed("recovery", &name, &[&MENDED_LOG[..], &(batch.len() as u16).to_be_bytes(), batch].concat())?;
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

/// Every message of every API, as Apache Kafka's own classes write it.
fn messages() -> Outcome {
    for (file, lines) in hex_files("tests/wire/messages")? {
        let api_key: i16 = file.split('-').next().and_then(|key| key.parse().ok()).ok_or("a key begins the name")?;
        for (line, (version, direction, content, bytes)) in lines.iter().enumerate() {
            // With and without the tagged fields of a header: one of the two is right.
            for (flexible, tags) in [&[][..], &[0]].into_iter().enumerate() {
                let name = format!("{file}-{line}-{content}-{flexible}");
                if direction == "request" {
                    let header =
                        [&api_key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1, 0, 1, b'x']].concat();
                    let frame = [&header, tags, bytes].concat();
                    seed("request_head_and_bodies", &name, &[&[REQUEST], &frame[..]].concat())?;
                    let prefix = (frame.len() as u32).to_be_bytes();
                    seed("requests_to_a_live_broker", &name, &[&[CUT], &prefix[..], &frame].concat())?;
                } else {
                    let head = [*version as u8, api_key as u8, 0, 0, 0, 1];
                    seed("request_head_and_bodies", &name, &[&head, tags, bytes].concat())?;
                }
            }
        }
    }
    Ok(())
}

/// Every record of the internal logs: metadata records by themselves, values of groups under the key of a group.
fn records() -> Outcome {
    for (file, lines) in hex_files("tests/wire/records")? {
        let Some((record_type, name)) = file.split_once('-') else { continue };
        let record_type: u8 = record_type.parse().map_err(|_| format!("{file}: a type begins the name"))?;
        for (line, (version, _, _, bytes)) in lines.iter().enumerate() {
            let seeded = if name.ends_with("Record") {
                [&[METADATA, 1, record_type, *version as u8], &bytes[..]].concat()
            } else if name.ends_with("Key") {
                [&[GROUP, 2 + bytes.len() as u8, 0, record_type], &bytes[..]].concat()
            } else {
                let key: &[u8] = if record_type < 2 { OFFSET_KEY } else { GROUP_KEY };
                [&[GROUP, key.len() as u8], key, &[0, *version as u8], bytes].concat()
            };
            seed("records_of_internal_logs", &format!("{file}-{line}"), &seeded)?;
        }
    }
    Ok(())
}

/// For each client and each of the first answers, each kind of fault.
fn faults() -> Outcome {
    for client in 0..4 {
        for sound in 0..12 {
            for fault in 0..8 {
                let name = format!("{client}-{sound}-{fault}");
                seed("answers_to_clients", &name, &[client, sound, fault, 0, 20, 4, 0x7f, 0xff, 0xff, 0xff, 0])?;
            }
        }
    }
    Ok(())
}

/// What fuzzing found before.
fn found() -> Outcome {
    let folder = root().join("fuzz/found");
    for file in files(&folder)? {
        let target = stem(&file);
        for (number, line) in text(&file)?.lines().enumerate() {
            let bytes = digits(line).ok_or_else(|| format!("{}:{}: not hexadecimal", file.display(), number + 1))?;
            seed(&target, &format!("found-{number}"), &bytes)?;
        }
    }
    Ok(())
}

/// Takes the smallest inputs of a target's minimal corpus into `fuzz/found`.
pub fn keep(target: &str) -> Outcome {
    let folder = root().join("fuzz/corpus").join(target);
    let mut inputs: Vec<Vec<u8>> = files(&folder)?
        .iter()
        .map(|file| fs::read(file).map_err(|error| format!("{}: {error}", file.display())))
        .collect::<Result<_, _>>()?;
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let mut kept = String::new();
    for input in inputs.iter().filter(|input| !input.is_empty()) {
        let line: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        if kept.len() + line.len() > 2 * KEPT_BYTES {
            break;
        }
        kept += &line;
        kept.push('\n');
    }
    let file = root().join("fuzz/found").join(format!("{target}.hex"));
    fs::create_dir_all(root().join("fuzz/found"))
        .and_then(|()| fs::write(&file, kept))
        .map_err(|error| format!("{}: {error}", file.display()))
}

fn seed(target: &str, name: &str, bytes: &[u8]) -> Outcome {
    let folder = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join(name), bytes))
        .map_err(|error| format!("{}: {error}", folder.display()))
}

/// Each client's name with what it sent and got.
fn recorded() -> Result<Vec<(String, Vec<Recorded>)>, String> {
    let files = files(&root().join("tests/wire"))?;
    let hex = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "hex"));
    hex.map(|file| Ok((stem(file), parsed(file, parse)?))).collect()
}

/// Version, direction, content and bytes of each line of each file in a folder.
type Lines = Vec<(i16, String, String, Vec<u8>)>;

fn hex_files(folder: &str) -> Result<Vec<(String, Lines)>, String> {
    files(&root().join(folder))?.iter().map(|file| Ok((stem(file), parsed(file, message)?))).collect()
}

/// `v07 request filled 0000..`
fn message(line: &str) -> Option<(i16, String, String, Vec<u8>)> {
    let mut words = line.split(' ');
    let version = words.next()?.strip_prefix('v')?.parse().ok()?;
    Some((version, words.next()?.to_owned(), words.next()?.to_owned(), digits(words.next().unwrap_or_default())?))
}

fn parsed<T>(file: &Path, parse: fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let text = text(file)?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| parse(line).ok_or_else(|| format!("{}: {line:.40}", file.display()))).collect()
}

fn text(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn stem(file: &Path) -> String {
    file.file_stem().expect("a file's name").to_string_lossy().into_owned()
}

/// The files of a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn digits(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// `00 v07 request 0000..`
fn parse(line: &str) -> Option<Recorded> {
    let words: Vec<&str> = line.split(' ').collect();
    let [api_key, version, direction, bytes] = words[..] else { return None };
    Some(Recorded {
        api_key: api_key.parse().ok()?,
        version: version.strip_prefix('v')?.parse().ok()?,
        is_request: direction == "request",
        bytes: digits(bytes)?,
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
