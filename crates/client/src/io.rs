//! What goes into a client and what comes out of it.

use bytes::Bytes;
use shore_base::ConnId;
use shore_wire::frame::Frame;

/// What can happen to a client.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection it dialled stands.
    Connected { conn: ConnId },
    /// A whole response, without its length prefix.
    Response { conn: ConnId, frame: Bytes },
    /// A connection could not be had, or is gone.
    Closed { conn: ConnId },
    /// Time passed: `next_wake` may be due.
    Wake,
}

/// What a client wants done. It numbers its connections itself, from 1, and never uses a number twice.
#[derive(Clone, Debug)]
pub enum Output<E> {
    Dial {
        conn: ConnId,
        host: String,
        port: u16,
    },
    Send {
        conn: ConnId,
        frame: Frame,
    },
    /// Close the connection; no [`Input::Closed`] follows.
    Hangup {
        conn: ConnId,
    },
    Event(E),
}
