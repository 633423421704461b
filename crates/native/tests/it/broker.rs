//! A `shore serve` of a test's own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use crate::client::Client;

pub struct Broker {
    pub address: String,
    pub ready_line: String,
    process: Child,
    log: Option<JoinHandle<String>>,
}

impl Broker {
    /// Starts one on a free port and waits until it is ready.
    pub fn start(args: &[&str]) -> Self {
        let mut process = shore(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = process.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = log.read_to_string(&mut text);
            text
        });
        let mut ready_line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready_line).unwrap();
        if ready_line.is_empty() {
            panic!("not ready: {}", log.join().unwrap());
        }
        let address = ready_line.split(' ').nth(2).unwrap().to_owned();
        Self { address, ready_line, process, log: Some(log) }
    }

    pub fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that there ever was.
    pub fn most_resident_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Asks it to end and returns its exit code and everything it logged.
    pub fn stop(self) -> (Option<i32>, String) {
        self.signal("TERM");
        self.wait()
    }

    /// Its exit code and everything it logged, once it has ended.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let status = self.process.wait().unwrap();
        (status.code(), self.log.take().unwrap().join().unwrap())
    }

    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Ends it as `kill -9` does, and returns everything it logged.
    pub fn kill(mut self) -> String {
        self.process.kill().unwrap();
        self.wait().1
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `shore serve` on a free port, unless the arguments name one.
pub fn shore(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shore"));
    command.args(["serve", "--port", "0"]).args(args).stdin(Stdio::null());
    command
}

/// Runs one that cannot start.
pub fn refused(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = shore(args).output().unwrap();
    assert_eq!(stdout, b"", "nothing is ready");
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// A directory that is gone when the test is.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("shore-it-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
