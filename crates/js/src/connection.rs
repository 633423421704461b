//! A client's stream on its way into the world.

use std::collections::VecDeque;

use bytes::Bytes;
use shore_base::ConnId;
use shore_sim::World;
use shore_wire::frame::{FrameSplitter, is_fire_and_forget};

/// Requests of one connection that may be without their answer; what comes after them waits here.
const UNANSWERED: usize = 100;
const UNANSWERED_BYTES: usize = 32 << 20;
/// With more than this waiting here, the host is to stop reading.
const WAITING_BYTES: usize = 1 << 20;

pub struct Connection {
    pub conn: ConnId,
    splitter: FrameSplitter,
    /// Oldest first: answers come in the order of the requests.
    unanswered: VecDeque<Request>,
    unanswered_bytes: usize,
    muted: bool,
}

struct Request {
    bytes: usize,
    is_answered: bool,
}

impl Connection {
    pub fn new(conn: ConnId, max_frame_bytes: usize) -> Self {
        Self {
            conn,
            splitter: FrameSplitter::new(max_frame_bytes),
            unanswered: VecDeque::new(),
            unanswered_bytes: 0,
            muted: false,
        }
    }

    /// Takes bytes of the stream, cut anywhere.
    pub fn receive(&mut self, bytes: Bytes, world: &mut World) -> Result<(), String> {
        self.splitter.push(bytes);
        self.pass_on(world)
    }

    /// The oldest request that gets an answer has it.
    pub fn answered(&mut self, world: &mut World) -> Result<(), String> {
        self.pop();
        while self.unanswered.front().is_some_and(|request| !request.is_answered) {
            self.pop();
        }
        self.pass_on(world)
    }

    /// `Some` if the host is to stop reading from the client, or to go on, from now on.
    pub fn mute_change(&mut self) -> Option<bool> {
        let muted = !self.may_pass() && self.splitter.buffered() > WAITING_BYTES;
        let changed = muted != self.muted;
        self.muted = muted;
        changed.then_some(muted)
    }

    fn pass_on(&mut self, world: &mut World) -> Result<(), String> {
        while self.may_pass() {
            let Some(frame) = self.splitter.next().map_err(|error| error.to_string())? else { break };
            let request = Request { bytes: frame.len(), is_answered: !is_fire_and_forget(&frame) };
            // Without an answer nothing would say that it is done; behind others it is done with them.
            if request.is_answered || !self.unanswered.is_empty() {
                self.unanswered_bytes += request.bytes;
                self.unanswered.push_back(request);
            }
            world.receive(self.conn, frame);
        }
        Ok(())
    }

    fn may_pass(&self) -> bool {
        self.unanswered.len() < UNANSWERED && self.unanswered_bytes < UNANSWERED_BYTES
    }

    fn pop(&mut self) {
        if let Some(request) = self.unanswered.pop_front() {
            self.unanswered_bytes -= request.bytes;
        }
    }
}
