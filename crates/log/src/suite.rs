//! The conformance suite of the storage seam: transcripts that every backend must answer alike.
//!
//! Cases are data, so that a backend that answers at once and one that answers later can both run
//! them: walk [`Case::steps`], ask what [`Step::Ask`] says, and [`check`] the reply.

use std::fmt::Write;

use bytes::Bytes;

use crate::storage::{FileName, ReadRange, StoreError, StoreOp, StoreReply, StoreRequest, Token};

/// One transcript. It begins with an empty store.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub enum Step {
    Ask {
        request: StoreRequest,
        /// The reply as [`reply_text`] writes it.
        expected: &'static str,
    },
    /// Close the store and open it again on what it has stored.
    Reopen,
}

/// All transcripts.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = include_str!("suite/cases.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut token = 0;
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name, steps: Vec::new() });
            continue;
        }
        let steps = &mut cases.last_mut().expect("a transcript begins with its name").steps;
        if line == "reopen" {
            steps.push(Step::Reopen);
        } else {
            token += 1;
            let expected = lines.next().expect("every question has an answer");
            steps.push(Step::Ask { request: request(line, Token(token)), expected });
        }
    }
    cases
}

/// Whether a backend's reply is what the case expects, and how it differs.
pub fn check(case: &Case, request: &StoreRequest, expected: &str, reply: &StoreReply) -> Result<(), String> {
    let (asked, answered) = (request_token(request), reply_token(reply));
    if asked != answered {
        return Err(format!("{}: asked under {asked:?}, answered under {answered:?}", case.name));
    }
    let found = reply_text(reply);
    if found == expected {
        Ok(())
    } else {
        Err(format!("{}: asked {request:?}\n expected: {expected}\n    found: {found}", case.name))
    }
}

/// Runs every case on a backend that answers at once. Says how many there were.
pub fn run<S>(
    mut fresh: impl FnMut() -> S,
    mut carry_out: impl FnMut(&mut S, StoreRequest) -> StoreReply,
    mut reopen: impl FnMut(S) -> S,
) -> Result<usize, String> {
    let cases = cases();
    for case in &cases {
        let mut store = fresh();
        for step in &case.steps {
            match step {
                Step::Ask { request, expected } => {
                    let reply = carry_out(&mut store, request.clone());
                    check(case, request, expected, &reply)?;
                }
                Step::Reopen => store = reopen(store),
            }
        }
    }
    Ok(cases.len())
}

/// A reply as the transcripts write it.
pub fn reply_text(reply: &StoreReply) -> String {
    match reply {
        StoreReply::Stored { result: Ok(()), .. } => "stored".to_owned(),
        StoreReply::Loaded { result: Ok(loaded), .. } => {
            let parts: Vec<String> = loaded.iter().map(|bytes| bytes_text(bytes)).collect();
            format!("loaded {}", parts.join(" | "))
        }
        StoreReply::Listed { result: Ok(entries), .. } => {
            let mut text = "listed".to_owned();
            for entry in entries {
                write!(text, " {}:{}", entry.file, entry.len).expect("a string takes all");
            }
            text
        }
        StoreReply::Stored { result: Err(error), .. }
        | StoreReply::Loaded { result: Err(error), .. }
        | StoreReply::Listed { result: Err(error), .. } => match error {
            StoreError::Full(_) => "full".to_owned(),
            StoreError::NotFound(file) => format!("not found {file}"),
            StoreError::Failed(_) => "failed".to_owned(),
        },
    }
}

fn request_token(request: &StoreRequest) -> Token {
    match request {
        StoreRequest::Store { token, .. } | StoreRequest::Load { token, .. } | StoreRequest::List { token, .. } => {
            *token
        }
    }
}

fn reply_token(reply: &StoreReply) -> Token {
    match reply {
        StoreReply::Stored { token, .. } | StoreReply::Loaded { token, .. } | StoreReply::Listed { token, .. } => {
            *token
        }
    }
}

fn request(line: &str, token: Token) -> StoreRequest {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match verb {
        "store" => {
            let ops = rest.split(", ").filter(|op| !op.is_empty()).map(op).collect();
            StoreRequest::Store { token, ops }
        }
        "load" => StoreRequest::Load { token, reads: rest.split(" | ").map(range).collect() },
        "list" => StoreRequest::List { token, directory: FileName::from(rest) },
        _ => panic!("no such request: {line}"),
    }
}

fn op(text: &str) -> StoreOp {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        ["append", file, position, text] => {
            StoreOp::Append { file: file.into(), position: number(position), bytes: bytes(text) }
        }
        ["truncate", file, len] => StoreOp::Truncate { file: file.into(), len: number(len) },
        ["replace", file, text] => StoreOp::Replace { file: file.into(), bytes: bytes(text) },
        ["rename", from, to] => StoreOp::Rename { from: from.into(), to: to.into() },
        ["rename-directory", from, to] => StoreOp::RenameDirectory { from: from.into(), to: to.into() },
        ["delete", file] => StoreOp::Delete { file: file.into() },
        ["delete-directory", directory] => StoreOp::DeleteDirectory { directory: directory.into() },
        ["sync"] => StoreOp::Sync,
        _ => panic!("no such op: {text}"),
    }
}

fn range(text: &str) -> ReadRange {
    let words: Vec<&str> = text.split(' ').collect();
    let [file, position, len] = words[..] else { panic!("no such range: {text}") };
    let number = |word: &str| word.parse().expect("a number");
    ReadRange { file: file.into(), position: number(position), len: number(len) }
}

fn bytes(text: &str) -> Bytes {
    if text == "-" {
        return Bytes::new();
    }
    let mut out = Vec::new();
    for part in text.split('+') {
        match part.split_once('*') {
            Some((byte, times)) => {
                let times: usize = times.parse().expect("a number");
                out.extend(byte.as_bytes().repeat(times));
            }
            None => out.extend(part.as_bytes()),
        }
    }
    out.into()
}

/// Runs of eight bytes and more are written as runs.
fn bytes_text(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    let mut plain = String::new();
    for run in bytes.chunk_by(|a, b| a == b) {
        let byte = char::from(run[0]);
        if run.len() < 8 {
            plain.extend(std::iter::repeat_n(byte, run.len()));
            continue;
        }
        if !plain.is_empty() {
            parts.push(std::mem::take(&mut plain));
        }
        parts.push(format!("{byte}*{}", run.len()));
    }
    if !plain.is_empty() {
        parts.push(plain);
    }
    parts.join("+")
}
