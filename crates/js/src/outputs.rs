//! What the cluster wants done after a turn. Integers are little-endian; js/src/core.ts reads this.

use shore_base::{Instant, NodeId};
use shore_log::storage::{ReadRange, StoreOp, StoreRequest, Token};
use shore_wire::frame::Frame;

/// The buffer that goes to the host: when to wake the cluster, then one entry after the other.
pub struct Outputs(Vec<u8>);

impl Outputs {
    pub fn new() -> Self {
        Self(vec![0; 8])
    }

    /// `due` is when the cluster wants to be woken, if at all.
    pub fn finish(mut self, due: Option<Instant>) -> Vec<u8> {
        let micros = due.map_or(-1.0, |due| due.as_micros() as f64);
        self.0[..8].copy_from_slice(&micros.to_le_bytes());
        self.0
    }

    pub fn respond(&mut self, connection: u32, frame: &Frame) {
        self.0.reserve(frame.len() + 9);
        self.u8(1);
        self.u32(connection);
        self.u32(frame.len() as u32);
        for part in frame.parts() {
            self.0.extend_from_slice(part);
        }
    }

    pub fn close(&mut self, connection: u32, reason: &str) {
        self.u8(2);
        self.u32(connection);
        self.bytes(reason.as_bytes());
    }

    pub fn store(&mut self, node: NodeId, request: &StoreRequest) {
        match request {
            StoreRequest::Store { token, ops } => {
                self.request(3, node, *token);
                self.u32(ops.len() as u32);
                ops.iter().for_each(|op| self.op(op));
            }
            StoreRequest::Load { token, reads } => {
                self.request(4, node, *token);
                self.u32(reads.len() as u32);
                for ReadRange { file, position, len } in reads {
                    self.bytes(file.as_str().as_bytes());
                    self.u64(*position);
                    self.u64(*len);
                }
            }
            StoreRequest::List { token, directory } => {
                self.request(5, node, *token);
                self.bytes(directory.as_str().as_bytes());
            }
        }
    }

    pub fn log(&mut self, line: &str) {
        self.u8(6);
        self.bytes(line.as_bytes());
    }

    pub fn ready(&mut self) {
        self.u8(7);
    }

    pub fn stopped(&mut self) {
        self.u8(8);
    }

    /// Whether the host is to stop reading from a connection, or to go on.
    pub fn mute(&mut self, connection: u32, muted: bool) {
        self.u8(9);
        self.u32(connection);
        self.u8(u8::from(muted));
    }

    fn request(&mut self, kind: u8, node: NodeId, token: Token) {
        self.u8(kind);
        self.u32(node.0 as u32);
        self.u64(token.0);
    }

    fn op(&mut self, op: &StoreOp) {
        match op {
            StoreOp::Append { file, position, bytes } => {
                self.u8(0);
                self.bytes(file.as_str().as_bytes());
                self.u64(*position);
                self.bytes(bytes);
            }
            StoreOp::Truncate { file, len } => {
                self.u8(1);
                self.bytes(file.as_str().as_bytes());
                self.u64(*len);
            }
            StoreOp::Replace { file, bytes } => {
                self.u8(2);
                self.bytes(file.as_str().as_bytes());
                self.bytes(bytes);
            }
            StoreOp::Rename { from, to } => self.names(3, from.as_str(), to.as_str()),
            StoreOp::RenameDirectory { from, to } => self.names(4, from.as_str(), to.as_str()),
            StoreOp::Delete { file } => {
                self.u8(5);
                self.bytes(file.as_str().as_bytes());
            }
            StoreOp::DeleteDirectory { directory } => {
                self.u8(6);
                self.bytes(directory.as_str().as_bytes());
            }
            StoreOp::Sync => self.u8(7),
        }
    }

    fn names(&mut self, kind: u8, from: &str, to: &str) {
        self.u8(kind);
        self.bytes(from.as_bytes());
        self.bytes(to.as_bytes());
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }
}
