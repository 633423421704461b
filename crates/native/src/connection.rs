//! One client's socket: what it sent, what it waits for, what it is owed.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::TcpStream;
use shore_wire::frame::is_fire_and_forget;

use crate::buffers::Buffers;
use crate::inbound::{Inbound, Progress, Refused};
use crate::outbound::Outbound;

/// Requests of one connection that may be without their answer; then nothing more is read from it.
const MAX_IN_FLIGHT: usize = 100;
/// Bytes of requests of one connection that may be without their answer.
const MAX_IN_FLIGHT_BYTES: usize = 32 << 20;
/// Answers of one connection that may wait for it to read; then nothing more is read from it.
const MAX_OWED_BYTES: usize = 4 << 20;
/// How much one connection may bring in one turn, so that the others get theirs.
const TURN_BYTES: usize = 4 << 20;
/// How long the first request may take from its first byte on. It asks for versions or metadata: no client's is long.
pub const FIRST_REQUEST: Duration = Duration::from_secs(30);

pub struct Connection {
    pub socket: TcpStream,
    pub peer: SocketAddr,
    inbound: Inbound,
    outbound: Outbound,
    in_flight: InFlight,
    /// The socket said so and has not blocked since.
    pub readable: bool,
    pub writable: bool,
    /// The peer has sent its last byte; what it is owed is still written.
    ended: bool,
    greeting: Greeting,
    /// The last time a whole request came or an answer left.
    pub last_active: Instant,
}

/// The first request: Awaited -> Begun -> Whole.
enum Greeting {
    Awaited,
    Begun(Instant),
    Whole,
}

impl Connection {
    pub fn new(socket: TcpStream, peer: SocketAddr, max_frame: usize, now: Instant) -> Self {
        Self {
            socket,
            peer,
            inbound: Inbound::new(max_frame),
            outbound: Outbound::default(),
            in_flight: InFlight::default(),
            readable: false,
            writable: true,
            ended: false,
            greeting: Greeting::Awaited,
            last_active: now,
        }
    }

    /// The next requests, as many as this turn and the limits allow. The caller asks again next turn if
    /// [`Connection::wants_turn`].
    pub fn receive(&mut self, buffers: &Buffers, now: Instant, mut take: impl FnMut(Bytes)) -> Result<(), Refused> {
        let mut budget = TURN_BYTES;
        loop {
            while self.may_take() {
                let Some(frame) = self.inbound.take() else { break };
                budget = budget.saturating_sub(frame.len() + 4);
                self.last_active = now;
                self.greeting = Greeting::Whole;
                self.in_flight.begin(&frame);
                take(frame);
            }
            if self.inbound.has_ready() || !self.may_take() || !self.readable || self.ended || budget == 0 {
                return Ok(());
            }
            match self.inbound.read(&mut self.socket, buffers)? {
                Progress::Some if matches!(self.greeting, Greeting::Awaited) => self.greeting = Greeting::Begun(now),
                Progress::Some => {}
                Progress::Blocked => self.readable = false,
                Progress::End => self.ended = true,
            }
        }
    }

    /// Whether there may be more to receive without waiting for the socket.
    pub fn wants_turn(&self) -> bool {
        self.may_take() && (self.inbound.has_ready() || (self.readable && !self.ended))
    }

    fn may_take(&self) -> bool {
        self.outbound.bytes() < MAX_OWED_BYTES
            && self.in_flight.requests.len() < MAX_IN_FLIGHT
            && self.in_flight.bytes < MAX_IN_FLIGHT_BYTES
    }

    /// The answer to the oldest request that gets one.
    pub fn answer(&mut self, parts: &[Bytes]) {
        self.in_flight.end();
        self.outbound.push(parts);
    }

    /// Writes what the socket takes.
    pub fn send(&mut self, now: Instant) -> io::Result<()> {
        if self.writable && self.outbound.bytes() > 0 {
            let before = self.outbound.bytes();
            self.writable = self.outbound.write(&mut self.socket)?;
            if self.outbound.bytes() < before {
                self.last_active = now;
            }
        }
        Ok(())
    }

    /// Whether the peer has gone and nothing is left to do for it.
    pub fn is_done(&self) -> bool {
        self.ended && !self.inbound.has_ready() && (self.in_flight.requests.is_empty() && self.outbound.bytes() == 0)
    }

    /// Why the peer has had its time, if it has.
    pub fn overstayed(&self, now: Instant, max_idle: Option<Duration>) -> Option<String> {
        if let Greeting::Begun(since) = self.greeting
            && now.duration_since(since) > FIRST_REQUEST
        {
            return Some(format!("its first request is not whole after {} s", FIRST_REQUEST.as_secs()));
        }
        let max_idle = max_idle.filter(|max| !self.waits_for_us() && now.duration_since(self.last_active) > *max)?;
        Some(format!("idle for more than {} ms (connections.max.idle.ms)", max_idle.as_millis()))
    }

    /// Whether the next move is ours. Otherwise the time since the last activity counts as idle, also for a
    /// peer that does not read what it is owed.
    fn waits_for_us(&self) -> bool {
        !self.in_flight.requests.is_empty() && self.outbound.bytes() == 0
    }

    pub fn held(&self) -> Held {
        Held { in_flight: self.in_flight.bytes, unfinished: self.inbound.unfinished_bytes() }
    }

    pub fn close(self, buffers: &Buffers) {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.inbound.give_back(buffers);
    }
}

/// Memory that requests take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Held {
    /// Requests without their answer.
    pub in_flight: usize,
    /// Requests whose end has not come.
    pub unfinished: usize,
}

impl Held {
    /// Counts a change from `before` to `after`.
    pub fn change(&mut self, before: Self, after: Self) {
        self.in_flight = self.in_flight + after.in_flight - before.in_flight;
        self.unfinished = self.unfinished + after.unfinished - before.unfinished;
    }
}

/// Requests without their answer, oldest first. A connection's answers come in the order of its requests.
#[derive(Default)]
struct InFlight {
    requests: VecDeque<Request>,
    bytes: usize,
}

struct Request {
    bytes: usize,
    answered: bool,
}

impl InFlight {
    fn begin(&mut self, frame: &[u8]) {
        let request = Request { bytes: frame.len(), answered: !is_fire_and_forget(frame) };
        // Without an answer nothing would say that it is done; behind others it is done with them.
        if request.answered || !self.requests.is_empty() {
            self.bytes += request.bytes;
            self.requests.push_back(request);
        }
    }

    fn end(&mut self) {
        self.pop();
        while self.requests.front().is_some_and(|request| !request.answered) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(request) = self.requests.pop_front() {
            self.bytes -= request.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shore_wire::frame::encode_request;
    use shore_wire::messages::ProduceRequest;

    fn produce(acks: i16) -> Bytes {
        let mut request = ProduceRequest::default();
        request.acks = acks;
        encode_request(7, None, 9, &request).expect("it fits the version").body()
    }

    #[test]
    fn a_first_request_that_has_begun_comes_to_its_end_in_time() {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, address) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let now = Instant::now();
        let mut connection = Connection::new(TcpStream::from_std(socket), address, 1 << 20, now);
        let mut send = |bytes: &[u8], at: Instant, connection: &mut Connection| {
            peer.write_all(bytes).unwrap();
            connection.readable = true;
            connection.receive(&Buffers::default(), at, drop).unwrap();
        };
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(connection.overstayed(after(300), None), None, "who has said nothing is merely idle");
        send(&[0], after(100), &mut connection);
        send(&[0, 0], after(125), &mut connection);
        assert_eq!(connection.overstayed(after(130), None), None);
        let reason = connection.overstayed(after(131), None).unwrap();
        assert_eq!(reason, "its first request is not whole after 30 s");
        send(&[14, 0, 18, 0, 0, 0, 0, 0, 1, 0, 1, b'x', 0, 0, 0], after(132), &mut connection);
        assert!(matches!(connection.greeting, Greeting::Whole));
        // Later requests may be large: only an idle connection ends.
        send(&[0, 1], after(140), &mut connection);
        assert_eq!(connection.overstayed(after(1_000), None), None);
    }

    #[test]
    fn requests_without_an_answer_end_with_the_one_before_them() {
        let (asked, forgotten) = (produce(1), produce(0));
        let mut in_flight = InFlight::default();
        in_flight.begin(&forgotten);
        assert!(in_flight.requests.is_empty());
        for frame in [&asked, &forgotten, &forgotten, &asked] {
            in_flight.begin(frame);
        }
        in_flight.end();
        assert_eq!(in_flight.requests.len(), 1);
        in_flight.end();
        assert_eq!((in_flight.requests.len(), in_flight.bytes), (0, 0));
    }
}
