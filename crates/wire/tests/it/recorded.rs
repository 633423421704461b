//! The frames of tests/wire/*.hex.

use std::path::Path;

use bytes::Bytes;
use shore_wire::api::ApiKey;

pub struct Golden {
    /// Where it stands: `kafkajs.hex:3`.
    pub place: String,
    pub api: ApiKey,
    pub version: i16,
    pub is_request: bool,
    /// Without the length prefix.
    pub frame: Bytes,
}

/// Every recorded frame.
pub fn frames() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("tests/wire")
        .map(|entry| entry.expect("an entry of tests/wire").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "hex"))
        .collect();
    files.sort();
    let mut frames = Vec::new();
    for file in files {
        let name = file.file_name().expect("a file's name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a readable file");
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let place = format!("{name}:{}", number + 1);
            frames.push(parse(line).map(|golden| Golden { place: place.clone(), ..golden }).expect(&place));
        }
    }
    assert!(frames.len() >= 200, "only {} frames in tests/wire", frames.len());
    frames
}

/// `00 v07 request 0000..`
fn parse(line: &str) -> Option<Golden> {
    let mut words = line.split(' ');
    let api = ApiKey::from_key(words.next()?.parse().ok()?)?;
    let version = words.next()?.strip_prefix('v')?.parse().ok()?;
    let is_request = match words.next()? {
        "request" => true,
        "response" => false,
        _ => return None,
    };
    let digits = words.next()?;
    let frame = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect::<Option<Vec<u8>>>()?;
    Some(Golden { place: String::new(), api, version, is_request, frame: frame.into() })
}
