//! Transcripts of a coordinator: what it is asked and tells, line by line.
//!
//! Lines that begin with `=` are what is expected. `##` begins a scenario with a coordinator of its own, of
//! these options; other lines with a `#` are for readers.

use shore_base::collections::BTreeMap;

/// A coordinator that transcripts are played to.
pub trait Bench {
    fn new(options: &str) -> Self;

    /// Does what a line says, and tells what came of it.
    fn play(&mut self, line: &str) -> Vec<String>;
}

/// Whether all of these, by name, go as they are written.
pub fn hold<B: Bench>(transcripts: &[(&str, &str)]) {
    let mut differences = String::new();
    for (name, text) in transcripts {
        let played = play_all::<B>(text);
        if played != *text {
            differences += &format!("---- {name}.txt should read:\n{played}");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// The transcript as it really goes: its commands, each followed by what came out.
fn play_all<B: Bench>(text: &str) -> String {
    let mut played = String::new();
    let mut bench = B::new("");
    for line in text.lines() {
        if line.starts_with('=') {
            continue;
        }
        played += line;
        played.push('\n');
        if let Some(options) = line.strip_prefix("##") {
            bench = B::new(options);
        } else if !line.is_empty() && !line.starts_with('#') {
            for output in bench.play(line) {
                played += &format!("= {output}\n");
            }
        }
    }
    played
}

/// A line of a transcript, taken apart: words, and words with a `=` whose left side is a lowercase word.
pub struct Line<'a> {
    pub words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    pub fn parse(line: &'a str) -> Self {
        let (mut words, mut options) = (Vec::new(), BTreeMap::new());
        for word in line.split_whitespace() {
            match word.split_once('=').filter(|(key, _)| key.chars().all(|letter| letter.is_ascii_lowercase())) {
                Some((key, value)) => drop(options.insert(key, value)),
                None => words.push(word),
            }
        }
        Self { words, options }
    }

    pub fn option(&self, key: &str) -> Option<&'a str> {
        self.options.get(key).copied()
    }

    pub fn number(&self, key: &str, default: i64) -> i64 {
        self.option(key).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{key}={value}")))
    }

    pub fn word(&self, index: usize) -> &'a str {
        self.words.get(index).copied().unwrap_or_else(|| panic!("{:?} needs more words", self.words))
    }
}
