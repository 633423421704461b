//! Running other programs, from the root of the checkout, saying what runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command ends with: done, or why not in one sentence.
pub type Outcome<T = ()> = Result<T, String>;

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A program that will be run at the root, with our tools before the others on PATH.
pub struct Run {
    command: Command,
    text: String,
}

impl Run {
    pub fn new(program: &str) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root()).env("PATH", crate::setup::search_path());
        Self { command, text: program.to_owned() }
    }

    /// A program with arguments that hold no spaces.
    pub fn line(line: &str) -> Self {
        let mut words = line.split_whitespace();
        Self::new(words.next().unwrap_or_default()).args(words)
    }

    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        for argument in arguments {
            self.text.push(' ');
            self.text.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// In this directory of the checkout.
    pub fn within(mut self, directory: &str) -> Self {
        self.command.current_dir(root().join(directory));
        self.text = format!("({directory}) {}", self.text);
        self
    }

    /// Runs it to its end, showing what it prints.
    pub fn go(mut self) -> Outcome {
        println!("> {}", self.text);
        match self.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{}` ended with {status}", self.text)),
            Err(error) => Err(format!("`{}` does not start: {error}", self.text)),
        }
    }

    /// Runs it to its end and hands back what it printed, showing what it says on stderr.
    pub fn stdout(mut self) -> Outcome<String> {
        println!("> {}", self.text);
        self.command.stderr(Stdio::inherit());
        self.output()
    }

    /// Runs it to its end and hands back what it printed.
    pub fn output(mut self) -> Outcome<String> {
        let output = self
            .command
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("`{}` does not start: {error}", self.text))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(format!("`{}` ended with {}: {}", self.text, output.status, complaint.trim()))
        }
    }

    /// Whether it runs and ends well; what it prints is dropped.
    pub fn succeeds(mut self) -> bool {
        let quiet = self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    }
}
